// +kubebuilder:object:generate=true

// Package v1alpha1 turns what Gardener has no kind for into kinds of the API group config.gardenadm.dev.
// Used by people in their manifests, and by model/manifest and model/cluster, which read them.
package v1alpha1

//go:generate go run sigs.k8s.io/controller-tools/cmd/controller-gen@v0.21.0 object paths=.

// Names of the group and its kinds.
const (
	APIVersion         = "config.gardenadm.dev/v1alpha1"
	KindRegistryAccess = "RegistryAccess"
)
