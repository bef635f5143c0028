package sequence

import (
	"context"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// checkUpdate is nil when the cluster, whose API answers, may become what the manifests say. Until its definition is in the API it is
// not whole, and goes on being made of the manifests that it was begun with.
func (i *Init) checkUpdate(ctx context.Context) error {
	defined, err := definition.Load(ctx, i.api)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) { // nor may the administrator have any rights yet
		return flow.Permanent(hoststep.SameManifests(ctx, i.Host, *i.Manifests))
	}
	if err != nil {
		return err
	}
	if !maps.Equal(defined.Images, i.Bundle.Vector()) {
		return flow.Permanent(fault.New(fault.OtherImages, "compare images: those of the bundle are not those that the cluster was made with"))
	}
	old, err := cluster.New(defined.Manifests, defined.UID)
	if err != nil {
		return flow.Permanent(err)
	}
	if err := cluster.ValidateUpdate(old.Shoot, i.Cluster.Shoot); err != nil {
		return flow.Permanent(err)
	}
	return i.tryAgain(ctx, defined)
}

// tryAgain lets this node take what it went back from, if that is what is wished for once more. Otherwise it must go on refusing it until the
// new definition is published.
func (i *Init) tryAgain(ctx context.Context, defined definition.Definition) error {
	before, err := defined.Checksum()
	if err != nil {
		return err
	}
	now, err := definition.Definition{UID: i.Cluster.UID, Manifests: i.Cluster.Manifests, Images: i.Bundle.Vector()}.Checksum()
	if err != nil || now != before {
		return err
	}
	return hoststep.TryAgain(ctx, i.Host)
}
