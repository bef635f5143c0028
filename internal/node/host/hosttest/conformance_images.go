package hosttest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// memoryBlobs are blobs by digest, that count how often they are taken.
type memoryBlobs struct {
	data  map[string][]byte
	taken int
}

func (b *memoryBlobs) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	data, there := b.data[digest]
	if !there {
		return nil, fs.ErrNotExist
	}
	b.taken++
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (b *memoryBlobs) add(data []byte) string {
	digest := "sha256:" + sum(data)
	b.data[digest] = data
	return digest
}

type object map[string]any

func (b *memoryBlobs) addJSON(t *testing.T, value object) (digest string, size int) {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return b.add(data), len(data)
}

// image makes an image with a gzip and a zstd layer; the text makes its digests its own.
func (b *memoryBlobs) image(t *testing.T, text string) (digest string, size int) {
	t.Helper()
	var layers, diffs []any
	for name, format := range map[string]struct {
		mediaType string
		writer    func(io.Writer) (io.WriteCloser, error)
	}{
		"one": {"application/vnd.oci.image.layer.v1.tar+gzip", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }},
		"two": {"application/vnd.oci.image.layer.v1.tar+zstd", func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }},
	} {
		var plain, packed bytes.Buffer
		archive := tar.NewWriter(&plain)
		err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
		if err == nil {
			_, err = archive.Write([]byte(text))
		}
		if err = errors.Join(err, archive.Close()); err != nil {
			t.Fatal(err)
		}
		writer, err := format.writer(&packed)
		if err == nil {
			_, err = writer.Write(plain.Bytes())
		}
		if err = errors.Join(err, writer.Close()); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, object{"mediaType": format.mediaType, "digest": b.add(packed.Bytes()), "size": packed.Len()})
		diffs = append(diffs, "sha256:"+sum(plain.Bytes()))
	}
	config, configSize := b.addJSON(t, object{"os": "linux", "architecture": runtime.GOARCH, "config": object{},
		"rootfs": object{"type": "layers", "diff_ids": diffs}})
	return b.addJSON(t, object{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": object{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": configSize}, "layers": layers})
}

func checkImages(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	const repository = "registry.invalid/conformance/"
	if err := h.Images.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	blobs := &memoryBlobs{data: map[string][]byte{}}
	// expect compares the images whose repository begins so.
	expect := func(begin string, want ...host.Image) {
		t.Helper()
		images, err := h.Images.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(images, func(a, b host.Image) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("images %+v are not in order", images)
		}
		images = slices.DeleteFunc(images, func(i host.Image) bool { return !strings.HasPrefix(i.Name, begin) })
		if !slices.Equal(images, want) {
			t.Errorf("images are %+v, want %+v", images, want)
		}
	}

	digest, size := blobs.image(t, "first")
	tagged := repository + "tagged"
	// Last unpinned: the record says what was wished last.
	for i, pinned := range []bool{true, true, false} {
		blobs.taken = 0
		image := host.Image{Name: tagged + ":v1@" + digest, Digest: digest, Pinned: pinned}
		if err := h.Images.Import(ctx, image, blobs); err != nil {
			t.Fatal(err)
		}
		expect(tagged, host.Image{Name: tagged + ":v1", Digest: digest, Pinned: pinned}, host.Image{Name: tagged + "@" + digest, Digest: digest, Pinned: pinned})
		if want := []int{4, 0, 0}[i]; blobs.taken != want {
			t.Errorf("import %d takes %d blobs, want %d", i+1, blobs.taken, want)
		}
	}
	exact := repository + "exact@" + digest
	if err := h.Images.Import(ctx, host.Image{Name: exact, Digest: digest}, blobs); err != nil {
		t.Fatal(err)
	}
	expect(repository+"exact", host.Image{Name: exact, Digest: digest})

	// An index; the other platform was not packed, and its digest is one that nobody has.
	other := "sha256:" + sum([]byte("other platform"))
	platform := func(architecture string) object { return object{"os": "linux", "architecture": architecture} }
	manifest := "application/vnd.oci.image.manifest.v1+json"
	index, _ := blobs.addJSON(t, object{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{
		object{"mediaType": manifest, "digest": other, "size": 7, "platform": platform("s390x")},
		object{"mediaType": manifest, "digest": digest, "size": size, "platform": platform(runtime.GOARCH)}}})
	if err := h.Images.Import(ctx, host.Image{Name: repository + "index:v2", Digest: index, Pinned: true}, blobs); err != nil {
		t.Fatal(err)
	}
	expect(repository+"index", host.Image{Name: repository + "index:v2", Digest: index, Pinned: true})
	// A tag moves.
	if err := h.Images.Import(ctx, host.Image{Name: repository + "index:v2", Digest: digest, Pinned: true}, blobs); err != nil {
		t.Fatal(err)
	}
	expect(repository+"index", host.Image{Name: repository + "index:v2", Digest: digest, Pinned: true})

	for name, spoil := range map[string]func(*memoryBlobs, string){
		"missing": func(b *memoryBlobs, layer string) { delete(b.data, layer) },
		"longer":  func(b *memoryBlobs, layer string) { b.data[layer] = append([]byte("x"), b.data[layer]...) },
		"shorter": func(b *memoryBlobs, layer string) { b.data[layer] = b.data[layer][1:] },
		"changed": func(b *memoryBlobs, layer string) { b.data[layer] = bytes.Repeat([]byte("x"), len(b.data[layer])) },
	} {
		spoiled := &memoryBlobs{data: map[string][]byte{}}
		digest, _ := spoiled.image(t, name)
		var parsed struct{ Layers []struct{ Digest string } }
		if err := json.Unmarshal(spoiled.data[digest], &parsed); err != nil {
			t.Fatal(err)
		}
		layer := parsed.Layers[1].Digest
		whole := slices.Clone(spoiled.data[layer])
		spoil(spoiled, layer)
		image := host.Image{Name: repository + "spoiled-" + name + ":v1", Digest: digest}
		err := h.Images.Import(ctx, image, spoiled)
		if err == nil || !strings.Contains(err.Error(), layer) {
			t.Errorf("%s layer: error is %v, want one with its digest", name, err)
		}
		if name == "missing" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s layer: error is %v, want fs.ErrNotExist", name, err)
		}
		expect(repository + "spoiled-" + name)
		// The failed one does not stand in the way of a good one.
		spoiled.data[layer] = whole
		if err := h.Images.Import(ctx, image, spoiled); err != nil {
			t.Errorf("%s layer: imported again: %v", name, err)
		}
	}
	wrong := host.Image{Name: fmt.Sprintf("%swrong@%s", repository, other), Digest: digest}
	if err := h.Images.Import(ctx, wrong, blobs); err == nil {
		t.Error("an image is recorded under another digest")
	}

	// Stored, and imported once it is needed.
	blobs.taken = 0
	packed, _ := blobs.image(t, "packed")
	stored := host.Image{Name: repository + "stored:v1", Digest: packed, Pinned: true}
	for i, put := range []func(context.Context, host.Image, host.Blobs) error{h.Images.Store, h.Images.Store, h.Images.Import} {
		if err := put(ctx, stored, blobs); err != nil {
			t.Fatal(err)
		}
		expect(repository+"stored", stored)
		if blobs.taken != 4 {
			t.Errorf("stored %d times, %d blobs are taken, want 4", i+1, blobs.taken)
		}
	}
	checkContent(t, h, blobs, packed)
	// One that stays packed must outlive garbage collection, too, which the tests of the real host look at.
	left, _ := blobs.image(t, "left packed")
	if err := h.Images.Store(ctx, host.Image{Name: repository + "left:v1", Digest: left}, blobs); err != nil {
		t.Fatal(err)
	}
	expect(repository+"left", host.Image{Name: repository + "left:v1", Digest: left})

	// What a person imported is told from what gardenadm did, and released like it.
	own := host.Image{Name: repository + "own:v1", Digest: digest, Pinned: true, User: true}
	if err := h.Images.Import(ctx, own, blobs); err != nil {
		t.Fatal(err)
	}
	expect(repository+"own", own)
	if err := h.Images.Release(ctx, []host.Image{own, stored, {Name: repository + "index:v2", Digest: digest}}); err != nil {
		t.Fatal(err)
	}
	expect(repository+"own", own)

	// Of a name with tag and digest both records are kept.
	if err := h.Images.Import(ctx, host.Image{Name: tagged + ":v1@" + digest, Digest: digest, Pinned: true}, blobs); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.Images.Release(ctx, []host.Image{{Name: tagged + ":v1@" + digest, Digest: digest}}); err != nil {
			t.Fatal(err)
		}
		expect(tagged, host.Image{Name: tagged + ":v1", Digest: digest, Pinned: true}, host.Image{Name: tagged + "@" + digest, Digest: digest, Pinned: true})
		expect(repository+"stored", host.Image{Name: stored.Name, Digest: packed})
		expect(repository+"own", host.Image{Name: own.Name, Digest: digest, User: true})
		expect(repository+"index", host.Image{Name: repository + "index:v2", Digest: digest})
	}
}

// checkContent reads what an image consists of.
func checkContent(t *testing.T, h *host.Host, blobs *memoryBlobs, manifest string) {
	ctx := t.Context()
	var parsed struct{ Layers []struct{ Digest string } }
	if err := json.Unmarshal(blobs.data[manifest], &parsed); err != nil {
		t.Fatal(err)
	}
	for _, digest := range []string{manifest, parsed.Layers[0].Digest, parsed.Layers[1].Digest} {
		want := blobs.data[digest]
		content, err := h.Content.Open(ctx, digest)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
		if err != nil || !bytes.Equal(whole, want) {
			t.Errorf("blob %s: got %d of %d bytes, error %v", digest, len(whole), len(want), err)
		}
		end := make([]byte, 10)
		n, err := content.ReadAt(end, content.Size()-4)
		if n != 4 || !errors.Is(err, io.EOF) || !bytes.Equal(end[:n], want[len(want)-4:]) {
			t.Errorf("the end of blob %s is %q, error %v", digest, end[:n], err)
		}
		if err := content.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := h.Content.Open(ctx, "sha256:"+sum([]byte("nobody's"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing blob gives error %v, want fs.ErrNotExist", err)
	}
	for _, wrong := range []string{"", "sha256:../../etc/passwd"} {
		if _, err := h.Content.Open(ctx, wrong); err == nil {
			t.Errorf("digest %q gives no error", wrong)
		}
	}
}
