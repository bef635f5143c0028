// Package addon turns the few facts that an in-cluster component has into the objects that all of them need.
// Used by the components that run in the cluster.
package addon

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
)

const dirServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// AnnotationChecksum on a pod template holds the checksum of its ConfigMap: a change rolls the pods. The ConfigMap keeps its name,
// so that pods of before the change can still restart, and nothing is left over to be deleted.
const AnnotationChecksum = "checksum/configmap"

// Meta returns the metadata of an object in kube-system.
func Meta(name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem, Labels: labels}
}

// SystemLabels adds to a component's labels that Gardener looks after its pods' health.
func SystemLabels(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	out["gardener.cloud/role"] = "system-component"
	return out
}

// ServiceAccount makes a service account in kube-system.
func ServiceAccount(name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: Meta(name, nil)}
}

// ConfigMap makes a ConfigMap in kube-system.
func ConfigMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: Meta(name, nil), Data: data}
}

// Checksum returns the annotation for the pods that read a ConfigMap.
func Checksum(config *corev1.ConfigMap) map[string]string {
	hash := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(config.Data)) {
		hash.Write([]byte(key + "\x00" + config.Data[key] + "\x00"))
	}
	return map[string]string{AnnotationChecksum: hex.EncodeToString(hash.Sum(nil))}
}

// ClusterRole makes a role of the given rules.
func ClusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      rules,
	}
}

// Bind gives a role to a subject.
func Bind(name, role string, subject rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{subject},
	}
}

// Account names a service account in kube-system.
func Account(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: metav1.NamespaceSystem}
}

// User names a user.
func User(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}
}

// Group names a group of users.
func Group(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
}

// Kubeconfig renders the kubeconfig of a pod on the host network that is its service account: it goes to the server of the node,
// because the ClusterIP that pods use is what such a component makes.
func Kubeconfig(c *cluster.Cluster) string {
	return string(kubeconfig.Render(kubeconfig.Config{
		Server:        c.NodeServer(),
		TLSServerName: cluster.TLSServerName,
		CAFile:        dirServiceAccount + "/ca.crt",
		TokenFile:     dirServiceAccount + "/token",
	}))
}
