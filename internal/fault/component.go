package fault

// Codes of class Component: a part of the cluster does not come up and nothing more is known than its last words.
const (
	APIServerDown  Code = "GA-3001"
	EtcdDown       Code = "GA-3002"
	KubeletDown    Code = "GA-3003"
	ContainerdDown Code = "GA-3004"
	ComponentDown  Code = "GA-3005"
	ProxyDown      Code = "GA-3006"
	NodeAgentDown  Code = "GA-3007"
	MirrorDown     Code = "GA-3008"
	GardenletDown  Code = "GA-3009"
)

// Codes of class Component: the cause is known, and any part can suffer from it.
const (
	ImageMissing         Code = "GA-3010"
	WrongArchitecture    Code = "GA-3011"
	PortInUse            Code = "GA-3012"
	CertificateExpired   Code = "GA-3013"
	ClockOff             Code = "GA-3014"
	CertificateUnknown   Code = "GA-3015"
	FileMissing          Code = "GA-3016"
	DiskFull             Code = "GA-3017"
	ReadOnlyDisk         Code = "GA-3018"
	PermissionDenied     Code = "GA-3019"
	OutOfMemory          Code = "GA-3020"
	RefusedFlag          Code = "GA-3021"
	RefusedConfiguration Code = "GA-3022"
	CertificateDamaged   Code = "GA-3023"
)

// Codes of class Component: the cause is known, and one part alone suffers from it.
const (
	EtcdForeignData    Code = "GA-3030"
	EtcdCorrupt        Code = "GA-3031"
	EtcdSlow           Code = "GA-3032"
	EtcdUnreachable    Code = "GA-3033"
	CgroupDriver       Code = "GA-3040"
	SwapRefused        Code = "GA-3041"
	CgroupV1           Code = "GA-3042"
	RuntimeUnreachable Code = "GA-3043"
	CRIDisabled        Code = "GA-3044"
	KubeletCertificate Code = "GA-3045"
	KubeletForbidden   Code = "GA-3046"
	ManifestIgnored    Code = "GA-3047"
	PodNetwork         Code = "GA-3050"
)

func components() []Entry {
	var out []Entry
	for _, group := range [][]Entry{unknownCauses(), commonCauses(), etcdCauses(), nodeCauses()} {
		out = append(out, group...)
	}
	return out
}

func unknownCauses() []Entry {
	return []Entry{
		{APIServerDown, Component, "the API server does not come up",
			"kube-apiserver did not answer its readiness check with this cluster's authority in time.",
			"gardenadm status; gardenadm logs kube-apiserver"},
		{EtcdDown, Component, "etcd does not come up",
			"The database of the API server ends or is not started. Its last lines are the evidence; nothing in them is a cause that gardenadm knows.",
			"gardenadm logs etcd"},
		{KubeletDown, Component, "the kubelet does not run",
			"kubelet.service starts the control plane and all pods of this node. It is stopped, or ends again and again.",
			"gardenadm logs kubelet; systemctl restart kubelet"},
		{ContainerdDown, Component, "containerd does not run",
			"containerd.service runs the containers of all pods. It is stopped, or ends again and again.",
			"gardenadm logs containerd; systemctl restart containerd"},
		{ComponentDown, Component, "a component does not come up",
			"A pod of the cluster ends again and again, or is not started. Its last lines are the evidence; nothing in them is a cause that gardenadm knows.",
			"gardenadm logs COMPONENT"},
		{ProxyDown, Component, "the endpoint proxy does not run",
			"gardener-api-proxy.service connects the node and its pods with an API server. Without it kubelet, node agent and pods have no API, whatever its state; containers go on.",
			"gardenadm logs gardener-api-proxy; systemctl restart gardener-api-proxy.socket gardener-api-proxy.service"},
		{NodeAgentDown, Component, "the node agent does not run",
			"gardener-node-agent.service keeps the node as the cluster says, and its certificates valid. Without it the node goes on as it is, and is not changed any more.",
			"gardenadm logs gardener-node-agent; systemctl restart gardener-node-agent"},
		{MirrorDown, Component, "the image mirror does not run",
			"gardener-image-mirror.service serves the cluster's images. Without it other nodes take images from other control plane nodes, or not at all.",
			"gardenadm logs gardener-image-mirror; systemctl restart gardener-image-mirror"},
		{GardenletDown, Component, "the gardenlet does not run",
			"gardenlet.service decides on certificates of nodes and publishes their configuration. Without any in the cluster no machine can join and certificates are not renewed.",
			"gardenadm logs gardenlet; systemctl restart gardenlet"},
	}
}

func commonCauses() []Entry {
	return []Entry{
		{ImageMissing, Component, "an image is missing",
			"The container runtime has no such image, and nothing that it may ask has it either. Images come from the bundle, by their exact name.",
			"gardenadm init --bundle DIRECTORY imports the bundle's images again"},
		{WrongArchitecture, Component, "a program is made for another architecture",
			"The kernel cannot execute the program: it is built for another processor, or its file is damaged.",
			"use the bundle for this machine's architecture (uname -m)"},
		{PortInUse, Component, "a port is in use",
			"Another process listens on a port that the component needs. All ports are in docs/node-layout.md.",
			"stop the process that the evidence names; ss -tlnp lists them"},
		{CertificateExpired, Component, "a certificate has expired",
			"A certificate is past its end, or this machine's clock is ahead.",
			"check the clock with timedatectl; gardenadm status lists the certificates that end next"},
		{ClockOff, Component, "the clock is wrong",
			"A certificate is not yet valid by this machine's clock: the clock is behind the one of the machine that issued it.",
			"set the clock (timedatectl), then run the command again"},
		{CertificateUnknown, Component, "a certificate is of an unknown authority",
			"The two ends of a connection do not have the same authority: a file below /var/lib/static-pods was changed, or belongs to another cluster.",
			"gardenadm init --bundle DIRECTORY lays the cluster's own files again"},
		{CertificateDamaged, Component, "a certificate cannot be read",
			"A file that programs take a certificate from is empty, damaged or cannot be read, for example after a disk was full.",
			"gardenadm certs renew; what it does not make again, gardenadm init --bundle DIRECTORY does, or on a worker gardenadm reset and join"},
		{FileMissing, Component, "a file is missing",
			"The component's configuration names a file that is not there.",
			"gardenadm init --bundle DIRECTORY lays the files again"},
		{DiskFull, Component, "the disk is full",
			"A file system has no space or no inodes left. etcd and containerd need them to start.",
			"make room (df -h; df -i), then run the command again"},
		{ReadOnlyDisk, Component, "a file system is read-only",
			"The component cannot write where its data is. Linux makes a file system read-only after an error of the disk.",
			"look for disk errors with dmesg; mount the file system for writing again"},
		{PermissionDenied, Component, "access to a file is denied",
			"The control plane runs as user 65532 and reads its files through group 0. Owner or mode of a file is another one, or SELinux or AppArmor denies it.",
			"compare the path that the evidence names with docs/node-layout.md"},
		{OutOfMemory, Component, "memory is exhausted",
			"The kernel killed the component because the machine, or the component's own limit, had no memory left.",
			"give the machine more memory, or stop what uses it (systemd-cgtop -m)"},
		{RefusedFlag, Component, "a flag is refused",
			"The program does not know a flag of its command line, or not its value: the manifest was changed, or is for another version.",
			"undo the change in /etc/kubernetes/manifests or the unit; gardenadm init --bundle DIRECTORY lays it again"},
		{RefusedConfiguration, Component, "a configuration file is refused",
			"The program cannot read its configuration: a field is unknown or wrong, or the file is damaged.",
			"undo the change in the file that the evidence names; gardenadm init --bundle DIRECTORY lays it again"},
	}
}

func etcdCauses() []Entry {
	return []Entry{
		{EtcdForeignData, Component, "etcd's data belongs to another cluster",
			"The data directory and the other members do not agree on cluster or member. etcd refuses to mix them.",
			"if this machine was copied or its data comes from elsewhere, move /var/lib/etcd-main away, or restore this cluster's own data"},
		{EtcdCorrupt, Component, "etcd's data is damaged",
			"The write-ahead log, a snapshot or the database does not pass its checks: a disk that lost writes, or a file that was changed.",
			"keep a copy of /var/lib/etcd-main and restore the data from a backup"},
		{EtcdSlow, Component, "etcd's disk is too slow",
			"Writing to disk takes so long that etcd cannot keep up. It needs about 10 ms for an fdatasync.",
			"move /var/lib/etcd-main to a faster disk, or stop what else writes to it"},
		{EtcdUnreachable, Component, "the API server does not reach etcd",
			"kube-apiserver ends when its database does not answer for 20 seconds.",
			"gardenadm logs etcd; compare --etcd-servers in /etc/kubernetes/manifests/kube-apiserver.yaml with the address that etcd listens on"},
	}
}

func nodeCauses() []Entry {
	return []Entry{
		{CgroupDriver, Component, "kubelet and containerd use different cgroup drivers",
			"Both must use systemd. containerd's configuration was changed, or is one of another installation.",
			"set SystemdCgroup = true in /etc/containerd/config.toml and restart containerd"},
		{SwapRefused, Component, "swap is on",
			"The kubelet refuses to start with swap unless it is told how to use it.",
			"swapoff -a, and remove swap from /etc/fstab; or allow it in the Shoot's kubelet settings (failSwapOn: false)"},
		{CgroupV1, Component, "the host uses cgroup v1",
			"The kubelet does not run on a host with cgroup v1.",
			"boot with systemd.unified_cgroup_hierarchy=1"},
		{RuntimeUnreachable, Component, "the container runtime does not answer",
			"containerd's socket is not there or does not answer.",
			"systemctl restart containerd; gardenadm logs containerd"},
		{CRIDisabled, Component, "containerd's CRI plugin is disabled",
			"containerd runs without the interface that the kubelet needs. Docker's package disables it (disabled_plugins = [\"cri\"]).",
			"remove cri from disabled_plugins in /etc/containerd/config.toml and restart containerd"},
		{KubeletCertificate, Component, "the kubelet's certificate is not accepted",
			"The API server does not accept the kubelet's client certificate: it has expired, or is of another cluster.",
			"gardenadm status shows when certificates end; check the clock with timedatectl"},
		{KubeletForbidden, Component, "the kubelet may not register its node",
			"The API server knows the kubelet but does not let it write its Node: the certificate is for another name, or the node authorizer is off.",
			"compare the host name with the name in /var/lib/gardenadm/node.json"},
		{ManifestIgnored, Component, "the kubelet still runs an older manifest",
			"A kubelet that was started while the API server was down does not end a static pod whose manifest changes before the API server answers. When that pod is the API server itself, it waits for ever. The node agent finds that out and restarts the kubelet when it has lasted for a minute.",
			"wait a minute; where the node agent does not run: systemctl restart kubelet"},
		{PodNetwork, Component, "the pod network does not work",
			"Pods get no network: flannel does not run, its CNI configuration is missing, or a CNI plugin is.",
			"gardenadm logs flannel; ls /etc/cni/net.d /opt/cni/bin"},
	}
}
