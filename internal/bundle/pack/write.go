package pack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
)

// write signs the index, writes the file beside its place, and renames it.
func (p *Packing) write(ctx context.Context) error {
	index, err := json.MarshalIndent(p.parts.index, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the bundle's index: %w", err)
	}
	contents := archive.Contents{Index: append(index, '\n'), Metadata: p.parts.metadata, Layers: p.parts.layers}
	if p.Signer != nil {
		if contents.Signature, err = p.Signer.Sign(contents.Index); err != nil {
			return err
		}
	}
	file, err := renameio.NewPendingFile(p.Output, renameio.WithTempDir(filepath.Dir(p.Output)), renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("create bundle: %w", err)
	}
	defer file.Cleanup() //nolint:errcheck // it does nothing after the renaming, and what failed before is told
	sum := sha256.New()
	counted := &counter{Writer: io.MultiWriter(file, sum)}
	if err := archive.Write(ctx, counted, contents); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	p.result = Result{SHA256: hex.EncodeToString(sum.Sum(nil)), Size: counted.bytes}
	return nil
}

// counter counts what is written.
type counter struct {
	io.Writer
	bytes int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.bytes += int64(n)
	return n, err
}
