// Package layout turns the question "what does gardenadm put on a node, and where" into one table of ports, users, units and paths.
// Used by every renderer and host step instead of literals, and by hack/docs, which prints it into docs/node-layout.md.
package layout

// Ports on a node. All of them are on the host network.
const (
	PortAPIServer         = 6443
	PortEtcdClient        = 2379
	PortEtcdPeer          = 2380
	PortEtcdMetrics       = 2381
	PortKubelet           = 10250
	PortKubeletHealthz    = 10248
	PortControllerManager = 10257
	PortScheduler         = 10259
	PortKubeProxyMetrics  = 10249
	PortKubeProxyHealthz  = 10256
	PortFlannelHealthz    = 10251
	PortVXLAN             = 8472
	PortProxy             = 7443
	PortMirror            = 7444
	PortGardenlet         = 7445
)

// UID is the user of the static pods; it exists on no host and owns nothing but their data directories.
// They read their root:root 0640 files through group 0.
const UID = 65532

// Units that gardenadm makes or configures.
const (
	UnitContainerd = "containerd.service"
	UnitKubelet    = "kubelet.service"
	UnitNetwork    = "gardener-node-network.service"
	UnitGardenlet  = "gardenlet.service"
	UnitSysctl     = "systemd-sysctl.service"
	UnitJournald   = "systemd-journald.service"

	UnitProxySocket = "gardener-api-proxy.socket"
	UnitProxy       = "gardener-api-proxy.service"
	UnitMirror      = "gardener-image-mirror.service"
	UnitNodeAgent   = "gardener-node-agent.service"
)

// Paths on a node.
const (
	DirBin     = "/opt/bin"
	DirUnits   = "/etc/systemd/system"
	DirCNIBin  = "/opt/cni/bin"
	DirCNIConf = "/etc/cni/net.d"
	DirState   = "/var/lib/gardenadm"
	DirSecrets = DirState + "/secrets"
	// DirAuthorities has the cluster's authorities with their keys, on control plane nodes.
	DirAuthorities = DirState + "/authorities"
	DirAgent       = "/var/lib/gardener-node-agent"
	DirManifests   = "/etc/kubernetes/manifests"
	DirStaticPods  = "/var/lib/static-pods"
	DirEtcd        = "/var/lib/etcd-main"
	// DirEtcdData is etcd's --data-dir; the name is etcd-druid's (contract control-plane §3).
	DirEtcdData      = DirEtcd + "/data/new.etcd"
	DirKubelet       = "/var/lib/kubelet"
	DirKubeletConfig = DirKubelet + "/config.d"
	DirContainerd    = "/var/lib/containerd"
	DirPodLogs       = "/var/log/pods"
	DirAuditLog      = "/var/log/kube-apiserver"

	FileGardenadm        = DirBin + "/gardenadm"
	FileKubectl          = DirBin + "/kubectl"
	FileEtcdData         = DirBin + "/etcd-data"
	FileAdminKubeconfig  = "/etc/kubernetes/admin.conf"
	FileShootUID         = DirState + "/shoot-uid"
	DirBundle            = DirState + "/bundle"
	DirForeignImages     = DirState + "/foreign-images"
	FileManifests        = DirState + "/manifests.yaml"
	FileGardenletConf    = DirState + "/gardenlet.kubeconfig"
	FileJournal          = DirState + "/journal.jsonl"
	FileNode             = DirState + "/node.json"
	FileLock             = "/run/gardenadm.lock"
	FileLeft             = DirState + "/left-cluster.json" // while reset works: how the cluster was left
	FileKubeletBinary    = DirBin + "/kubelet"
	FileKubeletConfig    = DirKubelet + "/config/kubelet"
	FileKubeletCA        = DirKubelet + "/ca.crt"
	FileKubeletConf      = DirKubelet + "/kubeconfig-real"
	FileKubeletBootstrap = DirKubelet + "/kubeconfig-bootstrap"
	FileKubeletArgs      = DirKubelet + "/extra_args"
	FileKubeletCert      = DirKubelet + "/pki/kubelet-client-current.pem"
	FileContainerdConf   = "/etc/containerd/config.toml"
	FileContainerdEnv    = "/etc/containerd/environment"
	DirContainerdCA      = "/etc/containerd/ca"
	DirContainerdDropIns = "/etc/containerd/conf.d"
	DirRegistryHosts     = "/etc/containerd/certs.d"
	SocketContainerd     = "/run/containerd/containerd.sock"
	FileSysctl           = "/etc/sysctl.d/99-k8s-general.conf"
	FileJournaldConf     = "/etc/systemd/journald.conf.d/50-gardenadm.conf"

	// FileEndpoints is what the node knows of the API servers (node/proxy/endpoint). It is no file of an OperatingSystemConfig: the proxy writes it.
	FileEndpoints = DirState + "/endpoints.json"
	SocketProxy   = "/run/gardener-api-proxy.sock"
	// FileServingCert and FileServingKey are with what a control plane node serves images and answers its nodes, besides the API.
	FileServingCert = DirState + "/serving/tls.crt"
	FileServingKey  = DirState + "/serving/tls.key"
	// FileImages lists the images that the node is to have at any time.
	FileImages = DirState + "/images.json"
	// DirPulled holds layers of images that files are taken out of, until the host is what is wanted.
	DirPulled = DirState + "/pulled"

	FileClusterCA       = DirAgent + "/cluster-ca.crt"
	FileAgentConfig     = DirAgent + "/config.yaml"
	DirAgentCredentials = DirAgent + "/credentials"
	FileAgentKubeconfig = DirAgentCredentials + "/kubeconfig"
	FileAgentCert       = DirAgentCredentials + "/client-current.pem"
)
