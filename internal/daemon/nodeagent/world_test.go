package nodeagent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
)

const (
	poolSecret = "gardener-node-agent-workers"
	fileSysctl = "/etc/sysctl.d/99-k8s-general.conf"
)

var errAway = errors.New("connection refused")

// api is a cluster's API in memory that can be away, and counts what it is asked.
type api struct {
	client.WithWatch
	mu   sync.Mutex
	away bool
	// refused is a question that fails alone, and secretsAfter how long watches of Secrets take to begin.
	refused      string
	secretsAfter time.Duration
	asked        map[string]int
}

func newAPI() *api {
	a := &api{asked: map[string]int{}}
	inner := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithStatusSubresource(&corev1.Node{}).
		WithIndex(&corev1.Secret{}, "metadata.name", func(o client.Object) []string { return []string{o.GetName()} }).Build()
	a.WithWatch = interceptor.NewClient(inner, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			return a.answer("get", object, func() error { return c.Get(ctx, key, object, options...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return a.answer("create", object, func() error { return c.Create(ctx, object, options...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			return a.answer("update", object, func() error { return c.Update(ctx, object, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			return a.answer("patch", object, func() error { return c.Patch(ctx, object, patch, options...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			return a.answer("patch "+sub+" of", object, func() error { return c.SubResource(sub).Patch(ctx, object, patch, options...) })
		},
		Watch: a.watch,
	})
	return a
}

func (a *api) answer(verb string, object any, do func() error) error {
	a.mu.Lock()
	what := fmt.Sprintf("%s %T", verb, object)
	a.asked[what]++
	away := a.away || what == a.refused
	a.mu.Unlock()
	if away {
		return errAway
	}
	return do()
}

// watch begins with what there is, as the real API does; the fake one does not.
func (a *api) watch(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
	if _, ok := list.(*corev1.SecretList); ok && !sleep(ctx, a.secretsAfter) {
		return nil, ctx.Err()
	}
	var out watch.Interface
	err := a.answer("watch", list, func() error {
		inner, err := c.Watch(ctx, list, options...)
		if err != nil {
			return err
		}
		var of client.ListOptions
		of.ApplyOptions(options)
		there := list.DeepCopyObject().(client.ObjectList)
		if err := c.List(ctx, there, client.InNamespace(of.Namespace)); err != nil {
			return err
		}
		items, err := meta.ExtractList(there)
		if err != nil {
			return err
		}
		events := make(chan watch.Event, 100)
		stop := watch.NewProxyWatcher(events)
		go func() {
			defer close(events)
			defer inner.Stop()
			for _, item := range items {
				events <- watch.Event{Type: watch.Added, Object: item}
			}
			for {
				select {
				case <-ctx.Done():
					return
				case <-stop.StopChan():
					return
				case <-time.After(time.Duration(*of.Raw.TimeoutSeconds) * time.Second):
					return
				case event := <-inner.ResultChan():
					events <- event
				}
			}
		}()
		out = stop
		return nil
	})
	return out, err
}

func (a *api) setAway(away bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = away
}

// refuse lets one kind of question fail, as "get *v1.Lease"; "" for none.
func (a *api) refuse(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = what
}

// count returns what was asked since it was called last.
func (a *api) count() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := a.asked
	a.asked = map[string]int{}
	return asked
}

// supply has all programs, and remembers which images were pulled.
type supply struct {
	mu     sync.Mutex
	pulled []string
	err    error
	// hangs: nobody gets a program, nor an error.
	hangs bool
}

func (s *supply) Digest(context.Context, string) (string, error) { return "sha256:1", nil }

func (s *supply) Extract(ctx context.Context, image string, paths []string, to func(string, io.Reader) error) error {
	s.mu.Lock()
	hangs := s.hangs
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, path := range paths {
		if err := to(path, strings.NewReader(image+path)); err != nil {
			return err
		}
	}
	return nil
}

func (s *supply) Pull(_ context.Context, list []image.Wanted) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulled = append(s.pulled, names(list))
	return s.err
}

func (s *supply) hang(hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = hangs
}

func (s *supply) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *supply) has(image string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.pulled, image)
}

// world is a node with its agent, and its cluster's API.
type world struct {
	t      *testing.T
	fake   *hosttest.Fake
	api    *api
	node   cluster.Node
	supply *supply
	images host.Images // other ones than the fake's
	log    bytes.Buffer

	mu      sync.Mutex
	told    []endpoint.List
	unwell  map[string]error // by URL
	renewal func() (string, error)
	ended   error
	stop    func()
}

// newWorld is called within a synctest bubble.
func newWorld(t *testing.T, shared *api, name, pool string) *world {
	t.Helper()
	w := &world{t: t, fake: hosttest.New(), api: shared, supply: &supply{}, unwell: map[string]error{}}
	facts := host.Facts{HostName: name, CgroupVersion: 2, Systemd: true, LowersOOMScore: true, Architecture: "amd64"}
	w.fake.SetFacts(facts)
	w.node = cluster.Node{Name: name, Pool: pool, Zone: "a", Architecture: "amd64", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}}
	identity, err := dropin.EncodeNode(w.node)
	w.must(err)
	w.write(layout.FileNode, string(identity), 0o644)
	w.write(fileHostName, name+"\n", 0o644)
	w.write(layout.FileAgentConfig, fmt.Sprintf(`apiVersion: nodeagent.config.gardener.cloud/v1alpha1
kind: NodeAgentConfiguration
controllers:
  operatingSystemConfig: {secretName: gardener-node-agent-%s, kubernetesVersion: 1.36.3, syncPeriod: 30s}
`, pool), 0o600)
	w.write("/usr/lib/systemd/system/systemd-sysctl.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\n", 0o644)
	w.must(w.fake.Host().Units.Reload(t.Context()))
	w.writeCredentials(30 * 24 * time.Hour)
	w.fake.ClearLog()
	return w
}

// writeCredentials gives the agent and the kubelet certificates that are valid for so long from now.
func (w *world) writeCredentials(valid time.Duration) {
	w.t.Helper()
	signer := newSigner(w.t)
	for _, path := range []string{layout.FileAgentCert, layout.FileKubeletCert} {
		w.write(path, string(signer.pair(valid)), 0o600)
	}
	w.write(layout.FileAgentKubeconfig, string(kubeconfig.Render(kubeconfig.Config{
		Server: "https://127.0.0.1:7443", TLSServerName: cluster.TLSServerName, CA: signer.authority(),
		CertFile: layout.FileAgentCert, KeyFile: layout.FileAgentCert,
	})), 0o600)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(path, content string, mode uint32) {
	w.t.Helper()
	w.must(w.fake.Host().Files.Write(context.Background(), path, strings.NewReader(content), fs.FileMode(mode)))
}

func (w *world) read(path string) string {
	w.t.Helper()
	raw, err := w.fake.Host().Files.Read(context.Background(), path)
	w.must(err)
	return string(raw)
}

// run starts the agent; it has ended when the test ends.
func (w *world) run() {
	w.t.Helper()
	machine := *w.fake.Host()
	if w.images != nil {
		machine.Images = w.images
	}
	d, err := load(w.t.Context(), Options{
		Host: &machine, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Supply: w.supply,
		Proxy: func(_ context.Context, list endpoint.List) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, list)
			return nil
		},
		Probe: func(_ context.Context, url string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.unwell[url]
		},
		Renewal: func(context.Context) (string, error) { return w.renewal() },
	})
	w.must(err)
	d.api = w.api
	d.apiOf = func(string) (client.WithWatch, error) { return w.api, nil }
	ctx, cancel := context.WithCancel(context.Background())
	w.ended = nil
	var running sync.WaitGroup
	running.Go(func() { w.ended = d.run(ctx) })
	w.stop = func() {
		cancel()
		running.Wait()
	}
	w.t.Cleanup(w.stop)
	synctest.Wait()
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// configuration is one of the pool's: a setting of the kernel, a program and a unit.
func configuration(setting string, change ...func(*extensionsv1alpha1.OperatingSystemConfig)) *extensionsv1alpha1.OperatingSystemConfig {
	content := "[Service]\nExecStart=/opt/bin/kubelet\n[Install]\nWantedBy=multi-user.target\n"
	out := &extensionsv1alpha1.OperatingSystemConfig{}
	out.Spec.Files = []extensionsv1alpha1.File{
		file(fileSysctl, setting),
		{Path: "/opt/bin/kubelet", Permissions: new(uint32(0o755)), Content: extensionsv1alpha1.FileContent{
			ImageRef: &extensionsv1alpha1.FileContentImageRef{Image: "registry/hyperkube:1", FilePathInImage: "/kubelet"}}},
	}
	out.Spec.Units = []extensionsv1alpha1.Unit{
		{Name: "systemd-sysctl.service", Command: new(extensionsv1alpha1.CommandRestart), FilePaths: []string{fileSysctl}},
		{Name: layout.UnitKubelet, Enable: new(true), Content: &content, FilePaths: []string{"/opt/bin/kubelet"}},
	}
	for _, c := range change {
		c(out)
	}
	return out
}

func file(path, data string) extensionsv1alpha1.File {
	return extensionsv1alpha1.File{Path: path, Permissions: new(uint32(0o644)), Content: extensionsv1alpha1.FileContent{
		Inline: &extensionsv1alpha1.FileContentInline{Data: data}}}
}

// publish makes the configuration the pool's, and returns its checksum.
func (w *world) publish(config *extensionsv1alpha1.OperatingSystemConfig, annotations ...string) string {
	w.t.Helper()
	raw, err := yaml.Marshal(config)
	w.must(err)
	return w.publishRaw(raw, annotations...)
}

func (w *world) publishRaw(raw []byte, annotations ...string) string {
	w.t.Helper()
	object := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "gardener-node-agent-" + w.node.Pool, Annotations: map[string]string{}},
		Data:       map[string][]byte{"osc.yaml": raw},
	}
	for _, annotation := range annotations {
		key, value, _ := strings.Cut(annotation, "=")
		object.Annotations[key] = value
	}
	err := w.api.WithWatch.Create(w.t.Context(), object)
	if err != nil {
		w.must(w.api.Update(w.t.Context(), object))
	}
	synctest.Wait()
	return newDesired(raw, false).checksum
}

// register makes the kubelet's Node.
func (w *world) register(change ...func(*corev1.Node)) {
	w.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.node.Name, UID: "uid", Labels: map[string]string{}, Annotations: map[string]string{}}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	for _, c := range change {
		c(node)
	}
	w.must(w.api.Create(w.t.Context(), node))
	synctest.Wait()
}

func (w *world) get() *corev1.Node {
	w.t.Helper()
	node := &corev1.Node{}
	w.must(w.api.WithWatch.Get(w.t.Context(), client.ObjectKey{Name: w.node.Name}, node))
	return node
}

// change changes the Node as an administrator, or its status as the kubelet.
func (w *world) change(change func(*corev1.Node)) {
	w.t.Helper()
	before := w.get()
	after := before.DeepCopy()
	change(after)
	patch := client.MergeFrom(before)
	w.must(w.api.WithWatch.Patch(w.t.Context(), after.DeepCopy(), patch))
	w.must(w.api.WithWatch.Status().Patch(w.t.Context(), after, patch))
	synctest.Wait()
}

// setReady is what the API says of the kubelet.
func (w *world) setReady(status corev1.ConditionStatus) {
	w.t.Helper()
	w.change(func(n *corev1.Node) { conditionOf(n, corev1.NodeReady).Status = status })
}

func (w *world) applied() string { return w.get().Annotations["checksum/cloud-config-data"] }

// events are those of the reason, their texts.
func (w *world) events(reason string) []string {
	w.t.Helper()
	list := &corev1.EventList{}
	w.must(w.api.List(w.t.Context(), list))
	var out []string
	for _, event := range list.Items {
		if event.Reason == reason && event.InvolvedObject.Name == w.node.Name {
			out = append(out, event.Message)
		}
	}
	return out
}

func (w *world) holder(lease string) string {
	w.t.Helper()
	object := &coordinationv1.Lease{}
	err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "kube-system", Name: lease}, object)
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	if object.Spec.HolderIdentity == nil {
		return ""
	}
	return *object.Spec.HolderIdentity
}

// count is how often the machine was changed so since its log was cleared.
func (w *world) count(line string) int {
	n := 0
	for _, one := range w.fake.Log() {
		if one == line || strings.HasPrefix(one, line+" ") {
			n++
		}
	}
	return n
}

// answers lets whoever listens at the URL say so; nil for well.
func (w *world) answers(url string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unwell[url] = err
}

// expect checks one thing, and shows the log when it is not so.
func (w *world) expect(ok bool, format string, args ...any) {
	w.t.Helper()
	if !ok {
		w.t.Fatalf("%s: %s\n%s\n%s", w.node.Name, fmt.Sprintf(format, args...), w.log.String(), strings.Join(w.fake.Log(), "\n"))
	}
}

// static makes the pods that the kubelet runs now, by name and hash.
func (w *world) static(pods ...string) {
	var out []host.Pod
	for _, one := range pods {
		name, hash, _ := strings.Cut(one, "=")
		out = append(out, host.Pod{
			Namespace: "kube-system", Name: name + "-" + w.node.Name, UID: hash, Ready: true, Annotations: map[string]string{"gardener.cloud/config.mirror": hash},
			Containers: []host.Container{{Name: name, State: host.ContainerRunning}},
		})
	}
	w.fake.SetPods(out...)
}

// manifest is a static pod's, with a health check at port 1.
func manifest(name, hash string) extensionsv1alpha1.File {
	raw, _ := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": name, "namespace": "kube-system", "annotations": map[string]string{"gardener.cloud/config.mirror": hash}},
		"spec": map[string]any{"terminationGracePeriodSeconds": 30, "containers": []any{map[string]any{
			"name": name, "readinessProbe": map[string]any{"httpGet": map[string]any{"path": "/readyz", "port": 1, "scheme": "HTTPS"}},
		}}},
	})
	return file(layout.DirManifests+"/"+name+".yaml", string(raw))
}

func with(files ...extensionsv1alpha1.File) func(*extensionsv1alpha1.OperatingSystemConfig) {
	return func(c *extensionsv1alpha1.OperatingSystemConfig) { c.Spec.Files = slices.Concat(c.Spec.Files, files) }
}
