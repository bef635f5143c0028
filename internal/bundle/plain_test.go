package bundle

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
	"github.com/gardenadm/gardenadm/internal/bundle/bundletest"
	"github.com/gardenadm/gardenadm/internal/fault"
)

const ownImage = "registry.example.org/own/app:v1"

// foreignLayout is one as others write it: annotated as skopeo does, or as docker save and ctr do.
func foreignLayout(t *testing.T, annotations map[string]string) (dir string, image v1.Image) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "layout")
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	one := func(architecture string) v1.Image {
		return bundletest.Image(t, architecture, bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "app", Content: architecture}))
	}
	image = one("amd64")
	both := bundletest.Index(t, map[string]v1.Image{"amd64": image, "arm64": one("arm64")})
	if err := path.AppendIndex(both, layout.WithAnnotations(annotations)); err != nil {
		t.Fatal(err)
	}
	return dir, image
}

// tarOf is a tar of the directory, in the order of its names: index.json stands behind the blobs.
func tarOf(t *testing.T, dir string, compressed bool) string {
	t.Helper()
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteHeader(&tar.Header{Name: "../outside", Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw := plain.Bytes()
	if compressed {
		encoder, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		raw = encoder.EncodeAll(raw, nil)
	}
	file := filepath.Join(t.TempDir(), "own.tar")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpenImagesOfOtherPrograms(t *testing.T) {
	for who, annotations := range map[string]map[string]string{
		"skopeo": {AnnotationReference: ownImage},
		"ctr":    {annotationContainerd: ownImage, AnnotationReference: "v1"},
	} {
		dir, image := foreignLayout(t, annotations)
		for form, path := range map[string]string{"directory": dir, "tar": tarOf(t, dir, false), "tar.zst": tarOf(t, dir, true)} {
			t.Run(who+" "+form, func(t *testing.T) {
				origin, err := OpenImages(t.Context(), path, amd64(), filepath.Join(t.TempDir(), "spread"))
				if err != nil {
					t.Fatal(err)
				}
				want := Image{Name: ownImage, Reference: ownImage, Digest: bundletest.Digest(t, image).String(), Use: UsePod}
				if got := origin.Images(); len(got) != 1 || got[0] != want {
					t.Fatalf("got %+v, want %+v", got, want)
				}
				b, err := origin.Unpack(t.Context(), t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				var app []byte
				err = b.Extract(t.Context(), ownImage, []string{"/app"}, func(_ string, content io.Reader) (err error) {
					app, err = io.ReadAll(content)
					return err
				})
				if err != nil || string(app) != "amd64" {
					t.Errorf("its program is %q, %v", app, err)
				}
			})
		}
	}
}

// What gardenadm packed is read as ever, and what cannot be used leaves nothing behind.
func TestOpenImagesRefuses(t *testing.T) {
	dir, _ := foreignLayout(t, map[string]string{AnnotationReference: ownImage})
	damaged, _ := foreignLayout(t, map[string]string{AnnotationReference: ownImage})
	err := fs.WalkDir(os.DirFS(damaged), archive.DirBlobs, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return flip(filepath.Join(damaged, name))
	})
	if err != nil {
		t.Fatal(err)
	}
	noTar := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(noTar, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	old, _ := foreignLayout(t, nil)
	if err := os.Remove(filepath.Join(old, archive.NameIndex)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(tarOf(t, dir, false))
	if err != nil {
		t.Fatal(err)
	}
	many := filepath.Join(t.TempDir(), "many")
	if err := os.WriteFile(many, manyEntries(t), 0o600); err != nil {
		t.Fatal(err)
	}
	riscv := amd64()
	riscv.Architecture = "riscv64"
	for name, c := range map[string]struct {
		path string
		o    Options
		want string
	}{
		"damaged":              {tarOf(t, damaged, false), amd64(), "digest"},
		"no layout":            {tarOf(t, old, false), amd64(), "oci-archive"},
		"no tar":               {noTar, amd64(), noTar},
		"cut before the index": {saved(t, whole[:5*512+7]), amd64(), "it ends too early"},
		"cut in the index":     {saved(t, whole[:bytes.LastIndex(whole, []byte(ownImage))]), amd64(), "it ends too early"},
		"cut between entries":  {saved(t, whole[:bytes.LastIndex(whole, []byte(archive.NameIndex))]), amd64(), "it was cut off"},
		"too many entries":     {many, amd64(), "more than 10000 entries"},
		"another architecture": {tarOf(t, dir, true), riscv, "not made for linux/riscv64"},
		"missing":              {noTar + "x", amd64(), noTar + "x"},
	} {
		spread := filepath.Join(t.TempDir(), "spread")
		_, err := OpenImages(t.Context(), c.path, c.o, spread)
		if codes(err) != string(fault.BadBundle) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(spread); err == nil {
			t.Errorf("%s: it left %s", name, spread)
		}
	}
	own := good(t).file(t)
	spread := filepath.Join(t.TempDir(), "spread")
	if origin, err := OpenImages(t.Context(), own, amd64(), spread); err != nil || !origin.IsFile() {
		t.Errorf("a bundle: %v", err)
	}
}

// manyEntries is a tar that would fill a machine with files.
func manyEntries(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := range 10_001 {
		if err := w.WriteHeader(&tar.Header{Name: archive.DirBlobs + "/" + strconv.Itoa(i), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A tar may tell of more than the disk has: nothing is written for it.
func TestForeignTarTakesNoMoreThanThereIs(t *testing.T) {
	for size, want := range map[int64]string{15 << 30: "ends too early", 17 << 30: "unpacks to more than 16 GiB"} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, archive.DirBlobs), 0o700); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		if err := w.WriteHeader(&tar.Header{Name: archive.DirBlobs + "/a", Mode: 0o644, Size: size}); err != nil {
			t.Fatal(err)
		}
		err := spread(t.Context(), saved(t, out.Bytes()), dir)
		little := size < 17<<30 && codes(err) == string(fault.LittleSpace) // on a smaller disk
		if err == nil || !little && !strings.Contains(err.Error(), want) {
			t.Errorf("%d GiB: %v", size>>30, err)
		}
		if left := files(t, dir); (little || size > 16<<30) && len(left) != 0 {
			t.Errorf("%d GiB: it wrote %v", size>>30, left)
		}
	}
}
