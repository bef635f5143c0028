package integration

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/daemon/gardenlet"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// TestGardenletScale states what many nodes cost: the memory of a gardenlet of its own process, and its requests. How many there are says
// GARDENADM_SCALE, 500 for `make scale`; without it there are 40, and the test shows that nothing is asked in vain.
func TestGardenletScale(t *testing.T) {
	nodes, err := strconv.Atoi(os.Getenv("GARDENADM_SCALE"))
	if err != nil {
		nodes = 40
	}
	on := start(t)
	c, err := cluster.New(twoPools(), uid)
	check(t, err)
	on.giveAccess(t, c)
	on.makeControlPlane(t, c)
	sets := []*appsv1.DaemonSet{daemonSet("kube-proxy"), daemonSet("flannel")}
	for _, set := range sets {
		check(t, on.admin.Create(t.Context(), set))
	}
	kubeconfig := on.user(t, secret.Gardenlet().CommonName).kubeconfig
	first := startProcess(t, kubeconfig)
	eventually(t, "the configurations are published", func() bool { return on.configuration(t, c, c.Pools[1]) != nil })
	t.Logf("1 node: %s", first.memory(t))

	before := on.requests(t)
	own := on.populate(t, nodes, sets)
	eventually(t, "all nodes are usable", func() bool { return on.usable(t, nodes) })
	joined := on.settled(t) - before - own
	t.Logf("%d nodes that join at once: %s, %.2f requests a node", nodes+1, first.memory(t), float64(joined)/float64(nodes))
	if most := 4 * nodes; joined > most {
		t.Errorf("there were %d requests, at most %d are needed", joined, most)
	}

	before = on.requests(t)
	own = on.heartbeat(t, nodes)
	beats := on.settled(t) - before - own
	t.Logf("a heartbeat of each: %s, %d requests in all", first.memory(t), beats)
	if beats > 20 { // leases, and what is done once a minute
		t.Errorf("heartbeats cause %d requests", beats)
	}
	first.stop()

	before = on.requests(t)
	second := startProcess(t, kubeconfig)
	eventually(t, "the second one leads", func() bool {
		return strings.HasPrefix(on.leader(t), "process-"+strconv.Itoa(second.command.Process.Pid))
	})
	took := on.settled(t) - before
	t.Logf("a new leader of %d nodes: %s, %d requests", nodes+1, second.memory(t), took)
	second.stop()
}

// populate makes workers as they register, with their critical pods, and returns how many requests that took.
func (a *api) populate(t *testing.T, nodes int, sets []*appsv1.DaemonSet) (requests int) {
	t.Helper()
	var made atomic.Int64
	do := func(err error) error { made.Add(1); return err }
	eachOf(t, nodes, func(ctx context.Context, name string) error {
		worker := largeNode(name)
		status := worker.Status
		if err := do(a.admin.Create(ctx, worker)); err != nil {
			return err
		}
		for worker.Status = status; do(a.admin.Status().Update(ctx, worker)) != nil; { // the gardenlet writes to it, too
			if err := do(a.admin.Get(ctx, client.ObjectKeyFromObject(worker), worker)); err != nil {
				return err
			}
			worker.Status = status
		}
		for _, set := range sets {
			one := podOf(set, name)
			if err := do(a.admin.Create(ctx, one)); err != nil {
				return err
			}
			one.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			if err := do(a.admin.Status().Update(ctx, one)); err != nil {
				return err
			}
		}
		return nil
	})
	return int(made.Load())
}

// heartbeat is what each kubelet writes now and then.
func (a *api) heartbeat(t *testing.T, nodes int) (requests int) {
	t.Helper()
	eachOf(t, nodes, func(ctx context.Context, name string) error {
		object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		return patch(ctx, a.admin.Status(), object, func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}
		})
	})
	return nodes
}

func eachOf(t *testing.T, nodes int, do func(context.Context, string) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for n := range nodes {
		group.Go(func() error { return do(ctx, fmt.Sprintf("worker-%03d", n)) })
	}
	check(t, group.Wait())
}

// largeNode is as large as that of a kubelet that has pulled its fill.
func largeNode(name string) *corev1.Node {
	out := node(name)
	out.Spec.Taints = []corev1.Taint{{Key: taintCritical, Effect: corev1.TaintEffectNoSchedule}}
	for key, value := range map[string]string{
		"beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
		"node.kubernetes.io/role": "node", "worker.gardener.cloud/kubernetes-version": "1.36.3", "topology.kubernetes.io/zone": "zone-a",
	} {
		out.Labels[key] = value
	}
	out.Annotations[secret.AnnotationPool] = out.Labels["worker.gardener.cloud/pool"] // its agent says so
	out.Annotations["flannel.alpha.coreos.com/backend-data"] = `{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}`
	for n := range 50 {
		image := fmt.Sprintf("registry.example.com/platform/some-team/some-application-%d", n)
		out.Status.Images = append(out.Status.Images, corev1.ContainerImage{
			Names: []string{image + "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", image + ":v1.2.3"}, SizeBytes: 123456789,
		})
	}
	out.Status.Capacity = corev1.ResourceList{"cpu": resource.MustParse("8"), "memory": resource.MustParse("32Gi"), "pods": resource.MustParse("110")}
	out.Status.Allocatable = out.Status.Capacity
	for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, "SystemdUnitsReady"} {
		out.Status.Conditions = append(out.Status.Conditions, corev1.NodeCondition{Type: kind, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting its status"})
	}
	return out
}

func (a *api) usable(t *testing.T, nodes int) bool {
	t.Helper()
	list := &corev1.NodeList{}
	check(t, a.admin.List(t.Context(), list))
	tainted := func(n corev1.Node) bool {
		return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == taintCritical })
	}
	return len(list.Items) == nodes+1 && !slices.ContainsFunc(list.Items, tainted)
}

// requests is how many the API server has answered so far, but for lists and watches, and its own.
func (a *api) requests(t *testing.T) int {
	t.Helper()
	clients, err := kubernetes.NewForConfig(a.env.Config)
	check(t, err)
	raw, err := clients.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	check(t, err)
	sum := 0
	wanted := regexp.MustCompile(`^apiserver_request_total\{.*resource="(nodes|pods|secrets|configmaps|endpoints|endpointslices|deployments|csinodes)".*verb="(GET|POST|PUT|PATCH|APPLY|DELETE)"`)
	for line := range strings.Lines(string(raw)) {
		if wanted.MatchString(line) {
			n, err := strconv.Atoi(line[strings.LastIndex(line, " ")+1 : len(line)-1])
			check(t, err)
			sum += n
		}
	}
	return sum
}

// settled waits until nobody asks any more for a while, and returns how many requests there were.
func (a *api) settled(t *testing.T) int {
	t.Helper()
	last := -1
	eventually(t, "nobody asks any more", func() bool {
		before := last
		time.Sleep(2 * time.Second)
		last = a.requests(t)
		return last == before
	})
	return last
}

// process is a gardenlet in a process of its own.
type process struct {
	command *exec.Cmd
	stop    func()
}

const variableKubeconfig = "GARDENADM_TEST_KUBECONFIG"

func startProcess(t *testing.T, kubeconfig []byte) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	check(t, os.WriteFile(file, kubeconfig, 0o600))
	out := &process{command: exec.Command(os.Args[0], "-test.run=^TestGardenletProcess$")}
	out.command.Env = append(os.Environ(), variableKubeconfig+"="+file, "GOMEMLIMIT=64MiB") // as in gardenlet.service
	out.command.Stderr = os.Stderr
	check(t, out.command.Start())
	out.stop = func() {
		check(t, out.command.Process.Signal(syscall.SIGTERM))
		check(t, out.command.Wait())
	}
	t.Cleanup(func() {
		if out.command.ProcessState == nil {
			out.command.Process.Kill() //nolint:errcheck // the test has failed
			out.command.Wait()         //nolint:errcheck // as above
		}
	})
	return out
}

// memory is what the process has in memory now, and had at most.
func (p *process) memory(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	check(t, err)
	var out []string
	for _, line := range regexp.MustCompile(`(?m)^(VmRSS|VmHWM|RssAnon):\s+(\d+) kB$`).FindAllStringSubmatch(string(raw), -1) {
		n, err := strconv.Atoi(line[2])
		check(t, err)
		out = append(out, fmt.Sprintf("%s %d MiB", line[1], n>>10))
	}
	return strings.Join(out, ", ")
}

// TestGardenletProcess is the other process of TestGardenletScale.
func TestGardenletProcess(t *testing.T) {
	file := os.Getenv(variableKubeconfig)
	if file == "" {
		t.Skip("this is a process of TestGardenletScale")
	}
	kubeconfig, err := os.ReadFile(file)
	check(t, err)
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	runs := &running{disk: newDisk(t)}
	options := runs.options(t, kubeconfig, fmt.Sprintf("process-%d", os.Getpid()))
	options.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	check(t, gardenlet.Run(ctx, options))
}
