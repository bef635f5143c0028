package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// knownMode: the addresses of the API servers are no secret, and nobody but root may change them.
const knownMode fs.FileMode = 0o644

// errUnsaved is the problem of a list that is newer than the file.
var errUnsaved = errors.New("not written yet")

// load takes in what the file says. p is not shared yet.
func (p *Proxy) load(ctx context.Context) {
	raw, err := p.options.Files.Read(ctx, p.options.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var known endpoint.Known
	if err == nil {
		known, err = endpoint.DecodeKnown(raw)
	}
	if err != nil {
		p.problem = fmt.Errorf("read %s: %w", p.options.Path, err)
		p.log.Warn("the API servers of the last run are not known", "error", p.problem)
		return
	}
	p.known = known
	p.arrange()
}

// save writes what is known, unless the file says so already.
func (p *Proxy) save(ctx context.Context) error {
	p.saving.Lock()
	defer p.saving.Unlock()
	p.mu.Lock()
	known, needed := p.known, p.problem != nil && len(p.known.List.Servers) > 0
	p.mu.Unlock()
	if !needed {
		return nil
	}
	raw, err := known.Encode()
	if err == nil {
		err = p.options.Files.Write(ctx, p.options.Path, bytes.NewReader(raw), knownMode)
	}
	if err != nil {
		err = fmt.Errorf("write %s: %w", p.options.Path, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.known.List.Compare(known.List) == 0 {
		p.problem = err
	}
	return err
}
