package cluster

import (
	"slices"

	gardencorev1 "github.com/gardener/gardener/pkg/apis/core/v1"
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	operatorv1alpha1 "github.com/gardener/gardener/pkg/apis/operator/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// installers are the set's registrations and deployments, and those that its Extensions stand for.
func installers(set manifest.Set) ([]*gardencore.ControllerRegistration, []*gardencorev1.ControllerDeployment) {
	registrations, deployments := slices.Clone(set.ControllerRegistrations), slices.Clone(set.ControllerDeployments)
	for _, extension := range set.Extensions {
		registration, deployment := split(extension)
		registrations = append(registrations, registration)
		if deployment != nil {
			deployments = append(deployments, deployment)
		}
	}
	return registrations, deployments
}

// split makes of an operator's Extension what a garden itself has (contract extension-installation §8); without a chart for the garden
// there is no deployment.
func split(extension *operatorv1alpha1.Extension) (*gardencore.ControllerRegistration, *gardencorev1.ControllerDeployment) {
	registration := &gardencore.ControllerRegistration{
		ObjectMeta: metav1.ObjectMeta{Name: extension.Name},
		Spec:       gardencore.ControllerRegistrationSpec{Resources: extension.Spec.Resources},
	}
	if level, ok := extension.Annotations[constants.AnnotationPodSecurityEnforce]; ok {
		registration.Annotations = map[string]string{constants.AnnotationPodSecurityEnforce: level}
	}
	if extension.Spec.Deployment == nil || extension.Spec.Deployment.ExtensionDeployment == nil {
		return registration, nil
	}
	from := extension.Spec.Deployment.ExtensionDeployment
	registration.Spec.Deployment = &gardencore.ControllerRegistrationDeployment{Policy: from.Policy, SeedSelector: from.SeedSelector}
	if from.Helm == nil {
		return registration, nil
	}
	registration.Spec.Deployment.DeploymentRefs = []gardencore.DeploymentRef{{Name: extension.Name}}
	return registration, &gardencorev1.ControllerDeployment{
		ObjectMeta:             metav1.ObjectMeta{Name: extension.Name},
		Helm:                   &gardencorev1.HelmControllerDeployment{OCIRepository: from.Helm.OCIRepository, Values: from.Values},
		InjectGardenKubeconfig: from.InjectGardenKubeconfig,
		Resources:              extension.Spec.Deployment.Resources,
	}
}
