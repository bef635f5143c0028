package diagnosis

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis/podlog"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// pod suspects the containers of a pod that do not run. The wanted ones are known of static pods only; nil stands for those that are there.
func (x examiner) pod(ctx context.Context, component string, pod host.Pod, wanted []string) []suspect {
	if wanted == nil {
		for _, one := range pod.Containers {
			if !slices.Contains(wanted, one.Name) {
				wanted = append(wanted, one.Name)
			}
		}
		if len(wanted) == 0 {
			return []suspect{x.notStarted(ctx, component, pod.Name, "its container is not started")}
		}
	}
	var out []suspect
	for _, name := range wanted {
		var runs []host.Container
		for _, one := range pod.Containers {
			if one.Name == name {
				runs = append(runs, one)
			}
		}
		if len(runs) == 0 {
			out = append(out, x.notStarted(ctx, component, pod.Name, "its container is not started"))
			continue
		}
		if s, bad := x.container(ctx, component, pod, runs); bad {
			out = append(out, s)
		}
	}
	return out
}

// container looks at the last run, or at the one before when the last one has only begun.
func (x examiner) container(ctx context.Context, component string, pod host.Pod, runs []host.Container) (suspect, bool) {
	last := runs[len(runs)-1]
	if last.State == host.ContainerRunning {
		if len(runs) == 1 || x.now.Sub(last.Started) > young || lost(runs[len(runs)-2]) {
			return x.running(ctx, component, last)
		}
		last = runs[len(runs)-2]
	}
	if lost(last) {
		return x.notStarted(ctx, component, pod.Name, "it ended with the machine, and the kubelet has not started it anew"), true
	}
	if last.State == host.ContainerExited && last.ExitCode == 0 && !x.isStatic(pod) {
		return suspect{}, false // an init container, or a job
	}
	if last.State == host.ContainerExited && last.ExitCode == 0 { // it was told to end
		return x.notStarted(ctx, component, pod.Name, "it was stopped, and the kubelet has not started it anew"), true
	}
	if last.State == host.ContainerCreated {
		return x.notStarted(ctx, component, pod.Name, "its container does not start"), true
	}
	return x.ended(ctx, component, last), true
}

// lost says of a run that nobody saw it end: it went with the machine, and containerd found that out when it started. That is no failure
// of the program's, though the kubelet takes it for one and lets it wait.
func lost(run host.Container) bool {
	return run.State == host.ContainerExited && run.Reason == "Unknown"
}

// ended says why a run ended.
func (x examiner) ended(ctx context.Context, component string, run host.Container) suspect {
	s := suspect{component: component, run: run.ID}
	if run.Reason == "OOMKilled" {
		s.fault = fault.New(fault.OutOfMemory, "%s was killed: memory is exhausted", component).Seen(fmt.Sprintf("container %s ended with OOMKilled", run.Name))
		return s
	}
	logs, _ := podlog.Tail(ctx, x.h.Observer, run.LogPath, logTail)
	lines := texts(logs)
	if run.Message != "" {
		lines = append(lines, run.Message)
	}
	if p, line, ok := match(patterns(), component, lines); ok {
		s.fault = x.found(ctx, component, doesNotRun, p, line)
		s.soft = p.soft
		return s
	}
	s.fault = fault.New(general(component), "%s ended with exit code %d", component, run.ExitCode).Seen(Redact(lastWords(lines))...)
	if general(component) == fault.ComponentDown {
		s.fault = s.fault.Mend("gardenadm logs %s", component)
	}
	return s
}

// lastWords are the last lines that tell something: errors when there are any.
func lastWords(lines []string) []string {
	var errors []string
	for _, line := range lines {
		if saysError(line) {
			errors = append(errors, line)
		}
	}
	if len(errors) > 0 {
		return lastOf(errors)
	}
	return lastOf(lines)
}

// saysError knows klog's errors (E1122, F1122) and the words of others.
func saysError(line string) bool {
	if klog := regexp.MustCompile(`^[EF]\d{4} `); klog.MatchString(line) {
		return true
	}
	small := strings.ToLower(line)
	for _, word := range []string{"error", "panic", `"level":"fatal"`} {
		if strings.Contains(small, word) {
			return true
		}
	}
	return false
}

// running suspects a run that goes on but keeps saying that it cannot do its work.
func (x examiner) running(ctx context.Context, component string, run host.Container) (suspect, bool) {
	logs, err := podlog.Tail(ctx, x.h.Observer, run.LogPath, logTail)
	if err != nil {
		return suspect{}, false
	}
	logs = slices.DeleteFunc(logs, func(line podlog.Line) bool { return x.now.Sub(line.Time) > fresh })
	p, line, ok := match(patterns(), component, texts(logs))
	if !ok {
		return suspect{}, false
	}
	return suspect{component: component, fault: x.found(ctx, component, notReady, p, line), soft: true}, true
}

// notStarted looks for what the kubelet says of a pod whose container there is not.
func (x examiner) notStarted(ctx context.Context, component, name, what string) suspect {
	var about []string
	for _, line := range x.kubelet.since(x.now.Add(-2 * fresh)) {
		if strings.Contains(line, name) && !strings.HasPrefix(line, "I") && !strings.Contains(line, "Failed to get status for pod") {
			about = append(about, line)
		}
	}
	if p, line, ok := match(podPatterns(), component, about); ok {
		return suspect{component: component, fault: x.found(ctx, component, doesNotRun, p, line), soft: p.soft}
	}
	// A changed static pod is started only when the old one ended, which takes half a minute.
	return suspect{component: component, soft: true,
		fault: fault.New(general(component), "%s does not run: %s", component, what).Seen(Redact(lastOf(about))...)}
}
