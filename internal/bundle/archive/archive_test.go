package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

func blob(content string) Blob {
	return Blob{
		Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256([]byte(content)))},
		Size:   int64(len(content)),
		Open:   func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}

func contents() Contents {
	return Contents{
		Index: []byte(`{"schemaVersion":2}`), Signature: []byte("c2lnbmVk"),
		Metadata: []Blob{blob("manifest"), blob("config"), blob("")},
		Layers:   []Blob{blob(strings.Repeat("layer", 300)), blob("layer 2"), blob(strings.Repeat("z", blockSize))},
	}
}

func written(t testing.TB, c Contents) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(t.Context(), &out, c); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// got is what a reader found: the entries that are no blobs, and the content of the blobs in order.
type got struct {
	index, signature string
	signed           bool
	blobs            []string
}

func readAll(compressed io.Reader) (got, error) {
	r, err := NewReader(compressed)
	if err != nil {
		return got{}, err
	}
	defer r.Close()
	out := got{index: string(r.Index), signature: string(r.Signature), signed: r.Signature != nil}
	for {
		digest, size, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return out, err
		}
		if int64(len(content)) != size || blob(string(content)).Digest != digest {
			return out, fmt.Errorf("blob %s has content %q", digest, content)
		}
		out.blobs = append(out.blobs, string(content))
	}
}

func TestRoundTrip(t *testing.T) {
	c := contents()
	read, err := readAll(bytes.NewReader(written(t, c)))
	if err != nil {
		t.Fatal(err)
	}
	if read.index != string(c.Index) || read.signature != string(c.Signature) {
		t.Errorf("index %q, signature %q", read.index, read.signature)
	}
	var groups [2][]string
	for i, content := range read.blobs {
		groups[i/len(c.Metadata)] = append(groups[i/len(c.Metadata)], blob(content).Digest.Hex)
	}
	for i, want := range [][]Blob{c.Metadata, c.Layers} {
		if len(groups[i]) != len(want) || !slices.IsSorted(groups[i]) {
			t.Errorf("group %d is %v", i, groups[i])
		}
		for _, b := range want {
			if !slices.Contains(groups[i], b.Digest.Hex) {
				t.Errorf("group %d lacks %s", i, b.Digest)
			}
		}
	}
}

func TestSameContentsMakeTheSameFile(t *testing.T) {
	first, c := written(t, contents()), contents()
	slices.Reverse(c.Metadata)
	slices.Reverse(c.Layers)
	c.Layers = append(c.Layers, c.Layers[0], c.Metadata[0])
	if !bytes.Equal(written(t, c), first) {
		t.Error("order or repetition of what is given changes the file")
	}
}

func TestUnsigned(t *testing.T) {
	c := contents()
	c.Signature = nil
	read, err := readAll(bytes.NewReader(written(t, c)))
	if err != nil || read.signed || len(read.blobs) != 6 {
		t.Errorf("read %v, %v", read, err)
	}
}

// What nobody reads is verified, too.
func TestNextVerifies(t *testing.T) {
	r, err := NewReader(bytes.NewReader(compress(raw(plain(NameLayout, Layout), plain(NameIndex, "{}"), plain(blobName(blob("a").Digest), "b"), blobEntry("c")))))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "does not match its digest") {
		t.Errorf("the error is %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	longer, shorter, other, foreign, closed := blob("a"), blob("abc"), blob("b"), blob("a"), blob("a")
	longer.Size, shorter.Size = 2, 2
	other.Open = blob("c").Open
	foreign.Digest.Hex = "../../etc/passwd"
	closed.Open = func(context.Context) (io.ReadCloser, error) { return nil, errors.New("boom") }
	for name, c := range map[string]struct {
		blob Blob
		want string
	}{
		"content too short": {longer, "2 bytes"},
		"content too long":  {shorter, "2 bytes"},
		"other content":     {other, "its content has digest"},
		"path for a digest": {foreign, "not a sha256 digest"},
		"cannot be opened":  {closed, "boom"},
	} {
		err := Write(t.Context(), io.Discard, Contents{Layers: []Blob{c.blob}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, io.Discard, contents()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: the error is %v", err)
	}
}

// raw makes a tar, whatever its entries are. The content of one is in its Linkname unless it is a link.
func raw(entries ...tar.Header) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range entries {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname, h.Size = h.Linkname, "", int64(len(h.Linkname))
		}
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func plain(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o644, Format: tar.FormatUSTAR}
}

func blobEntry(content string) tar.Header { return plain(blobName(blob(content).Digest), content) }

func with(h tar.Header, change func(*tar.Header)) tar.Header {
	change(&h)
	return h
}

func compress(plain []byte) []byte {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		panic(err)
	}
	return encoder.EncodeAll(plain, nil)
}

func decompress(compressed []byte) ([]byte, error) {
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	return decoder.DecodeAll(compressed, nil)
}

func TestReaderRefuses(t *testing.T) {
	marker, index, last := plain(NameLayout, Layout), plain(NameIndex, "{}"), blobEntry("last")
	good := func(more ...tar.Header) []byte {
		return raw(slices.Concat([]tar.Header{marker, index}, more, []tar.Header{last})...)
	}
	if _, err := readAll(bytes.NewReader(compress(good()))); err != nil {
		t.Fatalf("what is good is refused: %v", err)
	}
	huge := func(size int64) []byte {
		head, err := header(blobName(blob("huge").Digest), size)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Concat(raw(marker, index)[:4*blockSize], head, make([]byte, blockSize))
	}
	many := make([]tar.Header, maxEntries)
	for i := range many {
		many[i] = blobEntry(fmt.Sprint(i))
	}
	whole := good()
	dirty := slices.Clone(whole)
	dirty[blockSize+len(Layout)] = 'x' // behind the content of oci-layout
	for name, c := range map[string]struct {
		tar  []byte
		want string
	}{
		"empty":                  {nil, "ends too early"},
		"only the end":           {make([]byte, 1024), "before its first blob"},
		"no blobs":               {raw(marker, index), "before its first blob"},
		"no layout":              {raw(index, last), `"index.json" stands where oci-layout belongs`},
		"other layout":           {raw(plain(NameLayout, strings.Replace(Layout, "1.0.0", "2.0.0", 1)), index, last), "not that of version 1.0.0"},
		"large layout":           {raw(plain(NameLayout, Layout+" "), index, last), "oci-layout has 32 bytes"},
		"no index":               {raw(marker, last), "stands where index.json belongs"},
		"signature twice":        {good(plain(NameSignature, "a"), plain(NameSignature, "b")), "index.json.sig is there twice"},
		"signature behind blobs": {good(blobEntry("a"), plain(NameSignature, "a")), "not the name of a blob"},
		"large signature":        {good(plain(NameSignature, strings.Repeat("a", 5000))), "more than 4096"},
		"unknown file":           {good(plain("README", "a")), `"README" is not the name of a blob`},
		"index twice":            {good(index), "index.json is there twice"},
		"blob twice":             {good(blobEntry("a"), blobEntry("a")), "is there twice"},
		"other content":          {good(plain(blobName(blob("a").Digest), "b")), "does not match its digest"},
		"no content":             {good(plain(blobName(blob("a").Digest), "")), "does not match its digest"},
		"other algorithm":        {good(plain("blobs/sha512/"+blob("a").Digest.Hex, "a")), "not the name of a blob"},
		"short digest":           {good(plain("blobs/sha256/00", "a")), "not the name of a blob"},
		"upper case":             {good(plain("blobs/sha256/"+strings.ToUpper(blob("a").Digest.Hex), "a")), "not the name of a blob"},
		"path upwards":           {good(plain("blobs/sha256/../../../etc/passwd", "a")), "not the name of a blob"},
		"absolute path":          {good(plain("/etc/passwd", "a")), "not the name of a blob"},
		"path with a dot":        {good(plain("./"+blobName(blob("a").Digest), "a")), "not the name of a blob"},
		"symbolic link":          {good(with(blobEntry("a"), func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/passwd" })), "not a plain file"},
		"hard link":              {good(with(blobEntry("a"), func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeLink, "index.json" })), "not a plain file"},
		"directory":              {good(tar.Header{Typeflag: tar.TypeDir, Name: "blobs/", Mode: 0o755, Format: tar.FormatUSTAR}), "not a plain file"},
		"device":                 {good(tar.Header{Typeflag: tar.TypeChar, Name: "null", Format: tar.FormatUSTAR}), "not a plain file"},
		"other mode":             {good(with(blobEntry("a"), func(h *tar.Header) { h.Mode = 0o4755 })), "not a plain file"},
		"other owner":            {good(with(blobEntry("a"), func(h *tar.Header) { h.Uid = 1 })), "not a plain file"},
		"extended header":        {good(with(blobEntry("a"), func(h *tar.Header) { h.Format, h.PAXRecords = tar.FormatPAX, map[string]string{"a.b": "c"} })), "the header of an entry"},
		"GNU header":             {good(with(blobEntry("a"), func(h *tar.Header) { h.Format = tar.FormatGNU })), "not a plain file"},
		"8 GiB of nothing":       {huge(1<<33 - 1), "ends too early"},
		"8 GiB of index":         {slices.Concat(raw(marker)[:2*blockSize], mustHeader(NameIndex, 1<<33-1)), "index.json has 8589934591 bytes"},
		"too many entries":       {good(many...), "more than 10000 entries"},
		"padding":                {dirty, "something follows the content of oci-layout"},
		"half of an end":         {whole[:len(whole)-blockSize], "ends too early"},
		"no end":                 {whole[:len(whole)-2*blockSize], "ends too early"},
		"one byte more":          {append(slices.Clone(whole), 0), "something follows its end"},
		"an archive more":        {slices.Concat(whole, whole), "something follows its end"},
		"end in the middle":      {slices.Concat(raw(marker, index)[:4*blockSize], make([]byte, blockSize), raw(last)), "an empty header"},
		"damaged header":         {slices.Concat(raw(marker, index)[:4*blockSize], bytes.Repeat([]byte("x"), blockSize)), "the header of an entry"},
	} {
		_, err := readAll(bytes.NewReader(compress(c.tar)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
		}
	}
}

func mustHeader(name string, size int64) []byte {
	head, err := header(name, size)
	if err != nil {
		panic(err)
	}
	return head
}

// Two entries that a tar can tell the size of are more than all entries together may have.
func TestReaderRefusesTooMuch(t *testing.T) {
	r := Reader{seen: map[string]bool{}}
	for i, want := range []bool{true, true, false} {
		r.name, r.size = fmt.Sprint(i), 1<<33-1
		if err := r.account(); (err == nil) != want {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

func TestNotCompressed(t *testing.T) {
	for name, data := range map[string]string{"text": "this is no bundle at all", "gzip": "\x1f\x8b\x08\x00\x00\x00\x00\x00", "a tar": string(raw(plain(NameLayout, Layout)))} {
		if _, err := readAll(strings.NewReader(data)); err == nil || !strings.Contains(err.Error(), "not compressed with zstd") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	for _, garbage := range []string{"x", "garbage behind the end"} {
		if _, err := readAll(strings.NewReader(string(written(t, contents())) + garbage)); err == nil {
			t.Errorf("accepted with %q behind the end", garbage)
		}
	}
}

func TestTruncatedAnywhere(t *testing.T) {
	whole := written(t, contents())
	for n := range whole {
		if _, err := readAll(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("accepted with %d of %d bytes", n, len(whole))
		}
	}
}

// Whatever byte is damaged, the file is refused, or the damage is in a bit that no decoder looks at.
func TestDamagedAnywhere(t *testing.T) {
	whole := written(t, contents())
	want, err := decompress(whole)
	if err != nil {
		t.Fatal(err)
	}
	bits, harmless := []byte{0x01, 0x10, 0x80, 0xff}, 0
	for n := range whole {
		for _, bit := range bits {
			damaged := slices.Clone(whole)
			damaged[n] ^= bit
			if _, err := readAll(bytes.NewReader(damaged)); err != nil {
				continue
			}
			if content, err := decompress(damaged); err != nil || !bytes.Equal(content, want) {
				t.Errorf("accepted with byte %d of %d damaged by %#x (%v)", n, len(whole), bit, err)
			}
			harmless++
		}
	}
	if tries := len(whole) * len(bits); harmless > tries/50 {
		t.Errorf("%d of %d damages changed nothing: the test damages the wrong bytes", harmless, tries)
	}
}
