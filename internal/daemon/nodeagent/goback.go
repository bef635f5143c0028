package nodeagent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

// A setting that is well-formed may still be one that etcd or the API server dies of, and without the API nobody can take it back. So a
// control plane is on trial until its API server has answered once; if it does not, the node goes back to the one that worked (decision 0010).

const (
	// trialTime is how long a control plane may stay silent that does not say why.
	trialTime = 5 * time.Minute
	// fileLastGood is the configuration with which the control plane worked last. It holds secrets: only root reads it.
	fileLastGood = layout.DirAgent + "/last-good-osc.yaml"
)

// trial is what the node knows of the control plane that it runs.
type trial struct {
	of    string // its name, see nameOf
	since time.Time
	// works: its API server has answered. From then on it may have written what the former one cannot read.
	works bool
	watch diagnosis.Watch
}

// nameOf names a control plane by the hashes of its static pods; "" for a node without any.
func (p *pods) nameOf() string {
	var out []string
	for _, pod := range p.manifests {
		out = append(out, pod.Name+"="+pod.Annotations[staticpod.AnnotationHash])
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// images are those of all static pods, sorted.
func (p *pods) images() []string {
	var out []string
	for _, pod := range p.manifests {
		for _, container := range pod.Spec.Containers {
			out = append(out, container.Image)
		}
	}
	slices.Sort(out)
	return out
}

func podsOf(want agent.Want) *pods {
	out := &pods{}
	out.changed(want)
	return out
}

// onTrial begins a trial when the control plane is another one than before.
func (k *keeper) onTrial() {
	if name := k.pods.nameOf(); name != k.trial.of {
		k.trial = trial{of: name, since: time.Now(), watch: diagnosis.Watch{Scope: diagnosis.Control}}
	}
}

// keepGood remembers a control plane that works, and all that belongs to it.
func (k *keeper) keepGood(ctx context.Context) error {
	if !runsControlPlane(k.wanted) {
		return nil
	}
	return k.keepAs(ctx, fileLastGood, k.kept)
}

// goBack takes the configuration that the control plane worked with last, once it is clear that it does not with this one. It is true when
// it did. Other programs are another matter than other settings: data may have been written anew for them.
func (k *keeper) goBack(ctx context.Context) (bool, error) {
	if k.trial.works || !runsControlPlane(k.wanted) {
		return false, nil
	}
	good, err := k.known(ctx, fileLastGood)
	if err != nil || good == nil || good.checksum == k.kept.checksum {
		return false, err
	}
	want, err := k.want(ctx, good)
	if err != nil {
		return false, err
	}
	if former := podsOf(want); former.nameOf() == k.trial.of || !slices.Equal(former.images(), k.pods.images()) {
		return false, nil
	}
	because, clear := k.verdict(ctx)
	if !clear {
		return false, nil
	}
	refusal := agent.Refusal{Checksum: k.kept.checksum, StaticPods: k.trial.of, Because: because, At: time.Now().UTC()}
	if err := refusal.Keep(ctx, k.Host); err != nil {
		return false, err
	}
	k.Log.Warn("go back to the former configuration", "from", k.kept.checksum, "to", good.checksum, "because", because)
	k.events.warn("OSCRefused", "etcd or the API server do not work with configuration "+k.kept.checksum+": the node went back to "+good.checksum)
	return true, k.take(ctx, good, want)
}

// verdict says why the control plane does not work, and whether that is clear by now.
func (k *keeper) verdict(ctx context.Context) (because string, clear bool) {
	found, definite := k.trial.watch.Look(ctx, k.Host)
	switch {
	case definite && slices.Contains([]fault.Code{fault.APIServerDown, fault.EtcdDown, fault.RefusedConfiguration}, found.Code):
		return found.Error() + evidence(found), true
	case time.Since(k.trial.since) < trialTime:
		return "", false
	case found != nil:
		return found.Error() + evidence(found), true
	}
	return fmt.Sprintf("the API server has not answered for %s", trialTime), true
}

func evidence(found *fault.Error) string {
	if len(found.Evidence) == 0 {
		return ""
	}
	return ": " + strings.Join(found.Evidence, "; ")
}

// refuses says of a configuration that the node has gone back from its control plane, "" for any other. It looks at the disk each time:
// who removes the refusal has the configuration tried again.
func (k *keeper) refuses(ctx context.Context, next *desired, want agent.Want) (string, error) {
	refusal, err := agent.Refused(ctx, k.Host)
	if err != nil || refusal == nil || refusal.StaticPods != podsOf(want).nameOf() {
		return "", err
	}
	if refusal.Checksum != next.checksum {
		refusal.Checksum = next.checksum
		if err := refusal.Keep(ctx, k.Host); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("another configuration than %.12s, which it went back from", next.checksum), nil
}

// forgive forgets what was refused once the node has what is published.
func (k *keeper) forgive(ctx context.Context) error {
	if !k.newest.is(k.kept) {
		return nil
	}
	return agent.ForgetRefusal(ctx, k.Host)
}
