package nodeagent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// sameEvent is for how long an event is not told again.
	sameEvent = 10 * time.Minute
	// maxEvents are kept while the API is away; older ones are dropped.
	maxEvents = 20
	maxText   = 1000
	component = "gardener-node-agent"
)

// events tells of the node what happened to it, as events of its Node.
type events struct {
	*daemon

	mu   sync.Mutex
	open []corev1.Event
	told map[string]time.Time
	// last is the number in the name of the last event: no two have the same.
	last  int64
	ready chan struct{}
}

func newEvents(d *daemon) *events {
	e := &events{daemon: d, told: map[string]time.Time{}, ready: make(chan struct{}, 1)}
	d.self.onChange(func(node *corev1.Node) {
		if node != nil {
			e.rouse()
		}
	})
	return e
}

func (e *events) rouse() {
	select {
	case e.ready <- struct{}{}:
	default:
	}
}

func (e *events) normal(reason, text string) { e.add(corev1.EventTypeNormal, reason, text) }
func (e *events) warn(reason, text string)   { e.add(corev1.EventTypeWarning, reason, text) }

func (e *events) add(kind, reason, text string) {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + " …"
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, at := range e.told {
		if now.Sub(at) > sameEvent {
			delete(e.told, key)
		}
	}
	key := reason + "\n" + text
	if _, known := e.told[key]; known {
		return
	}
	e.told[key] = now
	e.last = max(e.last+1, now.UnixNano())
	e.Log.Info("event", "reason", reason, "message", text)
	e.open = append(e.open, corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: fmt.Sprintf("%s.%x", e.node.Name, e.last)},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: e.node.Name},
		Type:           kind, Reason: reason, Message: text, Source: corev1.EventSource{Component: component, Host: e.node.Name},
		FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now), Count: 1,
		ReportingController: component, ReportingInstance: e.node.Name,
	})
	e.open = e.open[max(0, len(e.open)-maxEvents):]
	e.rouse()
}

// run sends the events, as soon as there is a Node that they are about.
func (e *events) run(ctx context.Context) error {
	tries := retry{first: time.Second, last: time.Minute}
	for {
		wait := time.Hour
		if err := e.send(ctx); err != nil {
			wait = tries.failed(e.Log, "an event cannot be sent", err)
		} else {
			tries.succeeded()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.ready:
		case <-time.After(wait):
		}
	}
}

func (e *events) send(ctx context.Context) error {
	for {
		node := e.self.get()
		e.mu.Lock()
		if len(e.open) == 0 || node == nil {
			e.mu.Unlock()
			return nil
		}
		event := e.open[0]
		e.mu.Unlock()
		event.InvolvedObject.UID = node.UID
		err := ask(ctx, func(ctx context.Context) error { return e.api.Create(ctx, &event) })
		if err != nil && !apierrors.IsAlreadyExists(err) { // sent before, and the answer was lost
			return fmt.Errorf("create event: %w", err)
		}
		e.mu.Lock()
		if len(e.open) > 0 && e.open[0].Name == event.Name {
			e.open = e.open[1:]
		}
		e.mu.Unlock()
	}
}

// list is a list for a reader.
func list(items []string) string { return strings.Join(items, ", ") }
