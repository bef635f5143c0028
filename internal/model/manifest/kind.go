package manifest

import (
	gardencorev1 "github.com/gardener/gardener/pkg/apis/core/v1"
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	operatorv1alpha1 "github.com/gardener/gardener/pkg/apis/operator/v1alpha1"
	securityv1alpha1 "github.com/gardener/gardener/pkg/apis/security/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
)

// object is any manifest.
type object interface {
	metav1.Object
	runtime.Object
}

// kind is one row of the table of contract shoot-api §1.
type kind struct {
	apiVersion string
	name       string
	namespaced bool
	count      count

	empty func() object
	// put lays an object into the set; nil for what is read and then ignored.
	put func(*Set, object)
	// of returns the set's objects of this kind; nil for a version that is only read.
	of func(Set) []object
	// convert turns an older version into the one that the set holds; nil for none.
	convert func(object) (object, error)
}

// count says how many objects of a kind a set has.
type count int

const (
	anyNumber count = iota
	atMostOne
	exactlyOne
)

// kinds lists all that is read, in the order in which it is written.
func kinds() []kind {
	core, security := gardencore.SchemeGroupVersion.String(), securityv1alpha1.SchemeGroupVersion.String()
	global := func(apiVersion, name string) kind { return kind{apiVersion: apiVersion, name: name} }
	local := func(apiVersion, name string) kind { return kind{apiVersion: apiVersion, name: name, namespaced: true} }
	return []kind{
		one(global(core, "CloudProfile"), exactlyOne, func(s *Set) **gardencore.CloudProfile { return &s.CloudProfile }),
		one(global(core, "Project"), exactlyOne, func(s *Set) **gardencore.Project { return &s.Project }),
		one(local(core, "Shoot"), exactlyOne, func(s *Set) **gardencore.Shoot { return &s.Shoot }),
		many(global(core, "ControllerRegistration"),
			func(s *Set) *[]*gardencore.ControllerRegistration { return &s.ControllerRegistrations }),
		many(global(gardencorev1.SchemeGroupVersion.String(), "ControllerDeployment"),
			func(s *Set) *[]*gardencorev1.ControllerDeployment { return &s.ControllerDeployments }),
		legacyDeployment(global(core, "ControllerDeployment")),
		many(global(operatorv1alpha1.SchemeGroupVersion.String(), "Extension"),
			func(s *Set) *[]*operatorv1alpha1.Extension { return &s.Extensions }),
		many(local("v1", "Secret"), func(s *Set) *[]*corev1.Secret { return &s.Secrets }),
		many(local("v1", "ConfigMap"), func(s *Set) *[]*corev1.ConfigMap { return &s.ConfigMaps }),
		//lint:ignore SA1019 the contract has it, and gardens still hold some
		one(local(core, "SecretBinding"), atMostOne, func(s *Set) **gardencore.SecretBinding { return &s.SecretBinding }),
		one(local(security, "CredentialsBinding"), atMostOne,
			func(s *Set) **securityv1alpha1.CredentialsBinding { return &s.CredentialsBinding }),
		many(local(security, "WorkloadIdentity"),
			func(s *Set) *[]*securityv1alpha1.WorkloadIdentity { return &s.WorkloadIdentities }),
		one(local(core, "ShootState"), atMostOne, func(s *Set) **gardencore.ShootState { return &s.ShootState }),
		one(global(configv1alpha1.APIVersion, configv1alpha1.KindRegistryAccess), atMostOne,
			func(s *Set) **configv1alpha1.RegistryAccess { return &s.RegistryAccess }),
		ignored[gardencore.BackupBucket](global(core, "BackupBucket")),
		ignored[gardencore.BackupEntry](local(core, "BackupEntry")),
	}
}

// pointer is a pointer to T that is an object.
type pointer[T any] interface {
	*T
	object
}

// one is a kind that the set holds at most one object of.
func one[T any, P pointer[T]](k kind, howMany count, field func(*Set) *P) kind {
	k.count = howMany
	k.empty = func() object { return P(new(T)) }
	k.put = func(s *Set, o object) { *field(s) = o.(P) }
	k.of = func(s Set) []object {
		if o := *field(&s); o != nil {
			return []object{o}
		}
		return nil
	}
	return k
}

// many is a kind that the set holds a list of.
func many[T any, P pointer[T]](k kind, field func(*Set) *[]P) kind {
	k.empty = func() object { return P(new(T)) }
	k.put = func(s *Set, o object) { *field(s) = append(*field(s), o.(P)) }
	k.of = func(s Set) []object {
		var out []object
		for _, o := range *field(&s) {
			out = append(out, o)
		}
		return out
	}
	return k
}

// ignored is a kind that must be right and has no part in the set.
func ignored[T any, P pointer[T]](k kind) kind {
	k.empty = func() object { return P(new(T)) }
	return k
}

// legacyDeployment is read as the version of today.
func legacyDeployment(k kind) kind {
	k.empty = func() object { return &gardencore.ControllerDeployment{} }
	k.convert = convertDeployment
	k.put = func(s *Set, o object) {
		s.ControllerDeployments = append(s.ControllerDeployments, o.(*gardencorev1.ControllerDeployment))
	}
	return k
}
