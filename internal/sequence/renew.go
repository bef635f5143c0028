package sequence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/step/apistep"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// renewWait is for the gardenlet to issue, the node agent to lay, and the static pods to start anew one after the other.
const renewWait = 10 * time.Minute

// Renew is the story of certs renew: new certificates for this node, and on a control plane node for the whole cluster. Authorities and
// keys that others rely on stay.
type Renew struct {
	Host *host.Host
	// Since is now: what was issued before it is replaced.
	Since time.Time

	// ControlPlane says, after Run, that the cluster's certificates were renewed, too.
	ControlPlane bool

	node     cluster.Node
	roused   bool // the node agent was made to look after certificates that are over
	api      *kube.Client
	agentKey request
	kubelet  request
}

// Graph declares the tasks. They need nothing from outside the cluster.
func (r *Renew) Graph() *flow.Graph {
	g := flow.New("renew")
	who := g.Add("find out which node this is", flow.Do(hoststep.Explained(r.look)))
	api := g.Add("connect with the API server", flow.Do(hoststep.Diagnosed(r.Host, diagnosis.Control, r.connect)).Retry(apiWait, apiEvery), who)
	agent := g.Add("renew the node agent's certificate", flow.Do(r.renewAgent).Retry(decisionWait, tryAgain), api)
	ask := g.Add("issue the cluster's certificates", flow.Do(r.ask).Unless(r.onWorker).Retry(requestWait, tryAgain), agent)
	laid := g.Add("wait until this node has them", flow.Do(r.waitForFiles).Unless(r.onWorker).Retry(renewWait, time.Second), ask)
	works := g.Add("wait until the control plane works with them", flow.Do(hoststep.Diagnosed(r.Host, diagnosis.Control, r.works)).Retry(renewWait, time.Second), laid)
	// Last: a kubelet that was just started does not take changed manifests until it has seen the API (GA-3047).
	g.Add("renew the kubelet's certificates", flow.Do(r.renewKubelet).Retry(decisionWait, tryAgain), works)
	return g
}

// Run runs the story. Only one command changes this machine at a time.
func (r *Renew) Run(ctx context.Context, o flow.Observer) error {
	unlock, err := hoststep.Lock(ctx, r.Host)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process
	return r.Graph().Run(ctx, o)
}

func (r *Renew) look(ctx context.Context) (err error) {
	r.ControlPlane = diagnosis.OnControlPlane(ctx, r.Host)
	r.node, err = hoststep.ThisNode(ctx, r.Host)
	return err
}

func (r *Renew) onWorker(context.Context) (string, error) {
	if r.ControlPlane {
		return "", nil
	}
	return "the cluster's certificates are renewed on a control plane node", nil
}

// connect reads the kubeconfig anew each time: it may hold a certificate that is over. Of those the node agent makes new ones when it
// starts, or has them made, also while no API server answers.
func (r *Renew) connect(ctx context.Context) error {
	api, err := r.clientOf(ctx, r.kubeconfig())
	if err == nil {
		err = api.Ready(ctx)
	}
	if err == nil {
		r.api = api
		return nil
	}
	if ended := hoststep.EndedCertificates(ctx, r.Host); len(ended) > 0 && !r.roused {
		if err := r.Host.Units.Restart(ctx, layout.UnitNodeAgent); err != nil {
			return fmt.Errorf("make the node agent renew %s: %w", ended[0].Path, err)
		}
		r.roused = true
	}
	return err
}

func (r *Renew) kubeconfig() string {
	if r.ControlPlane {
		return layout.FileAdminKubeconfig
	}
	return layout.FileAgentKubeconfig
}

func (r *Renew) clientOf(ctx context.Context, path string) (*kube.Client, error) {
	raw, err := r.Host.Files.Read(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	return kube.New(raw)
}

// renewAgent and renewKubelet ask in the names of those whose certificates are renewed: nobody else may.
func (r *Renew) renewAgent(ctx context.Context) error {
	identity, err := r.certify(ctx, layout.FileAgentKubeconfig, certificate.NodeAgentOrder(r.node.Name, r.node.Pool), &r.agentKey)
	if err != nil {
		return err
	}
	return hoststep.WriteAgentCertificate(ctx, r.Host, identity.Cert, identity.Key)
}

func (r *Renew) renewKubelet(ctx context.Context) error {
	identity, err := r.certify(ctx, layout.FileKubeletConf, certificate.KubeletOrder(r.node.Name), &r.kubelet)
	if err != nil {
		return err
	}
	return hoststep.ReplaceKubeletCertificate(ctx, r.Host, identity.Cert, identity.Key)
}

// certify keeps the key, so that the next try goes on with the same request.
func (r *Renew) certify(ctx context.Context, kubeconfig string, order certificate.Order, key *request) (apistep.Identity, error) {
	api, err := r.clientOf(ctx, kubeconfig)
	if err != nil {
		return apistep.Identity{}, flow.Permanent(err)
	}
	return key.certify(ctx, api, order)
}

func (r *Renew) ask(ctx context.Context) error { return definition.AskRenewal(ctx, r.api, r.Since) }

func (r *Renew) waitForFiles(ctx context.Context) error {
	return hoststep.WaitForNewCertificates(ctx, r.Host, r.Since)
}

// works asks with the new certificates. The node agent says that a configuration is applied when all that runs by it works.
func (r *Renew) works(ctx context.Context) error {
	api, err := r.clientOf(ctx, r.kubeconfig())
	if err != nil {
		return err
	}
	if err := api.Ready(ctx); err != nil {
		return err
	}
	if r.ControlPlane {
		// It goes on running and notices by itself that its files changed.
		shown, err := api.ServerCertificate(ctx)
		if err != nil {
			return err
		}
		if !hoststep.IssuedSince(shown.NotBefore, r.Since) {
			return errors.New("wait for the API server to show its new certificate: it still has the old one")
		}
	}
	name, err := hoststep.AgentSecret(ctx, r.Host)
	if err != nil {
		return err
	}
	return apistep.Applied(ctx, api, r.node.Name, name)
}
