package preflight

import "slices"

// Checks lists the checks in the order in which they are reported; those towards peers are made where there are some.
func Checks() []Check { return slices.Concat(machineChecks(), peerChecks()) }

func machineChecks() []Check {
	return []Check{
		{Name: "root", Run: checkRoot},
		{Name: "systemd", Run: checkSystemd},
		{Name: "architecture", Run: checkArchitecture},
		{Name: "kernel", Run: checkKernel},
		{Name: "kernel-features", Run: checkFeatures, Root: true},
		{Name: "overlayfs", Run: checkOverlay, Root: true},
		{Name: "cgroups", Run: checkCgroups},
		{Name: "cpu", Run: checkCPU, Only: ControlPlane},
		{Name: "memory", Run: checkMemory},
		{Name: "swap", Run: checkSwap},
		{Name: "disk-space", Run: checkSpace},
		{Name: "inodes", Run: checkInodes},
		{Name: "disk-latency", Run: checkLatency, Only: ControlPlane, Root: true},
		{Name: "read-only", Run: checkReadOnly},
		{Name: "security-module", Run: checkSecurityModule},
		{Name: "clock", Run: checkClock},
		{Name: "host-name", Run: checkHostName},
		{Name: "node-address", Run: checkAddress},
		{Name: "networks", Run: checkNetworks, Root: true},
		{Name: "ports", Run: checkPorts, Root: true},
		{Name: "firewall", Run: checkFirewall},
		{Name: "containerd", Run: checkContainerd, Root: true},
		{Name: "kubelet", Run: checkKubelet, Root: true},
		{Name: "cni", Run: checkCNI, Root: true},
		{Name: "etcd-data", Run: checkEtcdData, Only: ControlPlane, Root: true},
		{Name: "leftovers", Run: checkLeftovers, Root: true},
	}
}

// Names are the checks' names, in order.
func Names() []string {
	var out []string
	for _, check := range Checks() {
		out = append(out, check.Name)
	}
	return out
}
