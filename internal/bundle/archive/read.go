package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// Bounds of what a file may hold: more than any cluster needs, and little enough for a machine to survive it. In bytes but for the entries.
const (
	maxIndex     = 8 << 20
	maxSignature = 4 << 10
	maxEntries   = 10_000
	maxTotal     = 16 << 30
	// maxWindow is what the zstd format asks every decoder for.
	maxWindow = 8 << 20
)

// Reader reads a file once, from its beginning to its end. It refuses whatever Write does not make, except that any zstd
// encoder may have compressed the tar. It writes nothing. Which blobs there are to be, and in which order within the two
// groups, is for its user to check.
type Reader struct {
	// Index and Signature are those of Contents.
	Index, Signature []byte

	decoder *zstd.Decoder
	buffer  []byte // for what nobody reads
	seen    map[string]bool
	budget  Budget

	name  string // of the current entry
	size  int64
	left  int64 // what is still to be read of it
	sum   hash.Hash
	ahead bool // it was found already
}

// NewReader reads up to the first blob. The reader has to be closed.
func NewReader(compressed io.Reader) (*Reader, error) {
	// Two goroutines: one decompresses while the other one hashes.
	decoder, err := zstd.NewReader(compressed, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, explained(err)
	}
	r := &Reader{decoder: decoder, buffer: make([]byte, 1<<17), seen: map[string]bool{}, sum: sha256.New()}
	if err := r.head(); err != nil {
		decoder.Close()
		return nil, err
	}
	return r, nil
}

// Close frees what the decoder holds.
func (r *Reader) Close() { r.decoder.Close() }

// head reads the entries that are no blobs and finds the first one that is.
func (r *Reader) head() error {
	marker, err := r.small(NameLayout, int64(len(Layout)))
	if err != nil {
		return err
	}
	if string(marker) != Layout {
		return fmt.Errorf("%s is not that of version 1.0.0", NameLayout)
	}
	if r.Index, err = r.small(NameIndex, maxIndex); err != nil {
		return err
	}
	if err := r.find(); err != nil {
		return noEnd(err)
	}
	if r.name != NameSignature {
		r.ahead = true
		return nil
	}
	r.Signature, err = r.content(maxSignature)
	return err
}

// small reads the next entry, which must have this name.
func (r *Reader) small(name string, limit int64) ([]byte, error) {
	if err := r.find(); err != nil {
		return nil, noEnd(err)
	}
	if r.name != name {
		return nil, fmt.Errorf("%q stands where %s belongs", r.name, name)
	}
	return r.content(limit)
}

// content reads the current entry into memory.
func (r *Reader) content(limit int64) ([]byte, error) {
	if r.size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", r.name, r.size, limit)
	}
	data := make([]byte, r.size)
	if err := r.fill(data); err != nil {
		return nil, err
	}
	r.left = 0
	return data, r.pad()
}

// Next goes on to the next blob; what was not read of the one before is verified all the same.
// After the last one, when nothing is behind it, the error is io.EOF.
func (r *Reader) Next() (v1.Hash, int64, error) {
	if err := r.next(); err != nil {
		return v1.Hash{}, 0, err
	}
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.TrimPrefix(r.name, DirBlobs+"/")}
	if blobName(digest) != r.name || checkDigest(digest) != nil {
		return v1.Hash{}, 0, fmt.Errorf("%q is not the name of a blob", r.name)
	}
	r.sum.Reset()
	if r.size == 0 {
		return digest, 0, r.verify()
	}
	return digest, r.size, nil
}

func (r *Reader) next() error {
	if r.ahead {
		r.ahead = false
		return nil
	}
	for r.left > 0 {
		if _, err := r.Read(r.buffer); err != nil {
			return err
		}
	}
	return r.find()
}

// Read reads the blob that Next found. Content that does not have the digest of its name ends in an error, never in io.EOF.
func (r *Reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.decoder.Read(p[:min(int64(len(p)), r.left)])
	r.sum.Write(p[:n])
	if r.left -= int64(n); r.left == 0 {
		err = r.verify()
	}
	if err != nil {
		// Nothing is handed over with the error: io.ReadFull would drop it.
		return 0, explained(err)
	}
	return n, nil
}

// verify is done with a blob.
func (r *Reader) verify() error {
	if hex.EncodeToString(r.sum.Sum(nil)) != strings.TrimPrefix(r.name, DirBlobs+"/") {
		return fmt.Errorf("the content of %s does not match its digest", r.name)
	}
	return r.pad()
}

// find reads the header of the next entry; the archive's end is io.EOF.
func (r *Reader) find() error {
	block := make([]byte, blockSize)
	if err := r.fill(block); err != nil {
		return err
	}
	if zero(block) {
		return r.end()
	}
	found, err := tar.NewReader(bytes.NewReader(block)).Next()
	if err != nil {
		return fmt.Errorf("the header of an entry cannot be read: %w", err)
	}
	// It must be the one that Write makes, bit for bit: so there are no links, no extensions and no sparse files.
	if want, err := header(found.Name, found.Size); err != nil || !bytes.Equal(block, want) {
		return fmt.Errorf("entry %q is not a plain file as bundles have them", found.Name)
	}
	r.name, r.size, r.left = found.Name, found.Size, found.Size
	return r.account()
}

// account counts the entry in.
func (r *Reader) account() error {
	if r.seen[r.name] {
		return fmt.Errorf("%s is there twice", r.name)
	}
	r.seen[r.name] = true
	return r.budget.Spend(r.size)
}

// Budget is how much of an archive was read. Archives of other programs have the same bounds.
type Budget struct {
	entries int
	bytes   int64
}

// Spend counts an entry with its size in bytes in. That it is too much is an error.
func (b *Budget) Spend(size int64) error {
	if b.entries++; b.entries > maxEntries {
		return fmt.Errorf("it has more than %d entries", maxEntries)
	}
	if size < 0 || size > maxTotal-b.bytes {
		return fmt.Errorf("it unpacks to more than %d GiB", maxTotal>>30)
	}
	b.bytes += size
	return nil
}

// end wants what Write puts at the end, and nothing behind it.
func (r *Reader) end() error {
	block := make([]byte, blockSize)
	if err := r.fill(block); err != nil {
		return err
	}
	if !zero(block) {
		return errors.New("an empty header stands between its entries")
	}
	if _, err := io.ReadFull(r.decoder, block[:1]); err != io.EOF {
		return errors.New("something follows its end")
	}
	return io.EOF
}

func (r *Reader) pad() error {
	block := make([]byte, padding(r.size))
	if err := r.fill(block); err != nil {
		return err
	}
	if !zero(block) {
		return fmt.Errorf("something follows the content of %s", r.name)
	}
	return nil
}

// fill reads as many bytes as p has.
func (r *Reader) fill(p []byte) error {
	_, err := io.ReadFull(r.decoder, p)
	return explained(err)
}

// explained says in a person's words what the decoder found.
func explained(err error) error {
	switch {
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it ends too early: %w", io.ErrUnexpectedEOF)
	case errors.Is(err, zstd.ErrMagicMismatch):
		return errors.New("it is not compressed with zstd")
	}
	return err
}

// noEnd is for where the archive may not end yet.
func noEnd(err error) error {
	if err == io.EOF {
		return errors.New("it ends before its first blob")
	}
	return err
}

func zero(block []byte) bool {
	for _, b := range block {
		if b != 0 {
			return false
		}
	}
	return true
}
