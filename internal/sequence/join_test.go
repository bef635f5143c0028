package sequence

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/golden"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/model/offer"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/node/record"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/render/component/nodeaccess"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
	"github.com/gardenadm/gardenadm/internal/step/apistep"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

func TestJoinGraphs(t *testing.T) {
	join := &Join{}
	golden.Equal(t, "testdata/join.txt", []byte(join.Look().String()+"\n"+join.Join().String()))
}

// published is what a cluster has in its API and on its mirror. It is made once for many sites.
type published struct {
	authority []byte
	source    *bundle.Bundle
	objects   []client.Object
}

// publish makes a cluster with one control plane node and two pools for others.
func publish(t *testing.T) published {
	t.Helper()
	set := manifest.Builtin(netip.MustParsePrefix("192.0.2.0/24"))
	zoned := *set.Shoot.Spec.Provider.Workers[1].DeepCopy()
	zoned.Name, zoned.Zones, zoned.SystemComponents = "zoned", []string{"a", "b"}, &gardencore.WorkerSystemComponents{}
	set.Shoot.Spec.Provider.Workers = append(set.Shoot.Spec.Provider.Workers, zoned)
	c := componenttest.ClusterOf(t, set)

	nodes := []cluster.Node{{Name: "cp-1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Pool: "control-plane", Architecture: "amd64"}}
	origin := pack(t, programs(t, &Init{Cluster: c, Node: nodes[0]}))
	source, err := origin.Unpack(t.Context(), path.Join(t.TempDir(), "unpacked"))
	must(t, err)
	specs, err := pool.Secrets(c, nodes)
	must(t, err)
	in := component.Input{Cluster: c, Images: origin.Vector(), Secrets: componenttest.Issue(specs)}
	out := published{authority: newCertificate(t, pkix.Name{CommonName: "kubernetes"}, nil), source: source}
	in.Secrets[secret.AuthorityCluster].Data[secret.DataCACert] = out.authority

	rendered, err := nodeaccess.New().Objects(in)
	must(t, err)
	for _, object := range rendered {
		if configMap, ok := object.(*corev1.ConfigMap); ok {
			out.objects = append(out.objects, configMap)
		}
	}
	for _, of := range c.Pools {
		config, err := pool.Config(in, nodes, of)
		must(t, err)
		delivered, err := osc.Secret(c, of, config)
		must(t, err)
		out.objects = append(out.objects, delivered)
	}
	return out
}

// site is a cluster as a joining machine sees it.
type site struct {
	published
	t     *testing.T
	api   client.WithWatch
	token token.Token
	// denial is why requests are denied; unauthorized: the token is not accepted.
	denial       string
	unauthorized bool
	// foreign: the mirrors have images for another architecture.
	foreign bool
}

func (p published) site(t *testing.T) *site {
	t.Helper()
	one, err := token.Parse("abcdef.0123456789abcdef")
	must(t, err)
	var objects []client.Object
	for _, object := range p.objects {
		objects = append(objects, object.DeepCopyObject().(client.Object))
	}
	return &site{published: p, t: t, token: one, api: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).Build()}
}

// readySite is one in which the kubelet of machine-0 registers at once.
func (p published) readySite(t *testing.T) *site {
	s := p.site(t)
	s.register("machine-0", "192.0.2.10")
	return s
}

// newCertificate signs a certificate by itself; its public key is a new one unless it is given.
func newCertificate(t *testing.T, subject pkix.Name, public any) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	if public == nil {
		public = &key.PublicKey
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

// decide is the gardenlet, which takes a second.
func (s *site) decide(ctx context.Context, request *certificatesv1.CertificateSigningRequest) {
	go func() {
		time.Sleep(time.Second)
		if s.denial != "" {
			request.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Message: s.denial}}
		} else {
			block, _ := pem.Decode(request.Spec.Request)
			csr, err := x509.ParseCertificateRequest(block.Bytes)
			if err != nil {
				s.t.Error(err)
				return
			}
			request.Status.Certificate = newCertificate(s.t, csr.Subject, csr.PublicKey)
		}
		if err := s.api.Status().Update(ctx, request); err != nil {
			s.t.Error(err)
		}
	}()
}

// connect answers the token as far as the cluster's rules let it, and certificates.
func (s *site) connect(raw []byte) (*kube.Client, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(raw)
	if err != nil {
		return nil, err
	}
	byToken := config.BearerToken != ""
	if byToken && config.BearerToken != s.token.Text() {
		s.t.Errorf("the API is asked with the token %q", config.BearerToken)
	}
	refuse := func(object client.Object, name string) error {
		_, request := object.(*certificatesv1.CertificateSigningRequest)
		switch {
		case byToken && s.unauthorized:
			return apierrors.NewUnauthorized("Unauthorized")
		case byToken && !request && name != "gardenadm-pools":
			return apierrors.NewForbidden(certificatesv1.Resource("any"), name, errors.New("a token may not read it"))
		}
		return nil
	}
	return &kube.Client{Client: interceptor.NewClient(s.api, interceptor.Funcs{
		Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if err := refuse(object, key.Name); err != nil {
				return err
			}
			return api.Get(ctx, key, object, options...)
		},
		Create: func(ctx context.Context, api client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if err := refuse(object, object.GetName()); err != nil {
				return err
			}
			if err := api.Create(ctx, object, options...); err != nil {
				return err
			}
			s.decide(context.WithoutCancel(ctx), object.DeepCopyObject().(*certificatesv1.CertificateSigningRequest))
			return nil
		},
	})}, nil
}

// supply is a mirror.
type supply struct {
	*bundle.Bundle
	foreign bool
}

func (s supply) Pull(ctx context.Context, images host.Images, list []image.Wanted) error {
	for _, one := range list {
		if err := images.Import(ctx, host.Image{Name: one.Image, Digest: one.Digest, Pinned: true}, s.Bundle); err != nil {
			return fmt.Errorf("pull %s: %w", one.Image, err)
		}
	}
	return nil
}

func (s supply) Check(context.Context, string) error {
	if s.foreign {
		return fault.New(fault.OtherArchitecture, "it is made for linux/arm64")
	}
	return nil
}

// newMachine is a bare one.
func newMachine(t *testing.T) *hosttest.Fake {
	t.Helper()
	return bareMachine(t)
}

// join is the story of a machine that joins the site.
func (s *site) join(machine *hosttest.Fake) *Join {
	return &Join{
		Host: machine.Host(), Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:6443")}, Program: program, Trust: token.Trust{Token: s.token},
		SkipChecks: []string{"peer-ports", "peer-clock", "peer-identity", "peer-back", "peer-overlay"},
		Remote: Remote{
			Connect: s.connect,
			Establish: func(_ context.Context, _ token.Trust, addresses []string) (token.Cluster, error) {
				return token.Cluster{CA: s.authority, Address: addresses[0]}, nil
			},
			Refused: func(_ context.Context, _ token.Trust, in token.Cluster, cause error) error {
				return fault.New(fault.ExpiredToken, "at %s it expired: %w", in.Address, cause)
			},
			Supply: func(known endpoint.Known, _ []byte) (Supply, error) { return supply{s.source, s.foreign}, nil },
		},
	}
}

// register makes the Node that the kubelet would make, as the agent of a worker and the gardenlet leave it.
func (s *site) register(name, address string) {
	s.t.Helper()
	published := &corev1.Secret{}
	must(s.t, s.api.Get(s.t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "gardener-node-agent-worker"}, published))
	must(s.t, s.api.Create(s.t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"checksum/cloud-config-data": published.Annotations["checksum/data-script"]}},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}},
		},
	}))
}

// state is each file of the machine with what it is; content that differs from run to run is left out.
func state(t *testing.T, machine *hosttest.Fake) []string {
	t.Helper()
	files := machine.Host().Files
	var out []string
	var walk func(string)
	walk = func(name string) {
		info, err := files.Stat(t.Context(), name)
		must(t, err)
		content := info.SHA256
		if strings.Contains(name, "kubelet-client") || name == layout.FileAgentCert || name == record.FileKept {
			content = "its own"
		}
		out = append(out, fmt.Sprintf("%s %s %s %s", name, info.Mode, info.Target, content))
		if !info.Mode.IsDir() {
			return
		}
		names, err := files.List(t.Context(), name)
		must(t, err)
		for _, one := range names {
			walk(path.Join(name, one))
		}
	}
	walk("/")
	for _, unit := range []string{layout.UnitContainerd, layout.UnitKubelet, layout.UnitNodeAgent, layout.UnitProxySocket, layout.UnitNetwork} {
		found, err := machine.Host().Units.State(t.Context(), unit)
		must(t, err)
		out = append(out, fmt.Sprintf("%s %+v", unit, found))
	}
	return out
}

func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, machine := publish(t).readySite(t), newMachine(t)
		join := s.join(machine)
		if err := join.Run(t.Context(), nil); err != nil {
			t.Fatalf("%v, log:\n%s", err, strings.Join(machine.Log(), "\n"))
		}
		if join.Node.Pool != "worker" || join.Unchanged() {
			t.Errorf("got node %+v, unchanged %v", join.Node, join.Unchanged())
		}
		log := machine.Log()
		order := []string{
			"write " + record.FileKept, "write " + layout.FileNode, "start " + layout.UnitContainerd, "import ", "start " + layout.UnitKubelet, "start " + layout.UnitNodeAgent,
		}
		at := -1
		for _, line := range order {
			next := first(log, line)
			if strings.HasPrefix(line, "start ") {
				next = startOf(log, strings.TrimPrefix(line, "start "))
			}
			if next <= at {
				t.Errorf("%q is at %d, want it after %d:\n%s", line, next, at, strings.Join(log, "\n"))
			}
			at = next
		}
		for _, name := range []string{image.KubeAPIServer, image.Etcd, image.CoreDNS} {
			if at := first(log, "import "+reference(name)); at >= 0 {
				t.Errorf("%s: no pod of this node needs it to start", log[at])
			}
		}
		for _, line := range state(t, machine) {
			name, rest, _ := strings.Cut(line, " ")
			if raw, err := machine.Host().Files.Read(t.Context(), name); err == nil && strings.Contains(string(raw), s.token.Secret) {
				t.Errorf("the token is in %s", name)
			}
			if (name == layout.FileAgentCert || name == layout.FileAgentKubeconfig || name == layout.FileKubeletConf) && !strings.HasPrefix(rest, "-rw-------") {
				t.Errorf("others may read %s", line)
			}
		}
	})
}

// A machine that is a node already is left to its node agent.
func TestJoinAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, machine := publish(t).readySite(t), newMachine(t)
		must(t, s.join(machine).Run(t.Context(), nil))
		machine.ClearLog()
		s.unauthorized = true // the token has expired meanwhile
		again := s.join(machine)
		if err := again.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if log := machine.Log(); len(log) > 0 || !again.Unchanged() {
			t.Errorf("run again, it changed %q", log)
		}
	})
}

// Killed before any change, the next run ends as one that was never killed.
func TestJoinKilledAnywhere(t *testing.T) {
	killed := errors.New("killed")
	var want []string
	changes, all := 0, publish(t)
	synctest.Test(t, func(t *testing.T) {
		s, machine := all.readySite(t), newMachine(t)
		must(t, s.join(machine).Run(t.Context(), nil))
		want, changes = state(t, machine), len(machine.Log())
	})
	if changes < 50 {
		t.Fatalf("join makes %d changes only", changes)
	}
	for at := 1; at <= changes; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, machine := all.readySite(t), newMachine(t)
				machine.FailAt(at, flow.Permanent(killed))
				if err := s.join(machine).Run(t.Context(), nil); !errors.Is(err, killed) {
					t.Fatalf("it was not killed: %v", err)
				}
				again := s.join(machine)
				if err := again.Run(t.Context(), nil); err != nil {
					t.Fatalf("run again: %v", err)
				}
				if again.Unchanged() { // the node agent was started already, and ends the work
					var err error
					again.supply = supply{s.source, false}
					again.config, err = apistep.ReadConfiguration(t.Context(), s.api, "gardener-node-agent-worker")
					must(t, err)
					must(t, again.startNode(t.Context()))
				}
				got := state(t, machine)
				for _, line := range got {
					if !slices.Contains(want, line) {
						t.Errorf("run again, there is %s", line)
					}
				}
				for _, line := range want {
					if !slices.Contains(got, line) {
						t.Errorf("run again, there is not %s", line)
					}
				}
			})
		})
	}
}

// What cannot be is told before anything is changed.
func TestJoinRefused(t *testing.T) {
	all := publish(t)
	other := "no certificate\n"
	for name, test := range map[string]struct {
		spoil func(*testing.T, *site, *hosttest.Fake, *Join)
		want  fault.Code
		words string
	}{
		"unknown pool":              {func(_ *testing.T, _ *site, _ *hosttest.Fake, j *Join) { j.Pool = "nowhere" }, fault.NoSuchPool, "worker, zoned"},
		"pool of control plane":     {func(_ *testing.T, _ *site, _ *hosttest.Fake, j *Join) { j.Pool = "control-plane" }, fault.ControlPlanePool, "control-plane"},
		"zone for a pool of none":   {func(_ *testing.T, _ *site, _ *hosttest.Fake, j *Join) { j.Zone = "a" }, fault.BadFlag, "has no zones"},
		"no zone for a pool of two": {func(_ *testing.T, _ *site, _ *hosttest.Fake, j *Join) { j.Pool = "zoned" }, fault.BadFlag, "a, b"},
		"unknown zone":              {func(_ *testing.T, _ *site, _ *hosttest.Fake, j *Join) { j.Pool, j.Zone = "zoned", "moon" }, fault.BadFlag, "moon"},
		"address of another network": {func(t *testing.T, _ *site, m *hosttest.Fake, _ *Join) {
			away := netip.MustParseAddr("198.51.100.7")
			m.SetNetwork([]host.Address{{Link: "eth0", Prefix: netip.PrefixFrom(away, 24), Physical: true, Up: true}}, away)
		}, fault.NodeAddress, "198.51.100.7"},
		"address that is not there":      {func(_ *testing.T, _ *site, _ *hosttest.Fake, j *Join) { j.NodeIP = netip.MustParseAddr("192.0.2.77") }, fault.NodeAddress, "192.0.2.77"},
		"token that is not accepted":     {func(_ *testing.T, s *site, _ *hosttest.Fake, _ *Join) { s.unauthorized = true }, fault.ExpiredToken, "at 192.0.2.1:6443 it expired"},
		"token for another node":         {func(_ *testing.T, s *site, _ *hosttest.Fake, _ *Join) { s.denial = "token abcdef is for node a" }, fault.CertificateDenied, "is for node a"},
		"token that was used up":         {func(_ *testing.T, s *site, _ *hosttest.Fake, _ *Join) { s.denial = "used by a (GA-2408)" }, fault.TokenUsedUp, "used by a"},
		"images of another architecture": {func(_ *testing.T, s *site, _ *hosttest.Fake, _ *Join) { s.foreign = true }, fault.OtherArchitecture, "linux/arm64"},
		"architecture of another pool": {func(t *testing.T, s *site, _ *hosttest.Fake, _ *Join) {
			configMap := &corev1.ConfigMap{}
			must(t, s.api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: offer.Name}, configMap))
			given, err := offer.Decode([]byte(configMap.Data[offer.DataKey]))
			must(t, err)
			given.Pools[1].Architecture = "arm64"
			raw, err := given.Encode()
			must(t, err)
			configMap.Data[offer.DataKey] = string(raw)
			must(t, s.api.Update(t.Context(), configMap))
		}, fault.OtherArchitecture, "the cluster's are arm64"},
		"nothing published": {func(t *testing.T, s *site, _ *hosttest.Fake, _ *Join) {
			must(t, s.api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "gardenadm-pools"}}))
		}, fault.NotPublished, "gardenadm-pools"},
		"name of another": {func(t *testing.T, s *site, _ *hosttest.Fake, _ *Join) { s.register("machine-0", "192.0.2.99") }, fault.NodeNameTaken, "192.0.2.99"},
		"node of another cluster": {func(t *testing.T, _ *site, m *hosttest.Fake, _ *Join) {
			must(t, m.Host().Files.Write(t.Context(), layout.FileClusterCA, strings.NewReader(other+string(newCertificate(t, pkix.Name{CommonName: "other"}, nil))), 0o644))
		}, fault.NodeOfAnother, layout.FileClusterCA},
		"node of another pool": {func(t *testing.T, s *site, m *hosttest.Fake, _ *Join) {
			identify(t, s, m, cluster.Node{Name: "machine-0", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, Pool: "control-plane"})
		}, fault.NodeOfAnother, `"control-plane" already`},
		"another name than it has": {func(t *testing.T, s *site, m *hosttest.Fake, _ *Join) {
			identify(t, s, m, cluster.Node{Name: "machine-7", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, Pool: "worker"})
		}, fault.NodeOfAnother, `"machine-7" already`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, machine := all.site(t), newMachine(t)
				join := s.join(machine)
				test.spoil(t, s, machine, join)
				machine.ClearLog()
				err := join.Run(t.Context(), nil)
				time.Sleep(2 * time.Second) // for the decision that nobody waits for any more
				found := fault.Of(err)
				if len(found) == 0 || found[0].Code != test.want || !strings.Contains(err.Error(), test.words) {
					t.Errorf("got %v, want %s with %q", err, test.want, test.words)
				}
				if log := machine.Log(); len(log) > 0 {
					t.Errorf("it changed the machine: %q", log)
				}
			})
		})
	}
}

func identify(t *testing.T, s *site, machine *hosttest.Fake, node cluster.Node) {
	t.Helper()
	must(t, machine.Host().Files.MakeDir(t.Context(), layout.DirState, host.Owner{}, 0o700))
	must(t, hoststep.IdentifyNode(t.Context(), machine.Host(), node, s.authority))
}
