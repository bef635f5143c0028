package manifest

import (
	"net/netip"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// Names in the built-in manifests.
const (
	BuiltinName   = "local"
	BuiltinDomain = "local.gardenadm.internal"
	// KubernetesVersion is the version of a new cluster.
	KubernetesVersion = "1.36.3"
	// ProviderNone is the provider type of machines that nobody manages: gardenadm serves it without an extension.
	ProviderNone    = "none"
	namespaceGarden = "garden"
	region          = "local"
	machineType     = "any"
	machineImage    = "any"
)

// SupportedKubernetes lists the versions that a Shoot may have, oldest first: exactly those that upstream/ builds.
func SupportedKubernetes() []string { return []string{KubernetesVersion} }

// DefaultNodes is the node network of the built-in Shoot where the machine's own is not known.
func DefaultNodes() netip.Prefix { return netip.MustParsePrefix("10.250.0.0/16") }

// Builtin returns the manifests of the cluster that `init` makes when it is given none: one machine that carries
// the control plane and workload. nodes is the network of the machine's address.
func Builtin(nodes netip.Prefix) Set {
	return Set{CloudProfile: builtinCloudProfile(), Project: builtinProject(), Shoot: builtinShoot(nodes)}
}

func builtinShoot(nodes netip.Prefix) *gardencore.Shoot {
	nftables := gardencore.ProxyMode("NFTables")
	return &gardencore.Shoot{
		TypeMeta: typeMeta("Shoot"),
		ObjectMeta: metav1.ObjectMeta{
			Name: BuiltinName, Namespace: namespaceGarden,
			Annotations: map[string]string{"node.gardenadm.dev/shared": "true"},
		},
		Spec: gardencore.ShootSpec{
			CloudProfile: &gardencore.CloudProfileReference{Kind: "CloudProfile", Name: BuiltinName},
			Region:       region,
			DNS:          &gardencore.DNS{Domain: ptr.To(BuiltinDomain)},
			Kubernetes: gardencore.Kubernetes{
				Version:   KubernetesVersion,
				KubeProxy: &gardencore.KubeProxyConfig{Mode: &nftables, Enabled: ptr.To(true)},
				// Gardener's 50 and 40 suit nodes whose disk is their own; the images of a bundle are pinned anyway.
				Kubelet: &gardencore.KubeletConfig{ImageGCHighThresholdPercent: ptr.To[int32](85), ImageGCLowThresholdPercent: ptr.To[int32](80)},
			},
			Networking: &gardencore.Networking{
				Type:  ptr.To("flannel"),
				Pods:  ptr.To("100.96.0.0/11"),
				Nodes: ptr.To(nodes.Masked().String()), Services: ptr.To("100.64.0.0/13"),
				IPFamilies: []gardencore.IPFamily{gardencore.IPFamilyIPv4},
			},
			Maintenance: &gardencore.Maintenance{
				TimeWindow: &gardencore.MaintenanceTimeWindow{Begin: "220000+0000", End: "230000+0000"},
				AutoUpdate: &gardencore.MaintenanceAutoUpdate{KubernetesVersion: false, MachineImageVersion: ptr.To(false)},
			},
			Provider: gardencore.Provider{Type: ProviderNone, Workers: []gardencore.Worker{builtinControlPlane(), builtinWorkers()}},
		},
	}
}

func builtinControlPlane() gardencore.Worker {
	out := builtinPool("control-plane")
	out.Minimum, out.Maximum = 1, 1
	out.ControlPlane = &gardencore.WorkerControlPlane{}
	return out
}

// builtinWorkers is the pool of machines that join; there may be none.
func builtinWorkers() gardencore.Worker {
	out := builtinPool("worker")
	out.Maximum = 100
	return out
}

func builtinPool(name string) gardencore.Worker {
	return gardencore.Worker{
		Name:             name,
		Machine:          gardencore.Machine{Type: machineType, Image: &gardencore.ShootMachineImage{Name: machineImage}},
		MaxSurge:         ptr.To(intstr.FromInt32(1)),
		MaxUnavailable:   ptr.To(intstr.FromInt32(0)),
		SystemComponents: &gardencore.WorkerSystemComponents{Allow: true},
	}
}

func builtinProject() *gardencore.Project {
	return &gardencore.Project{
		TypeMeta:   typeMeta("Project"),
		ObjectMeta: metav1.ObjectMeta{Name: namespaceGarden},
		Spec:       gardencore.ProjectSpec{Namespace: ptr.To(namespaceGarden)},
	}
}

func builtinCloudProfile() *gardencore.CloudProfile {
	return &gardencore.CloudProfile{
		TypeMeta:   typeMeta("CloudProfile"),
		ObjectMeta: metav1.ObjectMeta{Name: BuiltinName},
		Spec: gardencore.CloudProfileSpec{
			Type:       ProviderNone,
			Kubernetes: gardencore.KubernetesSettings{Versions: []gardencore.ExpirableVersion{{Version: KubernetesVersion}}},
			MachineImages: []gardencore.MachineImage{{
				Name: machineImage,
				Versions: []gardencore.MachineImageVersion{{
					ExpirableVersion: gardencore.ExpirableVersion{Version: "0.0.0"},
					CRI:              []gardencore.CRI{{Name: gardencore.CRINameContainerD}},
					Architectures:    []string{"amd64", "arm64"},
				}},
			}},
			// A Shoot that states no architecture has that of its machines, whatever its type.
			MachineTypes: []gardencore.MachineType{
				{Name: machineType, Architecture: ptr.To("amd64"), Usable: ptr.To(true)},
				{Name: machineType + "-arm64", Architecture: ptr.To("arm64"), Usable: ptr.To(true)},
			},
			Regions: []gardencore.Region{{Name: region}},
		},
	}
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: gardencore.SchemeGroupVersion.String(), Kind: kind}
}
