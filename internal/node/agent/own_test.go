package agent

import (
	"context"
	"slices"
	"strings"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
)

// TestOwnUnitIsLeftToItself: an agent that runs in a unit lays its files and does not end itself; a second run finds nothing to do.
func TestOwnUnitIsLeftToItself(t *testing.T) {
	const own = "gardener-node-agent.service"
	m := booted(t)
	osc := first()
	osc.Spec.Units = append(osc.Spec.Units, service(own, "[Service]\nExecStart=/opt/bin/gardenadm"))
	target := want(t, osc, Local{})
	agent := NewIn(*m.Host(), source(), own)
	plan, err := agent.Reconcile(context.Background(), target)
	m.must(err)
	if !plan.Leave || slices.Contains(plan.Units(), own) {
		t.Errorf("leave %v, units %q", plan.Leave, plan.Units())
	}
	for _, line := range m.Log() {
		if line == "restart "+own || line == "start "+own {
			t.Errorf("the agent ended itself: %s", line)
		}
	}
	if plan, err = agent.Plan(context.Background(), target); err != nil || !plan.Empty() || plan.Leave {
		t.Errorf("the next agent: %v, leave %v, error %v", plan, plan.Leave, err)
	}
	m.write("/etc/systemd/system/"+own, "other")
	if plan, err = agent.Plan(context.Background(), target); err != nil || !plan.Leave || !plan.Drift() {
		t.Errorf("after a change by hand: %v, leave %v, error %v", plan, plan.Leave, err)
	}
}

// TestPlanSaysWhatItIsAbout: what is reported of a plan.
func TestPlanSaysWhatItIsAbout(t *testing.T) {
	m := booted(t)
	target := want(t, first(), Local{})
	agent := New(*m.Host(), source())
	plan, err := agent.Plan(context.Background(), target)
	m.must(err)
	if plan.Drift() || !slices.Contains(plan.Paths(), "/opt/bin/kubelet") || !slices.Contains(plan.Paths(), "/etc/systemd/system/kubelet.service") {
		t.Errorf("a new configuration: drift %v, paths %q", plan.Drift(), plan.Paths())
	}
	m.must(agent.Apply(context.Background(), plan))
	m.write("/var/lib/kubelet/config/kubelet", "other")
	m.must(m.Host().Units.Stop(context.Background(), "containerd.service"))
	plan, err = agent.Plan(context.Background(), target)
	m.must(err)
	if !plan.Drift() || !slices.Equal(plan.Paths(), []string{"/var/lib/kubelet/config/kubelet"}) ||
		!slices.Equal(plan.Starts(), []string{"containerd.service"}) || !slices.Equal(plan.Units(), []string{"containerd.service", "kubelet.service"}) {
		t.Errorf("drift %v, paths %q, starts %q, units %q", plan.Drift(), plan.Paths(), plan.Starts(), plan.Units())
	}
	spared := plan.WithoutStarting(func(unit string) bool { return strings.HasPrefix(unit, "containerd") })
	if len(spared.Starts()) != 0 || !slices.Equal(spared.Units(), []string{"kubelet.service"}) || len(plan.Starts()) != 1 {
		t.Errorf("spared: %q", spared.Units())
	}
}

func TestDownUnits(t *testing.T) {
	stop := extensionsv1alpha1.CommandStop
	m := booted(t)
	state, err := m.Host().Units.State(context.Background(), "nowhere.service")
	m.must(err)
	for name, test := range map[string]struct {
		unit Unit
		want bool
	}{
		"a service":           {Unit{}, true},
		"one that is stopped": {Unit{Command: stop}, false},
		"one that is done":    {Unit{Start: StartOnce}, false},
		"one with a timer":    {Unit{Start: StartTriggered}, false},
	} {
		if got := test.unit.Down(state); got != test.want {
			t.Errorf("%s: down %v, want %v", name, got, test.want)
		}
	}
}

// TestWhatCanBeDoneWithoutImages: units that are down are started, drift of files is healed, and nothing is restarted or concluded.
func TestWhatCanBeDoneWithoutImages(t *testing.T) {
	m := booted(t)
	target := want(t, first(), Local{})
	agent := New(*m.Host(), source())
	plan, err := agent.Plan(context.Background(), target)
	m.must(err)
	if rest := plan.WithoutImages(); len(rest.Paths()) > 0 || slices.Contains(rest.Units(), "kubelet.service") {
		t.Errorf("of a new configuration: %v", rest)
	}
	m.must(agent.Apply(context.Background(), plan))
	m.must(m.Host().Files.Remove(context.Background(), "/opt/bin/kubelet"))
	m.must(m.Host().Units.Stop(context.Background(), "containerd.service"))
	m.write("/etc/sysctl.d/99-k8s-general.conf", "other")
	m.ClearLog()
	plan, err = agent.Plan(context.Background(), target)
	m.must(err)
	m.must(agent.Apply(context.Background(), plan.WithoutImages()))
	log := strings.Join(m.Log(), "\n")
	if !strings.Contains(log, "start containerd.service") || !strings.Contains(log, "write /etc/sysctl.d/99-k8s-general.conf") || strings.Contains(log, "restart ") {
		t.Errorf("done:\n%s", log)
	}
	m.reconcile(target)
	log = strings.Join(m.Log(), "\n")
	if !strings.Contains(log, "restart kubelet.service") || !strings.Contains(log, "restart systemd-sysctl.service") {
		t.Errorf("what was left is not done later:\n%s", log)
	}
	if plan, err = agent.Plan(context.Background(), target); err != nil || !plan.Empty() {
		t.Errorf("not over: %v, %v", plan, err)
	}
}
