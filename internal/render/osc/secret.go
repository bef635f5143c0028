package osc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

const (
	// DataKey is the key of the Secret under which a node agent finds the configuration.
	DataKey = "osc.yaml"
	// AnnotationChecksum on the Secret is the SHA-256 of the configuration; a Node that has applied it bears the same.
	AnnotationChecksum = "checksum/data-script"
)

// Secret renders what brings a pool's OperatingSystemConfig to its nodes (contract node-agent-and-osc §5).
func Secret(c *cluster.Cluster, pool cluster.Pool, config *extensionsv1alpha1.OperatingSystemConfig) (*corev1.Secret, error) {
	key, err := Key(c, pool)
	if err != nil {
		return nil, err
	}
	data, err := yaml.Marshal(delivered(config))
	if err != nil {
		return nil, fmt.Errorf("encode OperatingSystemConfig of pool %s: %w", pool.Name, err)
	}
	sum := sha256.Sum256(data)
	annotations := map[string]string{AnnotationChecksum: hex.EncodeToString(sum[:])}
	if pool.ControlPlane {
		annotations[constants.AnnotationNodeAgentSerialOSCReconciliation] = "true" // its nodes take turns
	}
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name: key, Namespace: metav1.NamespaceSystem, Annotations: annotations,
			Labels: map[string]string{constants.GardenRole: constants.GardenRoleOperatingSystemConfig, constants.LabelWorkerPool: pool.Name},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{DataKey: data},
	}, nil
}

// delivered is the part of the configuration that nodes need.
func delivered(config *extensionsv1alpha1.OperatingSystemConfig) *extensionsv1alpha1.OperatingSystemConfig {
	return &extensionsv1alpha1.OperatingSystemConfig{
		TypeMeta: config.TypeMeta,
		Spec: extensionsv1alpha1.OperatingSystemConfigSpec{
			Units: config.Spec.Units, Files: config.Spec.Files, CRIConfig: config.Spec.CRIConfig, InPlaceUpdates: config.Spec.InPlaceUpdates,
		},
		Status: extensionsv1alpha1.OperatingSystemConfigStatus{
			ExtensionUnits: config.Status.ExtensionUnits, ExtensionFiles: config.Status.ExtensionFiles, InPlaceUpdates: config.Status.InPlaceUpdates,
		},
	}
}
