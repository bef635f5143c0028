package recipe

// Programs lists everything that can be built.
func Programs() []Program {
	return []Program{
		{
			// One program for all of Kubernetes: one layer, and pages that all its processes share.
			Name: "kubernetes", Dir: "upstream/kubernetes/1.36", Module: "k8s.io/kubernetes",
			Files: []File{{"kubernetes", "."}},
			Links: map[string]string{
				"kube-apiserver": "kubernetes", "kube-controller-manager": "kubernetes", "kube-scheduler": "kubernetes",
				"kube-proxy": "kubernetes", "kubelet": "kubernetes", "kubectl": "kubernetes",
			},
			Stamps: append(kubernetesStamps("k8s.io/component-base/version"), kubernetesStamps("k8s.io/client-go/pkg/version")...),
		},
		{
			Name: "etcd", Dir: "upstream/etcd", Module: "go.etcd.io/etcd/server/v3",
			Files: []File{{"etcd", "."}},
			Links: map[string]string{"etcd-data": "etcd"},
		},
		{
			Name: "coredns", Dir: "upstream/coredns", Module: "github.com/coredns/coredns",
			Files: []File{{"coredns", "."}},
		},
		{
			Name: "containerd", Dir: "upstream/containerd", Module: "github.com/containerd/containerd/v2",
			Files: []File{
				{"containerd", "github.com/containerd/containerd/v2/cmd/containerd"},
				{"containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"},
			},
			// Nodes snapshot with overlayfs; btrfs is left out already because it needs cgo.
			// No tracing pages of gRPC: they alone make the linker keep every method, a third of the shim.
			Tags:   []string{"no_zfs", "no_devmapper", "no_tracing", "no_rdt", "grpcnotrace"},
			Stamps: []string{"github.com/containerd/containerd/v2/version.Version={version}"},
		},
		{
			Name: "runc", Dir: "upstream/runc", Module: "github.com/opencontainers/runc",
			Files: []File{{"runc", "github.com/opencontainers/runc"}},
			Tags:  []string{"seccomp", "netgo", "osusergo"},
			// The compiler's own library comes with it whether named or not; here it counts for the licences.
			Archives: []string{"libseccomp.a", "libc.a", "libgcc.a"}, Tools: []string{"pkg-config"},
		},
		{
			Name: "cni-plugins", Dir: "upstream/cni", Module: "github.com/containernetworking/plugins",
			Files: []File{
				{"bridge", "github.com/containernetworking/plugins/plugins/main/bridge"},
				{"host-local", "github.com/containernetworking/plugins/plugins/ipam/host-local"},
				{"loopback", "github.com/containernetworking/plugins/plugins/main/loopback"},
				{"portmap", "github.com/containernetworking/plugins/plugins/meta/portmap"},
			},
			Stamps: []string{"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion={version}"},
		},
		{
			Name: "flannel", Dir: "upstream/flannel", Module: "github.com/flannel-io/flannel",
			Files: []File{{"flanneld", "."}},
		},
		{
			Name: "metrics-server", Dir: "upstream/metrics-server", Module: "sigs.k8s.io/metrics-server",
			Files:  []File{{"metrics-server", "."}},
			Tags:   []string{"grpcnotrace"},
			Stamps: []string{"k8s.io/client-go/pkg/version.gitVersion={version}"}, // it calls itself so towards the API server
		},
		{
			Name: "pause", Dir: "upstream/pause", Version: "v1",
			Files: []File{{"pause", "."}},
		},
		{
			Name: "nft", Version: "bookworm", Tools: []string{"mmdebstrap", "dpkg-deb"},
			Debian: &Debian{Suite: "bookworm", Packages: []string{"nftables"}, Files: []string{"usr/sbin/nft"}},
		},
		{
			// For tests only, in no image.
			Name: "registry", Dir: "upstream/registry", Module: "github.com/distribution/distribution/v3",
			Files:  []File{{"registry", "."}},
			Stamps: []string{"github.com/distribution/distribution/v3/version.version={version}"},
		},
		{
			Name: "echo", Dir: ".", Version: "v1", Uncached: true,
			Files: []File{{"echo", "./test/echo"}},
		},
		{
			Name: "gardenadm", Dir: ".", Version: "v0.0.0-dev", Uncached: true,
			Files: []File{{"gardenadm", "./cmd/gardenadm"}},
			// The tracing pages of gRPC make the linker keep every method, a quarter of the program.
			Tags: []string{"grpcnotrace"},
		},
	}
}

// kubernetesStamps are what Kubernetes' own build sets. A module carries no commit, and the Go proxy vouches for its content.
func kubernetesStamps(pkg string) []string {
	return []string{
		pkg + ".gitVersion={version}", pkg + ".gitMajor={major}", pkg + ".gitMinor={minor}",
		pkg + ".gitCommit=unknown", pkg + ".gitTreeState=clean",
	}
}

// Images lists the images of the bundle.
func Images() []Image {
	kubernetes := Layer{Program: "kubernetes", Dir: "/usr/local/bin", Base: true}
	nft := Layer{Program: "nft", Dir: "/"}
	return []Image{
		{Name: "kube-apiserver", Use: Pod, Layers: []Layer{kubernetes}, Entrypoint: []string{"/usr/local/bin/kube-apiserver"}},
		{Name: "kube-controller-manager", Use: Pod, Layers: []Layer{kubernetes}, Entrypoint: []string{"/usr/local/bin/kube-controller-manager"}},
		{Name: "kube-scheduler", Use: Pod, Layers: []Layer{kubernetes}, Entrypoint: []string{"/usr/local/bin/kube-scheduler"}},
		// Kubernetes stays the lowest layer here too, so that a node unpacks it once.
		{Name: "kube-proxy", Use: Pod, Layers: []Layer{kubernetes, nft}, Entrypoint: []string{"/usr/local/bin/kube-proxy"}},
		{Name: "hyperkube", Use: Host, Layers: []Layer{kubernetes}},
		{Name: "etcd", Use: Pod, Layers: []Layer{{Program: "etcd", Dir: "/usr/local/bin", Base: true}}, Entrypoint: []string{"/usr/local/bin/etcd"}},
		{Name: "coredns", Use: Pod, Layers: []Layer{{Program: "coredns", Dir: "/", Base: true}}, Entrypoint: []string{"/coredns"}, User: "65532:65532"},
		{Name: "flannel", Use: Pod, Layers: []Layer{{Program: "flannel", Dir: "/usr/local/bin", Base: true}, nft}, Entrypoint: []string{"/usr/local/bin/flanneld"}},
		{Name: "metrics-server", Use: Pod, Layers: []Layer{{Program: "metrics-server", Dir: "/", Base: true}}, Entrypoint: []string{"/metrics-server"}, User: "65532:65532"},
		{Name: "pause", Use: Pod, Layers: []Layer{{Program: "pause", Dir: "/", Base: true}}, Entrypoint: []string{"/pause"}, User: "65532:65532"},
		// This window, of 64 MiB, reaches from the shim back to the beginning of containerd.
		{Name: "containerd", Use: Host, Layers: []Layer{{Program: "containerd", Dir: "/usr/local/bin", Window: 26}}},
		{Name: "runc", Use: Host, Layers: []Layer{{Program: "runc", Dir: "/usr/local/bin"}}},
		{Name: "cni-plugins", Use: Host, Layers: []Layer{{Program: "cni-plugins", Dir: "/opt/cni/bin"}}},
	}
}

// TestImages lists the workloads of the end-to-end tests; they are no part of the bundle.
func TestImages() []Image {
	return []Image{
		{Name: "test/echo", Use: Pod, Layers: []Layer{{Program: "echo", Dir: "/", Base: true}}, Entrypoint: []string{"/echo"}, User: "65532:65532"},
	}
}
