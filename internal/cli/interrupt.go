package cli

import (
	"context"
	"io"

	"github.com/gardenadm/gardenadm/internal/flow"
)

// interruptible reads until the context ends: whoever sits at a prompt has Ctrl-C. What is read after that is lost.
type interruptible struct {
	ctx  context.Context
	from io.Reader
}

func (r interruptible) Read(out []byte) (int, error) {
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		text := make([]byte, len(out))
		n, err := r.from.Read(text)
		read <- result{text[:n], err}
	}()
	select {
	case <-r.ctx.Done():
		return 0, flow.ErrCancelled
	case done := <-read:
		return copy(out, done.text), done.err
	}
}
