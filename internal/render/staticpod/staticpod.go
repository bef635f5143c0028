// Package staticpod turns a workload with its ConfigMaps and Secrets into a static pod: manifest, files and content hash.
// Used by render/osc, which lays them on control plane nodes, and by the node agent, which makes the directories.
package staticpod

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// Workload is a control plane component as the cluster's API knows it: exactly one of Deployment and StatefulSet,
// with zero replicas, so that extensions' webhooks can change it, and what its volumes refer to.
type Workload struct {
	Deployment  *appsv1.Deployment
	StatefulSet *appsv1.StatefulSet
	ConfigMaps  []*corev1.ConfigMap
	Secrets     []*corev1.Secret
}

// Pod is a static pod, ready to be laid on a node.
type Pod struct {
	Name string
	// Hash changes exactly when the manifest changes, or the content of a file that the program does not read anew (AnnotationReread);
	// it is also the manifest's annotation gardener.cloud/config.mirror.
	Hash string
	// Manifest is the pod as YAML, for /etc/kubernetes/manifests/<Name>.yaml.
	Manifest []byte
	// Files are the contents of its ConfigMap and Secret volumes, sorted by path.
	Files []File
}

// File is one file of a static pod, root:root with the given mode.
type File struct {
	Path string
	Mode uint32
	Data []byte

	reread bool // by the program, so that other content restarts nothing
}

// Directory is a writable directory that must exist before the pod starts.
type Directory struct {
	Path     string
	UID, GID int64
	Mode     uint32
}
