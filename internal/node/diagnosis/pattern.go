package diagnosis

import (
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Names of components in patterns and findings.
const (
	containerd = "containerd"
	kubelet    = "kubelet"
	etcd       = "etcd"
	apiServer  = "kube-apiserver"
)

// pattern is what a program says when it suffers from a cause.
type pattern struct {
	// of is the component that says it; "" is any.
	of string
	// text are parts of one line, in small letters; all must be in it.
	text  []string
	code  fault.Code
	cause string
	// soft: healthy components say it too for a while, so it counts for much less.
	soft bool
}

// patterns is ordered: the first that fits any line counts. What is said of the cause itself stands before its consequences.
func patterns() []pattern {
	return slices.Concat(kubeletPatterns(), commonPatterns(), etcdPatterns(), apiServerPatterns(), lastPatterns())
}

func has(text ...string) []string { return text }

func kubeletPatterns() []pattern {
	return []pattern{
		{kubelet, has("unknown service runtime.v1.runtimeservice"), fault.CRIDisabled, "containerd runs without its CRI plugin", false},
		{kubelet, has("misconfiguration: kubelet cgroup driver"), fault.CgroupDriver, "its cgroup driver is not containerd's", false},
		{kubelet, has("running with swap on is not supported"), fault.SwapRefused, "swap is on", false},
		{kubelet, has("not run on a host using cgroup v1"), fault.CgroupV1, "the host uses cgroup v1", false},
		{kubelet, has("bootstrap client certificate", "expired"), fault.KubeletCertificate, "its client certificate has expired", false},
		{kubelet, has("failed to parse kubelet flag"), fault.RefusedFlag, "it does not know a flag", false},
		{kubelet, has("failed to load kubelet config"), fault.RefusedConfiguration, "its configuration cannot be read", false},
		{kubelet, has("failed to merge kubelet configs"), fault.RefusedConfiguration, "its configuration, or a drop-in in /var/lib/kubelet/config.d, cannot be read", false},
		{kubelet, has("failed to decode"), fault.RefusedConfiguration, "its configuration cannot be read", false},
		{kubelet, has("failed to validate kubelet configuration"), fault.RefusedConfiguration, "its configuration is refused", false},
		{kubelet, has("invalid configuration:"), fault.RefusedConfiguration, "its configuration is refused", false},
		{kubelet, has("container runtime", "containerd.sock", "no such file"), fault.RuntimeUnreachable, "the container runtime's socket is not there", false},
		{kubelet, has("validate service connection"), fault.RuntimeUnreachable, "the container runtime does not answer", false},
		{kubelet, has("validate cri v1 runtime api"), fault.RuntimeUnreachable, "the container runtime does not answer", false},
		{kubelet, has("failed to determine", "runtime"), fault.RuntimeUnreachable, "the container runtime does not answer", false},
		{containerd, has("failed to load toml"), fault.RefusedConfiguration, "its configuration cannot be read", false},
		{containerd, has("toml:"), fault.RefusedConfiguration, "its configuration cannot be read", false},
		{containerd, has("invalid plugin config"), fault.RefusedConfiguration, "its configuration is refused", false},
	}
}

func etcdPatterns() []pattern {
	foreign := "its data belongs to another cluster or member"
	damaged := "its data is damaged"
	var out []pattern
	for _, text := range [][]string{
		has("cluster id mismatch"), has("member count is unequal"), has("has already been bootstrapped"),
		has("cannot process message to mismatch member"), has("mismatch member"), has("couldn't find local name"),
	} {
		out = append(out, pattern{etcd, text, fault.EtcdForeignData, foreign, false})
	}
	for _, text := range [][]string{
		has("crc mismatch"), has("wal: snapshot mismatch"), has("wal: slice"), has("max entry size limit"), has("snap file is corrupt"),
		has("failed to read wal"), has("failed to open wal"), has("failed to recover v3 backend"), has("etcdserver: corrupt cluster"),
		has("invalid freelist"), has("invalid database"), has("failed to open database"), has("unexpected eof"), has("failed to find database snapshot"),
		has("open wal error"), has("requested entry", "unavailable"), has("tocommit", "out of range"),
	} {
		out = append(out, pattern{etcd, text, fault.EtcdCorrupt, damaged, false})
	}
	return out
}

func commonPatterns() []pattern {
	return []pattern{
		{"", has("exec format error"), fault.WrongArchitecture, "its program is for another architecture", false},
		{"", has("no space left on device"), fault.DiskFull, "the disk is full", false},
		{"", has("disk quota exceeded"), fault.DiskFull, "the disk quota is used up", false},
		{"", has("read-only file system"), fault.ReadOnlyDisk, "the file system of its data is read-only", false},
		{"", has("address already in use"), fault.PortInUse, "its port is in use", false},
		{"", has("certificate has expired or is not yet valid", "is before"), fault.ClockOff, "a certificate is not yet valid: the clock is behind", false},
		{"", has("certificate is not yet valid"), fault.ClockOff, "a certificate is not yet valid: the clock is behind", false},
		{"", has("certificate has expired"), fault.CertificateExpired, "a certificate has expired", false},
		{"", has("certificate signed by unknown authority"), fault.CertificateUnknown, "a certificate is of an authority that it does not trust", false},
		{"", has("private key does not match public key"), fault.CertificateUnknown, "a certificate and its key do not belong together", false},
		{"", has("failed to find any pem data"), fault.CertificateUnknown, "a certificate file holds no certificate", false},
		{"", has("unknown flag"), fault.RefusedFlag, "it does not know a flag", false},
		{"", has("unknown shorthand flag"), fault.RefusedFlag, "it does not know a flag", false},
		{"", has("flag provided but not defined"), fault.RefusedFlag, "it does not know a flag", false},
		{"", has("invalid argument", "flag"), fault.RefusedFlag, "it refuses the value of a flag", false},
		{"", has("strict decoding error"), fault.RefusedConfiguration, "a configuration file is refused", false},
		{"", has("unknown field"), fault.RefusedConfiguration, "a configuration file has an unknown field", false},
		{"", has("couldn't parse as pod"), fault.RefusedConfiguration, "its manifest cannot be read", false},
		{"", has("fork/exec", "permission denied"), fault.PermissionDenied, "its program may not be executed", false},
		{"", has("permission denied"), fault.PermissionDenied, "it may not read or write a file", false},
		{apiServer, has("tls: bad certificate"), fault.CertificateUnknown, "etcd does not trust its certificate", true},
	}
}

func apiServerPatterns() []pattern {
	return []pattern{
		{apiServer, has("addrconn.createtransport failed", "connection refused"), fault.EtcdUnreachable, "etcd refuses connections", true},
		{apiServer, has("error creating storage", "context deadline exceeded"), fault.EtcdUnreachable, "etcd does not answer", true},
		{apiServer, has("context deadline exceeded", "etcd"), fault.EtcdUnreachable, "etcd does not answer", true},
		{"flannel", has("failed to find plugin"), fault.PodNetwork, "a CNI plugin is missing", true},
	}
}

// lastPatterns are said of many things; what is more exact stands before.
func lastPatterns() []pattern {
	return []pattern{
		{"", has("no such file or directory"), fault.FileMissing, "a file is missing", false},
		{etcd, has("slow fdatasync"), fault.EtcdSlow, "its disk is too slow", true},
		{etcd, has("leader failed to send out heartbeat on time"), fault.EtcdSlow, "its disk is too slow", true},
	}
}

// podPatterns are what the kubelet says of a pod that it cannot start.
func podPatterns() []pattern {
	missing := "its image is not there and cannot be pulled"
	return []pattern{
		{"", has("exec format error"), fault.WrongArchitecture, "its program is for another architecture", false},
		{"", has("no space left on device"), fault.DiskFull, "the disk is full", false},
		{"", has("errimageneverpull"), fault.ImageMissing, missing, false},
		{"", has("failed to get sandbox image"), fault.ImageMissing, "the pause image is not there", false},
		{"", has("imagepullbackoff"), fault.ImageMissing, missing, false},
		{"", has("errimagepull"), fault.ImageMissing, missing, false},
		{"", has("invalidimagename"), fault.ImageMissing, "its image has no valid name", false},
		{"", has("failed to find plugin"), fault.PodNetwork, "a CNI plugin is missing", true},
		{"", has("cni plugin not initialized"), fault.PodNetwork, "there is no CNI configuration", true},
		{"", has("networkpluginnotready"), fault.PodNetwork, "the pod network is not ready", true},
		{"", has("failed to setup network for sandbox"), fault.PodNetwork, "its sandbox gets no network", true},
		{"", has("read-only file system"), fault.ReadOnlyDisk, "a file system is read-only", false},
		{"", has("executable file not found"), fault.FileMissing, "its program is not in its image", false},
		{"", has("hostpath type check failed"), fault.FileMissing, "a file that it mounts is missing", false},
		{"", has("createcontainererror"), fault.ComponentDown, "its container cannot be made", false},
		{"", has("runcontainererror"), fault.ComponentDown, "its container cannot be started", false},
	}
}

// registerPatterns are what a running kubelet says when the API server turns it away.
func registerPatterns() []pattern {
	return []pattern{
		{kubelet, has("unable to register node", "forbidden"), fault.KubeletForbidden, "the API server does not let it register the node", true},
		{kubelet, has("is not allowed to modify node"), fault.KubeletForbidden, "the API server does not let it register the node", true},
		{kubelet, has("unable to register node", "unauthorized"), fault.KubeletCertificate, "the API server does not accept its certificate", true},
		{kubelet, has("certificate has expired"), fault.CertificateExpired, "a certificate has expired", true},
		{kubelet, has("unable to register node", "unknown authority"), fault.CertificateUnknown, "it does not trust the API server's certificate", true},
	}
}

// match returns the first pattern that fits a line, and the last line that it fits.
func match(table []pattern, component string, lines []string) (pattern, string, bool) {
	small := make([]string, len(lines))
	for i, line := range lines {
		small[i] = strings.ToLower(line)
	}
	for _, p := range table {
		if p.of != "" && p.of != component {
			continue
		}
		for i := len(small) - 1; i >= 0; i-- {
			fits := !slices.ContainsFunc(p.text, func(part string) bool { return !strings.Contains(small[i], part) })
			if fits {
				return p, lines[i], true
			}
		}
	}
	return pattern{}, "", false
}
