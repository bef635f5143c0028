package diagnosis

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// journalTail and logTail are how many lines are looked at: a program says why it ends at its end.
const (
	journalTail = 150
	logTail     = 60
)

// view is what the host shows at one moment.
type view struct {
	now        time.Time
	containerd unit
	kubelet    unit
	// services are gardenadm's own units that the node is to have; their journals are read when they matter.
	services     []unit
	controlPlane bool
	pods         []host.Pod
	// podsErr says why the container runtime did not tell its pods.
	podsErr   error
	manifests []manifest
}

// unit is a systemd unit with its last words.
type unit struct {
	component, name string
	state           host.UnitState
	run             host.UnitRun
	journal         []host.JournalLine
	// waits: systemd holds its socket, and starts it when somebody connects.
	waits bool
}

// manifest is a static pod as the kubelet is to start it.
type manifest struct {
	file            string
	namespace, name string
	containers      []string
	err             error
}

// look gathers all that can be had; what cannot be had is part of the picture.
func look(ctx context.Context, h *host.Host, now time.Time) view {
	v := view{
		now:        now,
		containerd: lookAtUnit(ctx, h, containerd, layout.UnitContainerd),
		kubelet:    lookAtUnit(ctx, h, kubelet, layout.UnitKubelet),
		manifests:  readManifests(ctx, h),
	}
	v.controlPlane = OnControlPlane(ctx, h)
	v.services = lookAtServices(ctx, h, v.controlPlane)
	if v.containerd.runs() {
		v.pods, v.podsErr = h.Observer.Pods(ctx)
	}
	return v
}

func lookAtUnit(ctx context.Context, h *host.Host, component, name string) unit {
	u := stateOf(ctx, h, component, name)
	u.journal, _ = h.Observer.Journal(ctx, name, journalTail)
	return u
}

func stateOf(ctx context.Context, h *host.Host, component, name string) unit {
	u := unit{component: component, name: name}
	u.state, _ = h.Units.State(ctx, name)
	u.run, _ = h.Observer.Unit(ctx, name)
	return u
}

// settled: it runs, and was not started again a moment ago.
func (u unit) settled(now time.Time) bool {
	return u.runs() && (u.waits || u.run.Restarts == 0 || now.Sub(u.run.Since) > young)
}

func (u unit) runs() bool { return u.state.Active == "active" || u.waits }

// since returns what the unit said since a time.
func (u unit) since(at time.Time) []string {
	var out []string
	for _, line := range u.journal {
		if line.Time.IsZero() || !line.Time.Before(at) {
			out = append(out, line.Text)
		}
	}
	return out
}

func readManifests(ctx context.Context, h *host.Host) []manifest {
	names, err := h.Files.List(ctx, layout.DirManifests)
	if err != nil {
		return nil
	}
	var out []manifest
	for _, name := range names {
		if strings.HasPrefix(name, ".") || path.Ext(name) != ".yaml" {
			continue
		}
		one := manifest{file: path.Join(layout.DirManifests, name), name: strings.TrimSuffix(name, ".yaml"), namespace: "kube-system"}
		var pod corev1.Pod
		raw, err := h.Files.Read(ctx, one.file)
		if err == nil {
			err = yaml.Unmarshal(raw, &pod)
		}
		if one.err = err; err == nil && pod.Name != "" {
			one.namespace, one.name = pod.Namespace, pod.Name
			for _, container := range pod.Spec.Containers {
				one.containers = append(one.containers, container.Name)
			}
		}
		out = append(out, one)
	}
	slices.SortStableFunc(out, func(a, b manifest) int { return rank(a.component()) - rank(b.component()) })
	return out
}

// component is the name under which people know the static pod.
func (m manifest) component() string { return strings.TrimSuffix(m.name, "-main") }

// rank orders components by who waits for whom.
func rank(component string) int {
	switch component {
	case etcd:
		return 0
	case apiServer:
		return 1
	}
	return 2
}

// podOf returns the newest pod that the runtime has of a static pod: its name is the manifest's and the node's.
func (v view) podOf(m manifest) (host.Pod, bool) {
	var found host.Pod
	ok := false
	for _, pod := range v.pods {
		if pod.Namespace == m.namespace && strings.HasPrefix(pod.Name, m.name+"-") && (!ok || pod.Created.After(found.Created)) {
			found, ok = pod, true
		}
	}
	return found, ok
}

// isStatic says whether a pod is one of the manifests.
func (v view) isStatic(pod host.Pod) bool {
	return slices.ContainsFunc(v.manifests, func(m manifest) bool {
		return pod.Namespace == m.namespace && strings.HasPrefix(pod.Name, m.name+"-")
	})
}
