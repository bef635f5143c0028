package cluster_test

import (
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// contractRules leave out 11 and 14, which are TestUpdates, and 13, which is about whoever connects the cluster to a garden.
func contractRules() []rule {
	return []rule{
		{name: "1: one pool has the control plane", accept: second(func(*gardencore.Worker) {}),
			refuse: second(func(w *gardencore.Worker) { w.ControlPlane = &gardencore.WorkerControlPlane{} }), path: "spec.provider.workers"},
		{name: "1: a pool has the control plane",
			refuse: worker(func(w *gardencore.Worker) { w.ControlPlane = nil }), path: "spec.provider.workers"},
		{name: "2: the namespace is garden", accept: shoot(func(s *gardencore.Shoot) { s.Namespace = "garden" }),
			refuse: func(set *manifest.Set) {
				set.Shoot.Namespace, set.Project.Spec.Namespace = "default", ptr.To("default")
			},
			object: "Shoot default/local", path: "metadata.namespace"},
		{name: "3: no seed", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.SeedName = ptr.To("seed") }),
			path: "spec.seedName", code: fault.UnsupportedField},
		{name: "4: no hibernation", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.Hibernation = &gardencore.Hibernation{} }),
			path: "spec.hibernation", code: fault.UnsupportedField},
		{name: "5-7: 1, 3 or 5 control plane nodes", accept: size(5, 5), refuse: size(4, 4), path: "spec.provider.workers[0].maximum"},
		{name: "5-7: a fixed number of control plane nodes", accept: size(3, 3), refuse: size(1, 3), path: "spec.provider.workers[0].maximum"},

		{name: "14: an identity can name a bucket", accept: shoot(func(s *gardencore.Shoot) { s.Status.UID = "0b2d2a63-7e2c-4e29-9d51-5d4f1d1c9d3e" }),
			refuse: shoot(func(s *gardencore.Shoot) { s.Status.UID = "0b2d2a63\n" }), path: "status.uid"},

		backup("8: a backup has a provider", func(b *gardencore.Backup) { b.Provider = "" }, "provider", ""),
		backup("8: a backup elsewhere has a region", func(b *gardencore.Backup) { b.Region = nil }, "region", ""),
		backup("8: a backup has credentials", func(b *gardencore.Backup) { b.CredentialsRef = nil }, "credentialsRef", ""),
		backup("8: a backup's credentials are a Secret", func(b *gardencore.Backup) {
			b.CredentialsRef.APIVersion, b.CredentialsRef.Kind = "security.gardener.cloud/v1alpha1", "WorkloadIdentity"
		}, "credentialsRef.kind", fault.UnsupportedField),
		backup("8: a backup's credentials are in the Shoot's namespace", func(b *gardencore.Backup) { b.CredentialsRef.Namespace = "other" },
			"credentialsRef.namespace", ""),
		backup("8: a backup's credentials are among the manifests", func(b *gardencore.Backup) { b.CredentialsRef.Name = "other" },
			"credentialsRef.name", ""),

		exposure("9: exposed by DNS or by an extension", func(e *gardencore.Exposure) { e.DNS = &gardencore.DNSExposure{} }, ""),
		exposure("9: an exposure's type is a label", func(e *gardencore.Exposure) { e.Extension.Type = ptr.To("A.b") }, ".extension.type"),

		{name: "10: a pool takes system components", accept: second(func(w *gardencore.Worker) { w.SystemComponents = &gardencore.WorkerSystemComponents{} }),
			refuse: worker(func(w *gardencore.Worker) { w.SystemComponents = &gardencore.WorkerSystemComponents{} }), path: "spec.provider.workers"},
		{name: "10: a node in every zone", accept: all(size(3, 3), worker(zones("a", "b"))),
			refuse: worker(zones("a", "b")), path: "spec.provider.workers[0].maximum"},
		{name: "10: system components where the control plane is", accept: all(worker(zones("a")), second(zones("a"))),
			refuse: all(worker(zones("a")), second(zones("b"))), path: "spec.provider.workers[1].zones"},
		{name: "10: other pools may be in other zones", refuse: all(worker(zones("a")), second(zones("b"))), path: "spec.provider.workers[1].zones",
			accept: all(worker(zones("a")), second(func(w *gardencore.Worker) {
				w.Zones, w.SystemComponents = []string{"b"}, &gardencore.WorkerSystemComponents{}
			}))},

		{name: "12: no rollout of machines that nobody manages", accept: annotation("gardener.cloud/operation", "reconcile"),
			refuse: annotation("gardener.cloud/operation", "reconcile;rollout-workers=control-plane"),
			path:   "metadata.annotations[gardener.cloud/operation]", code: fault.UnsupportedField},
		{name: "12: no rollout in maintenance", refuse: annotation("maintenance.gardener.cloud/operation", "rotate-rollout-workers=*"),
			path: "metadata.annotations[maintenance.gardener.cloud/operation]", code: fault.UnsupportedField},
	}
}

// backup is a row about a backup, which this version makes none of.
func backup(name string, spoil func(*gardencore.Backup), path string, code fault.Code) rule {
	good := func(set *manifest.Set) {
		set.Secrets = append(set.Secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: "backup"}})
		set.Shoot.Spec.Provider.Workers[0].ControlPlane.Backup = &gardencore.Backup{
			Provider: "s3", Region: ptr.To("here"),
			CredentialsRef: &corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: "garden", Name: "backup"},
		}
	}
	return rule{name: name, accept: good, unheeded: "spec.provider.workers[0].controlPlane.backup",
		refuse: all(good, worker(func(w *gardencore.Worker) { spoil(w.ControlPlane.Backup) })),
		path:   "spec.provider.workers[0].controlPlane.backup." + path, code: code}
}

// exposure is a row about an exposure, which this version makes none of.
func exposure(name string, spoil func(*gardencore.Exposure), path string) rule {
	good := worker(func(w *gardencore.Worker) {
		w.ControlPlane.Exposure = &gardencore.Exposure{Extension: &gardencore.ExtensionExposure{Type: ptr.To("local")}}
	})
	r := rule{name: name, accept: good, unheeded: "spec.provider.workers[0].controlPlane.exposure",
		refuse: all(good, worker(func(w *gardencore.Worker) { spoil(w.ControlPlane.Exposure) })),
		path:   "spec.provider.workers[0].controlPlane.exposure" + path}
	if path == "" { // one word about the same field is enough
		r.accept, r.unheeded = nil, ""
	}
	return r
}

func annotation(key, value string) change {
	return shoot(func(s *gardencore.Shoot) { s.Annotations = map[string]string{key: value} })
}

func nameRules() []rule {
	named := func(name string) change { return shoot(func(s *gardencore.Shoot) { s.Name = name }) }
	domain := func(domain string) change {
		return shoot(func(s *gardencore.Shoot) { s.Spec.DNS.Domain = ptr.To(domain) })
	}
	return []rule{
		{name: "own: the Shoot's name is a label", accept: named("edge-1"), refuse: named("Edge"), object: "Shoot garden/Edge", path: "metadata.name"},
		{name: "own: the Shoot's name has no double hyphen", refuse: named("a--b"), object: "Shoot garden/a--b", path: "metadata.name"},
		{name: "own: the Shoot has a name", refuse: named(""), object: "Shoot garden/", path: "metadata.name"},
		{name: "own: the Project has the Shoot's namespace", refuse: func(set *manifest.Set) { set.Project.Spec.Namespace = ptr.To("garden-x") },
			object: "Project garden", path: "spec.namespace"},
		{name: "own: the Project's name is a label", accept: func(set *manifest.Set) { set.Project.Name = "edge" },
			refuse: func(set *manifest.Set) { set.Project.Name = "a b" }, object: "Project a b", path: "metadata.name"},
		{name: "own: there is a domain", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.DNS = nil }), path: "spec.dns.domain"},
		{name: "own: the domain is a DNS name", accept: domain("a.example.com"), refuse: domain("a_b.example.com"), path: "spec.dns.domain"},
		{name: "own: the parts of the domain fit", accept: domain(strings.Repeat("a", 63) + ".com"), refuse: domain(strings.Repeat("a", 64) + ".com"),
			path: "spec.dns.domain"},
		{name: "own: names below the domain fit", accept: domain(strings.Repeat("a.", 124) + "b"), refuse: domain(strings.Repeat("a.", 125) + "b"),
			path: "spec.dns.domain"},
		{name: "own: the domain is not that of Services", accept: domain("my-cluster.local"), refuse: domain("cluster.local"), path: "spec.dns.domain"},
		{name: "own: the domain is not below that of Services", refuse: domain("edge.cluster.local"), path: "spec.dns.domain"},
		{name: "own: the domain is not above that of Services", refuse: domain("local"), path: "spec.dns.domain"},
	}
}

func poolRules() []rule {
	return []rule{
		{name: "own: a pool's name is a label", accept: pool(func(w *gardencore.Worker) { w.Name = "pool-1" }),
			refuse: pool(func(w *gardencore.Worker) { w.Name = "Pool_1" }), path: "spec.provider.workers[1].name"},
		{name: "own: a pool's name is short", accept: pool(func(w *gardencore.Worker) { w.Name = strings.Repeat("a", 15) }),
			refuse: pool(func(w *gardencore.Worker) { w.Name = strings.Repeat("a", 16) }), path: "spec.provider.workers[1].name"},
		{name: "own: pools have different names", refuse: pool(func(w *gardencore.Worker) { w.Name = "control-plane" }),
			path: "spec.provider.workers[1].name"},
		{name: "own: no negative number of nodes", accept: pool(func(w *gardencore.Worker) { w.Minimum, w.Maximum = 0, 0 }),
			refuse: pool(func(w *gardencore.Worker) { w.Minimum, w.Maximum = -1, 0 }), path: "spec.provider.workers[1].minimum"},
		{name: "own: minimum up to maximum", accept: pool(func(w *gardencore.Worker) { w.Minimum, w.Maximum = 1, 3 }),
			refuse: pool(func(w *gardencore.Worker) { w.Minimum, w.Maximum = 3, 1 }), path: "spec.provider.workers[1].maximum"},
		{name: "own: labels are labels", accept: pool(func(w *gardencore.Worker) { w.Labels = map[string]string{"example.com/rack": "r1"} }),
			refuse: pool(func(w *gardencore.Worker) { w.Labels = map[string]string{"rack": "r 1"} }), path: "spec.provider.workers[1].labels"},
		{name: "own: annotations are annotations", accept: pool(func(w *gardencore.Worker) { w.Annotations = map[string]string{"example.com/x": "any thing"} }),
			refuse: pool(func(w *gardencore.Worker) { w.Annotations = map[string]string{"a b": ""} }), path: "spec.provider.workers[1].annotations"},

		labelled("own: a pool does not name its Nodes", "kubernetes.io/hostname"),
		labelled("own: a pool's zones are its field", "topology.kubernetes.io/zone"),
		labelled("own: no label makes a control plane", "node-role.kubernetes.io/control-plane"),
		labelled("own: a pool's label is its name", "worker.gardener.cloud/pool"),
		labelled("own: container runtimes are extensions'", "containerruntime.worker.gardener.cloud/gvisor"),
		labelled("own: labels of gardenadm", "node.gardenadm.dev/any"),
		annotated("own: annotations of the gardenlet", "node.gardenadm.dev/applied"),
		annotated("own: the gardenlet spreads what node agents do", "node-agent.gardener.cloud/reconciliation-delay"),
		annotated("own: annotations of the node agent", "checksum/cloud-config-data"),
		annotated("own: annotations of Gardener's node agent", "worker.gardener.cloud/restart-systemd-services"),
		annotated("own: annotations of kubelet", "volumes.kubernetes.io/controller-managed-attach-detach"),
		annotated("own: annotations of kube-controller-manager", "node.alpha.kubernetes.io/ttl"),
		annotated("own: annotations of flannel", "flannel.alpha.coreos.com/public-ip"),

		stateTaint("own: taints of a Node's state", "node.kubernetes.io/not-ready"),
		stateTaint("own: the taint until a Node is ready", "node.gardener.cloud/critical-components-not-ready"),
		taint("own: a taint's key is a label", corev1.Taint{Key: "a b", Effect: "NoSchedule"}, "[0].key"),
		taint("own: a taint's value is a label's", corev1.Taint{Key: "a", Value: "b c", Effect: "NoSchedule"}, "[0].value"),
		taint("own: a taint has an effect", corev1.Taint{Key: "a", Effect: "Sometimes"}, "[0].effect"),
		{name: "own: a taint is there once", refuse: pool(func(w *gardencore.Worker) {
			w.Taints = []corev1.Taint{{Key: "a", Effect: "NoExecute"}, {Key: "a", Value: "b", Effect: "NoExecute"}}
		}), path: "spec.provider.workers[1].taints[1]"},

		sysctl("own: a sysctl has a key", "-net.core.somaxconn", "1"),
		sysctl("own: a sysctl's key has parts", "somaxconn", "1"),
		sysctl("own: a sysctl's key is one line", "net.core.somaxconn = 1\nkernel.panic", "1"),
		sysctl("own: a sysctl's value is one line", "net.core.somaxconn", "1\nkernel.panic = 0"),
		sysctl("own: a sysctl has a value", "net.core.somaxconn", ""),
		{name: "own: a sysctl is spelt once", accept: sysctls("net/ipv4/tcp_fin_timeout", "30", "net.core.somaxconn", "1"),
			refuse: sysctls("net/ipv4/tcp_fin_timeout", "30", "net.ipv4.tcp_fin_timeout", "60"), path: "spec.provider.workers[0].sysctls[net/ipv4/tcp_fin_timeout]"},
		{name: "own: forwarding stays", accept: sysctls("net/ipv4/ip_forward", "1"), refuse: sysctls("net/ipv4/ip_forward", "0"),
			path: "spec.provider.workers[0].sysctls[net/ipv4/ip_forward]", code: fault.UnsupportedField},
		{name: "own: forwarding stays under its other name", refuse: sysctls("net.ipv4.conf.all.forwarding", "0"),
			path: "spec.provider.workers[0].sysctls[net.ipv4.conf.all.forwarding]", code: fault.UnsupportedField},
		{name: "own: what kubelet protects stays", accept: sysctls("kernel.panic", "20"), refuse: all(sysctls("kernel.panic", "20"), protected),
			path: "spec.provider.workers[0].sysctls[kernel.panic]", code: fault.UnsupportedField},

		{name: "own: a zone is a label's value", accept: worker(zones("eu-1a")), refuse: worker(zones("eu 1a")), path: "spec.provider.workers[0].zones[0]"},
		{name: "own: a zone has a name", refuse: worker(zones("")), path: "spec.provider.workers[0].zones[0]"},
		{name: "own: a zone is there once", refuse: all(size(3, 3), worker(zones("a", "a"))), path: "spec.provider.workers[0].zones[1]"},
	}
}

// pool is a second pool without system components, so that no rule about those speaks up.
func pool(do func(*gardencore.Worker)) change {
	return second(func(w *gardencore.Worker) {
		w.SystemComponents = &gardencore.WorkerSystemComponents{}
		do(w)
	})
}

func taint(name string, bad corev1.Taint, path string) rule {
	good := corev1.Taint{Key: "example.com/dedicated", Value: "gpu", Effect: corev1.TaintEffectNoExecute}
	return rule{name: name, path: "spec.provider.workers[1].taints" + path,
		accept: pool(func(w *gardencore.Worker) { w.Taints = []corev1.Taint{good} }),
		refuse: pool(func(w *gardencore.Worker) { w.Taints = []corev1.Taint{bad} })}
}

// labelled and annotated refuse what somebody else writes.
func labelled(name, key string) rule {
	return rule{name: name, path: "spec.provider.workers[1].labels[" + key + "]", code: fault.UnsupportedField,
		accept: pool(func(w *gardencore.Worker) { w.Labels = map[string]string{"node.kubernetes.io/instance-type": "small"} }),
		refuse: pool(func(w *gardencore.Worker) { w.Labels = map[string]string{key: "x"} })}
}

func annotated(name, key string) rule {
	return rule{name: name, path: "spec.provider.workers[1].annotations[" + key + "]", code: fault.UnsupportedField,
		refuse: pool(func(w *gardencore.Worker) { w.Annotations = map[string]string{key: "x"} })}
}

func stateTaint(name, key string) rule {
	r := taint(name, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}, "[0].key")
	r.code = fault.UnsupportedField
	return r
}

func sysctls(pairs ...string) change {
	return worker(func(w *gardencore.Worker) {
		w.Sysctls = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			w.Sysctls[pairs[i]] = pairs[i+1]
		}
	})
}

func protected(set *manifest.Set) {
	set.Shoot.Spec.Kubernetes.Kubelet = &gardencore.KubeletConfig{ProtectKernelDefaults: ptr.To(true)}
}

func sysctl(name, key, value string) rule {
	return rule{name: name, path: "spec.provider.workers[0].sysctls[" + key + "]",
		accept: worker(func(w *gardencore.Worker) {
			w.Sysctls = map[string]string{"net/ipv4/conf/eth0.1/rp_filter": "2", "kernel.panic": "10"}
		}),
		refuse: worker(func(w *gardencore.Worker) { w.Sysctls = map[string]string{key: value} })}
}
