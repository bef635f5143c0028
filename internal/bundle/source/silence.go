package source

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// silence is how long a registry may send nothing: a slow one still sends now and then.
const silence = time.Minute

var errSilent = errors.New("nothing comes any more")

// watched gives up requests whose answer stalls, before its header or in its body: without an end to waiting, nobody would know.
type watched struct {
	http.RoundTripper
	silence time.Duration
}

// RoundTrip ends with errSilent when nothing came for too long, and so does the answer's body.
func (w *watched) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	watch := time.AfterFunc(w.silence, func() { cancel(errSilent) })
	response, err := w.RoundTripper.RoundTrip(request.WithContext(ctx))
	watch.Stop()
	if err != nil {
		err = orSilent(ctx, err)
		cancel(nil)
		return nil, err
	}
	response.Body = &watchedBody{response.Body, ctx, cancel, watch, w.silence}
	return response, nil
}

type watchedBody struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	watch   *time.Timer
	silence time.Duration
}

// Read counts the time that it waits, not that between two calls.
func (w *watchedBody) Read(b []byte) (int, error) {
	w.watch.Reset(w.silence)
	n, err := w.ReadCloser.Read(b)
	w.watch.Stop()
	if err != nil && err != io.EOF {
		err = orSilent(w.ctx, err)
	}
	return n, err
}

func (w *watchedBody) Close() error {
	w.watch.Stop()
	w.cancel(nil)
	return w.ReadCloser.Close()
}

// orSilent is errSilent where that is what ended the context.
func orSilent(ctx context.Context, err error) error {
	if context.Cause(ctx) == errSilent {
		return errSilent
	}
	return err
}
