package cluster

import (
	_ "embed"
	"slices"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// AuditPolicyName is the ConfigMap with the audit policy of a Shoot that names none.
const AuditPolicyName = "gardenadm-audit-policy"

//go:embed audit-policy.yaml
var auditPolicy string

// defaultAudit: Gardener's policy logs nothing.
func defaultAudit(spec *gardencore.ShootSpec) {
	audit := ensure(&ensure(&spec.Kubernetes.KubeAPIServer).AuditConfig)
	unless(&ensure(&audit.AuditPolicy).ConfigMapRef, corev1.ObjectReference{Name: AuditPolicyName})
}

// withAuditPolicy returns the manifests with the policy that the defaulted Shoot may refer to; one of that name among them stays.
func withAuditPolicy(set manifest.Set, shoot *gardencore.Shoot) manifest.Set {
	if shoot.Spec.Kubernetes.KubeAPIServer.AuditConfig.AuditPolicy.ConfigMapRef.Name != AuditPolicyName || set.ConfigMap(shoot.Namespace, AuditPolicyName) != nil {
		return set
	}
	set.ConfigMaps = append(slices.Clone(set.ConfigMaps), &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: kindConfigMap},
		ObjectMeta: metav1.ObjectMeta{Namespace: shoot.Namespace, Name: AuditPolicyName},
		Data:       map[string]string{KeyAuditPolicy: auditPolicy},
	})
	return set
}
