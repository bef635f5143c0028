package gardenlet

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

// defined is what the cluster is made of.
type defined struct {
	definition.Definition
	*cluster.Cluster
}

// definitions reads what the cluster is made of, and reads it anew only when it has changed. It is safe for concurrent use.
type definitions struct {
	api client.Reader
	// version of the definition that there is now; "" when it is not known.
	version func() string

	mu    sync.Mutex
	of    string
	known *defined
}

func newDefinitions(api client.Reader, seen watched) *definitions {
	return &definitions{api: api, version: func() string {
		if object := find[*metav1.PartialObjectMetadata](seen, definition.Key().String()); object != nil {
			return object.ResourceVersion
		}
		return ""
	}}
}

// get returns what the cluster is made of; nil before init has written it.
func (d *definitions) get(ctx context.Context) (*defined, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	version := d.version() // before the reading: what changes in between is read twice and not never
	if d.known != nil && version != "" && version == d.of {
		return d.known, nil
	}
	read, err := definition.Load(ctx, d.api)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	c, err := read.Cluster()
	if err != nil {
		return nil, fmt.Errorf("read definition of the cluster: %w", err)
	}
	d.known, d.of = &defined{read, c}, version
	return d.known, nil
}

// pools returns the worker pools of the cluster; none before init has written them.
func (d *definitions) pools(ctx context.Context) ([]cluster.Pool, error) {
	known, err := d.get(ctx)
	if err != nil || known == nil {
		return nil, err
	}
	return known.Pools, nil
}
