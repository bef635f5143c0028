package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// knownMode: the addresses of the API servers are no secret, and nobody but root may change them.
const knownMode fs.FileMode = 0o644

// errUnsaved is the problem of a list that is not in the file.
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
	p.known = known.Pruned(time.Now())
	p.arrange()
}

// review finds out whether the file still says what is known: the next process knows nothing else. It forgets addresses whose time is over.
func (p *Proxy) review(ctx context.Context) {
	p.saving.Lock()
	defer p.saving.Unlock()
	raw, err := p.options.Files.Read(ctx, p.options.Path)
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.known.Pruned(time.Now()); len(known.Retired) < len(p.known.Retired) {
		p.known = known
		p.arrange()
	}
	want, wrong := p.known.Encode()
	if wrong == nil && p.problem == nil && (err != nil || !bytes.Equal(raw, want)) {
		p.problem = errUnsaved
	}
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
