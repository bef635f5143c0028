package sequence

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
	"github.com/gardenadm/gardenadm/internal/node/preflight"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/step/apistep"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// trust finds out whose cluster it is. A machine that was told so before, and trusts one that is pinned, needs no valid token for that:
// a run that was killed can be ended after the token has expired.
func (j *Join) trust(ctx context.Context) (err error) {
	if j.past, err = hoststep.FindPast(ctx, j.Host); err != nil {
		return err
	}
	trust := j.Trust
	if trust.CA == nil && j.past.Authority != nil && trust.Pinned(j.past.Authority) {
		trust.CA = j.past.Authority
	}
	establish := j.Remote.Establish
	if establish == nil {
		establish = func(ctx context.Context, trust token.Trust, addresses []string) (token.Cluster, error) {
			return trust.Establish(ctx, cluster.TLSServerName, addresses)
		}
	}
	var addresses []string
	for _, address := range j.Addresses {
		addresses = append(addresses, address.String())
	}
	found, err := establish(ctx, trust, addresses)
	if err != nil {
		return err
	}
	j.found, j.authority, j.server = found, found.CA, "https://"+found.Address
	return j.past.Of(j.authority)
}

// readOffer chooses pool and zone. It asks as the node that this machine is, if it is one, else with the token.
func (j *Join) readOffer(ctx context.Context) (err error) {
	if j.byToken, err = j.connect(kubeconfig.Config{Token: j.Trust.Token.Text()}); err != nil {
		return err
	}
	api := j.byToken
	if j.past.Node != nil {
		kept, err := hoststep.KeptIdentity(ctx, j.Host, layout.FileAgentCert, constants.NodeAgentUserNamePrefix+j.past.Node.Name)
		if err != nil {
			return err
		}
		if kept != nil {
			if j.byAgent, err = j.connect(kubeconfig.Config{Cert: kept, Key: kept}); err != nil {
				return err
			}
			api = j.byAgent
		}
	}
	if j.offer, err = apistep.ReadOffer(ctx, api); err != nil {
		return j.told(ctx, api, err)
	}
	if err := j.choosePool(); err != nil {
		return err
	}
	_, err = j.pool.CheckZone(j.Zone)
	return err
}

// told is err, or why the cluster does not take the token: with an authority that was given nobody has looked at it before.
func (j *Join) told(ctx context.Context, api *kube.Client, err error) error {
	refused := slices.ContainsFunc(fault.Of(err), func(f *fault.Error) bool { return f.Code == fault.TokenRefused })
	if !refused || api != j.byToken {
		return err
	}
	if word := j.Remote.Refused; word != nil {
		return word(ctx, j.Trust, j.found, err)
	}
	return j.Trust.Refused(ctx, cluster.TLSServerName, j.found, err)
}

// choosePool takes those that the machine has already where none are given.
func (j *Join) choosePool() (err error) {
	if own := j.past.Node; own != nil && j.Pool == "" {
		if _, err := j.offer.Pool(own.Pool); err == nil {
			j.Pool = own.Pool
		}
	}
	if j.pool, err = j.offer.Pool(j.Pool); err != nil {
		return err
	}
	if own := j.past.Node; own != nil && j.Zone == "" && own.Pool == j.pool.Name {
		j.Zone = own.Zone
	}
	return nil
}

// connect makes a client of the API server that was found. The kubeconfig stays in memory.
func (j *Join) connect(as kubeconfig.Config) (*kube.Client, error) {
	as.Server, as.TLSServerName, as.CA = j.server, cluster.TLSServerName, j.authority
	connect := j.Remote.Connect
	if connect == nil {
		connect = kube.New
	}
	return connect(kubeconfig.Render(as))
}

func (j *Join) check(ctx context.Context) (err error) {
	var peers *preflight.Peers
	if j.past.Node == nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(j.authority)
		peers = &preflight.Peers{Authorities: roots, Reach: j.Remote.Reach}
		for _, address := range j.Addresses {
			peers.Addresses = append(peers.Addresses, address.Addr())
		}
	}
	in := hoststep.JoinInput(j.offer, j.pool, peers)
	in.Skip = j.SkipChecks
	if in.NodeIP, err = j.address(ctx); err != nil {
		return err
	}
	if j.Machine, err = hoststep.Check(ctx, j.Host, in); err != nil {
		return err
	}
	if j.Node, err = j.Machine.Worker(j.offer, j.pool, j.Zone); err != nil {
		return err
	}
	return j.past.Same(j.Node)
}

// address is the wanted one. Where none is wanted, a node keeps the one that it has, unless the machine has lost it: the rules' choice
// may be another one.
func (j *Join) address(ctx context.Context) (netip.Addr, error) {
	if j.NodeIP.IsValid() || j.past.Node == nil {
		return j.NodeIP, nil
	}
	own := j.past.Node.IP()
	addresses, err := j.Host.Network.Addresses(ctx)
	if err != nil || !slices.ContainsFunc(addresses, func(a host.Address) bool { return a.Prefix.Addr() == own }) {
		return netip.Addr{}, err
	}
	return own, nil
}

// kept ends join's work on the machine.
func (j *Join) kept(context.Context) (string, error) {
	if j.past.Kept {
		return "the node agent keeps this machine", nil
	}
	return "", nil
}

func (j *Join) notKept(context.Context) (string, error) {
	if !j.past.Kept {
		return "this machine was no node before", nil
	}
	return "", nil
}

const hasOne = "it has one already"

func (j *Join) hasAgent(context.Context) (string, error) {
	if j.byAgent != nil {
		return hasOne, nil
	}
	return "", nil
}

func (j *Join) hasKubelet(ctx context.Context) (string, error) {
	if why, err := j.kept(ctx); why != "" || err != nil {
		return why, err
	}
	kept, err := hoststep.KeptIdentity(ctx, j.Host, layout.FileKubeletCert, "system:node:"+j.Node.Name)
	if kept == nil || err != nil {
		return "", err
	}
	return hasOne, nil
}

func (j *Join) askAgent(ctx context.Context) error {
	got, err := j.agentKey.certify(ctx, j.byToken, certificate.NodeAgentOrder(j.Node.Name, j.Node.Pool))
	if err != nil {
		return j.told(ctx, j.byToken, err)
	}
	j.agent = &got
	j.byAgent, err = j.connect(kubeconfig.Config{Cert: got.Cert, Key: got.Key})
	return err
}

func (j *Join) askKubelet(ctx context.Context) error {
	got, err := j.kubeletKey.certify(ctx, j.byToken, certificate.KubeletOrder(j.Node.Name))
	if err != nil {
		return j.told(ctx, j.byToken, err)
	}
	j.kubelet = &got
	return nil
}

// request is what the tries to get a certificate have in common.
type request struct{ key *ecdsa.PrivateKey }

func (r *request) certify(ctx context.Context, api *kube.Client, order certificate.Order) (_ apistep.Identity, err error) {
	if r.key == nil {
		if r.key, err = apistep.NewKey(); err != nil {
			return apistep.Identity{}, err
		}
	}
	ctx, stop := context.WithTimeoutCause(ctx, decisionTry, errors.New("no decision within "+decisionTry.String()))
	defer stop()
	return apistep.Certify(ctx, api, order, r.key)
}

// readConfiguration reads all that the node needs to work on without the API.
func (j *Join) readConfiguration(ctx context.Context) (err error) {
	if err := apistep.CheckName(ctx, j.byAgent, j.Node); err != nil {
		return err
	}
	if j.config, err = apistep.ReadConfiguration(ctx, j.byAgent, j.pool.Secret); err != nil {
		return err
	}
	raw, err := apistep.ReadEndpoints(ctx, j.byAgent)
	if err != nil {
		return err
	}
	list, err := endpoint.Decode(raw)
	if err != nil { // it is not published yet, or by a newer release: those that were given will do
		list = given(j.Addresses)
	}
	j.known = endpoint.Known{List: list}
	supply := j.Remote.Supply
	if supply == nil {
		supply = func(known endpoint.Known, authority []byte) (Supply, error) {
			return mirror.OfNode(j.Host, known, authority)
		}
	}
	if j.supply, err = supply(j.known, j.authority); err != nil {
		return err
	}
	return j.checkPrograms(ctx)
}

// checkPrograms: where the Shoot leaves the architecture open, the node's programs tell it. They are all for the same one.
func (j *Join) checkPrograms(ctx context.Context) error {
	for _, file := range j.config.Spec.Files {
		if from := file.Content.ImageRef; from != nil {
			return j.supply.Check(ctx, from.Image)
		}
	}
	return nil
}

// given is the list of API servers that a person gave; nobody knows the names of their nodes yet.
func given(addresses []netip.AddrPort) endpoint.List {
	out := endpoint.List{Generation: 1, Sequence: 1}
	for i, address := range addresses {
		out.Servers = append(out.Servers, endpoint.Server{Node: fmt.Sprintf("server-%d", i+1), Addresses: []netip.AddrPort{address}})
	}
	return out
}
