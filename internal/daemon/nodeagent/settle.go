package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	labelControlPlane = "node-role.kubernetes.io/control-plane"
	labelWorker       = "node-role.kubernetes.io/worker"
)

// errUnknownTurn is what a node lacks whose agent was just started, while the API does not answer.
var errUnknownTurn = errors.New("the API to say whose turn it is")

// settle is nil once all that was applied has taken effect; lack says what is missing.
func (k *keeper) settle(ctx context.Context) (lack, err error) {
	if k.settled {
		return nil, nil
	}
	unknown := k.turn.resume(ctx) // first: it is renewed while pods are waited for
	if lack, err = k.judge(ctx); err != nil {
		return nil, err
	}
	switch {
	case lack != nil:
	case unknown != nil:
		lack = fmt.Errorf("%w: %w", errUnknownTurn, unknown)
	case k.turn.held():
		// The next node begins when this one's turn is over: only one of them may be unwell.
		lack = k.well(ctx)
	}
	if lack == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.settled = true
		return nil, nil
	}
	if name := k.pods.overdue(lack); name != "" {
		return lack, k.wakeKubelet(ctx, name)
	}
	return lack, nil
}

// judge says what the static pods lack, and remembers a control plane that works.
func (k *keeper) judge(ctx context.Context) (lack, err error) {
	if lack, err = k.pods.lack(ctx, k.daemon); err != nil {
		return nil, err
	}
	if k.pods.served {
		k.trial.works = true
		return lack, k.keepGood(ctx)
	}
	return lack, nil
}

// judgeAnyway is for a host on which something cannot be done, say a unit that fails: the control plane is on trial all the same, once
// its files are laid.
func (k *keeper) judgeAnyway(ctx context.Context) error {
	if !runsControlPlane(k.wanted) {
		return nil
	}
	plan, err := k.plan(ctx, k.wanted)
	if err != nil || len(plan.Paths()) > 0 {
		return nil // the error is told already
	}
	lack, err := k.judge(ctx)
	if err == nil && lack != nil {
		_, err = k.goBack(ctx)
	}
	return err
}

// well is nil when kubelet and API see the node as Ready. The API's answer may be of before: the kubelet's own counts, too.
func (k *keeper) well(ctx context.Context) error {
	if err := k.Probe(ctx, kubeletHealth()); err != nil {
		return fmt.Errorf("the kubelet to be well: %w", err)
	}
	if !ready(k.self.get()) {
		return errors.New("the node to be Ready")
	}
	return nil
}

// wakeKubelet restarts a kubelet that does not take a changed manifest (GA-3047).
func (k *keeper) wakeKubelet(ctx context.Context, pod string) error {
	k.hands.Lock()
	defer k.hands.Unlock()
	k.events.warn("UnitRestarted", layout.UnitKubelet+" does not take the changed manifest of "+pod)
	k.pods.restarted()
	return k.restart(ctx, layout.UnitKubelet)
}

// report says on the Node what it is now (contract node-agent-and-osc §6.3), and ends its turn.
func (k *keeper) report(ctx context.Context) error {
	node := k.self.get()
	if node == nil {
		return nil // the watch brings it
	}
	labels, annotations := k.unreported(node)
	if len(labels)+len(annotations) > 0 {
		if err := k.self.change(ctx, labels, annotations); err != nil {
			return err
		}
	}
	if _, ok := annotations[nodeagentv1alpha1.AnnotationKeyChecksumAppliedOperatingSystemConfig]; ok {
		k.Log.Info("configuration applied", "checksum", k.kept.checksum)
		k.events.normal("OSCApplied", "OperatingSystemConfig "+k.kept.checksum+" is applied")
	}
	return k.turn.release(ctx)
}

// expects says that the Node is not yet as it will be reported, or that its state is waited for.
func (k *keeper) expects(node *corev1.Node) bool {
	if node == nil {
		return false
	}
	k.mu.Lock()
	kept, settled := k.kept, k.settled
	k.mu.Unlock()
	if kept == nil {
		return false
	}
	labels, annotations := k.unreported(node)
	return !settled || len(labels)+len(annotations) > 0
}

// unreported is what the Node lacks or should not have.
func (k *keeper) unreported(node *corev1.Node) (labels, annotations map[string]*string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	role := labelWorker
	if runsControlPlane(k.wanted) {
		role = labelControlPlane
	}
	want := map[string]string{role: "", constants.LabelWorkerKubernetesVersion: k.config.Controllers.OperatingSystemConfig.KubernetesVersion.String()}
	if k.node.Zone != "" {
		want[corev1.LabelTopologyZone] = k.node.Zone
	}
	return differing(node.Labels, want), differing(node.Annotations, map[string]string{
		nodeagentv1alpha1.AnnotationKeyChecksumAppliedOperatingSystemConfig: k.kept.checksum,
		secret.AnnotationPool: k.node.Pool,
	})
}

func runsControlPlane(want agent.Want) bool {
	return slices.ContainsFunc(want.Files, func(f agent.File) bool { return f.Path == path.Join(layout.DirManifests, podAPIServer+".yaml") })
}

func differing(have, want map[string]string) map[string]*string {
	out := map[string]*string{}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		value := want[key]
		if found, ok := have[key]; !ok || found != value {
			out[key] = &value
		}
	}
	return out
}
