package mirror

import (
	"context"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

// pull opens a blob, of which the size may be unknownSize.
func (c *Client) pull(ctx context.Context, at location, want digest.Digest, size int64) (*pull, error) {
	p := &pull{ctx: ctx, client: c, path: at.path("blobs", want.String()), want: want, sum: want.Algorithm().Hash(), size: size}
	return p, p.connect()
}

// pull is a blob that comes from one mirror after the other.
type pull struct {
	ctx    context.Context
	client *Client
	path   string
	want   digest.Digest
	sum    hash.Hash
	at     int64 // how much was read
	size   int64

	mirror string // that sends
	answer *answer
	// broken counts the answers that ended too early since the last byte came.
	broken int
}

// connect finds a mirror that sends the rest.
func (p *pull) connect() error {
	return p.client.each(p.ctx, func(mirror string) error {
		answer, err := p.client.ask(p.ctx, mirror, p.path, p.at, p.size)
		if err != nil {
			return err
		}
		p.mirror, p.answer, p.size = mirror, answer, answer.size
		return nil
	})
}

// Read goes on with the next mirror where one ended too early.
func (p *pull) Read(b []byte) (int, error) {
	for p.at < p.size {
		if p.ctx.Err() != nil || len(b) == 0 {
			return 0, context.Cause(p.ctx)
		}
		n, err := p.answer.Read(b[:min(int64(len(b)), p.size-p.at)])
		_, _ = p.sum.Write(b[:n]) // hashes do not fail
		p.at += int64(n)
		switch {
		case n > 0:
			p.broken = 0
			return n, nil // an error that lasts comes again
		case err == nil || p.ctx.Err() != nil:
			continue
		}
		if err := p.goOn(err); err != nil {
			return 0, err
		}
	}
	return 0, p.verify()
}

// goOn leaves a mirror that stopped too early. A mirror that answers and then sends nothing must not keep it going for ever.
func (p *pull) goOn(because error) error {
	_ = p.answer.Close() // it is broken
	p.client.distrust(p.mirror)
	next := because
	if p.broken++; p.broken <= len(p.client.options.Mirrors) {
		next = p.connect()
	}
	if next != nil {
		return fmt.Errorf("go on at byte %d, where %s ended (%w): %w", p.at, p.mirror, because, next)
	}
	return nil
}

func (p *pull) verify() error {
	if digest.NewDigest(p.want.Algorithm(), p.sum) != p.want {
		p.client.distrust(p.mirror)
		return fmt.Errorf("%s: %w", p.mirror, errDamaged)
	}
	return io.EOF
}

func (p *pull) Close() error {
	if p.answer == nil {
		return nil
	}
	return p.answer.Close()
}

// read reads a manifest or config into memory, and verifies its digest unless it is asked for by a tag.
func (c *Client) read(ctx context.Context, path string, want digest.Digest) (raw []byte, err error) {
	err = c.each(ctx, func(mirror string) error {
		answer, err := c.ask(ctx, mirror, path, 0, unknownSize)
		if err != nil {
			return err
		}
		defer answer.Close()
		if answer.size > maxManifest {
			return fmt.Errorf("it has %d bytes, more than %d", answer.size, maxManifest)
		}
		raw, err = io.ReadAll(answer)
		if err == nil && want != "" && want.Algorithm().FromBytes(raw) != want {
			err = errDamaged
		}
		return err
	})
	return raw, err
}
