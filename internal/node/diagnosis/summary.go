package diagnosis

import (
	"context"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Part is a unit or static pod in a few words.
type Part struct {
	Name  string `json:"name"`
	State string `json:"state"`
	// Since is when it came into its state; zero when unknown.
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts"`
	// Good: it runs.
	Good bool `json:"good"`
}

// Summary is what a host shows of its units and static pods.
type Summary struct {
	Units      []Part `json:"units"`
	StaticPods []Part `json:"staticPods"`
}

// Good says that all of it runs.
func (s Summary) Good() bool {
	for _, part := range append(s.Units[:len(s.Units):len(s.Units)], s.StaticPods...) {
		if !part.Good {
			return false
		}
	}
	return len(s.StaticPods) > 0
}

// Summarize looks at the host; no API is needed, and neither containerd nor kubelet need to run.
func Summarize(ctx context.Context, h *host.Host) Summary {
	v := look(ctx, h, time.Now())
	out := Summary{Units: []Part{v.containerd.part(), v.kubelet.part()}}
	for _, m := range v.manifests {
		out.StaticPods = append(out.StaticPods, v.staticPod(m))
	}
	return out
}

func (u unit) part() Part {
	state := u.state.Active
	if u.state.Load == "not-found" {
		state = "not there"
	} else if u.state.Sub != "" && u.state.Sub != u.state.Active {
		state += " (" + u.state.Sub + ")"
	}
	return Part{Name: strings.TrimSuffix(u.name, ".service"), State: state, Since: u.run.Since, Restarts: u.run.Restarts, Good: u.runs()}
}

func (v view) staticPod(m manifest) Part {
	out := Part{Name: m.component()}
	pod, ok := v.podOf(m)
	switch {
	case m.err != nil:
		out.State = "manifest cannot be read"
		return out
	case !v.containerd.runs(), v.podsErr != nil:
		out.State = "unknown: the container runtime does not answer"
		return out
	case !ok || len(pod.Containers) == 0:
		out.State = "not started"
		return out
	}
	last := pod.Containers[len(pod.Containers)-1]
	out.State, out.Since, out.Restarts, out.Good = last.State, last.Started, last.Attempt, last.State == host.ContainerRunning
	if last.State == host.ContainerExited {
		out.State, out.Since = "ended with "+last.Reason, last.Finished
	}
	return out
}

// Certificate is one that ends.
type Certificate struct {
	Path    string    `json:"path"`
	Subject string    `json:"subject"`
	Expires time.Time `json:"expires"`
}

// certificateDirs are where certificates are that programs of a node use.
func certificateDirs() []string {
	return []string{layout.DirStaticPods, layout.DirKubelet + "/pki", "/etc/kubernetes"}
}
