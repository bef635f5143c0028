package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// transport is two mirrors in one: "silent" stops sending after some bytes, the other one does not.
type transport struct {
	content  []byte
	after    int
	headless bool // silent sends not even a header
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	silent := r.URL.Host == "silent"
	if silent && t.headless {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	answer := httptest.NewRecorder()
	http.ServeContent(answer, r, "", time.Time{}, bytes.NewReader(t.content))
	response := answer.Result()
	if silent {
		response.Body = silence{io.LimitReader(response.Body, int64(t.after)), r.Context()}
	}
	return response, nil
}

// silence sends something and then nothing, not even an end.
type silence struct {
	io.Reader
	ctx context.Context
}

func (s silence) Read(b []byte) (int, error) {
	if n, err := s.Reader.Read(b); n > 0 || err != io.EOF {
		return n, err
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (silence) Close() error { return nil }

func TestSilentMirror(t *testing.T) {
	content := bytes.Repeat([]byte("content "), 1000)
	sum := sha256.Sum256(content)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	for name, transport := range map[string]transport{
		"from the start": {content: content, headless: true}, "before the first byte": {content: content}, "in the middle": {content: content, after: 5000},
	} {
		for _, mirrors := range [][]string{{"https://silent", "https://good"}, {"https://silent"}} {
			t.Run(fmt.Sprintf("%s, %d mirrors", name, len(mirrors)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, err := NewClient(ClientOptions{Mirrors: mirrors})
					if err != nil {
						t.Fatal(err)
					}
					c.transport = transport
					got, err := pullAll(t.Context(), c, digest)
					if len(mirrors) > 1 && (err != nil || !bytes.Equal(got, content)) {
						t.Errorf("got %d bytes, %v", len(got), err)
					}
					// A mirror that goes on for a while each time still brings the end nearer.
					if len(mirrors) == 1 && transport.after > 0 && (err != nil || !bytes.Equal(got, content)) {
						t.Errorf("got %d bytes in pieces, %v", len(got), err)
					}
					if len(mirrors) == 1 && transport.after == 0 && !errors.Is(err, errSilent) {
						t.Errorf("the error is %v", err)
					}
				})
			})
		}
	}
}

func pullAll(ctx context.Context, c *Client, digest string) ([]byte, error) {
	blobs, err := c.Blobs("bundle.gardenadm.dev/app:v1")
	if err != nil {
		return nil, err
	}
	blob, err := blobs.Blob(ctx, digest)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(blob)
	return got, errors.Join(err, blob.Close())
}

// A reader may take its time: unpacking a layer can be slow.
func TestSlowReaderIsNotSilence(t *testing.T) {
	content := bytes.Repeat([]byte("content "), 1000)
	synctest.Test(t, func(t *testing.T) {
		c, err := NewClient(ClientOptions{Mirrors: []string{"https://good"}})
		if err != nil {
			t.Fatal(err)
		}
		c.transport = transport{content: content}
		p, err := c.pull(t.Context(), location{name: "app"}, digest.FromBytes(content), unknownSize)
		if err != nil {
			t.Fatal(err)
		}
		first := p.answer
		got := make([]byte, 100)
		for range 3 {
			time.Sleep(10 * DefaultSilence)
			if _, err := p.Read(got); err != nil {
				t.Fatal(err)
			}
		}
		if p.answer != first {
			t.Error("the mirror was asked again")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// stuck is a containerd that does not answer.
type stuck struct{ waiting atomic.Int64 }

func (s *stuck) List(ctx context.Context) ([]host.Image, error) {
	s.waiting.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// What is asked for while all transfers are taken waits, and is refused in the end, so that its reader asks another mirror. One
// address alone cannot take them all.
func TestTransfersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		images := &stuck{}
		m := New(Options{Images: images, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Transfers: 8})
		ctx, cancel := context.WithCancel(t.Context())
		ask := func(ctx context.Context, reader int) *httptest.ResponseRecorder {
			answer := httptest.NewRecorder()
			request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v2/app/manifests/v1", nil)
			request.RemoteAddr = fmt.Sprintf("192.0.2.%d:%d", reader, 1024+rand.IntN(1024))
			m.ServeHTTP(answer, request)
			return answer
		}
		refused := func(reader, busy int) {
			t.Helper()
			answer := ask(t.Context(), reader)
			if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), codeTooMany) || images.waiting.Load() != int64(busy) {
				t.Errorf("it answers %d %s, and containerd was asked %d times, want %d", answer.Code, answer.Body, images.waiting.Load(), busy)
			}
		}
		for range 3 { // the third one waits
			go ask(ctx, 1)
		}
		synctest.Wait()
		refused(1, 2)
		for reader := range 3 {
			for range 2 {
				go ask(ctx, 2+reader)
			}
		}
		synctest.Wait()
		refused(5, 8)
		cancel()
		synctest.Wait()
		if !m.turns.all.TryAcquire(8) || len(m.turns.readers) > 0 {
			t.Errorf("those who went away keep their turn: %v", m.turns.readers)
		}
	})
}
