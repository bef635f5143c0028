package sequence

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/record"
	"github.com/gardenadm/gardenadm/internal/step/apistep"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// record comes before the first change, so that reset can give back what was.
func (j *Join) record(ctx context.Context) error { return record.Keep(ctx, j.Host) }

func (j *Join) installProgram(ctx context.Context) error {
	return hoststep.InstallProgram(ctx, j.Host, j.Program)
}

// identify lays all that differs from the other nodes of the pool.
func (j *Join) identify(ctx context.Context) error {
	if err := hoststep.IdentifyNode(ctx, j.Host, j.Node, j.authority); err != nil {
		return err
	}
	if _, err := hoststep.SeedEndpoints(ctx, j.Host, j.known.List.Servers...); err != nil {
		return err
	}
	if err := j.writeCertificates(ctx); err != nil {
		return err
	}
	server := new(cluster.Cluster).NodeServer() // the same in every cluster: the endpoint proxy of the node
	if err := hoststep.WriteAgentKubeconfig(ctx, j.Host, server, j.authority); err != nil {
		return err
	}
	return hoststep.WriteKubeletKubeconfig(ctx, j.Host, server, j.authority)
}

// writeCertificates lays those of this run. What the node agent or the kubelet may have renewed stays.
func (j *Join) writeCertificates(ctx context.Context) error {
	if j.agent != nil {
		if err := hoststep.WriteAgentCertificate(ctx, j.Host, j.agent.Cert, j.agent.Key); err != nil {
			return fmt.Errorf("write node agent's certificate: %w", err)
		}
	}
	if j.kubelet != nil {
		if err := hoststep.WriteKubeletCertificate(ctx, j.Host, j.kubelet.Cert, j.kubelet.Key); err != nil {
			return fmt.Errorf("write kubelet certificate: %w", err)
		}
	}
	return nil
}

func (j *Join) settings() hoststep.Settings {
	return hoststep.Settings{Host: j.Host, Source: j.supply, Config: j.config, Facts: j.Machine.Facts, Node: j.Node}
}

// layFiles takes the node's programs from the mirrors, which takes longest of what needs no program of its own.
func (j *Join) layFiles(ctx context.Context) error { return j.settings().LayFiles(ctx) }

func (j *Join) startRuntime(ctx context.Context) error { return j.settings().StartRuntime(ctx) }

func (j *Join) importImages(ctx context.Context) error {
	want, err := j.settings().Want()
	if err != nil {
		return err
	}
	list, err := hoststep.JoinImages(want)
	if err != nil {
		return err
	}
	return j.supply.Pull(ctx, j.Host.Images, list)
}

func (j *Join) startNode(ctx context.Context) error { return j.settings().StartNode(ctx) }

// revive ends what keeps the agent's node from the cluster: a kubelet that runs never registers again when its Node was deleted, and
// nobody renews certificates of a Node that is gone.
func (j *Join) revive(ctx context.Context) error {
	// An endpoint proxy that found no list does not run, so it cannot be told one; systemd tries it again each second.
	seeded, err := hoststep.SeedEndpoints(ctx, j.Host, given(j.Addresses).Servers...)
	if err != nil {
		return err
	}
	j.revived = j.revived || seeded
	err = j.byAgent.Get(ctx, client.ObjectKey{Name: j.Node.Name}, &corev1.Node{})
	gone := apierrors.IsNotFound(err)
	if err != nil && !gone {
		return fmt.Errorf("look for Node %s: %w", j.Node.Name, err)
	}
	j.revived = j.revived || gone || j.agent != nil
	if j.agent != nil {
		if err := j.writeCertificates(ctx); err != nil {
			return err
		}
		if err := j.Host.Units.Restart(ctx, layout.UnitNodeAgent); err != nil {
			return err
		}
	}
	if !gone {
		return nil
	}
	kept, err := hoststep.KeptIdentity(ctx, j.Host, layout.FileKubeletCert, "system:node:"+j.Node.Name)
	if err != nil {
		return err
	}
	if kept == nil {
		if err := j.askKubelet(ctx); err != nil {
			return err
		}
		if err := j.writeCertificates(ctx); err != nil {
			return err
		}
	}
	return j.Host.Units.Restart(ctx, layout.UnitKubelet)
}

// waitReady asks as the node agent, at the address that was given: what is wrong with the way over the endpoint proxy shows in the
// node's own state.
func (j *Join) waitReady(ctx context.Context) error {
	err := j.byAgent.NodeReady(ctx, j.Node.Name)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the kubelet has not registered node %s yet", j.Node.Name)
	}
	return err
}

// waitUsable is the end of it: the agent says that the node is as its pool, and the gardenlet lets workload on it.
func (j *Join) waitUsable(ctx context.Context) error {
	if err := apistep.Applied(ctx, j.byAgent, j.Node.Name, j.pool.Secret); err != nil {
		return err
	}
	return apistep.Usable(ctx, j.byAgent, j.Node.Name)
}
