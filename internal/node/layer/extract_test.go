package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), PAXRecords: map[string]string{"TEST.content": content}}
}

func link(kind byte, name, target string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: target}
}

// pack writes a layer; compress wraps the archive.
func pack(t testing.TB, compress func(io.Writer) io.WriteCloser, entries []tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	compressed := compress(&out)
	archive := tar.NewWriter(compressed)
	for _, entry := range entries {
		content := entry.PAXRecords["TEST.content"]
		entry.PAXRecords = nil
		if err := archive.WriteHeader(&entry); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

func formats() map[string]func(io.Writer) io.WriteCloser {
	return map[string]func(io.Writer) io.WriteCloser{
		"plain": func(w io.Writer) io.WriteCloser { return plain{w} },
		"gzip":  func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser {
			out, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) // no option can be wrong
			return out
		},
	}
}

// opener counts how often it is opened.
func opener(data []byte, opened *int) Open {
	return func(context.Context) (io.ReadCloser, error) {
		*opened++
		return io.NopCloser(bytes.NewReader(data)), nil
	}
}

// extract returns what was handed over.
func extract(ctx context.Context, layers []Open, paths ...string) (map[string]string, error) {
	got := map[string]string{}
	err := Extract(ctx, layers, paths, func(path string, content io.Reader) error {
		if _, twice := got[path]; twice {
			return fmt.Errorf("%s came twice", path)
		}
		data, err := io.ReadAll(content)
		got[path] = string(data)
		return err
	})
	return got, err
}

func TestExtract(t *testing.T) {
	tests := map[string]struct {
		layers  [][]tar.Header // lowest first
		want    map[string]string
		refused string // a path that is asked for, too
		because string
	}{
		"regular files":           {layers: [][]tar.Header{{file("opt/a", "1"), file("./b", "2")}}, want: map[string]string{"/opt/a": "1", "/b": "2"}},
		"the top layer wins":      {layers: [][]tar.Header{{file("a", "low"), file("b", "low b")}, {file("a", "top")}}, want: map[string]string{"/a": "top", "/b": "low b"}},
		"several names":           {layers: [][]tar.Header{{link(tar.TypeSymlink, "kubelet", "all"), link(tar.TypeSymlink, "kubectl", "/all"), file("all", "x")}}, want: map[string]string{"/kubelet": "x", "/kubectl": "x"}},
		"directory behind a link": {layers: [][]tar.Header{{file("usr/sbin/nft", "nft"), link(tar.TypeSymlink, "sbin", "usr/sbin")}}, want: map[string]string{"/sbin/nft": "nft"}},
		"hard link":               {layers: [][]tar.Header{{file("a", "1"), link(tar.TypeLink, "b", "a")}, {file("a", "2")}}, want: map[string]string{"/a": "2", "/b": "1"}},
		"link out of the image":   {layers: [][]tar.Header{{link(tar.TypeSymlink, "a", "../../b"), file("b", "inside")}}, want: map[string]string{"/a": "inside"}},
		"written again":           {layers: [][]tar.Header{{file("a", "1")}, {file(".wh.a", "")}, {file("a", "3")}}, want: map[string]string{"/a": "3"}},
		"removed":                 {layers: [][]tar.Header{{file("d/a", "1")}, {file("d/.wh.a", "")}}, refused: "/d/a", because: "file does not exist"},
		"directory removed":       {layers: [][]tar.Header{{file("d/a", "1")}, {file(".wh.d", "")}}, refused: "/d/a", because: "file does not exist"},
		"directory emptied":       {layers: [][]tar.Header{{file("d/a", "1")}, {file("d/.wh..wh..opq", "")}}, refused: "/d/a", because: "file does not exist"},
		"loop":                    {layers: [][]tar.Header{{link(tar.TypeSymlink, "a", "b"), link(tar.TypeSymlink, "b", "a")}}, refused: "/a", because: "more than 40 links"},
		"directory":               {layers: [][]tar.Header{{link(tar.TypeDir, "a", "")}}, refused: "/a", because: "not a regular file"},
		"missing":                 {layers: [][]tar.Header{{file("a", "1")}}, want: map[string]string{"/a": "1"}, refused: "/nope", because: "file does not exist"},
	}
	for name, test := range tests {
		for format, compress := range formats() {
			t.Run(name+"/"+format, func(t *testing.T) {
				var layers []Open
				for _, entries := range test.layers {
					layers = append(layers, opener(pack(t, compress, entries), new(int)))
				}
				paths := slices.Collect(maps.Keys(test.want))
				if test.refused != "" {
					paths = append(paths, test.refused)
				}
				got, err := extract(t.Context(), layers, paths...)
				if test.refused == "" && err != nil {
					t.Error(err)
				}
				if test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused+" in the image: ") || !strings.Contains(err.Error(), test.because)) {
					t.Errorf("the error is %v", err)
				}
				if test.because == fs.ErrNotExist.Error() && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the error %v is not fs.ErrNotExist", err)
				}
				if len(test.want) > 0 && !maps.Equal(got, test.want) {
					t.Errorf("got %v", got)
				}
			})
		}
	}
}

func TestExtractOpensWhatItNeeds(t *testing.T) {
	low, top := 0, 0
	compress := formats()["zstd"]
	layers := []Open{opener(pack(t, compress, []tar.Header{file("a", "1")}), &low), opener(pack(t, compress, []tar.Header{file("b", "2")}), &top)}
	if _, err := extract(t.Context(), layers, "/b"); err != nil {
		t.Fatal(err)
	}
	if low != 0 || top != 1 {
		t.Errorf("the lower layer was opened %d times, the upper one %d times", low, top)
	}
}

func TestExtractStops(t *testing.T) {
	layers := []Open{opener(pack(t, formats()["gzip"], []tar.Header{file("a", "1")}), new(int))}
	full := errors.New("disk full")
	if err := Extract(t.Context(), layers, []string{"/a"}, func(string, io.Reader) error { return full }); !errors.Is(err, full) {
		t.Errorf("the receiver's error became %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(full)
	if _, err := extract(ctx, layers, "/a"); !errors.Is(err, full) {
		t.Errorf("stopped, the error is %v", err)
	}
	lost := func(context.Context) (io.ReadCloser, error) { return nil, full }
	if _, err := extract(t.Context(), []Open{lost}, "/a"); !errors.Is(err, full) {
		t.Errorf("the error of a layer became %v", err)
	}
}

// Layers are of foreign images: whatever is in them, reading ends, and nothing is handed over that was not asked for.
func FuzzExtract(f *testing.F) {
	for _, compress := range formats() {
		f.Add(pack(f, compress, []tar.Header{file("a", "1"), link(tar.TypeSymlink, "b", "a"), link(tar.TypeLink, "c", "b"), file(".wh.d", "")}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := Extract(t.Context(), []Open{opener(data, new(int)), opener(data, new(int))}, []string{"/a", "/b", "/c"}, func(path string, content io.Reader) error {
			if !slices.Contains([]string{"/a", "/b", "/c"}, path) {
				t.Errorf("%q was not asked for", path)
			}
			_, err := io.Copy(io.Discard, io.LimitReader(content, 1<<20))
			return err
		})
		_ = err // any is fine
	})
}
