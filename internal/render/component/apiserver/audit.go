package apiserver

import (
	"k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/apis/audit/validation"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/workload"
)

const fileAuditPolicy = "audit-policy.yaml"

// auditFiles is the audit policy as it was written; the default is among the manifests, too.
func auditFiles(c *cluster.Cluster) ([]workload.Files, error) {
	const name = name + "-audit-policy"
	const path = "auditConfig.auditPolicy.configMapRef"
	var policy auditv1.Policy
	text, err := configMap(c, path, settings(c).AuditConfig.AuditPolicy.ConfigMapRef.Name, cluster.KeyAuditPolicy, "Policy",
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
