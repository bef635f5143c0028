package mirror

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// DefaultSilence is how long a mirror may send nothing before the next one is asked.
const DefaultSilence = 20 * time.Second

// ClientOptions say whom to ask. Mirrors and Authorities are required; Disk and Dir are for Extract only.
type ClientOptions struct {
	// Mirrors are URLs as https://192.0.2.1:5000, in the order in which they are asked.
	Mirrors []string
	// Authorities are the cluster's: who has no certificate of theirs, for the URL's host, is no mirror.
	Authorities *x509.CertPool
	// Disk has room below Dir for the layers of images that files are taken out of. Nobody else writes there.
	Disk Disk
	Dir  string
	// Architecture is this machine's, as in GOARCH: no file is taken out of an image for another one. "" stands for that of this program.
	Architecture string
	// Silence is how long a mirror may send nothing; 0 stands for DefaultSilence.
	Silence time.Duration
}

// Disk is what Client needs of host.Files and host.Observer.
type Disk interface {
	// Write replaces the file atomically and durably; an error of content leaves it as it is.
	Write(ctx context.Context, path string, content io.Reader, mode fs.FileMode) error
	// Open opens a file; a missing one is fs.ErrNotExist.
	Open(ctx context.Context, path string) (io.ReadSeekCloser, error)
}

// Client takes images from mirrors. Each is asked in turn until one gives what is wanted; the last good one is asked first.
// It goes through no HTTP proxy. It is safe for concurrent use.
type Client struct {
	options   ClientOptions
	transport http.RoundTripper
	// first is the index of the mirror that is asked first.
	first atomic.Int64
	// kept has a layer come once to the disk.
	kept singleflight.Group
}

// NewClient checks the options and connects to nobody yet.
func NewClient(options ClientOptions) (*Client, error) {
	if len(options.Mirrors) == 0 {
		return nil, errors.New("prepare asking mirrors: there are none")
	}
	for _, mirror := range options.Mirrors {
		parsed, err := url.Parse(mirror)
		if err != nil || parsed.Scheme != "https" || parsed.Host == "" || *parsed != (url.URL{Scheme: "https", Host: parsed.Host}) {
			return nil, fmt.Errorf("prepare asking mirrors: %q is not a URL as https://192.0.2.1:5000", mirror)
		}
	}
	options.Architecture = cmp.Or(options.Architecture, runtime.GOARCH)
	options.Silence = cmp.Or(options.Silence, DefaultSilence)
	return &Client{options: options, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: options.Authorities, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}}, nil
}

// Digest resolves an image's reference to the digest of its manifest. A mirror is asked only when the reference does not say it;
// an image that no mirror has is fs.ErrNotExist.
func (c *Client) Digest(ctx context.Context, image string) (string, error) {
	at, err := c.locate(image)
	if err != nil || at.digest != "" {
		return at.digest, err
	}
	raw, err := c.read(ctx, at.path("manifests", at.tag), "")
	if err != nil {
		return "", fmt.Errorf("resolve image %s: %w", image, err)
	}
	return digest.FromBytes(raw).String(), nil
}

// Blobs are what an image consists of, for host.Images. A blob that no mirror has is fs.ErrNotExist. Its digest is verified at its
// end: other content ends in an error, after which another mirror is asked first. When a mirror goes silent or away in the
// middle, the next one goes on from there.
func (c *Client) Blobs(image string) (host.Blobs, error) {
	at, err := c.locate(image)
	if err != nil {
		return nil, err
	}
	return blobs{c, at}, nil
}

type blobs struct {
	client *Client
	at     location
}

// Blob takes a layer that files were taken out of from the disk.
func (b blobs) Blob(ctx context.Context, of string) (io.ReadCloser, error) {
	want, err := digest.Parse(of)
	if err != nil {
		return nil, fmt.Errorf("take blob from a mirror: %w", err)
	}
	if b.client.options.Disk != nil {
		if here, err := b.client.open(ctx, want); err == nil {
			return here, nil
		}
	}
	out, err := b.client.pull(ctx, b.at, want, unknownSize)
	if err != nil {
		return nil, fmt.Errorf("take blob %s from a mirror: %w", of, err)
	}
	return out, nil
}

// location is where the mirrors have an image.
type location struct {
	registry, name string
	// tag or digest is set.
	tag, digest string
}

// locate reads a reference as repository:tag, repository@digest or repository:tag@digest.
func (c *Client) locate(image string) (location, error) {
	named, err := reference.ParseDockerRef(image)
	if err != nil {
		return location{}, fmt.Errorf("read image name %q: %w", image, err)
	}
	at := location{registry: reference.Domain(named), name: reference.Path(named)}
	switch ref := named.(type) {
	case reference.Digested:
		at.digest = ref.Digest().String()
	case reference.Tagged:
		at.tag = ref.Tag()
	}
	return at, nil
}

// path is that of a manifest or blob of the image in the OCI distribution API.
func (l location) path(kind, last string) string {
	return "/v2/" + l.name + "/" + kind + "/" + last + "?ns=" + url.QueryEscape(l.registry)
}

// each asks one mirror after the other until one gives what is wanted. The error is a fault that says of each mirror why it did not;
// when all of them lack it, it is fs.ErrNotExist.
func (c *Client) each(ctx context.Context, ask func(mirror string) error) error {
	all := int64(len(c.options.Mirrors))
	start := c.first.Load()
	var problems error
	missing, answered := true, true
	for i := range all {
		at := (start + i) % all
		err := ask(c.options.Mirrors[at])
		if err == nil {
			c.first.Store(at)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// Who has not answered may have it, and may let this machine read.
		if errors.Is(err, fs.ErrNotExist) {
			err = errMissing
		} else {
			missing, answered = false, answered && errors.Is(err, errRefused)
		}
		err = fmt.Errorf("%s: %w", c.options.Mirrors[at], err)
		if problems != nil {
			err = fmt.Errorf("%w; %w", problems, err)
		}
		problems = err
	}
	switch {
	case missing:
		return fault.New(fault.MirrorLacks, "%w: %w", problems, fs.ErrNotExist)
	case answered:
		return fault.New(fault.MirrorRefuses, "%w", problems)
	}
	return fault.New(fault.MirrorSilent, "%w", problems)
}

// distrust makes another mirror the first to be asked.
func (c *Client) distrust(mirror string) {
	all := int64(len(c.options.Mirrors))
	for at, one := range c.options.Mirrors {
		if one == mirror {
			c.first.CompareAndSwap(int64(at), (int64(at)+1)%all)
		}
	}
}
