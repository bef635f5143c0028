package cluster

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// validate returns everything that is wrong with the manifests.
func (c *Cluster) validate() manifest.Problems {
	set := c.Manifests
	out := c.problems("Project", set.Project, c.checkProject())
	if state := set.ShootState; state != nil {
		out = append(out, c.problems("ShootState", state, field.ErrorList{
			field.Forbidden(nil, "restoring a cluster from a ShootState is not supported yet"),
		})...)
	}
	errs := c.checkShoot()
	// A field that has a rule of its own needs no second word that nobody heeds it.
	for _, unheeded := range checkFields(c.Shoot) {
		if !slices.ContainsFunc(errs, func(err *field.Error) bool { return err.Field == unheeded.Field }) {
			errs = append(errs, unheeded)
		}
	}
	out = append(out, c.problems("Shoot", set.Shoot, errs)...)
	out = append(out, c.readAccess()...)
	for _, config := range set.ConfigMaps {
		out = append(out, c.problems(kindConfigMap, config, c.checkConfigMap(config))...)
	}
	for _, secret := range set.Secrets {
		out = append(out, c.problems(kindSecret, secret, c.checkSecret(secret))...)
	}
	return out
}

// checkShoot holds the Shoot against all rules. Those of contract shoot-api §3 are named after their number; 13 is about who may write
// a Shoot to a garden, so `connect` meets it and not we.
func (c *Cluster) checkShoot() field.ErrorList {
	return slices.Concat(
		c.checkNames(),
		c.checkIdentity(),
		c.checkSelfHosted(),  // contract rules 1-4, 12
		c.checkBackup(),      // contract rule 8
		c.checkExposure(),    // contract rule 9
		c.checkSystemPools(), // contract rule 10
		c.checkControlPlaneSize(),
		c.checkPools(),
		c.checkProvider(),
		c.checkMachines(),
		c.checkZones(),
		c.checkNetworks(),
		c.checkNodeRanges(),
		c.checkNetworkType(),
		c.checkDomain(),
		c.checkVersions(),
		c.checkKubelets(),
		c.checkComponents(),
		c.checkMaintenance(),
		c.checkReferences(),
	)
}

// problems tells what is wrong with an object of the set, whose own pointer it must be.
func (c *Cluster) problems(kind string, object metav1.Object, errs field.ErrorList) manifest.Problems {
	return problems(c.Manifests.Origins[object], kind, object, errs)
}

// problems tells what is wrong with an object so that a person finds it.
func problems(origin manifest.Origin, kind string, object metav1.Object, errs field.ErrorList) manifest.Problems {
	name := kind + " " + object.GetName()
	if namespace := object.GetNamespace(); namespace != "" {
		name = fmt.Sprintf("%s %s/%s", kind, namespace, object.GetName())
	}
	var out manifest.Problems
	for _, err := range errs {
		path := err.Field
		if path == (*field.Path)(nil).String() {
			path = "" // the whole object is meant
		}
		out = append(out, manifest.Problem{Origin: origin, Object: name, Path: path, Message: err.ErrorBody(), Code: codeOf(err)})
	}
	return out
}

// codeOf is the error's own code where a rule gave it one (as its origin). Otherwise what must not be set, and a value that is none of the
// supported ones, is beyond this version; anything else is a mistake.
func codeOf(err *field.Error) fault.Code {
	if entry, own := fault.Find(fault.Code(err.Origin)); own {
		return entry.Code
	}
	switch err.Type {
	case field.ErrorTypeForbidden, field.ErrorTypeNotSupported:
		return fault.UnsupportedField
	}
	return fault.BadManifest
}

// refuse makes one fault of all problems.
func refuse(problems manifest.Problems) error {
	code := problems[0].Code
	if slices.ContainsFunc(problems, func(p manifest.Problem) bool { return p.Code != code }) || code == "" {
		code = fault.BadManifest
	}
	return fault.New(code, "check manifests: %w", problems)
}

// unsupported says that this version cannot do what a value asks for.
func unsupported(path *field.Path, value, format string, args ...any) *field.Error {
	return &field.Error{Type: field.ErrorTypeNotSupported, Field: path.String(), BadValue: value, Detail: fmt.Sprintf(format, args...)}
}

func invalid(path *field.Path, value any, format string, args ...any) *field.Error {
	return field.Invalid(path, value, fmt.Sprintf(format, args...))
}

// spec is the path of a field below the Shoot's spec.
func spec(name string, more ...string) *field.Path {
	return field.NewPath("spec", append([]string{name}, more...)...)
}

// pool is the path of a field of the n-th worker pool.
func pool(n int, names ...string) *field.Path {
	path := spec("provider", "workers").Index(n)
	for _, name := range names {
		path = path.Child(name)
	}
	return path
}
