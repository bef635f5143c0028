package cluster

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// ours is why a pool cannot have what gardenadm gives Nodes.
const ours = "gardenadm sets it itself"

// OwnerOfLabel says why a pool cannot have that label: who gives it to Nodes, or which field says it. It is "" for all others.
func OwnerOfLabel(key string) string {
	switch key {
	case corev1.LabelHostname, corev1.LabelOSStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch":
		return "every kubelet gives its Node its own"
	case corev1.LabelArchStable:
		return "machine.architecture says it"
	case corev1.LabelTopologyZone:
		return "zones and --zone say it"
	case corev1.LabelTopologyRegion:
		return "spec.region says it"
	case "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/worker", "node.kubernetes.io/role":
		return "the field controlPlane of pools says it"
	case constants.LabelNodeLocalDNS, constants.LabelWorkerPoolDeprecated:
		return ours
	}
	if inDomain(key, "worker.gardener.cloud") || inDomain(key, "node.gardenadm.dev") {
		return ours
	}
	return ""
}

// ownerOfAnnotation is OwnerOfLabel for annotations.
func ownerOfAnnotation(key string) string {
	switch key {
	case "checksum/cloud-config-data", constants.AnnotationNodeAgentReconciliationDelay:
		return ours
	case "volumes.kubernetes.io/controller-managed-attach-detach", "csi.volume.kubernetes.io/nodeid", "alpha.kubernetes.io/provided-node-ip":
		return "kubelet sets it itself"
	case "node.alpha.kubernetes.io/ttl":
		return "kube-controller-manager sets it itself"
	}
	switch {
	case inDomain(key, "worker.gardener.cloud"), inDomain(key, "node.gardenadm.dev"):
		return ours
	case inDomain(key, "flannel.alpha.coreos.com"):
		return "flannel sets it itself"
	}
	return ""
}

// ownerOfTaint is OwnerOfLabel for taints.
func ownerOfTaint(key string) string {
	switch {
	case key == constants.TaintNodeCriticalComponentsNotReady:
		return "gardenadm sets it on every Node, and takes it away when its pods are ready"
	case inDomain(key, "node.kubernetes.io"), key == "node.cloudprovider.kubernetes.io/uninitialized":
		return "kube-controller-manager sets and takes away taints of this domain"
	}
	return ""
}

// inDomain says that a key is of a domain or of one below it.
func inDomain(key, domain string) bool {
	of, _, found := strings.Cut(key, "/")
	return found && (of == domain || strings.HasSuffix(of, "."+domain))
}

// checkOwned refuses keys that somebody else writes: two writers would take turns, or one would be ignored silently.
func checkOwned(path *field.Path, set map[string]string, owner func(key string) string) field.ErrorList {
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if by := owner(key); by != "" {
			errs = append(errs, field.Forbidden(path.Key(key), by))
		}
	}
	return errs
}

func checkTaints(path *field.Path, taints []corev1.Taint) field.ErrorList {
	var errs field.ErrorList
	for i, taint := range taints {
		at := path.Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(taint.Key, at.Child("key"))...)
		if by := ownerOfTaint(taint.Key); by != "" {
			errs = append(errs, field.Forbidden(at.Child("key"), taint.Key+": "+by))
		}
		for _, wrong := range validation.IsValidLabelValue(taint.Value) {
			errs = append(errs, field.Invalid(at.Child("value"), taint.Value, wrong))
		}
		errs = append(errs, oneOf(at.Child("effect"), taint.Effect,
			corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)...)
		if slices.ContainsFunc(taints[:i], func(other corev1.Taint) bool { return other.MatchTaint(&taint) }) {
			errs = append(errs, field.Duplicate(at, taint.Key+":"+string(taint.Effect)))
		}
	}
	return errs
}

const (
	maxSysctl = 253
	// sysctlName is the form of a key, with dots or slashes between its parts.
	sysctlName = `^[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?([./][a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?)+$`
)

// SysctlKey is the one spelling of a kernel setting's key, with dots between its parts: sysctl.d(5) takes slashes for dots and dots for
// slashes when the first of them is a slash.
func SysctlKey(key string) string {
	if at := strings.IndexAny(key, "./"); at < 0 || key[at] == '.' {
		return key
	}
	return strings.NewReplacer("/", ".", ".", "/").Replace(key)
}

// checkSysctls keeps the lines of sysctl.d apart, and from doing harm.
func (c *Cluster) checkSysctls(path *field.Path, of Pool) field.ErrorList {
	var errs field.ErrorList
	name, needed, seen := regexp.MustCompile(sysctlName), c.neededSysctls(of), map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(of.Worker.Sysctls)) {
		at, value, normal := path.Key(key), of.Worker.Sysctls[key], SysctlKey(key)
		if len(key) > maxSysctl || !name.MatchString(key) {
			errs = append(errs, invalid(at, key, "not a key such as net.core.somaxconn"))
		}
		if value == "" || strings.ContainsAny(value, "\n\r") {
			errs = append(errs, invalid(at, value, "must be one line and not empty"))
			continue
		}
		if other, twice := seen[normal]; twice {
			errs = append(errs, invalid(at, key, "is another spelling of %s, which is there, too", other))
		}
		seen[normal] = key
		if need, ok := needed[normal]; ok && strings.TrimSpace(value) != need.value {
			errs = append(errs, field.Forbidden(at, "must be "+need.value+": "+need.by))
		}
	}
	return errs
}

// needed is the value that a kernel setting must have.
type needed struct{ value, by string }

// neededSysctls are the kernel settings by key that a pool cannot have otherwise.
func (c *Cluster) neededSysctls(of Pool) map[string]needed {
	const (
		forwarding = "without forwarding there is no pod network"
		bridged    = "otherwise a Service could not be reached by pods of the node that it leads to"
		kubelet    = "kubelet does not start with another value while its protectKernelDefaults is true"
	)
	out := map[string]needed{
		"net.ipv4.ip_forward":                 {"1", forwarding},
		"net.ipv4.conf.all.forwarding":        {"1", forwarding},
		"net.ipv4.conf.default.forwarding":    {"1", forwarding},
		"net.bridge.bridge-nf-call-iptables":  {"1", bridged},
		"net.bridge.bridge-nf-call-ip6tables": {"1", bridged},
	}
	if ptr.Deref(c.Kubelet(of).ProtectKernelDefaults, false) {
		for key, value := range map[string]string{
			"vm.overcommit_memory": "1", "vm.panic_on_oom": "0", "kernel.panic": "10", "kernel.panic_on_oops": "1",
			"kernel.keys.root_maxkeys": "1000000", "kernel.keys.root_maxbytes": "25000000",
		} {
			out[key] = needed{value, kubelet}
		}
	}
	return out
}
