package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/daemon/nodeagent"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const fileSetting = "/etc/sysctl.d/99-k8s-general.conf"

// TestNodeAgent: with the rights that a cluster gives it, and no others, an agent applies, reports, heals and restarts.
func TestNodeAgent(t *testing.T) {
	on := start(t)
	c, err := cluster.New(twoPools(), uid)
	check(t, err)
	on.giveAccess(t, c)
	first := on.publish(t, c, "workers", "a=1")
	on.register(t, "w1", "workers")
	w1 := on.nodeAgent(t, c, "w1", "workers")

	eventually(t, "the first configuration is applied", func() bool { return on.applied(t, "w1") == first })
	if got := on.node(t, "w1").Annotations[secret.AnnotationPool]; got != "workers" {
		t.Errorf("its pool is %q", got)
	}
	if got := w1.read(t, fileSetting); got != "a=1" {
		t.Errorf("the setting is %q", got)
	}
	second := on.publish(t, c, "workers", "a=2")
	eventually(t, "the change is applied", func() bool { return on.applied(t, "w1") == second && w1.read(t, fileSetting) == "a=2" })

	w1.write(t, fileSetting, "a=3")
	eventually(t, "the drift is healed", func() bool { return w1.read(t, fileSetting) == "a=2" })
	eventually(t, "the drift is reported", func() bool { return strings.Contains(on.events(t, "FileDrift"), fileSetting) })

	on.edit(t, "w1", func(n *corev1.Node) { n.Annotations["worker.gardener.cloud/restart-systemd-services"] = "kubelet" })
	eventually(t, "the restart that was asked for is done", func() bool {
		_, asked := on.node(t, "w1").Annotations["worker.gardener.cloud/restart-systemd-services"]
		return !asked && w1.has("restart kubelet.service")
	})

	eventually(t, "the agent shows that it lives", func() bool { return on.lease(t, "gardener-node-agent-w1") != nil })
	eventually(t, "the units are reported", func() bool { return hasCondition(on.node(t, "w1"), "SystemdUnitsReady", corev1.ConditionTrue) })
	if !hasCondition(on.node(t, "w1"), corev1.NodeReady, corev1.ConditionTrue) {
		t.Error("the kubelet's condition is lost")
	}

	check(t, on.admin.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "gardenadm-endpoints"},
		Data:       map[string]string{"endpoints.json": `{"generation":1,"sequence":1,"servers":[{"node":"cp1","addresses":["192.0.2.1:6443"]}]}`},
	}))
	eventually(t, "the proxy is told", func() bool { return w1.told.Load() == 1 })

	before, began := w1.requests.Load(), time.Now()
	time.Sleep(20 * time.Second)
	t.Logf("idle: %.1f requests a minute", float64(w1.requests.Load()-before)/time.Since(began).Minutes())
	if text := w1.String(); strings.Contains(text, "level=WARN msg=\"the") || strings.Contains(text, "forbidden") {
		t.Errorf("the agent complains:\n%s", text)
	}
}

// TestNodesOfTheControlPlaneTakeTurns: the second node begins when the first one is well.
func TestNodesOfTheControlPlaneTakeTurns(t *testing.T) {
	on := start(t)
	c, err := cluster.New(twoPools(), uid)
	check(t, err)
	on.giveAccess(t, c)
	names := []string{"cp1", "cp2"}
	agents := map[string]*agentRun{}
	old := on.publish(t, c, "control-plane", "a=1")
	for _, name := range names {
		on.register(t, name, "control-plane")
		agents[name] = on.nodeAgent(t, c, name, "control-plane")
		agents[name].fake.SetPods(staticPod(name, "h-a=1"))
	}
	for _, name := range names {
		eventually(t, name+" has the first configuration", func() bool { return on.applied(t, name) == old })
	}
	changed := on.publish(t, c, "control-plane", "a=2")
	ahead := ""
	eventually(t, "one of them has the turn", func() bool {
		ahead = holder(on.lease(t, osc.TurnLease(keyOf(t, c, "control-plane"))))
		return ahead != "" && agents[ahead].read(t, fileSetting) == "a=2"
	})
	behind := names[0]
	if ahead == behind {
		behind = names[1]
	}
	time.Sleep(12 * time.Second) // longer than the other one waits between two looks
	if got := agents[behind].read(t, fileSetting); got != "a=1" || on.applied(t, ahead) != old {
		t.Fatalf("%s has %s while %s is not well", behind, got, ahead)
	}
	for _, name := range []string{ahead, behind} {
		agents[name].fake.SetPods(staticPod(name, "h-a=2"))
		eventually(t, name+" is changed", func() bool { return on.applied(t, name) == changed })
	}
	eventually(t, "nobody has the turn", func() bool { return holder(on.lease(t, osc.TurnLease(keyOf(t, c, "control-plane")))) == "" })
}

// agentRun is an agent on a machine in memory.
type agentRun struct {
	running
	fake     *hosttest.Fake
	requests atomic.Int64
	told     atomic.Int64
}

func (a *agentRun) read(t *testing.T, path string) string {
	t.Helper()
	raw, err := a.fake.Host().Files.Read(t.Context(), path)
	check(t, err)
	return string(raw)
}

func (a *agentRun) write(t *testing.T, path, content string) {
	t.Helper()
	check(t, a.fake.Host().Files.Write(t.Context(), path, strings.NewReader(content), 0o644))
}

func (a *agentRun) has(line string) bool {
	for _, one := range a.fake.Log() {
		if one == line {
			return true
		}
	}
	return false
}

// counted counts what the agent asks the API.
type counted struct {
	http.RoundTripper
	count *atomic.Int64
}

func (c counted) RoundTrip(request *http.Request) (*http.Response, error) {
	c.count.Add(1)
	return c.RoundTripper.RoundTrip(request)
}

// nodeAgent starts the agent of a node, as whom the node's certificate makes it.
func (a *api) nodeAgent(t *testing.T, c *cluster.Cluster, name, pool string) *agentRun {
	t.Helper()
	out := &agentRun{fake: hosttest.New()}
	machine := cluster.Node{Name: name, Pool: pool, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}}
	identity, err := dropin.EncodeNode(machine)
	check(t, err)
	out.write(t, layout.FileNode, string(identity))
	out.write(t, layout.FileAgentConfig, fmt.Sprintf("controllers: {operatingSystemConfig: {secretName: %s, kubernetesVersion: 1.36.3, syncPeriod: 2s}, systemdUnitCheck: {syncPeriod: 1s}}", keyOf(t, c, pool)))
	out.write(t, "/usr/lib/systemd/system/systemd-sysctl.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\n")
	check(t, out.fake.Host().Units.Reload(t.Context()))
	who := a.user(t, agentOf+name, agents, secret.NodeAgentPoolGroup(pool))
	out.write(t, layout.FileAgentKubeconfig, string(who.kubeconfig))
	config, err := clientcmd.Load(who.kubeconfig)
	check(t, err)
	for _, user := range config.AuthInfos {
		pair := string(user.ClientCertificateData) + string(user.ClientKeyData)
		out.write(t, layout.FileAgentCert, pair)
		out.write(t, layout.FileKubeletCert, pair) // join lays it first: without one the agent asks for it
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- nodeagent.Run(ctx, nodeagent.Options{
			Host: out.fake.Host(), Log: slog.New(slog.NewTextHandler(out, nil)), Supply: nothing{},
			Proxy: func(context.Context, endpoint.List) error { out.told.Add(1); return nil },
			Probe: func(context.Context, string) error { return nil },
			Wrap:  func(inner http.RoundTripper) http.RoundTripper { return counted{inner, &out.requests} },
		})
	}()
	out.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("agent of %s: %v", name, err)
		}
	})
	t.Cleanup(func() {
		out.stop()
		if t.Failed() {
			t.Logf("agent of %s:\n%s", name, out)
		}
	})
	return out
}

// nothing gives no files and no images.
type nothing struct{}

func (nothing) Digest(context.Context, string) (string, error) { return "sha256:1", nil }
func (nothing) Pull(context.Context, []image.Wanted) error     { return nil }
func (nothing) Extract(_ context.Context, image string, paths []string, to func(string, io.Reader) error) error {
	for _, path := range paths {
		if err := to(path, strings.NewReader(image)); err != nil {
			return err
		}
	}
	return nil
}

// publish publishes a small configuration of the pool as the gardenlet does, and returns its checksum.
func (a *api) publish(t *testing.T, c *cluster.Cluster, pool, setting string) string {
	t.Helper()
	inline := func(path, data string) extensionsv1alpha1.File {
		return extensionsv1alpha1.File{Path: path, Content: extensionsv1alpha1.FileContent{Inline: &extensionsv1alpha1.FileContentInline{Data: data}}}
	}
	config := &extensionsv1alpha1.OperatingSystemConfig{}
	config.Spec.Files = []extensionsv1alpha1.File{inline(fileSetting, setting)}
	if pool == "control-plane" {
		config.Spec.Files = append(config.Spec.Files, inline(layout.DirManifests+"/kube-apiserver.yaml", fmt.Sprintf(
			"apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system, annotations: {gardener.cloud/config.mirror: %q}}\nspec: {containers: [{name: kube-apiserver}]}\n", "h-"+setting)))
	}
	content := "[Service]\nExecStart=/opt/bin/kubelet\n[Install]\nWantedBy=multi-user.target\n"
	config.Spec.Units = []extensionsv1alpha1.Unit{
		{Name: "systemd-sysctl.service", Command: new(extensionsv1alpha1.CommandRestart), FilePaths: []string{fileSetting}},
		{Name: "kubelet.service", Enable: new(true), Content: &content},
	}
	raw, err := yaml.Marshal(config)
	check(t, err)
	object := secretOf(keyOf(t, c, pool))
	object.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}
	object.Data = map[string][]byte{"osc.yaml": raw}
	if pool == "control-plane" {
		object.Annotations = map[string]string{"reconciliation.osc.node-agent.gardener.cloud/serial": "true"}
	}
	check(t, a.admin.ApplyObjects(t.Context(), object))
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func staticPod(node, hash string) host.Pod {
	return host.Pod{
		Namespace: "kube-system", Name: "kube-apiserver-" + node, Ready: true, Annotations: map[string]string{"gardener.cloud/config.mirror": hash},
		Containers: []host.Container{{Name: "kube-apiserver", State: host.ContainerRunning}},
	}
}

// register makes the Node that a kubelet makes.
func (a *api) register(t *testing.T, name, pool string) {
	t.Helper()
	object := node(name)
	object.Labels["worker.gardener.cloud/pool"] = pool
	wanted := object.Status
	check(t, a.admin.Create(t.Context(), object))
	object.Status = wanted
	check(t, a.admin.Status().Update(t.Context(), object))
}

func (a *api) node(t *testing.T, name string) *corev1.Node {
	t.Helper()
	object := &corev1.Node{}
	check(t, a.admin.Get(t.Context(), client.ObjectKey{Name: name}, object))
	return object
}

func (a *api) edit(t *testing.T, name string, change func(*corev1.Node)) {
	t.Helper()
	before := a.node(t, name)
	after := before.DeepCopy()
	change(after)
	check(t, a.admin.Patch(t.Context(), after, client.MergeFrom(before)))
}

func (a *api) applied(t *testing.T, name string) string {
	t.Helper()
	return a.node(t, name).Annotations["checksum/cloud-config-data"]
}

func (a *api) events(t *testing.T, reason string) string {
	t.Helper()
	list := &corev1.EventList{}
	check(t, a.admin.List(t.Context(), list, client.InNamespace("default")))
	var out bytes.Buffer
	for _, event := range list.Items {
		if event.Reason == reason {
			fmt.Fprintln(&out, event.Message)
		}
	}
	return out.String()
}

func (a *api) lease(t *testing.T, name string) *coordinationv1.Lease {
	t.Helper()
	object := lease(name)
	err := a.admin.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	check(t, client.IgnoreNotFound(err))
	if err != nil {
		return nil
	}
	return object
}

func holder(lease *coordinationv1.Lease) string {
	if lease == nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func hasCondition(node *corev1.Node, kind corev1.NodeConditionType, status corev1.ConditionStatus) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == kind {
			return condition.Status == status
		}
	}
	return false
}
