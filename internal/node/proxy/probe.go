package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

// maxBody is enough for the API server's list of failed checks.
const maxBody = 64 << 10

// prober asks one API server how it is.
type prober interface {
	probe(ctx context.Context, limit time.Duration) outcome
	close()
}

// readyz asks /readyz over TLS. The connection is kept between probes; after a failure the next probe makes a new one.
type readyz struct {
	transport *http.Transport
}

func newReadyz(address netip.AddrPort, authorities *x509.CertPool, timing timing) *readyz {
	dialer := &net.Dialer{Timeout: timing.connect}
	return &readyz{&http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address.String())
		},
		TLSClientConfig:     &tls.Config{RootCAs: authorities, ServerName: cluster.TLSServerName, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: timing.confirm,
		DisableCompression:  true,
		MaxIdleConns:        1,
	}}
}

func (r *readyz) close() { r.transport.CloseIdleConnections() }

func (r *readyz) probe(ctx context.Context, limit time.Duration) outcome {
	within, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	status, body, err := r.get(within)
	switch {
	case ctx.Err() != nil:
		return outcome{none, nil}
	case err != nil:
		r.transport.CloseIdleConnections()
		if context.Cause(within) == errSilent {
			err = errSilent
		}
		return classify(err)
	}
	return judge(status, body)
}

func (r *readyz) get(ctx context.Context) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+cluster.TLSServerName+"/readyz", nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := r.transport.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	return response.StatusCode, body, err
}

// judge reads an answer of /readyz. Failed checks are lines such as "[-]etcd failed: reason withheld".
func judge(status int, body []byte) outcome {
	switch status {
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden:
		// A server with the cluster's certificate that keeps its health to itself is as good as we can know.
		return outcome{ready, nil}
	}
	var failing []string
	for line := range bytes.Lines(body) {
		if check, found := strings.CutPrefix(strings.TrimSpace(string(line)), "[-]"); found {
			check, _, _ = strings.Cut(check, " ")
			failing = append(failing, check)
			if check == "shutdown" {
				return outcome{draining, errors.New("the server is shutting down")}
			}
		}
	}
	if len(failing) == 0 {
		return outcome{unready, fmt.Errorf("/readyz answers %d", status)}
	}
	return outcome{unready, fmt.Errorf("/readyz answers %d, failed checks: %s", status, strings.Join(failing, ", "))}
}

// classify turns the error of an attempt to reach a server into an outcome.
func classify(err error) outcome {
	var stranger *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return outcome{none, err}
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &stranger):
		return outcome{refused, err}
	}
	return outcome{failed, err}
}
