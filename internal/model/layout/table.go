package layout

import "strconv"

// Kinds of rows.
const (
	KindPort      = "port"
	KindUser      = "user"
	KindUnit      = "unit"
	KindDirectory = "directory"
	KindFile      = "file"
)

// Row is one line of the table. Owner is who listens on a port, its program first, or the user, group and mode of a path.
type Row struct{ Kind, Item, Owner, Purpose string }

// Table lists every port, user, unit, directory and singular file that gardenadm puts on a node.
func Table() []Row {
	var rows []Row
	for _, rows2 := range [][]Row{ports(), users(), units(), directories(), files()} {
		rows = append(rows, rows2...)
	}
	return rows
}

func port(number int, network, owner, purpose string) Row {
	return Row{KindPort, strconv.Itoa(number) + "/" + network, owner, purpose}
}

func ports() []Row {
	return []Row{
		port(PortEtcdClient, "tcp", "etcd, on 127.0.0.1 and the node's address", "clients, mutual TLS"),
		port(PortEtcdPeer, "tcp", "etcd, on the node's address", "other members, mutual TLS"),
		port(PortEtcdMetrics, "tcp", "etcd, on 127.0.0.1", "health and metrics"),
		port(PortAPIServer, "tcp", "kube-apiserver, on all addresses", "the Kubernetes API"),
		port(PortVXLAN, "udp", "kernel (flannel.1), on all addresses", "pod traffic between nodes"),
		port(PortProxy, "tcp", "gardenadm (endpoint proxy), on 127.0.0.1 and 240.0.74.43", "the Kubernetes API, for the node and its pods"),
		port(PortMirror, "tcp", "gardenadm (image mirror), on the node's address", "on control plane nodes: images for other nodes"),
		port(PortGardenlet, "tcp", "gardenadm (gardenlet), on the node's address", "on control plane nodes: API servers' addresses, expired certificates, checks of joining machines"),
		port(PortKubeletHealthz, "tcp", "kubelet, on 127.0.0.1", "health"),
		port(PortKubeProxyMetrics, "tcp", "kube-proxy, on 127.0.0.1", "metrics"),
		port(PortKubelet, "tcp", "kubelet, on all addresses", "logs, exec and metrics for the API server"),
		port(PortFlannelHealthz, "tcp", "flannel, on 127.0.0.1", "health"),
		port(PortKubeProxyHealthz, "tcp", "kube-proxy, on all addresses", "health, for load balancers"),
		port(PortControllerManager, "tcp", "kube-controller-manager, on 127.0.0.1", "health and metrics"),
		port(PortScheduler, "tcp", "kube-scheduler, on 127.0.0.1", "health and metrics"),
	}
}

func users() []Row {
	return []Row{
		{KindUser, "0 (root)", "systemd units", "containerd, kubelet, gardenadm"},
		{KindUser, strconv.Itoa(UID), "static pods and coredns", "no account on the host; no capabilities"},
	}
}

func units() []Row {
	return []Row{
		{KindUnit, UnitNetwork, "root", "the address of the endpoint proxy for pods, and the route for the service networks, once per boot"},
		{KindUnit, UnitContainerd, "root", "container runtime"},
		{KindUnit, UnitKubelet, "root", "starts the control plane and all pods"},
		{KindUnit, UnitGardenlet, "root without capabilities", "on control plane nodes: decides on certificates of nodes, publishes their configuration; one of them leads"},
		{KindUnit, UnitProxySocket, "root", "holds the proxy's ports, also while the proxy is replaced"},
		{KindUnit, UnitProxy, "root", "connects the node and its pods with a healthy API server"},
		{KindUnit, UnitMirror, "root", "on control plane nodes: serves the cluster's images to other nodes"},
		{KindUnit, UnitNodeAgent, "root", "keeps the node as its pool's configuration says"},
		{KindUnit, UnitSysctl, "root", "part of systemd; restarted when " + FileSysctl + " changes"},
		{KindUnit, UnitJournald, "root", "part of systemd; restarted when " + FileJournaldConf + " changes"},
	}
}

func directories() []Row {
	etcd := strconv.Itoa(UID)
	return []Row{
		{KindDirectory, "/etc/cni/net.d", "root 0755", "configuration of the pod network, written by flannel"},
		{KindDirectory, DirUnits, "root 0755", "units and their drop-ins"},
		{KindDirectory, DirContainerdDropIns, "root 0755", "containerd settings that this host needs"},
		{KindDirectory, DirContainerdCA, "root 0755", "authorities that containerd trusts besides those of the machine"},
		{KindDirectory, DirRegistryHosts, "root 0755", "registries: mirrors, authorities and credentials; files with credentials 0600"},
		{KindDirectory, DirManifests, "root 0755", "static pods, files 0640"},
		{KindDirectory, DirBin, "root 0755", "programs"},
		{KindDirectory, DirCNIBin, "root 0755", "CNI plugins"},
		{KindDirectory, DirContainerd, "root 0711", "images and containers"},
		{KindDirectory, DirEtcd, "root 0700; data " + etcd + " 0700", "etcd's data in " + DirEtcdData},
		{KindDirectory, DirState, "root 0700", "identity, journal, and secrets until the API has them"},
		{KindDirectory, DirAuthorities, "root 0755, files 0600", "on control plane nodes: the cluster's authorities with their keys, for certificates that end while the machine is off"},
		{KindDirectory, DirBundle, "root 0700", "the unpacked bundle, until init is over"},
		{KindDirectory, DirForeignImages, "root 0700", "a tar of images that gardenadm did not pack, unpacked, while they are imported"},
		{KindDirectory, DirAgent, "root 0755", "what the node agent last applied, its configuration and certificate"},
		{KindDirectory, DirKubelet, "root 0700", "kubelet's state and pods' volumes"},
		{KindDirectory, DirKubeletConfig, "root 0755", "kubelet settings that this host needs"},
		{KindDirectory, DirStaticPods, "root 0755", "configuration and certificates of static pods, files 0640"},
		{KindDirectory, DirAuditLog, etcd + " 0700", "audit log of the API server, bounded"},
		{KindDirectory, DirPodLogs, "root 0755", "container logs, bounded"},
	}
}

func files() []Row {
	return []Row{
		{KindFile, FileAdminKubeconfig, "root 0600", "kubeconfig of the administrator"},
		{KindFile, FileKubeletConf, "root 0600", "kubeconfig of the kubelet"},
		{KindFile, FileGardenletConf, "root 0600", "kubeconfig of the gardenlet"},
		{KindFile, FileContainerdConf, "root 0644", "configuration of containerd"},
		{KindFile, FileContainerdEnv, "root 0600", "variables of containerd: proxy and authorities"},
		{KindFile, FileSysctl, "root 0644", "kernel settings"},
		{KindFile, FileJournaldConf, "root 0644", "bounds of the journal"},
		{KindFile, FileShootUID, "root 0600", "identity of the cluster"},
		{KindFile, FileManifests, "root 0600", "manifests that the cluster was made of"},
		{KindFile, FileNode, "root 0644", "name and address of the node"},
		{KindFile, FileLock, "root 0600", "held while a command changes this machine"},
	}
}
