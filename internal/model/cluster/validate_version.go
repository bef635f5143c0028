package cluster

import (
	"slices"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// maxKubeletSkew is how many minor versions a kubelet may be older than the API server.
const maxKubeletSkew = 3

// checkVersions: the control plane's version is one of ours and of the CloudProfile, and the pools' versions go with it.
func (c *Cluster) checkVersions() field.ErrorList {
	path := spec("kubernetes", "version")
	control, errs := checkVersion(path, c.KubernetesVersion())
	if len(errs) == 0 {
		errs = c.checkSupported(path, c.KubernetesVersion())
	}
	for i, one := range c.Pools {
		if one.Worker.Kubernetes == nil || one.Worker.Kubernetes.Version == nil {
			continue
		}
		path, own := pool(i, "kubernetes", "version"), *one.Worker.Kubernetes.Version
		parsed, wrong := checkVersion(path, own)
		switch {
		case len(wrong) > 0 || control == nil:
			errs = append(errs, wrong...)
		case control.LessThan(parsed):
			errs = append(errs, invalid(path, own, "newer than the control plane, %s", control))
		case control.Major() != parsed.Major() || control.Minor()-parsed.Minor() > maxKubeletSkew:
			errs = append(errs, invalid(path, own, "more than %d minor versions older than the control plane, %s", maxKubeletSkew, control))
		case own != c.KubernetesVersion():
			errs = append(errs, c.checkSupported(path, own)...)
		}
	}
	return errs
}

func checkVersion(path *field.Path, text string) (*utilversion.Version, field.ErrorList) {
	if text == "" {
		return nil, field.ErrorList{field.Required(path, "for example "+manifest.KubernetesVersion)}
	}
	parsed, err := utilversion.ParseSemantic(text)
	if err != nil || parsed.String() != text {
		return nil, field.ErrorList{invalid(path, text, "not a full version such as %s", manifest.KubernetesVersion)}
	}
	return parsed, nil
}

func (c *Cluster) checkSupported(path *field.Path, version string) field.ErrorList {
	if supported := manifest.SupportedKubernetes(); !slices.Contains(supported, version) {
		return field.ErrorList{field.NotSupported(path, version, supported)}
	}
	known := c.CloudProfile.Spec.Kubernetes.Versions
	if !slices.ContainsFunc(known, func(v gardencore.ExpirableVersion) bool { return v.Version == version }) {
		return field.ErrorList{invalid(path, version, "CloudProfile %s does not list it", c.CloudProfile.Name)}
	}
	return nil
}

// oneOf refuses a value that is none of the choices.
func oneOf[T ~string](path *field.Path, value T, choices ...T) field.ErrorList {
	if slices.Contains(choices, value) {
		return nil
	}
	names := make([]string, 0, len(choices))
	for _, choice := range choices {
		names = append(names, string(choice))
	}
	return field.ErrorList{invalid(path, string(value), "must be one of %s", strings.Join(names, ", "))}
}
