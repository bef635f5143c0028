package cluster

import (
	"fmt"
	"net/netip"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// GardenerVersion is the version of Gardener's API that is spoken. A Shoot's status.gardener has it, and not that of this program, since a
// garden compares it with its own version; so only another API changes it.
const GardenerVersion = "v1.149.0"

// New makes the cluster that the manifests describe. uid is the cluster's identity; a Shoot that brings status.uid keeps its own.
// The manifests are copied and not changed. The error is a fault of class usage and lists everything that is wrong with them
// (manifest.Problems): fault.BadManifest, or the code that all problems share.
func New(set manifest.Set, uid string) (*Cluster, error) {
	if problems := missing(set); len(problems) > 0 {
		return nil, refuse(problems)
	}
	out := draft(set, uid)
	if problems := out.validate(); len(problems) > 0 {
		return nil, refuse(problems)
	}
	out.Warnings = append(out.warnings(), out.accessWarnings()...)
	return out, nil
}

func missing(set manifest.Set) manifest.Problems {
	var out manifest.Problems
	for _, one := range []struct {
		kind  string
		there bool
	}{
		{"CloudProfile", set.CloudProfile != nil}, {"Project", set.Project != nil}, {"Shoot", set.Shoot != nil},
	} {
		if !one.there {
			out = append(out, manifest.Problem{Object: one.kind, Message: "missing: a cluster needs exactly one"})
		}
	}
	return out
}

// draft is the cluster as far as it can be made of manifests that nobody has checked.
func draft(set manifest.Set, uid string) *Cluster {
	shoot, profile, project := defaulted(set.Shoot), set.CloudProfile.DeepCopy(), set.Project.DeepCopy()
	gardencore.SetObjectDefaults_CloudProfile(profile)
	gardencore.SetObjectDefaults_Project(project)
	if shoot.Status.UID == "" {
		shoot.Status.UID = types.UID(uid)
	}
	shoot.Status.Gardener = gardencore.Gardener{Name: "gardenadm", Version: GardenerVersion}
	if shoot.Status.TechnicalID == "" {
		shoot.Status.TechnicalID = fmt.Sprintf("shoot--%s--%s", project.Name, shoot.Name)
	}
	out := &Cluster{
		UID: string(shoot.Status.UID), Generation: 1,
		Shoot: shoot, CloudProfile: profile, Project: project, Manifests: withAuditPolicy(set, shoot),
	}
	networking := shoot.Spec.Networking
	out.Pods, out.Services, out.Nodes = networks(networking.Pods), networks(networking.Services), networks(networking.Nodes)
	for _, worker := range shoot.Spec.Provider.Workers {
		pool := Pool{Name: worker.Name, ControlPlane: worker.ControlPlane != nil, Worker: worker}
		out.Pools = append(out.Pools, pool)
		if pool.ControlPlane {
			out.ControlPlane = pool
		}
	}
	return out
}

// networks reads a network of the Shoot; what is none is left to validation.
func networks(text *string) []netip.Prefix {
	if text == nil {
		return nil
	}
	prefix, err := netip.ParsePrefix(*text)
	if err != nil {
		return nil
	}
	return []netip.Prefix{prefix.Masked()}
}
