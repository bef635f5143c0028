package sequence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// node is a machine in memory that is a node, and the API of its cluster.
type node struct {
	*hosttest.Fake
	*host.Host
	api client.WithWatch
	// refused is what the API answers to evictions, silent what it answers to everything.
	refused, silent error
	idle            bool // no gardenlet runs
}

// newNode makes machine-0 a node with one pod that could run elsewhere, and one that could not.
func newNode(t *testing.T, files ...string) *node {
	t.Helper()
	ctx, machine := t.Context(), hosttest.New()
	n := &node{Fake: machine, Host: machine.Host()}
	for _, dir := range []string{"/etc/systemd/system", "/opt", "/root", "/run", "/var/lib", "/var/log"} {
		must(t, n.Files.MakeDir(ctx, dir, host.Owner{}, 0o755))
	}
	must(t, record.Keep(ctx, n.Host))
	for file, content := range map[string]string{
		layout.FileNode: `{"name":"machine-0"}`, layout.DirAgent + "/last-applied-osc.yaml": "{}", layout.FileGardenadm: "gardenadm",
		"/etc/systemd/system/" + layout.UnitKubelet: "[Service]\nExecStart=/opt/bin/kubelet\n", layout.FileKubeletBinary: "kubelet",
		"/etc/systemd/system/" + layout.UnitNodeAgent: "[Service]\nExecStart=/opt/bin/gardenadm run node-agent\n",
		"/etc/systemd/system/" + layout.UnitNetwork:   "[Service]\nExecStart=/opt/bin/gardenadm run node-network --services 100.64.0.0/13\n",
		layout.SocketProxy:                            "",
	} {
		must(t, n.Files.Write(ctx, file, strings.NewReader(content), 0o600))
	}
	for _, file := range files {
		must(t, n.Files.Write(ctx, file, strings.NewReader(file), 0o600))
	}
	must(t, n.Units.Reload(ctx))
	for _, unit := range []string{layout.UnitKubelet, layout.UnitNodeAgent} {
		must(t, n.Units.Start(ctx, unit))
	}
	n.LeaveNode()
	n.ClearLog()

	pod := func(name, controller string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "1", OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "apps/v1", Kind: controller, Name: name, UID: "1", Controller: new(true)},
		}}, Spec: corev1.PodSpec{NodeName: "machine-0"}}
	}
	n.api = fake.NewClientBuilder().WithScheme(scheme.Scheme).
		WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).
		WithObjects(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-0"}}, pod("web", "ReplicaSet"), pod("flannel", "DaemonSet")).
		WithInterceptorFuncs(interceptor.Funcs{Get: n.get, List: n.list, Patch: n.patch, SubResourceCreate: n.evict}).Build()
	return n
}

func worker(t *testing.T) *node {
	t.Helper()
	return newNode(t, layout.FileKubeletConf, layout.FileAgentKubeconfig)
}

func controlPlane(t *testing.T) *node {
	t.Helper()
	return newNode(t, layout.FileKubeletConf, layout.FileAgentKubeconfig, layout.FileAdminKubeconfig, layout.FileShootUID, layout.DirEtcdData+"/member/wal")
}

func (n *node) get(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if n.silent != nil {
		return n.silent
	}
	return c.Get(ctx, key, o, options...)
}

func (n *node) list(ctx context.Context, c client.WithWatch, o client.ObjectList, options ...client.ListOption) error {
	if n.silent != nil {
		return n.silent
	}
	return c.List(ctx, o, options...)
}

// patch does the gardenlet's work, too.
func (n *node) patch(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, options ...client.PatchOption) error {
	if err := c.Patch(ctx, o, patch, options...); err != nil {
		return err
	}
	if one, ok := o.(*corev1.Node); ok && certificate.Leaving(one) && !n.idle {
		return c.Delete(ctx, one.DeepCopy())
	}
	return nil
}

func (n *node) evict(ctx context.Context, c client.Client, sub string, o, in client.Object, options ...client.SubResourceCreateOption) error {
	if n.refused != nil {
		return n.refused
	}
	return c.SubResource(sub).Create(ctx, o, in, options...)
}

func (n *node) reset(change ...func(*Reset)) *Reset {
	out := &Reset{Host: n.Host, EtcdData: cleanup.Remove, Timeout: time.Minute}
	out.Connect = func([]byte) (client.Client, error) { return n.api, nil }
	for _, one := range change {
		one(out)
	}
	return out
}

func force(r *Reset) { r.Force = true }

func (n *node) there(t *testing.T, o client.Object, name string) bool {
	t.Helper()
	n.silent = nil
	err := n.api.Get(t.Context(), client.ObjectKey{Namespace: o.GetNamespace(), Name: name}, o)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

func (n *node) wantClean(t *testing.T) {
	t.Helper()
	differences, known, err := record.Verify(t.Context(), n.Host)
	must(t, err)
	if left := record.Leftovers(differences); !known || len(left) > 0 {
		t.Errorf("left (known: %v): %v", known, left)
	}
}

func faultCode(err error) fault.Code {
	if found := fault.Of(err); len(found) > 0 {
		return found[0].Code
	}
	return ""
}

func TestResetOfAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		r := n.reset()
		var order []string
		must(t, r.Run(t.Context(), flow.ObserverFunc(func(e flow.Event) {
			if e.Kind == flow.Started && e.Task == "stop the kubelet and the node agent" {
				if !n.there(t, &corev1.Node{}, "machine-0") || n.there(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}}, "web") {
					t.Error("the kubelet is stopped before its pods are gone, or after its Node")
				}
			}
			if e.Kind == flow.Skipped {
				order = append(order, e.Task)
			}
		})))
		if n.there(t, &corev1.Node{}, "machine-0") {
			t.Error("its Node is there")
		}
		if !n.there(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}}, "flannel") {
			t.Error("a pod of a DaemonSet was evicted")
		}
		if len(r.Undone)+len(r.Left)+len(order) > 0 || !r.Recorded || r.Nothing() {
			t.Errorf("undone: %q, left: %v, skipped: %q, recorded: %v", r.Undone, r.Left, order, r.Recorded)
		}
		n.wantClean(t)
		log := n.Log()
		if agent, kubelet := first(log, "stop "+layout.UnitNodeAgent), first(log, "stop "+layout.UnitKubelet); agent != 0 || kubelet != 1 {
			t.Errorf("the first changes are %q", log[:2])
		}

		n.ClearLog()
		again := n.reset()
		must(t, again.Run(t.Context(), nil))
		if log := n.Log(); len(log) > 0 || !again.Nothing() {
			t.Errorf("a second run does %q", log)
		}
	})
}

// A run that fails at any change, or is killed at the start of any task, is run again and comes to its end.
func TestResetIsRunAgain(t *testing.T) {
	tasks := strings.Count(worker(t).reset().Graph().String(), "\n- ")
	finish := func(t *testing.T, n *node, when string) {
		t.Helper()
		r := n.reset()
		must(t, r.Run(t.Context(), nil))
		if len(r.Undone)+len(r.Left) > 0 || n.there(t, &corev1.Node{}, "machine-0") {
			t.Errorf("%s: undone %q, left %v", when, r.Undone, r.Left)
		}
		n.wantClean(t)
	}
	for killed := range tasks {
		synctest.Test(t, func(t *testing.T) {
			n := worker(t)
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			started := 0
			err := n.reset().Run(ctx, flow.ObserverFunc(func(e flow.Event) {
				if e.Kind == flow.Started && e.Task != "" {
					if started++; started > killed {
						kill()
					}
				}
			}))
			if !errors.Is(err, flow.ErrCancelled) {
				t.Errorf("killed at task %d: %v", killed, err)
			}
			finish(t, n, fmt.Sprintf("killed at task %d", killed))
		})
	}
	for change, over := 1, false; !over; change++ {
		synctest.Test(t, func(t *testing.T) {
			n := worker(t)
			n.FailAt(change, errors.New("boom"))
			err := n.reset().Run(t.Context(), nil)
			over = err == nil && len(n.Log()) < change
			finish(t, n, fmt.Sprintf("change %d failed", change))
		})
	}
}

// What an earlier run did or could not do in the cluster is known to the next one, which has no way to it any more.
func TestResetRemembersHowTheClusterWasLeft(t *testing.T) {
	away := errors.New("connection refused")
	for name, c := range map[string]struct {
		first, second error // what the API answers
		undone        int
	}{
		"left in the first run":       {nil, away, 0},
		"not left in the first run":   {away, nil, 1},
		"not left in any of the runs": {away, away, 1},
	} {
		for _, task := range []string{"remove the pods", "remove services", "forget the cluster"} {
			synctest.Test(t, func(t *testing.T) {
				n := worker(t)
				n.silent = c.first
				ctx, kill := context.WithCancel(t.Context())
				defer kill()
				err := n.reset().Run(ctx, flow.ObserverFunc(func(e flow.Event) {
					if e.Kind == flow.Started && e.Task == task {
						kill()
					}
				}))
				if !errors.Is(err, flow.ErrCancelled) {
					t.Errorf("%s, killed before %q: %v", name, task, err)
				}
				n.silent = c.second
				r := n.reset()
				must(t, r.Run(t.Context(), nil))
				if len(r.Undone) != c.undone {
					t.Errorf("%s, killed before %q: undone: %q", name, task, r.Undone)
				}
				n.wantClean(t)
			})
		}
	}
	// After a reboot in between, the kubelet has come back to the cluster.
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		n.FailOn("remove /etc/systemd/system/"+layout.UnitKubelet, errors.New("boom"))
		if err := n.reset().Run(t.Context(), nil); err == nil {
			t.Fatal("no error")
		}
		n.FailOn("remove /etc/systemd/system/"+layout.UnitKubelet, nil)
		must(t, n.Units.Start(t.Context(), layout.UnitKubelet))
		must(t, n.Files.Write(t.Context(), layout.FileKubeletConf, strings.NewReader("x"), 0o600))
		must(t, n.api.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-0"}}))
		must(t, n.reset().Run(t.Context(), nil))
		if n.there(t, &corev1.Node{}, "machine-0") {
			t.Error("its Node is there again")
		}
		n.wantClean(t)
	})
}

// Without the API the machine is given back, and what is left to do is told with the command that does it.
func TestResetWithoutTheAPI(t *testing.T) {
	away := errors.New("connection refused")
	for name, c := range map[string]struct {
		node func(*testing.T) *node
		want string
	}{
		"worker":        {worker, "gardenadm node remove machine-0 --force (connection refused"},
		"control plane": {controlPlane, "gardenadm reset on each of them (list nodes: connection refused)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := c.node(t)
				n.silent = away
				r := n.reset()
				must(t, r.Run(t.Context(), nil))
				if len(r.Undone) != 1 || !strings.Contains(strings.ReplaceAll(r.Undone[0], "\n", " "), c.want) {
					t.Errorf("undone: %q", r.Undone)
				}
				n.wantClean(t)
			})
		})
	}
}

func TestResetWithoutAGardenlet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		n.idle = true
		r := n.reset()
		must(t, r.Run(t.Context(), nil))
		if len(r.Undone) != 1 || !strings.Contains(r.Undone[0], "still has node machine-0") {
			t.Errorf("undone: %q", r.Undone)
		}
		n.wantClean(t)
	})
}

func TestResetWhenPodsMayNotGo(t *testing.T) {
	budget := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		n.refused = budget
		waits := 0
		err := n.reset().Run(t.Context(), flow.ObserverFunc(func(e flow.Event) {
			if e.Kind == flow.Waiting && strings.Contains(e.Err.Error(), "default/web may not go: Cannot evict") {
				waits++
			}
		}))
		if faultCode(err) != fault.NotDrained || waits < 10 {
			t.Errorf("after %d waits: %v", waits, err)
		}
		if log := n.Log(); len(log) > 0 {
			t.Errorf("the machine was changed: %q", log)
		}
		must(t, n.reset(force).Run(t.Context(), nil))
		n.wantClean(t)
	})
	// With force, what is still ending when the time is over ends with the machine; a kubelet that does not run ends nothing.
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		pod := &corev1.Pod{}
		must(t, n.api.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "web"}, pod))
		pod.Finalizers = []string{"x/y"}
		must(t, n.api.Update(t.Context(), pod))
		r := n.reset(force)
		must(t, r.Run(t.Context(), nil))
		if len(r.Undone) != 1 || !strings.Contains(r.Undone[0], "pods were not moved elsewhere") {
			t.Errorf("undone: %q", r.Undone)
		}
		n.wantClean(t)
	})
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		n.refused = budget
		must(t, n.Units.Stop(t.Context(), layout.UnitKubelet))
		must(t, n.reset().Run(t.Context(), nil))
		n.wantClean(t)
	})
}

// What only the node agent's certificate may do is done with it.
func TestResetWithTheNodeAgentsCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		expired, agent := errors.New("certificate has expired"), n.api
		kubelet := interceptor.NewClient(n.api, interceptor.Funcs{
			Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return expired
			},
		})
		limited := interceptor.NewClient(agent, interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
				if node, ok := object.(*corev1.Node); ok && node.Spec.Unschedulable { // as the policy gardenadm-node-agent-nodes
					return apierrors.NewForbidden(corev1.Resource("nodes"), node.Name, errors.New("a node agent does not change the spec of a Node"))
				}
				return c.Patch(ctx, object, patch, options...)
			},
			List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
				return apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no"))
			},
		})
		r := n.reset(func(r *Reset) {
			r.Connect = func(kubeconfig []byte) (client.Client, error) {
				if string(kubeconfig) == layout.FileKubeletConf {
					return kubelet, nil
				}
				return limited, nil
			}
		})
		must(t, r.Run(t.Context(), nil))
		if n.there(t, &corev1.Node{}, "machine-0") || len(r.Undone) != 1 || !strings.Contains(r.Undone[0], "not moved") {
			t.Errorf("undone: %q", r.Undone)
		}
		n.wantClean(t)
	})
}

func TestResetRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *node, *Reset)
		want   fault.Code
	}{
		"etcd's data is there": {func(_ *testing.T, _ *node, r *Reset) { r.EtcdData = cleanup.Undecided }, fault.EtcdDataUndecided},
		"other nodes are there": {func(t *testing.T, n *node, _ *Reset) {
			must(t, n.api.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-1"}}))
		}, fault.NodesLeft},
		"another command works": {func(t *testing.T, n *node, _ *Reset) {
			_, err := n.Locks.Lock(t.Context(), layout.FileLock)
			must(t, err)
		}, fault.Busy},
	} {
		n := controlPlane(t)
		r := n.reset()
		c.change(t, n, r)
		if err := r.Run(t.Context(), nil); faultCode(err) != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if log := n.Log(); len(log) > 0 {
			t.Errorf("%s: changed %q", name, log)
		}
	}
}

func TestResetOfTheControlPlane(t *testing.T) {
	n := controlPlane(t)
	must(t, n.api.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-1"}}))
	r := n.reset(force)
	must(t, r.Run(t.Context(), nil))
	if len(r.Undone) != 1 || !strings.Contains(r.Undone[0], "machine-1") {
		t.Errorf("undone: %q", r.Undone)
	}
	n.wantClean(t)

	// What was to be kept is no leftover of this run.
	n = controlPlane(t)
	r = n.reset(func(r *Reset) { r.EtcdData = cleanup.Keep })
	must(t, r.Run(t.Context(), nil))
	if _, err := n.Files.Stat(t.Context(), layout.DirEtcdData); err != nil || len(r.Left) > 0 {
		t.Errorf("left %v, etcd's data: %v", r.Left, err)
	}
}

// A kubelet that registers after the cluster was asked leaves no Node behind.
func TestResetWhileTheKubeletRegisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		must(t, n.api.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-0"}}))
		r := n.reset()
		must(t, r.Run(t.Context(), flow.ObserverFunc(func(e flow.Event) {
			if e.Kind == flow.Started && e.Task == "stop the kubelet and the node agent" {
				must(t, n.api.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-0"}}))
			}
		})))
		if n.there(t, &corev1.Node{}, "machine-0") || len(r.Undone) > 0 {
			t.Errorf("its Node is there, or undone: %q", r.Undone)
		}
		n.wantClean(t)
	})
}

// Without any kubeconfig nobody can be asked, and a machine that was a node says so. An init that did not come far has nothing to say.
func TestResetWithoutKubeconfigs(t *testing.T) {
	n := newNode(t)
	r := n.reset()
	must(t, r.Run(t.Context(), nil))
	if len(r.Undone) != 1 || !strings.Contains(r.Undone[0], "gardenadm node remove machine-0 --force") {
		t.Errorf("undone: %q", r.Undone)
	}
	n.wantClean(t)

	n = newNode(t, layout.FileShootUID)
	r = n.reset()
	must(t, r.Run(t.Context(), nil))
	if len(r.Undone) > 0 {
		t.Errorf("of a first machine, undone: %q", r.Undone)
	}
}

// A step that fails does not keep the others from their work, and is told at the end.
func TestResetGoesOnAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		boom := errors.New("boom")
		n.FailOn("delete link cni0", boom)
		err := n.reset().Run(t.Context(), nil)
		if !errors.Is(err, boom) || !strings.Contains(err.Error(), "take down the pod network") {
			t.Errorf("got %v", err)
		}
		if log := n.Log(); first(log, "remove "+layout.FileKubeletBinary) < 0 || first(log, "remove "+layout.FileGardenadm) >= 0 {
			t.Errorf("log is %q", log)
		}
		n.FailOn("delete link cni0", nil)
		must(t, n.reset().Run(t.Context(), nil))
		n.wantClean(t)
		if !slices.Contains(n.Log(), "delete link cni0") {
			t.Error("it was not done again")
		}
	})
}

// The disk may be full, which is why somebody resets a machine.
func TestResetOfAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := worker(t)
		n.FailOn("write "+layout.DirState, syscall.ENOSPC)
		must(t, n.reset().Run(t.Context(), nil))
		n.wantClean(t)
	})
}

// A worker on which an administrator uses kubectl leaves its cluster as any worker does.
func TestResetOfAWorkerWithTheAdministratorsKubeconfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, layout.FileKubeletConf, layout.FileAgentKubeconfig, layout.FileAdminKubeconfig)
		must(t, n.api.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "other"}}))
		must(t, n.reset().Run(t.Context(), nil))
		if n.there(t, &corev1.Node{}, "machine-0") || !n.there(t, &corev1.Node{}, "other") {
			t.Error("the cluster has other nodes than it should")
		}
		n.wantClean(t)
	})
}
