package diagnosis

import (
	"context"
	"path"
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
	ControlPlane bool   `json:"controlPlane"`
	Units        []Part `json:"units"`
	StaticPods   []Part `json:"staticPods"`
}

// Good says that all of it runs, and a control plane's node has static pods.
func (s Summary) Good() bool {
	for _, part := range append(s.Units[:len(s.Units):len(s.Units)], s.StaticPods...) {
		if !part.Good {
			return false
		}
	}
	return len(s.StaticPods) > 0 || !s.ControlPlane
}

// Summarize looks at the host; no API is needed, and neither containerd nor kubelet need to run.
func Summarize(ctx context.Context, h *host.Host) Summary {
	v := look(ctx, h, time.Now())
	out := Summary{ControlPlane: v.controlPlane, Units: []Part{v.containerd.part(), v.kubelet.part()}, StaticPods: []Part{}}
	for _, u := range v.services {
		out.Units = append(out.Units, u.part())
	}
	for _, m := range v.manifests {
		out.StaticPods = append(out.StaticPods, v.staticPod(m))
	}
	return out
}

func (u unit) part() Part {
	state := u.state.Active
	if u.waits {
		state = "waits for a connection"
	} else if u.state.Load == "not-found" {
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
	Begins  time.Time `json:"begins"`
	Expires time.Time `json:"expires"`
	// Authority: it signs others.
	Authority bool `json:"authority,omitempty"`
}

// certificatePlaces are directories and files with certificates that programs of a node use.
func certificatePlaces() []string {
	return []string{
		layout.DirStaticPods, path.Join(layout.DirKubelet, "pki"), "/etc/kubernetes",
		path.Dir(layout.FileServingCert), layout.FileGardenletConf, layout.DirAuthorities, layout.DirAgentCredentials, layout.FileClusterCA,
	}
}
