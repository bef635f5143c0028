package mirror_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
)

func TestServe(t *testing.T) {
	n := newNode()
	n.has(t, tagged, imageOf(t, "amd64"), true)
	// Its certificate is good for 127.0.0.1.
	certified := serve(t, http.NotFoundHandler())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- n.mirror().Serve(ctx, listener, &tls.Config{Certificates: certified.TLS.Certificates})
	}()

	url := "https://" + listener.Addr().String() + "/v2/hyperkube/manifests/v1"
	response, err := certified.Client().Get(url)
	check(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	check(t, errors.Join(err, response.Body.Close()))
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 1 {
		t.Errorf("it answers %s by %s", response.Status, response.Proto)
	}
	stop()
	check(t, <-served)
	if response, err := certified.Client().Get(url); err == nil {
		t.Errorf("after its end it answers %s", response.Status)
		check(t, response.Body.Close())
	}

	broken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, broken.Close())
	if err := n.mirror().Serve(t.Context(), broken, &tls.Config{Certificates: certified.TLS.Certificates}); err == nil {
		t.Error("a closed listener gives no error")
	}
}
