// Package archive turns the blobs of an OCI image layout into one file, and such a file into its checked entries.
// Used by bundle, which knows what the entries mean, and by whatever packs bundles.
//
// The file is a tar compressed with zstd. Its entries are, in this order: oci-layout, index.json, index.json.sig if it is signed,
// then blobs/sha256/<hex>: first the metadata, then the layers, each group in order of digest and every blob once.
// All are regular files of root with mode 0644 and time 0, so the same contents make the same file.
package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Names of the entries that are no blobs.
const (
	NameLayout    = "oci-layout"
	NameIndex     = "index.json"
	NameSignature = "index.json.sig"
)

// DirBlobs is where the blobs are, in the file as in a layout directory.
const DirBlobs = "blobs/sha256"

// Layout is the content of oci-layout.
const Layout = `{"imageLayoutVersion":"1.0.0"}` + "\n"

// Contents is all that a file consists of.
type Contents struct {
	// Index is index.json, byte for byte as it was signed.
	Index []byte
	// Signature is index.json.sig; nil for a file that is not signed.
	Signature []byte
	// Metadata are the manifests, the configs and the blobs of artifacts: what a reader needs to know what the rest is.
	Metadata []Blob
	// Layers are the layers of the images.
	Layers []Blob
}

// Blob is content that is known by its digest.
type Blob struct {
	Digest v1.Hash
	// Size is in bytes.
	Size int64
	Open func(context.Context) (io.ReadCloser, error)
}

// checkDigest keeps anything but a sha256 digest from becoming the name of a file.
func checkDigest(digest v1.Hash) error {
	raw, err := hex.DecodeString(digest.Hex)
	if digest.Algorithm != "sha256" || err != nil || len(raw) != sha256.Size || strings.ToLower(digest.Hex) != digest.Hex {
		return fmt.Errorf("digest %q is not a sha256 digest", digest)
	}
	return nil
}

func blobName(digest v1.Hash) string { return DirBlobs + "/" + digest.Hex }

// blockSize is the unit of a tar.
const blockSize = 512

// header is the one block that stands before an entry.
func header(name string, size int64) ([]byte, error) {
	var out bytes.Buffer
	err := tar.NewWriter(&out).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0),
	})
	if err != nil {
		return nil, err
	}
	if out.Len() != blockSize {
		return nil, fmt.Errorf("the header of %s does not fit into one block", name)
	}
	return out.Bytes(), nil
}

func padding(size int64) int64 { return -size & (blockSize - 1) }
