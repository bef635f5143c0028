package workload

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// DataBundle is the data key of certificate authorities that are only trusted, never signed with (contract control-plane §2).
const DataBundle = "bundle.crt"

// fileMode: the program's user is in group 0 through fsGroup, and nobody else may read.
const fileMode = 0o640

// Files is a read-only directory of a program: a ConfigMap or a Secret, whose name is the volume's too.
type Files struct {
	// Path is where the directory is mounted.
	Path      string
	ConfigMap *corev1.ConfigMap
	Secret    *corev1.Secret
}

// Config makes a directory of configuration files.
func Config(name, path string, data map[string]string) Files {
	return Files{Path: path, ConfigMap: &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem},
		Data:       data,
	}}
}

// Secret makes a directory of confidential files.
func Secret(name, path string, data map[string][]byte) Files {
	return Files{Path: path, Secret: &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem},
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}}
}

// Issued makes a directory of the given data keys of an issued secret. The name is the same on every node;
// what differs is the content, and with it the static pod's hash.
func Issued(set secret.Set, spec secret.Spec, path string, dataKeys ...string) Files {
	data := map[string][]byte{}
	for _, key := range dataKeys {
		data[key] = set.Get(spec.Name, spec.Node, key)
	}
	return Secret(spec.Name, path, data)
}

// Certificate makes a directory of tls.crt and tls.key. All programs of the control plane read theirs anew: etcd with each connection,
// the others when the files change.
func Certificate(set secret.Set, spec secret.Spec, path string) Files {
	out := Issued(set, spec, path, secret.DataCert, secret.DataKey)
	out.Secret.Annotations = map[string]string{staticpod.AnnotationReread: "true"}
	return out
}

// Bundle makes a directory with the certificate of an authority, never its key.
func Bundle(set secret.Set, authority, path string) Files {
	return Secret(authority+"-bundle", path, map[string][]byte{DataBundle: set.Get(authority, "", secret.DataCACert)})
}

func (f Files) name() string {
	if f.ConfigMap != nil {
		return f.ConfigMap.Name
	}
	return f.Secret.Name
}

func (f Files) volume() corev1.Volume {
	out := corev1.Volume{Name: f.name()}
	if f.ConfigMap != nil {
		out.ConfigMap = &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: f.name()}, DefaultMode: ptr.To[int32](fileMode),
		}
	} else {
		out.Secret = &corev1.SecretVolumeSource{SecretName: f.name(), DefaultMode: ptr.To[int32](fileMode)}
	}
	return out
}

func (f Files) mount() corev1.VolumeMount {
	return corev1.VolumeMount{Name: f.name(), MountPath: f.Path, ReadOnly: true}
}
