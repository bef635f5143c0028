package cluster

import (
	"slices"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// checkProvider: machines that nobody manages, in a CloudProfile that describes them.
func (c *Cluster) checkProvider() field.ErrorList {
	errs := c.checkCloudProfile()
	path, provider := spec("provider", "type"), c.Shoot.Spec.Provider.Type
	switch {
	case provider == "":
		errs = append(errs, field.Required(path, manifest.ProviderNone+" is for machines that are there already"))
	case provider != manifest.ProviderNone:
		errs = append(errs, c.foreign(path, "Infrastructure", provider, manifest.ProviderNone))
	case provider != c.CloudProfile.Spec.Type:
		errs = append(errs, invalid(path, provider, "CloudProfile %s has the type %q", c.CloudProfile.Name, c.CloudProfile.Spec.Type))
	}
	// Contract shoot-api §1, derived identity.
	//lint:ignore SA1019 whoever still uses it must be told
	old := c.Shoot.Spec.SecretBindingName
	for _, binding := range []struct {
		name  string
		value *string
	}{{"credentialsBindingName", c.Shoot.Spec.CredentialsBindingName}, {"secretBindingName", old}} {
		if binding.value != nil {
			errs = append(errs, field.Forbidden(spec(binding.name), "it means managed infrastructure, where init needs a ShootState, which this version does not read"))
		}
	}
	return errs
}

func (c *Cluster) checkCloudProfile() field.ErrorList {
	var errs field.ErrorList
	ref := c.Shoot.Spec.CloudProfile
	switch path := spec("cloudProfile"); {
	case ref == nil:
		errs = append(errs, field.Required(path, ""))
	case ref.Name != c.CloudProfile.Name:
		errs = append(errs, invalid(path.Child("name"), ref.Name, "the CloudProfile is called %q", c.CloudProfile.Name))
	}
	regions := c.CloudProfile.Spec.Regions
	switch path, region := spec("region"), c.Shoot.Spec.Region; {
	case region == "":
		errs = append(errs, field.Required(path, ""))
	case len(regions) > 0 && c.region() == nil:
		errs = append(errs, invalid(path, region, "CloudProfile %s does not list it", c.CloudProfile.Name))
	}
	return errs
}

// region is what the CloudProfile says about the Shoot's region, nil for nothing.
func (c *Cluster) region() *gardencore.Region {
	regions := c.CloudProfile.Spec.Regions
	at := slices.IndexFunc(regions, func(region gardencore.Region) bool { return region.Name == c.Shoot.Spec.Region })
	if at < 0 {
		return nil
	}
	return &regions[at]
}

// foreign says that a type is for an extension to serve, which no cluster of this version runs.
func (c *Cluster) foreign(path *field.Path, kind, value, ours string) *field.Error {
	if by := c.servedBy(kind, value); by != "" {
		return unsupported(path, value, "%s serves it, but extensions are not run yet; use %s", by, ours)
	}
	return unsupported(path, value, "no ControllerRegistration or Extension serves %s of this type, and extensions are not run yet; use %s", kind, ours)
}

// servedBy names the registration or extension among the manifests that serves a kind and type.
func (c *Cluster) servedBy(kind, value string) string {
	serves := func(resource gardencore.ControllerResource) bool {
		return resource.Kind == kind && resource.Type == value
	}
	for _, registration := range c.Manifests.ControllerRegistrations {
		if slices.ContainsFunc(registration.Spec.Resources, serves) {
			return "ControllerRegistration " + registration.Name
		}
	}
	for _, extension := range c.Manifests.Extensions {
		if slices.ContainsFunc(extension.Spec.Resources, serves) {
			return "Extension " + extension.Name
		}
	}
	return ""
}

// checkMachines holds the pools' machines against the CloudProfile.
func (c *Cluster) checkMachines() field.ErrorList {
	var errs field.ErrorList
	for i, one := range c.Pools {
		machine, path := one.Worker.Machine, pool(i, "machine")
		architecture := ptr.Deref(machine.Architecture, "")
		if architecture != "" {
			errs = append(errs, oneOf(path.Child("architecture"), architecture, constants.ArchitectureAMD64, constants.ArchitectureARM64)...)
		}
		if first := c.Architecture(); architecture != "" && architecture != first {
			errs = append(errs, invalid(path.Child("architecture"), architecture, "another pool has %s, and all nodes run the same images", first))
		}
		errs = append(errs, c.checkMachineType(path, machine.Type, architecture)...)
		errs = append(errs, c.checkImage(path.Child("image"), machine.Image, architecture)...)
	}
	return errs
}

func (c *Cluster) checkMachineType(path *field.Path, name, architecture string) field.ErrorList {
	types := c.CloudProfile.Spec.MachineTypes
	at := slices.IndexFunc(types, func(kind gardencore.MachineType) bool { return kind.Name == name })
	switch {
	case name == "":
		return field.ErrorList{field.Required(path.Child("type"), "")}
	case at < 0:
		return field.ErrorList{invalid(path.Child("type"), name, "CloudProfile %s does not list it", c.CloudProfile.Name)}
	case !ptr.Deref(types[at].Usable, true):
		return field.ErrorList{invalid(path.Child("type"), name, "CloudProfile %s says that it is not usable", c.CloudProfile.Name)}
	}
	has := types[at].GetArchitecture(c.CloudProfile.Spec.MachineCapabilities)
	if architecture != "" && has != "" && has != architecture {
		return field.ErrorList{invalid(path.Child("architecture"), architecture, "machine type %s of CloudProfile %s is %s", name, c.CloudProfile.Name, has)}
	}
	return nil
}

// checkImage takes a missing version and architecture for "whatever the machine has".
func (c *Cluster) checkImage(path *field.Path, wanted *gardencore.ShootMachineImage, architecture string) field.ErrorList {
	if wanted == nil {
		return nil
	}
	images := c.CloudProfile.Spec.MachineImages
	at := slices.IndexFunc(images, func(image gardencore.MachineImage) bool { return image.Name == wanted.Name })
	if at < 0 {
		return field.ErrorList{invalid(path.Child("name"), wanted.Name, "CloudProfile %s does not list it", c.CloudProfile.Name)}
	}
	var fitting []gardencore.MachineImageVersion
	for _, version := range images[at].Versions {
		if wanted.Version == nil || version.Version == *wanted.Version {
			fitting = append(fitting, version)
		}
	}
	if len(fitting) == 0 {
		return field.ErrorList{invalid(path.Child("version"), ptr.Deref(wanted.Version, ""), "CloudProfile %s does not list it for image %s", c.CloudProfile.Name, wanted.Name)}
	}
	if architecture != "" && !slices.ContainsFunc(fitting, func(version gardencore.MachineImageVersion) bool {
		return slices.Contains(c.architectures(version), architecture)
	}) {
		return field.ErrorList{invalid(path.Child("name"), wanted.Name, "CloudProfile %s does not list it for %s", c.CloudProfile.Name, architecture)}
	}
	return nil
}

// architectures are those of an image: in its capabilities where the CloudProfile defines some, else in its own list.
func (c *Cluster) architectures(version gardencore.MachineImageVersion) []string {
	defined := c.CloudProfile.Spec.MachineCapabilities
	if len(defined) == 0 {
		return version.Architectures
	}
	flavors := version.CapabilityFlavors
	if len(flavors) == 0 {
		flavors = []gardencore.MachineImageFlavor{{}}
	}
	var out []string
	for _, flavor := range flavors {
		out = append(out, gardencore.GetCapabilitiesWithAppliedDefaults(flavor.Capabilities, defined)[constants.ArchitectureName]...)
	}
	return out
}
