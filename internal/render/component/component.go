// Package component turns a cluster into what one part of it consists of; each part is one value of the type Component.
// Used by render/catalog, which lists them in order, and by everything that walks the catalog.
package component

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// Object is a Kubernetes object with its apiVersion and kind set.
type Object interface {
	metav1.Object
	runtime.Object
}

// Component is one part of a cluster. Everything in it is pure: no clock, disk, network or client.
type Component struct {
	Name string
	// Images are the names of the images that the component runs.
	Images []string
	// Wanted says whether this cluster has the component; nil means always.
	Wanted func(*cluster.Cluster) bool
	// Check refuses what the user's manifests refer to and the component could not use; nil for nothing. It needs no secrets,
	// so that it can be told before anything is changed. The error is a fault of class usage.
	Check func(*cluster.Cluster) error
	// Secrets declares what the component reads, for the cluster and for each given control plane node; nil for none.
	Secrets func(*cluster.Cluster, []cluster.Node) []secret.Spec
	// Objects are the component's objects in the cluster, in the order in which they are applied; nil for none.
	Objects func(Input) ([]Object, error)
	// Host is the component's workload on one control plane node; nil for none.
	Host func(Input, cluster.Node) (staticpod.Workload, error)
}

// Input is all that a component may read.
type Input struct {
	Cluster *cluster.Cluster
	Images  image.Vector
	// Secrets are only those that the component declared.
	Secrets secret.Set
}
