package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

const (
	imagesEvery = time.Minute
	// pullTimeout bounds one pull, and one release of what is not wanted any more: a mirror that trickles must not keep the node from
	// asking another one.
	pullTimeout = 10 * time.Minute
)

// images keeps the node's images imported and pinned: what is removed by hand comes back from the mirrors.
type images struct {
	*daemon
	// made says that the node has a configuration from the cluster: until then, init or join brings its images.
	made func() bool
	// whole is the list, as in layout.FileImages, that was whole at the last look.
	whole string
	tries retry
}

func newImages(d *daemon, made func() bool) *images {
	return &images{daemon: d, made: made, tries: retry{first: 5 * time.Second, last: 5 * imagesEvery}}
}

func (i *images) run(ctx context.Context) error {
	every(ctx, func(ctx context.Context) time.Duration {
		if !i.made() {
			return soon
		}
		if err := i.look(ctx); err != nil && ctx.Err() == nil {
			return i.tries.failed(i.Log, "the node lacks images", err)
		}
		i.tries.succeeded()
		return jitter(imagesEvery)
	})
	return nil
}

func (i *images) look(ctx context.Context) error {
	raw, err := i.Host.Files.Read(ctx, layout.FileImages)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := image.DecodeWanted(raw)
	if err != nil {
		return err
	}
	missing, err := i.missing(ctx, list)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		err := within(ctx, pullTimeout, func(ctx context.Context) error { return i.Supply.Pull(ctx, missing) })
		if err != nil {
			return err
		}
		if i.whole == string(raw) {
			i.events.warn("ImageRestored", "removed or changed by somebody else and brought back: "+names(missing))
		}
	}
	if i.whole == string(raw) {
		return nil
	}
	err = within(ctx, pullTimeout, func(ctx context.Context) error { return mirror.Release(ctx, i.Host.Images, list) })
	if err == nil {
		i.whole = string(raw)
	}
	return err
}

func (i *images) missing(ctx context.Context, list []image.Wanted) ([]image.Wanted, error) {
	ctx, cancel := context.WithTimeout(ctx, runtimeTimeout)
	defer cancel()
	return mirror.Missing(ctx, i.Host.Images, list)
}

func names(images []image.Wanted) string {
	out := make([]string, 0, len(images))
	for _, one := range images {
		out = append(out, one.Image)
	}
	return list(out)
}

// mirrors are those of the cluster, as the node knows them at the time of each question.
type mirrors struct{ *daemon }

func (m mirrors) client(ctx context.Context) (*mirror.Client, error) {
	known, err := m.knownServers(ctx)
	if err != nil {
		return nil, err
	}
	return mirror.OfNode(m.Host, known, m.identity.authority)
}

// knownServers reads what the node knows of the API servers.
func (d *daemon) knownServers(ctx context.Context) (endpoint.Known, error) {
	raw, err := d.Host.Files.Read(ctx, layout.FileEndpoints)
	if err != nil {
		return endpoint.Known{}, fmt.Errorf("find control plane nodes: %w", err)
	}
	return endpoint.DecodeKnown(raw)
}

func (m mirrors) Digest(ctx context.Context, image string) (string, error) {
	client, err := m.client(ctx)
	if err != nil {
		return "", err
	}
	return client.Digest(ctx, image)
}

func (m mirrors) Extract(ctx context.Context, image string, paths []string, to func(string, io.Reader) error) error {
	client, err := m.client(ctx)
	if err != nil {
		return err
	}
	return client.Extract(ctx, image, paths, to)
}

func (m mirrors) Pull(ctx context.Context, list []image.Wanted) error {
	client, err := m.client(ctx)
	if err != nil {
		return err
	}
	return client.Pull(ctx, m.Host.Images, list)
}
