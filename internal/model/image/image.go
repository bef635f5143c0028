// Package image turns the names of images that renderers use into references that a container runtime can find.
// Used by render and bundle.
package image

import "github.com/gardenadm/gardenadm/internal/fault"

// Vector maps an image's name, such as kube-apiserver, to its full reference (repository@digest or repository:tag).
type Vector map[string]string

// Names of the images that a cluster without extensions is made of.
const (
	KubeAPIServer         = "kube-apiserver"
	KubeControllerManager = "kube-controller-manager"
	KubeScheduler         = "kube-scheduler"
	KubeProxy             = "kube-proxy"
	Etcd                  = "etcd"
	CoreDNS               = "coredns"
	Flannel               = "flannel"
	MetricsServer         = "metrics-server"
	Pause                 = "pause"

	// Hyperkube, Containerd, Runc and CNIPlugins are never run as containers: the host's programs are taken from them.
	Hyperkube  = "hyperkube"
	Containerd = "containerd"
	Runc       = "runc"
	CNIPlugins = "cni-plugins"
)

// Reference returns the reference of the named image; a missing one is an error that names it.
func (v Vector) Reference(name string) (string, error) {
	if ref, ok := v[name]; ok && ref != "" {
		return ref, nil
	}
	return "", fault.New(fault.BadBundle, "find image %q: it is not in the image vector", name)
}
