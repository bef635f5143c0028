package source

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/image"
)

// RegistryConfig says which registries to ask, and how.
type RegistryConfig struct {
	// Locations are where the images are, by their names in the image vector.
	Locations map[string]image.Location
	Platform  Platform
	// Cache is the directory that keeps what was downloaded, by digest.
	Cache string
	// CAs are authorities in PEM that are trusted beside the system's.
	CAs []byte
	// Plain is a host, with its port, that is spoken to without TLS. This machine always may be.
	Plain string
	// Keychain has the credentials; nil for those of docker login.
	Keychain authn.Keychain
}

// registry asks registries.
type registry struct {
	RegistryConfig
	puller *remote.Puller

	mu        sync.Mutex
	manifests map[v1.Hash][]byte // that came with an answer already
}

// Registry takes images from registries.
func Registry(config RegistryConfig) (*Source, error) {
	r := &registry{RegistryConfig: config, manifests: map[v1.Hash][]byte{}}
	roundTripper, err := newTransport(config)
	if err != nil {
		return nil, err
	}
	keychain := config.Keychain
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	r.puller, err = remote.NewPuller(remote.WithTransport(roundTripper), remote.WithAuthFromKeychain(keychain), remote.WithUserAgent("gardenadm"))
	if err != nil {
		return nil, fmt.Errorf("prepare asking registries: %w", err)
	}
	return &Source{origin: r, blobs: newCache(config.Cache), platform: config.Platform}, nil
}

// guard keeps credentials and images off connections that anybody can read.
type guard struct {
	http.RoundTripper
	plain string
}

var (
	errPlain = errors.New("plain HTTP is not allowed")
	errLed   = errors.New("it leads to plain HTTP, which is not allowed")
)

func newTransport(config RegistryConfig) (http.RoundTripper, error) {
	out := remote.DefaultTransport.(*http.Transport).Clone()
	if len(config.CAs) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("read the system's authorities: %w", err)
		}
		if !pool.AppendCertsFromPEM(config.CAs) {
			return nil, fault.New(fault.BadFlag, "read the registry's authority: there is no certificate in it").
				Mend("name a file with certificates in PEM")
		}
		out.TLSClientConfig.RootCAs = pool
	}
	return &guard{&watched{out, silence}, config.Plain}, nil
}

// RoundTrip refuses what is neither encrypted nor stays on this machine nor was asked for.
func (g *guard) RoundTrip(request *http.Request) (*http.Response, error) {
	host := request.URL.Hostname()
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
	switch {
	case request.URL.Scheme == "https" || local || request.URL.Host == g.plain:
		return g.RoundTripper.RoundTrip(request)
	case request.Response != nil:
		return nil, errLed
	}
	return nil, errPlain
}

func (r *registry) options(at image.Location) []name.Option {
	if host, _, _ := strings.Cut(at.Repository, "/"); host == r.Plain {
		return []name.Option{name.Insecure}
	}
	return nil
}

func (r *registry) find(ctx context.Context, image string) (found, error) {
	at := r.Locations[image]
	ref, err := name.ParseReference(at.String(), r.options(at)...)
	if err != nil {
		return found{}, err
	}
	answer, err := r.puller.Get(ctx, ref)
	if err != nil {
		return found{}, fmt.Errorf("ask for %s: %w", at, err)
	}
	r.mu.Lock()
	r.manifests[answer.Digest] = answer.Manifest
	r.mu.Unlock()
	return found{reference: at.Tagged(), descriptor: answer.Descriptor}, nil
}

func (r *registry) open(ctx context.Context, image string, blob v1.Descriptor) (io.ReadCloser, error) {
	r.mu.Lock()
	raw, ok := r.manifests[blob.Digest]
	r.mu.Unlock()
	if ok {
		return io.NopCloser(bytes.NewReader(raw)), nil
	}
	at := r.Locations[image]
	ref, err := name.NewDigest(at.Repository+"@"+blob.Digest.String(), r.options(at)...)
	if err != nil {
		return nil, err
	}
	if blob.MediaType.IsImage() {
		answer, err := r.puller.Get(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("ask for %s: %w", ref, err)
		}
		return io.NopCloser(bytes.NewReader(answer.Manifest)), nil
	}
	layer, err := r.puller.Layer(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", ref, err)
	}
	content, err := layer.Compressed()
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", ref, err)
	}
	return content, nil
}

func (r *registry) download(image string, blob v1.Descriptor) download {
	return func(ctx context.Context) (io.ReadCloser, error) { return r.open(ctx, image, blob) }
}

func (r *registry) advice(image string, err error) string {
	at := r.Locations[image]
	host, _, _ := strings.Cut(at.Repository, "/")
	var answer *transport.Error
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, errForeign):
		return "name another --platform, or an image for this one with --image-vector-overwrite"
	case errors.As(err, &unknown):
		return fmt.Sprintf("name the authority of %s: --registry-ca FILE", host)
	case errors.Is(err, http.ErrSchemeMismatch): // errPlain alone says little: after any failure a private address is asked without TLS, too
		return fmt.Sprintf("give %s a certificate; or write --images http://%s/… to speak to it without TLS", host, host)
	case errors.Is(err, errLed):
		return fmt.Sprintf("let %s answer itself, or lead to an address with https", host)
	case !errors.As(err, &answer):
		return fmt.Sprintf("check that this machine reaches %s (HTTPS_PROXY is heeded), then run it again: what was downloaded is kept", host)
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Sprintf("put the image %s there, or name another one with --image-vector-overwrite", at)
	case answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden:
		return fmt.Sprintf("log in (docker login %s), and check that %s exists: many registries do not tell the difference", host, at)
	}
	return fmt.Sprintf("%s has a problem: run it again later, what was downloaded is kept", host)
}
