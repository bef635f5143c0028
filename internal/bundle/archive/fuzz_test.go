package archive

import (
	"archive/tar"
	"bytes"
	"testing"
)

// FuzzReader: whatever the file is, reading it ends without a panic, and every blob that was read to its end has its digest.
func FuzzReader(f *testing.F) {
	f.Add(written(f, contents()))
	f.Add([]byte{})
	f.Add([]byte("no zstd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = readAll(bytes.NewReader(data)) // readAll compares the digests, and its error for those would say so
	})
}

// FuzzEntries: a tar that is accepted is the one that Write makes of what was read, bit for bit.
func FuzzEntries(f *testing.F) {
	for _, c := range []Contents{contents(), {Index: []byte("{}"), Layers: []Blob{blob("")}}} {
		plain, err := decompress(written(f, c))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Add(raw(plain(NameLayout, Layout), plain(NameIndex, "{}"), with(blobEntry("a"), func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "/" })))
	f.Fuzz(func(t *testing.T, data []byte) {
		read, err := readAll(bytes.NewReader(compress(data)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		w := &writer{ctx: t.Context(), Writer: &again}
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(w.bytes(NameLayout, []byte(Layout)))
		must(w.bytes(NameIndex, []byte(read.index)))
		if read.signed {
			must(w.bytes(NameSignature, []byte(read.signature)))
		}
		for _, content := range read.blobs {
			must(w.blob(blob(content)))
		}
		must(w.zeros(2 * blockSize))
		if !bytes.Equal(again.Bytes(), data) {
			t.Errorf("accepted %q as %v", data, read)
		}
	})
}
