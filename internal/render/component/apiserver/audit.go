package apiserver

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/apis/audit/validation"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/workload"
)

const fileAuditPolicy = "audit-policy.yaml"

// auditFiles is the Shoot's audit policy as it was written, or else ours.
func auditFiles(c *cluster.Cluster) ([]workload.Files, error) {
	const name = name + "-audit-policy"
	config := settings(c).AuditConfig
	if config == nil || config.AuditPolicy == nil || config.AuditPolicy.ConfigMapRef == nil {
		return encoded(name, dirAuditPolicy, fileAuditPolicy, auditPolicy())
	}
	const path = "auditConfig.auditPolicy.configMapRef"
	var policy auditv1.Policy
	text, err := configMap(c, path, config.AuditPolicy.ConfigMapRef.Name, cluster.KeyAuditPolicy, "Policy",
		[]string{auditv1.SchemeGroupVersion.String()}, &policy)
	if err != nil {
		return nil, err
	}
	var internal audit.Policy
	if err := auditv1.Convert_v1_Policy_To_audit_Policy(&policy, &internal, nil); err != nil {
		return nil, wrong(path, "read audit policy: %w", err)
	}
	if err := validation.ValidatePolicy(&internal).ToAggregate(); err != nil {
		return nil, wrong(path, "check audit policy: %w", err)
	}
	return []workload.Files{workload.Config(name, dirAuditPolicy, map[string]string{fileAuditPolicy: text})}, nil
}

// auditPolicy logs who changed what, never contents, and leaves out what would drown it: reads, events and the leases
// that every node and controller renews all the time.
func auditPolicy() *auditv1.Policy {
	return &auditv1.Policy{
		TypeMeta:   metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Policy"},
		OmitStages: []auditv1.Stage{auditv1.StageRequestReceived},
		Rules: []auditv1.PolicyRule{
			{Level: auditv1.LevelNone, Verbs: []string{"get", "list", "watch"}},
			{Level: auditv1.LevelNone, Resources: []auditv1.GroupResources{
				{Group: "", Resources: []string{"events"}},
				{Group: "events.k8s.io", Resources: []string{"events"}},
				{Group: "coordination.k8s.io", Resources: []string{"leases"}},
			}},
			{Level: auditv1.LevelMetadata},
		},
	}
}
