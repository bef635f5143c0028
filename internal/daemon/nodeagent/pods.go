package nodeagent

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

const podAPIServer = "kube-apiserver"

// ignoredAfter is how long beyond its pods' grace the kubelet may take to replace a static pod whose manifest changed. A kubelet that was
// started while the API was down waits for ever (GA-3047): it is restarted then.
const ignoredAfter = 30 * time.Second

// pods says whether the kubelet runs the static pods as their manifests say. It asks the container runtime, not the API.
type pods struct {
	manifests []corev1.Pod
	// since is when the manifests changed, or the kubelet was restarted because of them; restarts counts those.
	since    time.Time
	restarts int
	// served: the API server of these manifests has answered.
	served bool
}

// changed begins anew after something was applied.
func (p *pods) changed(want agent.Want) {
	p.manifests, p.since, p.restarts, p.served = nil, time.Now(), 0, false
	for _, file := range want.Files {
		if path.Dir(file.Path) != layout.DirManifests || strings.HasPrefix(path.Base(file.Path), ".") {
			continue
		}
		pod := corev1.Pod{}
		// What is no pod, the kubelet does not run either.
		if yaml.Unmarshal(file.Data, &pod) == nil && pod.Name != "" {
			p.manifests = append(p.manifests, pod)
		}
	}
}

// old says of a static pod that does not run as its manifest says: the kubelet has not taken the manifest yet.
type old struct{ manifest *corev1.Pod }

func (o old) Error() string { return "the kubelet to run the static pod " + o.manifest.Name }

// lack is nil when all static pods run as they should and answer; it says what is missing first.
func (p *pods) lack(ctx context.Context, d *daemon) (lack, err error) {
	if len(p.manifests) == 0 {
		return nil, nil
	}
	running, err := d.runningPods(ctx)
	if err != nil {
		return nil, err
	}
	for i := range p.manifests {
		manifest := &p.manifests[i]
		if !runs(manifest, running, d.node.Name) {
			return old{manifest}, nil
		}
		for _, container := range manifest.Spec.Containers {
			if err := d.answers(ctx, container); err != nil {
				return fmt.Errorf("%s to be well: %w", manifest.Name, err), nil
			}
		}
		p.served = p.served || manifest.Name == podAPIServer
	}
	return nil, nil
}

func (d *daemon) runningPods(ctx context.Context) ([]host.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, runtimeTimeout)
	defer cancel()
	return d.Host.Observer.Pods(ctx)
}

// runs: a pod with the manifest's hash is up, with all of its containers, and none of an older one.
func runs(manifest *corev1.Pod, running []host.Pod, node string) bool {
	found := false
	for _, pod := range running {
		if pod.Namespace != manifest.Namespace || pod.Name != manifest.Name+"-"+node || !pod.Ready {
			continue
		}
		if pod.Annotations[staticpod.AnnotationHash] != manifest.Annotations[staticpod.AnnotationHash] {
			return false
		}
		found = true
		for _, container := range manifest.Spec.Containers {
			found = found && hasRunning(pod, container.Name)
		}
	}
	return found
}

func hasRunning(pod host.Pod, name string) bool {
	for _, container := range pod.Containers {
		if container.Name == name && container.State == host.ContainerRunning {
			return true
		}
	}
	return false
}

// answers asks what the kubelet asks, so that a pod that only runs does not pass for one that works.
func (d *daemon) answers(ctx context.Context, container corev1.Container) error {
	for _, probe := range []*corev1.Probe{container.ReadinessProbe, container.StartupProbe, container.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			continue
		}
		return d.Probe(ctx, probeURL(container, probe.HTTPGet, d.node.IP().String()))
	}
	return nil
}

// overdue is the manifest's pod that the kubelet should have replaced by now, "" when it still has time.
func (p *pods) overdue(lack error) string {
	missing, ok := lack.(old)
	if !ok {
		return ""
	}
	grace := time.Duration(corev1.DefaultTerminationGracePeriodSeconds) * time.Second
	if seconds := missing.manifest.Spec.TerminationGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	if time.Since(p.since) < (grace+ignoredAfter)<<min(p.restarts, 4) {
		return ""
	}
	return missing.manifest.Name
}

// restarted gives the kubelet time again, twice as long each time.
func (p *pods) restarted() {
	p.since = time.Now()
	p.restarts++
}
