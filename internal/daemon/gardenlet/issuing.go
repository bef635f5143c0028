package gardenlet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	"github.com/gardenadm/gardenadm/internal/render/component"
	render "github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	// issueEvery is how often certificates are looked at: their last fifth is months.
	issueEvery = time.Hour
	// labelValidUntil is when a secret's certificate ends, in seconds of Unix time (contract control-plane §2).
	labelValidUntil = "valid-until-time"
)

// issuer renews the certificates that the cluster's parts have for one another.
type issuer struct {
	world
	now func() time.Time
}

// issueCertificates looks at all certificates at the start, every hour, and when somebody asks for new ones.
func issueCertificates(w world) controller {
	return controller{
		name:      "issuing",
		triggers:  []trigger{{w.definition, always("all")}, {w.nodes, ifControlPlane}},
		reconcile: issuer{w, time.Now}.reconcile,
	}
}

// reconcile issues what is through most of its life; the publisher brings it to the nodes. What others trust, or need to read what is
// written, is never issued here: that it is gone is an error.
func (i issuer) reconcile(ctx context.Context, _ string) (time.Duration, error) {
	known, err := i.definitions.get(ctx)
	if err != nil || known == nil {
		return 0, err
	}
	controlPlane, err := controlPlaneOf(all[*corev1.Node](i.nodes), known.ControlPlane)
	if err != nil {
		return 0, err
	}
	store := &countingStore{SecretStore: kube.SecretStore{Client: i.api}}
	have, err := store.Load(ctx)
	if err == nil {
		err = present(controlPlane, have)
	}
	if err != nil {
		return 0, err
	}
	specs, err := render.Secrets(known.Cluster, controlPlane)
	if err != nil {
		return 0, err
	}
	for _, spec := range specs {
		if _, found := have[spec.Key()]; !found && spec.Irreplaceable() {
			return 0, fault.New(fault.LostSecret, "find secret %s: it is gone, and another one would not do", spec.Key())
		}
	}
	set, err := secret.Issuer{Store: store, Now: i.now, Since: known.Renew}.Ensure(ctx, specs)
	if err != nil {
		return 0, fmt.Errorf("renew certificates: %w", err)
	}
	if len(store.saved) > 0 {
		i.log.Info("certificates issued", "secrets", store.saved)
	}
	in := component.Input{Cluster: known.Cluster, Images: known.Images, Secrets: set}
	return issueEvery, errors.Join(i.mount(ctx, in), i.forget(ctx, set))
}

// mount makes workloads in the cluster mount what was issued: a renewed secret has another name.
func (i issuer) mount(ctx context.Context, in component.Input) error {
	objects, err := catalog.Objects(in)
	if err != nil {
		return fmt.Errorf("render components: %w", err)
	}
	for _, object := range objects {
		deployment, ok := object.(*appsv1.Deployment)
		if !ok || !mounts(deployment, in.Secrets) {
			continue
		}
		if err := i.api.ApplyObjects(ctx, deployment); err != nil {
			return err
		}
	}
	return nil
}

func mounts(deployment *appsv1.Deployment, set secret.Set) bool {
	names := map[string]bool{}
	for _, one := range set {
		names[one.ObjectName()] = true
	}
	for _, volume := range deployment.Spec.Template.Spec.Volumes {
		if volume.Secret != nil && names[volume.Secret.SecretName] {
			return true
		}
	}
	return false
}

// forget removes the Secrets of certificates that have ended and have been issued anew since.
func (i issuer) forget(ctx context.Context, set secret.Set) error {
	current := map[string]bool{}
	for _, one := range set {
		current[one.ObjectName()] = true
	}
	var errs []error
	for _, one := range all[*metav1.PartialObjectMetadata](i.issued) {
		until, err := strconv.ParseInt(one.Labels[labelValidUntil], 10, 64)
		if err != nil || current[one.Name] || i.now().Before(time.Unix(until, 0)) {
			continue
		}
		object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: one.Namespace, Name: one.Name}}
		if err := client.IgnoreNotFound(i.api.Delete(ctx, object)); err != nil {
			errs = append(errs, fmt.Errorf("delete secret %s: %w", one.Name, err))
		}
	}
	return errors.Join(errs...)
}

// countingStore remembers what was saved.
type countingStore struct {
	kube.SecretStore
	saved []string
}

func (s *countingStore) Save(ctx context.Context, one secret.Secret) error {
	err := s.SecretStore.Save(ctx, one)
	if err == nil {
		s.saved = append(s.saved, one.Spec.Key())
	}
	return err
}
