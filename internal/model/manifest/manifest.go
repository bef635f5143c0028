// Package manifest turns garden manifests (YAML) into a typed set, and a set into YAML.
// Used by model/cluster, which defaults and validates it, and by the command `manifests`.
package manifest

import (
	gardencorev1 "github.com/gardener/gardener/pkg/apis/core/v1"
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	operatorv1alpha1 "github.com/gardener/gardener/pkg/apis/operator/v1alpha1"
	securityv1alpha1 "github.com/gardener/gardener/pkg/apis/security/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
)

// Set is what describes one cluster (contract shoot-api §1). CloudProfile, Project and Shoot are required, the rest may be missing.
type Set struct {
	CloudProfile *gardencore.CloudProfile
	Project      *gardencore.Project
	Shoot        *gardencore.Shoot

	ControllerRegistrations []*gardencore.ControllerRegistration
	ControllerDeployments   []*gardencorev1.ControllerDeployment
	Extensions              []*operatorv1alpha1.Extension
	Secrets                 []*corev1.Secret
	ConfigMaps              []*corev1.ConfigMap
	//lint:ignore SA1019 the contract has it, and gardens still hold some
	SecretBinding      *gardencore.SecretBinding
	CredentialsBinding *securityv1alpha1.CredentialsBinding
	WorkloadIdentities []*securityv1alpha1.WorkloadIdentity
	ShootState         *gardencore.ShootState
	RegistryAccess     *configv1alpha1.RegistryAccess

	// Origins says where objects were read from, by the pointers above; what was not read has none.
	Origins map[any]Origin
}

// Secret returns the Secret of a namespace, nil when it is not in the set.
func (s Set) Secret(namespace, name string) *corev1.Secret {
	for _, one := range s.Secrets {
		if one.Namespace == namespace && one.Name == name {
			return one
		}
	}
	return nil
}

// ConfigMap returns the ConfigMap of a namespace, nil when it is not in the set.
func (s Set) ConfigMap(namespace, name string) *corev1.ConfigMap {
	for _, one := range s.ConfigMaps {
		if one.Namespace == namespace && one.Name == name {
			return one
		}
	}
	return nil
}
