package cluster

import (
	"cmp"
	"fmt"
	"slices"

	gardencorev1 "github.com/gardener/gardener/pkg/apis/core/v1"
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// registrationName is the ControllerRegistration of what gardenadm serves itself.
const registrationName = "gardenadm"

// extensionType is what an extension serves: a kind of extensions.gardener.cloud and a type.
type extensionType struct{ kind, name string }

func (e extensionType) String() string { return fmt.Sprintf("%s of type %s", e.kind, e.name) }

// ForGarden returns what a garden must have before it accepts the Shoot: the CloudProfile, and a ControllerRegistration for every kind
// and type that the Shoot needs (contract extension-installation §1 and §8). An Extension becomes a ControllerRegistration and a
// ControllerDeployment; what gardenadm serves itself is registered without a deployment; what the Shoot does not need is left out.
// unserved has a line for each kind and type that nothing among the manifests serves. The manifests need not be valid.
func ForGarden(set manifest.Set) (out manifest.Set, unserved []string) {
	out = manifest.Set{CloudProfile: set.CloudProfile}
	if set.Shoot == nil {
		return out, nil
	}
	registrations, deployments := installers(set)
	needed, served := neededTypes(set.Shoot), map[extensionType]bool{}
	for _, registration := range registrations {
		if !wantedBy(set.Shoot, needed, registration) {
			continue
		}
		out.ControllerRegistrations = append(out.ControllerRegistrations, registration)
		for _, resource := range registration.Spec.Resources {
			if ptr.Deref(resource.Primary, true) {
				served[extensionType{resource.Kind, resource.Type}] = true
			}
		}
	}
	var ours []gardencore.ControllerResource
	for _, one := range needed {
		switch {
		case served[one]:
		case isOurs(one):
			ours = append(ours, gardencore.ControllerResource{Kind: one.kind, Type: one.name})
		default:
			unserved = append(unserved, fmt.Sprintf("no ControllerRegistration or Extension among the manifests serves %s: a garden that has none refuses the Shoot", one))
		}
	}
	out.ControllerRegistrations = register(out.ControllerRegistrations, ours)
	out.ControllerDeployments = slices.DeleteFunc(deployments, func(deployment *gardencorev1.ControllerDeployment) bool {
		return !slices.ContainsFunc(out.ControllerRegistrations, func(registration *gardencore.ControllerRegistration) bool {
			return refersTo(registration, deployment.Name)
		})
	})
	return out, unserved
}

// isOurs says that gardenadm serves the type when no extension does. An image of any name is a machine that somebody brings.
func isOurs(one extensionType) bool {
	switch one.kind {
	case extensionsv1alpha1.ControlPlaneResource, extensionsv1alpha1.InfrastructureResource, extensionsv1alpha1.WorkerResource:
		return one.name == manifest.ProviderNone
	case extensionsv1alpha1.NetworkResource:
		return one.name == NetworkFlannel
	case extensionsv1alpha1.OperatingSystemConfigResource:
		return true
	case extensionsv1alpha1.ExtensionResource:
		return one.name == ExtensionRegistryAccess || one.name == ExtensionRegistryMirror
	}
	return false
}

// register adds our types to the registration of our name. One that is there already came from an earlier run, or is the user's.
func register(registrations []*gardencore.ControllerRegistration, ours []gardencore.ControllerResource) []*gardencore.ControllerRegistration {
	if len(ours) == 0 {
		return registrations
	}
	at := slices.IndexFunc(registrations, func(r *gardencore.ControllerRegistration) bool { return r.Name == registrationName })
	if at < 0 {
		at = len(registrations)
		registrations = append(registrations, &gardencore.ControllerRegistration{ObjectMeta: metav1.ObjectMeta{Name: registrationName}})
	}
	registrations[at] = registrations[at].DeepCopy()
	registrations[at].Spec.Resources = append(registrations[at].Spec.Resources, ours...)
	return registrations
}

func refersTo(registration *gardencore.ControllerRegistration, deployment string) bool {
	of := registration.Spec.Deployment
	return of != nil && slices.Contains(of.DeploymentRefs, gardencore.DeploymentRef{Name: deployment})
}

// wantedBy says that a garden needs the registration for the Shoot: by policy, or for a type.
func wantedBy(shoot *gardencore.Shoot, needed []extensionType, registration *gardencore.ControllerRegistration) bool {
	if of := registration.Spec.Deployment; of != nil {
		switch ptr.Deref(of.Policy, gardencore.ControllerDeploymentPolicyOnDemand) {
		case gardencore.ControllerDeploymentPolicyAlways, gardencore.ControllerDeploymentPolicyAlwaysExceptNoShoots:
			return true
		}
	}
	return slices.ContainsFunc(registration.Spec.Resources, func(resource gardencore.ControllerResource) bool {
		off := slices.ContainsFunc(shoot.Spec.Extensions, func(e gardencore.Extension) bool {
			return e.Type == resource.Type && ptr.Deref(e.Disabled, false)
		})
		auto := resource.Kind == extensionsv1alpha1.ExtensionResource && slices.Contains(resource.AutoEnable, gardencore.ClusterTypeShoot)
		return auto && !off || slices.Contains(needed, extensionType{resource.Kind, resource.Type})
	})
}

// neededTypes lists what the Shoot needs extensions for, each once and sorted (contract extension-installation §1.3). A garden wants
// Infrastructure and Worker registered for machines that nobody manages, too.
func neededTypes(shoot *gardencore.Shoot) []extensionType {
	var out []extensionType
	add := func(name string, kinds ...string) {
		for _, kind := range kinds {
			if name != "" {
				out = append(out, extensionType{kind, name})
			}
		}
	}
	spec := shoot.Spec
	add(spec.Provider.Type, extensionsv1alpha1.ControlPlaneResource, extensionsv1alpha1.InfrastructureResource, extensionsv1alpha1.WorkerResource)
	if spec.Networking != nil {
		add(ptr.Deref(spec.Networking.Type, ""), extensionsv1alpha1.NetworkResource)
	}
	if spec.DNS != nil {
		//lint:ignore SA1019 a garden still wants what they name registered
		for _, provider := range spec.DNS.Providers {
			if name := ptr.Deref(provider.Type, ""); name != dnsUnmanaged {
				add(name, extensionsv1alpha1.DNSRecordResource)
			}
		}
	}
	for _, one := range spec.Extensions {
		if !ptr.Deref(one.Disabled, false) {
			add(one.Type, extensionsv1alpha1.ExtensionResource)
		}
	}
	for _, worker := range spec.Provider.Workers {
		if worker.Machine.Image != nil {
			add(worker.Machine.Image.Name, extensionsv1alpha1.OperatingSystemConfigResource)
		}
		if worker.CRI != nil {
			for _, runtime := range worker.CRI.ContainerRuntimes {
				add(runtime.Type, extensionsv1alpha1.ContainerRuntimeResource)
			}
		}
		addControlPlane(add, worker.ControlPlane, spec.Provider.Type)
	}
	slices.SortFunc(out, func(a, b extensionType) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name)) })
	return slices.Compact(out)
}

// dnsUnmanaged is the provider type for records that nobody keeps.
const dnsUnmanaged = "unmanaged"

func addControlPlane(add func(name string, kinds ...string), of *gardencore.WorkerControlPlane, provider string) {
	if of == nil {
		return
	}
	if of.Backup != nil {
		add(of.Backup.Provider, extensionsv1alpha1.BackupBucketResource, extensionsv1alpha1.BackupEntryResource)
	}
	if of.Exposure != nil && of.Exposure.Extension != nil {
		add(ptr.Deref(of.Exposure.Extension.Type, provider), extensionsv1alpha1.SelfHostedShootExposureResource)
	}
}
