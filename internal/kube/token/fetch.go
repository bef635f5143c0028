package token

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"

	"github.com/gardenadm/gardenadm/internal/fault"
)

const (
	// maxInfo bounds what is read from somebody who is not trusted yet.
	maxInfo = 1 << 20
	// askTimeout bounds the question to one address.
	askTimeout = 5 * time.Second
)

// silence is an address that gave no answer at all.
type silence struct {
	address string
	cause   error
}

func (s *silence) Error() string { return fmt.Sprintf("%s: %v", s.address, s.cause) }
func (s *silence) Unwrap() error { return s.cause }

// unverified is for what is believed only as far as something else vouches for it.
func unverified() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} //nolint:gosec // see above
}

// fetch reads cluster-info as anybody may, and the API server's time.
func fetch(ctx context.Context, address string, config *tls.Config) (*corev1.ConfigMap, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}
	url := "https://" + address + "/api/v1/namespaces/" + metav1.NamespacePublic + "/configmaps/" + bootstrapapi.ConfigMapClusterInfo
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, time.Time{}, fault.New(fault.BadFlag, "address %q: %w", address, err)
	}
	// Nobody who is not trusted chooses whom else this machine talks to.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := (&http.Client{Transport: transport, CheckRedirect: stay}).Do(request)
	if err != nil {
		return nil, time.Time{}, classify(address, err)
	}
	defer response.Body.Close()
	at, _ := http.ParseTime(response.Header.Get("Date")) // without one the clocks are not compared
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxInfo))
	if err != nil {
		return nil, at, &silence{address, err}
	}
	if response.StatusCode != http.StatusOK {
		return nil, at, fault.New(fault.NotForJoining, "read cluster-info at %s: the server says %s", address, response.Status)
	}
	info := &corev1.ConfigMap{}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(info); err != nil {
		return nil, at, fault.New(fault.NotForJoining, "read cluster-info at %s: it is not a ConfigMap", address)
	}
	return info, at, nil
}

// classify tells an address that is silent from a server that is not believed.
func classify(address string, err error) error {
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		return fmt.Errorf("verify the API server at %s: %w", address, err)
	}
	return &silence{address, err}
}
