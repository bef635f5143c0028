package osc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

const keyPrefix = "gardener-node-agent-"

// TurnLease names the Lease in kube-system by which the nodes of the pool with this Secret take turns. Contract node-agent-and-osc §6.3
// gives it the Secret's own name, which is that of the own Lease of a node that is called like the pool (decision 0011).
func TurnLease(key string) string { return "turn." + key }

// Key names the Secret that brings the pool's OperatingSystemConfig to its nodes. A changed key means new nodes,
// so it is made of just what cannot be changed on a running node (contract node-agent-and-osc §2).
func Key(c *cluster.Cluster, pool cluster.Pool) (string, error) {
	strategy := pool.Worker.UpdateStrategy
	inPlace := strategy != nil && (*strategy == gardencore.AutoInPlaceUpdate || *strategy == gardencore.ManualInPlaceUpdate)
	if inPlace || !c.ManagesMachines() {
		return keyPrefix + pool.Name, nil
	}
	parsed, err := utilversion.ParseGeneric(c.KubeletVersion(pool))
	if err != nil {
		return "", fmt.Errorf("read Kubernetes version of pool %s: %w", pool.Name, err)
	}
	data := []string{fmt.Sprintf("%d.%d", parsed.Major(), parsed.Minor())}
	data = append(data, machine(pool.Worker)...)
	data = append(data, rotations(c.Shoot)...)
	if ownsDNSAddress(c.Shoot, parsed) {
		data = append(data, "node-local-dns")
	}
	data = append(data, reservations(c.Kubelet(pool))...)

	var all strings.Builder
	for _, datum := range data {
		all.WriteString(digest(datum))
	}
	return keyPrefix + pool.Name + "-" + digest(all.String())[:16], nil
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func machine(worker gardencore.Worker) []string {
	name := ""
	if image := worker.Machine.Image; image != nil {
		name = image.Name + value(image.Version)
	}
	out := []string{worker.Machine.Type, name}
	if volume := worker.Volume; volume != nil {
		out = append(out, volume.VolumeSize)
		if volume.Type != nil {
			out = append(out, *volume.Type)
		}
	}
	if worker.CRI != nil {
		out = append(out, string(worker.CRI.Name))
	}
	return out
}

func rotations(shoot *gardencore.Shoot) []string {
	var out []string
	if shoot.Status.Credentials == nil || shoot.Status.Credentials.Rotation == nil {
		return nil
	}
	rotation := shoot.Status.Credentials.Rotation
	if ca := rotation.CertificateAuthorities; ca != nil && ca.LastInitiationTime != nil {
		out = append(out, ca.LastInitiationTime.String())
	}
	if key := rotation.ServiceAccountKey; key != nil && key.LastInitiationTime != nil {
		out = append(out, key.LastInitiationTime.String())
	}
	return out
}

// ownsDNSAddress: pods ask the node-local DNS by an address of its own, which kubelet writes into them.
func ownsDNSAddress(shoot *gardencore.Shoot, kubernetes *utilversion.Version) bool {
	if !nodeLocalDNS(shoot) {
		return false
	}
	proxy := shoot.Spec.Kubernetes.KubeProxy
	ipvs := proxy != nil && proxy.Mode != nil && *proxy.Mode == gardencore.ProxyModeIPVS
	return ipvs || kubernetes.LessThan(utilversion.MajorMinor(1, 34))
}

func nodeLocalDNS(shoot *gardencore.Shoot) bool {
	components := shoot.Spec.SystemComponents
	return components != nil && components.NodeLocalDNS != nil && components.NodeLocalDNS.Enabled
}

func reservations(kubelet gardencore.KubeletConfig) []string {
	var out []string
	if reserved := kubelet.KubeReserved; reserved != nil {
		out = append(out, strings.Join([]string{
			quantity(reserved.CPU), quantity(reserved.Memory), quantity(reserved.PID), quantity(reserved.EphemeralStorage),
		}, "-"))
	}
	if hard := kubelet.EvictionHard; hard != nil {
		out = append(out, strings.Join([]string{
			value(hard.ImageFSAvailable), value(hard.ImageFSInodesFree), value(hard.MemoryAvailable),
			value(hard.NodeFSAvailable), value(hard.NodeFSInodesFree),
		}, "-"))
	}
	if kubelet.CPUManagerPolicy != nil {
		out = append(out, *kubelet.CPUManagerPolicy)
	}
	return out
}

func quantity(q *resource.Quantity) string {
	if q == nil {
		return "<nil>" // as the contract has it
	}
	return q.String()
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
