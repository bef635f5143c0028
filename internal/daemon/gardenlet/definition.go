package gardenlet

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
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
	log *slog.Logger
	// version of the definition that there is now; "" when it is not known.
	version func() string

	mu    sync.Mutex
	of    string
	known *defined
	// missed: it was told that there is none.
	missed bool
}

func newDefinitions(api client.Reader, seen watched, log *slog.Logger) *definitions {
	return &definitions{api: api, log: log, version: func() string {
		if object := find[*metav1.PartialObjectMetadata](seen, definition.Key().String()); object != nil {
			return object.ResourceVersion
		}
		return ""
	}}
}

// get returns what the cluster is made of; nil before init has written it, or when somebody deleted it: that is told once.
func (d *definitions) get(ctx context.Context) (*defined, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	version := d.version() // before the reading: what changes in between is read twice and not never
	if d.known != nil && version != "" && version == d.of {
		return d.known, nil
	}
	read, err := definition.Load(ctx, d.api)
	if apierrors.IsNotFound(err) {
		d.miss()
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.missed = false
	c, err := read.Cluster()
	if err != nil {
		return nil, fmt.Errorf("read definition of the cluster: %w", err)
	}
	d.known, d.of = &defined{read, c}, version
	return d.known, nil
}

// miss tells that there is no definition. The caller holds the mutex.
func (d *definitions) miss() {
	if !d.missed {
		d.log.Warn("nothing is done for nodes until it is back", "error", fault.New(fault.LostDefinition, "there is no Secret %s", definition.Key()))
	}
	d.missed = true
}

// pools returns the worker pools of the cluster; none while there is no definition.
func (d *definitions) pools(ctx context.Context) ([]cluster.Pool, error) {
	known, err := d.get(ctx)
	if err != nil || known == nil {
		return nil, err
	}
	return known.Pools, nil
}
