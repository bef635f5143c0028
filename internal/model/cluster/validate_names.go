package cluster

import (
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// maxDomain leaves room for the longest name below the domain, api.DOMAIN, in the 253 characters of a DNS name.
const maxDomain = 253 - len("api.")

// checkNames: both names are part of the technical ID, in which "--" separates them.
func (c *Cluster) checkNames() field.ErrorList {
	path := field.NewPath("metadata", "name")
	errs := label(path, c.Shoot.Name)
	if len(errs) == 0 && strings.Contains(c.Shoot.Name, "--") {
		errs = append(errs, invalid(path, c.Shoot.Name, "must not contain two hyphens in a row"))
	}
	return errs
}

// checkIdentity: a status.uid that the manifests bring becomes the name of the cluster's BackupBucket and a part of others, and a file.
func (c *Cluster) checkIdentity() field.ErrorList {
	given := string(c.Manifests.Shoot.Status.UID)
	if given == "" {
		return nil
	}
	return label(field.NewPath("status", "uid"), given)
}

// checkProject: the namespace of the Shoot must be the project's.
func (c *Cluster) checkProject() field.ErrorList {
	errs := label(field.NewPath("metadata", "name"), c.Project.Name)
	if got := ptr.Deref(c.Project.Spec.Namespace, ""); got != c.Shoot.Namespace {
		errs = append(errs, invalid(spec("namespace"), got, "must be the Shoot's namespace, %s", c.Shoot.Namespace))
	}
	return errs
}

// checkDomain: the API server's name is below the domain, which must not be taken for that of Services.
func (c *Cluster) checkDomain() field.ErrorList {
	path := spec("dns", "domain")
	if c.Shoot.Spec.DNS == nil || ptr.Deref(c.Shoot.Spec.DNS.Domain, "") == "" {
		return field.ErrorList{field.Required(path, "the API server is reached by a name below it")}
	}
	domain := c.Domain()
	var errs field.ErrorList
	for _, wrong := range validation.IsDNS1123Subdomain(domain) {
		errs = append(errs, field.Invalid(path, domain, wrong))
	}
	for part := range strings.SplitSeq(domain, ".") {
		if len(part) > validation.DNS1123LabelMaxLength {
			errs = append(errs, invalid(path, domain, "a part has more than %d characters", validation.DNS1123LabelMaxLength))
		}
	}
	if len(domain) > maxDomain {
		errs = append(errs, invalid(path, domain, "must have at most %d characters", maxDomain))
	}
	if services := gardencore.DefaultDomain; within(domain, services) || within(services, domain) {
		errs = append(errs, invalid(path, domain, "overlaps %s, the domain of Services", services))
	}
	return errs
}

// within says that a domain is another one or below it.
func within(domain, other string) bool {
	return domain == other || strings.HasSuffix(domain, "."+other)
}

// label refuses what is not a DNS label.
func label(path *field.Path, value string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	for _, wrong := range validation.IsDNS1123Label(value) {
		errs = append(errs, field.Invalid(path, value, wrong))
	}
	return errs
}
