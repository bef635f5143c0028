package cluster

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// checkComponents: with what is refused here a component would end right after its start, again and again.
func (c *Cluster) checkComponents() field.ErrorList {
	errs := c.checkGates()
	if config := c.Shoot.Spec.Kubernetes.KubeAPIServer; config != nil {
		path := spec("kubernetes", "kubeAPIServer")
		errs = append(errs, c.checkNamesOfAPIServer(path, *config)...)
		errs = append(errs, checkAmounts(path, *config)...)
		errs = append(errs, checkEncrypted(path.Child("encryptionConfig", "resources"), config.EncryptionConfig)...)
		errs = append(errs, c.checkServiceAccounts(path.Child("serviceAccountConfig"), config.ServiceAccountConfig)...)
	}
	return errs
}

// checkGates: the feature gates of all components exist, and those that are locked stay as they are.
func (c *Cluster) checkGates() field.ErrorList {
	kubernetes, path := c.Shoot.Spec.Kubernetes, spec("kubernetes")
	var errs field.ErrorList
	check := func(version string, path *field.Path, gates map[string]bool) {
		names, ok := knownTo(version)
		if !ok {
			return // the version has an error of its own
		}
		for _, gate := range slices.Sorted(maps.Keys(gates)) {
			path := path.Child("featureGates").Key(gate)
			switch only, exists := names.gates[gate]; {
			case !exists:
				errs = append(errs, invalid(path, gates[gate], "Kubernetes %s has no such feature gate", names.version))
			case only != "" && only != fmt.Sprint(gates[gate]):
				errs = append(errs, invalid(path, gates[gate], "Kubernetes %s takes only %s", names.version, only))
			}
		}
	}
	if own := kubernetes.KubeAPIServer; own != nil {
		check(kubernetes.Version, path.Child("kubeAPIServer"), own.FeatureGates)
	}
	if own := kubernetes.KubeControllerManager; own != nil {
		check(kubernetes.Version, path.Child("kubeControllerManager"), own.FeatureGates)
	}
	if own := kubernetes.KubeScheduler; own != nil {
		check(kubernetes.Version, path.Child("kubeScheduler"), own.FeatureGates)
	}
	if own := kubernetes.KubeProxy; own != nil {
		check(kubernetes.Version, path.Child("kubeProxy"), own.FeatureGates)
	}
	if own := kubernetes.Kubelet; own != nil {
		check(kubernetes.Version, path.Child("kubelet"), own.FeatureGates)
	}
	for i, one := range c.Pools {
		if own := one.Worker.Kubernetes; own != nil && own.Kubelet != nil {
			check(c.KubeletVersion(one), pool(i, "kubernetes", "kubelet"), own.Kubelet.FeatureGates)
		}
	}
	return errs
}

// checkNamesOfAPIServer: admission plugins exist and are named once, and runtimeConfig is about groups that exist.
func (c *Cluster) checkNamesOfAPIServer(path *field.Path, config gardencore.KubeAPIServerConfig) field.ErrorList {
	names, ok := knownTo(c.KubernetesVersion())
	if !ok {
		return nil
	}
	var errs field.ErrorList
	for i, plugin := range config.AdmissionPlugins {
		path := path.Child("admissionPlugins").Index(i).Child("name")
		same := func(other gardencore.AdmissionPlugin) bool { return other.Name == plugin.Name }
		switch {
		case !slices.Contains(names.plugins, plugin.Name):
			errs = append(errs, invalid(path, plugin.Name, "Kubernetes %s has no such admission plugin", names.version))
		case slices.ContainsFunc(config.AdmissionPlugins[:i], same):
			errs = append(errs, field.Duplicate(path, plugin.Name))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(config.RuntimeConfig)) {
		// "v1" and "api/…" are the core group, and all groups.
		if group, _, _ := strings.Cut(key, "/"); key != "v1" && group != "api" && (group == key || !slices.Contains(names.groups, group)) {
			errs = append(errs, invalid(path.Child("runtimeConfig").Key(key), config.RuntimeConfig[key],
				"not a version of an API group of Kubernetes %s, such as batch/v1", names.version))
		}
	}
	return errs
}

func checkAmounts(path *field.Path, config gardencore.KubeAPIServerConfig) field.ErrorList {
	var errs field.ErrorList
	negative := func(value int64, path *field.Path) {
		if value < 0 {
			errs = append(errs, invalid(path, value, "must not be negative"))
		}
	}
	if ttl := config.EventTTL; ttl != nil && ttl.Duration < 0 {
		errs = append(errs, invalid(path.Child("eventTTL"), ttl.Duration.String(), "must not be negative"))
	}
	negative(ptr.Deref(config.DefaultNotReadyTolerationSeconds, 0), path.Child("defaultNotReadyTolerationSeconds"))
	negative(ptr.Deref(config.DefaultUnreachableTolerationSeconds, 0), path.Child("defaultUnreachableTolerationSeconds"))
	if requests := config.Requests; requests != nil {
		reading, writing := ptr.Deref(requests.MaxNonMutatingInflight, 400), ptr.Deref(requests.MaxMutatingInflight, 200)
		negative(int64(reading), path.Child("requests", "maxNonMutatingInflight"))
		negative(int64(writing), path.Child("requests", "maxMutatingInflight"))
		if reading == 0 && writing == 0 {
			errs = append(errs, invalid(path.Child("requests"), 0, "maxNonMutatingInflight or maxMutatingInflight must be more than 0"))
		}
	}
	if sizes := config.WatchCacheSizes; sizes != nil {
		for i, size := range sizes.Resources {
			negative(int64(size.CacheSize), path.Child("watchCacheSizes", "resources").Index(i).Child("size"))
		}
	}
	return errs
}

// checkEncrypted: no resource is named twice, be it by name or by wildcard, and Secrets are named already.
func checkEncrypted(path *field.Path, config *gardencore.EncryptionConfig) field.ErrorList {
	if config == nil {
		return nil
	}
	var errs field.ErrorList
	before := []schema.GroupResource{{Resource: "secrets"}}
	for i, text := range config.Resources {
		one := schema.ParseGroupResource(text)
		overlaps := func(other schema.GroupResource) bool {
			return one.Group == other.Group && (one.Resource == "*" || other.Resource == "*")
		}
		notStored := []string{"apiserveripinfo", "serviceipallocations", "servicenodeportallocations"}
		switch path := path.Index(i); {
		case text != strings.ToLower(text) || one.Resource == "":
			errs = append(errs, invalid(path, text, "not the name of a resource, such as configmaps or deployments.apps"))
		case text == "*" || one.Group == "*":
			errs = append(errs, invalid(path, text, "Secrets are encrypted anyway, and nothing may be named twice: name resources, or all of another group as in *.apps"))
		case one.Group == "events.k8s.io":
			errs = append(errs, invalid(path, text, "they are stored as events: name those"))
		case one.Group == "extensions", slices.Contains(notStored, text):
			errs = append(errs, invalid(path, text, "cannot be encrypted"))
		case text == "secrets" || text == "secrets.":
			errs = append(errs, invalid(path, text, "Secrets are encrypted anyway, and nothing may be named twice"))
		case slices.Contains(before, one):
			errs = append(errs, field.Duplicate(path, text))
		case slices.ContainsFunc(before, overlaps):
			errs = append(errs, invalid(path, text, "overlaps with another one; Secrets are encrypted anyway"))
		}
		before = append(before, one)
	}
	return errs
}

// checkServiceAccounts: issuers are such as a garden takes, and each is there once. The default is among them.
func (c *Cluster) checkServiceAccounts(path *field.Path, config *gardencore.ServiceAccountConfig) field.ErrorList {
	if config == nil {
		return nil
	}
	var errs field.ErrorList
	if most := config.MaxTokenExpiration; most != nil && most.Duration != 0 && (most.Duration < time.Hour || most.Duration > time.Second<<32) {
		errs = append(errs, invalid(path.Child("maxTokenExpiration"), most.Duration.String(), "must be at least 1h and at most 2^32 seconds"))
	}
	var issuers []string
	switch dns := c.Shoot.Spec.DNS; {
	case config.Issuer != nil:
		issuers = append(issuers, *config.Issuer)
		errs = append(errs, checkIssuer(path.Child("issuer"), *config.Issuer)...)
	case dns != nil && dns.Domain != nil:
		issuers = append(issuers, "https://"+c.APIDomain())
	}
	for i, issuer := range config.AcceptedIssuers {
		at := path.Child("acceptedIssuers").Index(i)
		errs = append(errs, checkIssuer(at, issuer)...)
		if slices.Contains(issuers, issuer) {
			errs = append(errs, field.Duplicate(at, issuer))
		}
		issuers = append(issuers, issuer)
	}
	return errs
}

func checkIssuer(path *field.Path, text string) field.ErrorList {
	if err := CheckIssuer(text); err != nil {
		return field.ErrorList{field.Invalid(path, text, err.Error())}
	}
	return nil
}

// CheckIssuer is nil for a URL that tokens can have as their issuer: https with a host, and without user, query and fragment.
func CheckIssuer(text string) error {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return errors.New("must be a URL https://HOST without user, query and fragment")
	}
	return nil
}
