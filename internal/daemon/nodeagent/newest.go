package nodeagent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
)

const (
	// maxDelay bounds what an annotation can ask for.
	maxDelay = time.Hour
	// nodeWait is how long a configuration waits for the Node, whose annotation may delay it.
	nodeWait = 15 * time.Second
)

// newest is what the API says the nodes of the pool shall be.
type newest struct {
	mu      sync.Mutex
	secret  string   // name of the Secret that says it
	desired *desired // nil until it has said something
	refused string   // checksum of what cannot be read
	// renamed: the name changed.
	renamed chan struct{}
}

// name takes the Secret's name from the Node, which changes it when the pool gets another one (contract node-agent-and-osc §6.4).
func (n *newest) name(node *corev1.Node) {
	if node == nil || node.Labels[constants.LabelWorkerPoolGardenerNodeAgentSecretName] == "" {
		return
	}
	name := node.Labels[constants.LabelWorkerPoolGardenerNodeAgentSecretName]
	n.mu.Lock()
	defer n.mu.Unlock()
	if name == n.secret {
		return
	}
	n.secret = name
	select {
	case n.renamed <- struct{}{}:
	default:
	}
}

// set is true when the configuration is another one than before.
func (n *newest) set(desired *desired) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.desired != nil && n.desired.checksum == desired.checksum {
		n.desired.serial = desired.serial
		return false
	}
	n.desired = desired
	return true
}

// after returns a configuration that is another one than the one that is kept, and can be read; nil for none.
func (n *newest) after(kept *desired) *desired {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.desired == nil || n.desired.checksum == n.refused || kept != nil && n.desired.checksum == kept.checksum {
		return nil
	}
	return n.desired
}

// is says whether the configuration is what the API says; false while the API has not said anything.
func (n *newest) is(kept *desired) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.desired != nil && n.desired.checksum == kept.checksum
}

// refuse remembers a configuration that cannot be read, so that the node goes on with the one that it has.
func (n *newest) refuse(desired *desired, because error) {
	if f, ok := errors.AsType[*fault.Error](because); ok && f.Code == fault.NodeConfiguration {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.refused = desired.checksum
	}
}

func (n *newest) secretName() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.secret
}

// follow follows the Secret of the node's pool.
func (k *keeper) follow(ctx context.Context) error {
	hear := func(object *corev1.Secret) {
		if found := desiredOf(object); found != nil && k.newest.set(found) {
			k.rouse()
		}
	}
	for ctx.Err() == nil {
		following, stop := context.WithCancel(ctx)
		var group sync.WaitGroup
		group.Go(func() {
			key := client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: k.newest.secretName()}
			follow(following, k.daemon, &corev1.SecretList{}, key, hear, nil)
		})
		select {
		case <-ctx.Done():
		case <-k.newest.renamed:
		}
		stop()
		group.Wait()
	}
	return nil
}

// delay is how long the node must still wait until it may take the configuration: workers do not restart their kubelets all at once.
// Nodes that take turns, and those that have no configuration yet, do not wait.
func (k *keeper) delay(next *desired) time.Duration {
	if next.serial || k.kept == nil {
		return 0
	}
	node := k.self.get()
	if node == nil {
		return time.Until(next.since.Add(nodeWait))
	}
	delay, err := time.ParseDuration(node.Annotations[constants.AnnotationNodeAgentReconciliationDelay])
	if err != nil {
		return 0
	}
	return time.Until(next.since.Add(min(delay, maxDelay)))
}
