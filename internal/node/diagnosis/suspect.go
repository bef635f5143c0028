package diagnosis

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis/podlog"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

const (
	// fresh is how old a line of a running program may be to tell of its state now.
	fresh = 20 * time.Second
	// young is how long a component must run before its last failure is over.
	young = 10 * time.Second
	// evidenceLines are shown of a crash whose cause is not known.
	evidenceLines = 3
)

// suspect is a component that does not do its work.
type suspect struct {
	component string
	fault     *fault.Error
	// run names the failed run; "" when it is not a run that failed.
	run string
	// soft: healthy components look like this too for a while.
	soft bool
}

// general is the code of a component whose cause is not known.
func general(component string) fault.Code {
	code := map[string]fault.Code{
		containerd: fault.ContainerdDown, kubelet: fault.KubeletDown, etcd: fault.EtcdDown, apiServer: fault.APIServerDown,
		apiProxy: fault.ProxyDown, nodeAgent: fault.NodeAgentDown, mirror: fault.MirrorDown, gardenlet: fault.GardenletDown,
	}[component]
	return cmp.Or(code, fault.ComponentDown)
}

// examiner finds suspects in a view; it reads logs as it needs them.
type examiner struct {
	h *host.Host
	view
}

// runtime returns what is wrong with the container runtime, which all else needs.
func (x examiner) runtime(ctx context.Context) []suspect {
	if s, bad := x.unit(ctx, x.containerd); bad {
		return []suspect{s}
	}
	if x.podsErr != nil {
		code, cause := fault.RuntimeUnreachable, "the container runtime does not answer"
		if p, _, ok := match(patterns(), kubelet, []string{x.podsErr.Error()}); ok && p.code == fault.CRIDisabled {
			code, cause = p.code, p.cause
		}
		return []suspect{{component: containerd, fault: fault.New(code, "%s", cause).Seen(x.podsErr.Error())}}
	}
	return nil
}

// unit suspects a unit that does not run, or that was started again a moment ago by systemd.
func (x examiner) unit(ctx context.Context, u unit) (suspect, bool) {
	if u.settled(x.now) {
		return suspect{}, false
	}
	begin := u.run.Since.Add(-30 * time.Second) // what it said before it came into this state
	s := suspect{component: u.component, run: fmt.Sprintf("%s/%d", u.name, u.run.Restarts)}
	lines := u.since(begin)
	stopped := u.state.Active == "inactive" // by somebody: what it said before is no cause
	if p, line, ok := match(patterns(), u.component, lines); ok && !p.soft && !stopped {
		s.fault = x.found(ctx, u.component, doesNotRun, p, line)
		return s, true
	}
	switch {
	case u.state.Load == "not-found":
		s.fault = fault.New(general(u.component), "%s is not there", u.name).Mend("gardenadm init --bundle DIRECTORY lays it again")
	case stopped:
		s.fault = fault.New(general(u.component), "%s is stopped", u.name).Mend("systemctl start %s", u.name)
	default:
		s.fault = fault.New(general(u.component), "%s is %s (%s): %s, exit code %d", u.name, u.state.Active, u.state.Sub, cmp.Or(u.run.Result, "unknown"), u.run.ExitCode)
	}
	s.fault = s.fault.Seen(Redact(lastOf(lines))...)
	return s, true
}

// What is wrong with a component, for found.
const (
	doesNotRun = "does not run"
	notReady   = "is not ready"
)

// found makes a fault of a pattern and the line that it fits.
func (x examiner) found(ctx context.Context, component, wrong string, p pattern, line string) *fault.Error {
	out := fault.New(p.code, "%s %s: %s", component, wrong, p.cause).Seen(Redact([]string{line})...)
	port := boundPort(line)
	if p.code != fault.PortInUse || port == 0 {
		return out
	}
	out.Cause = fmt.Errorf("%s %s: port %d is in use", component, wrong, port)
	if owner := portOwner(ctx, x.h, port); owner != "" {
		out = out.Seen(fmt.Sprintf("%d is held by %s", port, owner)).Mend("stop %s, then run the command again", owner)
	}
	return out
}

// staticPods returns what is wrong with the control plane, in the order in which its parts need each other.
func (x examiner) staticPods(ctx context.Context) []suspect {
	var out []suspect
	for _, m := range x.manifests {
		if m.err != nil {
			out = append(out, suspect{component: m.component(),
				fault: fault.New(fault.RefusedConfiguration, "%s does not run: its manifest cannot be read", m.component()).Seen(m.file + ": " + m.err.Error())})
			continue
		}
		pod, ok := x.podOf(m)
		if !ok {
			out = append(out, x.notStarted(ctx, m.component(), m.name, "the kubelet has not started it"))
			continue
		}
		if !pod.Ready { // its sandbox ended: the manifest was changed, or the machine was off
			out = append(out, x.notStarted(ctx, m.component(), m.name, "the kubelet has not started it anew"))
			continue
		}
		found := x.pod(ctx, m.component(), pod, m.containers)
		if line := x.ignored(ctx, m, pod); line != "" && len(found) > 0 {
			// What the older one says is no cause any more.
			found = []suspect{{component: m.component(), fault: fault.New(fault.ManifestIgnored, "%s does not run: the kubelet does not take its changed manifest", m.component()).Seen(line)}}
		}
		out = append(out, found...)
	}
	return out
}

// ignored returns what the kubelet said since its start when it does not end a static pod that is to be replaced, "" when it does not
// say so, or has replaced the pod since.
func (x examiner) ignored(ctx context.Context, m manifest, pod host.Pod) string {
	const most = 3000 // it is said once
	journal, err := x.h.Observer.Journal(ctx, x.kubelet.name, most)
	if err != nil {
		return ""
	}
	for _, line := range journal {
		if !line.Time.Before(x.kubelet.run.Since) && line.Time.After(pod.Created) && strings.Contains(line.Text, "skipping delete because sources aren't ready yet") && strings.Contains(line.Text, m.namespace+"/"+m.name+"-") {
			return line.Text
		}
	}
	return ""
}

// workloads returns what is wrong with the other pods of the system, and with the node itself.
func (x examiner) workloads(ctx context.Context) []suspect {
	var out []suspect
	if p, line, ok := match(registerPatterns(), kubelet, x.kubelet.since(x.now.Add(-fresh))); ok {
		out = append(out, suspect{component: kubelet, soft: p.soft, fault: fault.New(p.code, "%s", p.cause).Seen(Redact([]string{line})...)})
	}
	var network []suspect
	for _, pod := range x.pods {
		if x.isStatic(pod) || pod.Namespace != "kube-system" || !pod.Ready { // a deleted one is kept for a while
			continue
		}
		for _, s := range x.pod(ctx, componentOf(pod.Name), pod, nil) {
			if s.fault.Code == fault.PodNetwork {
				network = append(network, s) // a consequence of whatever is wrong with the pod network's own pods
				continue
			}
			out = append(out, s)
		}
	}
	if len(out)+len(network) > 0 {
		return append(out, network...)
	}
	if p, line, ok := match(podPatterns(), "", x.kubelet.since(x.now.Add(-fresh))); ok {
		out = append(out, suspect{component: kubelet, soft: true, fault: fault.New(p.code, "a pod does not start: %s", p.cause).Seen(Redact([]string{line})...)})
	}
	return out
}

// componentOf takes what controllers append off a pod's name: kube-proxy-4fr5f, coredns-f97b58586-msd5f.
func componentOf(pod string) string {
	parts := strings.Split(pod, "-")
	for len(parts) > 1 && generated(parts[len(parts)-1]) {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, "-")
}

// generated says whether a part of a name is of the alphabet of generated names, which has no vowels and few digits.
func generated(part string) bool {
	return len(part) >= 5 && strings.Trim(part, "bcdfghjklmnpqrstvwxz2456789") == ""
}

func lastOf(lines []string) []string { return lines[max(0, len(lines)-evidenceLines):] }

func texts(lines []podlog.Line) []string {
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		out = append(out, line.Text)
	}
	return out
}
