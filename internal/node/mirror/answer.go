package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"
)

// What a mirror can do wrong.
var (
	errMissing = errors.New("it is not there")
	errRefused = errors.New("it refuses this machine's address")
	errSilent  = errors.New("nothing comes any more")
	errSize    = errors.New("its size is not the right one")
	errDamaged = errors.New("the content does not match its digest")
)

// unknownSize is that of a blob of which only the digest is known.
const unknownSize = -1

// answer is what a mirror sends: a manifest or blob, or the rest of it.
type answer struct {
	// size is that of the whole.
	size int64

	response *http.Response
	cancel   context.CancelCauseFunc
	silence  time.Duration
	watch    *time.Timer
}

// ask asks a mirror for what is at the path, from an offset on. Of a blob the size must be as given, unless that is unknownSize.
func (c *Client) ask(ctx context.Context, mirror, path string, offset, size int64) (*answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &answer{cancel: cancel, silence: c.options.Silence}
	a.watch = time.AfterFunc(a.silence, func() { cancel(errSilent) })
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, mirror+path, nil)
	if err != nil {
		return nil, a.end(err)
	}
	want := http.StatusOK
	if offset > 0 {
		want = http.StatusPartialContent
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	// Without http.Client: nobody redirects, and nobody sets cookies.
	if a.response, err = c.transport.RoundTrip(request); err != nil {
		if context.Cause(ctx) != nil {
			err = context.Cause(ctx)
		}
		return nil, a.end(err)
	}
	a.watch.Stop()
	switch status := a.response.StatusCode; {
	case status == http.StatusNotFound:
		return nil, a.end(fs.ErrNotExist)
	case status == http.StatusForbidden:
		return nil, a.end(errRefused)
	case status != want:
		return nil, a.end(fmt.Errorf("it answers %s", a.response.Status))
	}
	if a.size, err = wholeSize(a.response, offset); err != nil {
		return nil, a.end(err)
	}
	if size != unknownSize && a.size != size {
		return nil, a.end(errSize)
	}
	return a, nil
}

// wholeSize reads the size of the whole from an answer that begins at the offset.
func wholeSize(response *http.Response, offset int64) (int64, error) {
	if offset == 0 {
		if response.ContentLength < 0 {
			return 0, errSize
		}
		return response.ContentLength, nil
	}
	var first, last, size int64
	_, err := fmt.Sscanf(response.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size)
	if err != nil || first != offset || last != size-1 {
		return 0, fmt.Errorf("it sends %q instead of the rest from %d on", response.Header.Get("Content-Range"), offset)
	}
	return size, nil
}

// Read ends in an error when nothing comes for too long. Time between two calls does not count.
func (a *answer) Read(b []byte) (int, error) {
	a.watch.Reset(a.silence)
	n, err := a.response.Body.Read(b)
	if !a.watch.Stop() && n == 0 {
		err = errSilent
	}
	return n, err
}

// end closes and passes the error on.
func (a *answer) end(err error) error {
	_ = a.Close() // there is something worse
	return err
}

func (a *answer) Close() error {
	a.watch.Stop()
	a.cancel(nil)
	if a.response == nil {
		return nil
	}
	return a.response.Body.Close()
}
