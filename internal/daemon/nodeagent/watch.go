package nodeagent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A watch is begun anew after watchFor to twice that: then the object comes again, whatever was missed.
const watchFor = 5 * time.Minute

// follow hands over an object as it is, and each time that it changes, until the context ends; gone is called when it was deleted.
// It is one request, without a list: a watch that is not told where to begin starts with what there is.
func follow[T client.Object](ctx context.Context, d *daemon, list client.ObjectList, key client.ObjectKey, handle func(T), gone func()) {
	tries := retry{first: time.Second, last: 30 * time.Second, patient: true}
	log := d.Log.With("watch", key.String())
	every(ctx, func(ctx context.Context) time.Duration {
		events, err := d.watch(ctx, list, key)
		if ctx.Err() != nil {
			return 0
		}
		if err != nil {
			return tries.failed(log, "the API does not answer", err)
		}
		defer events.Stop()
		for event := range events.ResultChan() {
			object, ok := event.Object.(T)
			switch {
			case ctx.Err() != nil:
				return 0
			case event.Type == watch.Error:
				return tries.failed(log, "the watch broke", apierrors.FromObject(event.Object))
			case !ok || object.GetName() != key.Name:
			case event.Type == watch.Deleted:
				gone()
			default:
				tries.succeeded()
				handle(object)
			}
		}
		return jitter(time.Second)
	})
}

func (d *daemon) watch(ctx context.Context, list client.ObjectList, key client.ObjectKey) (watch.Interface, error) {
	seconds := int64((watchFor + rand.N(watchFor)) / time.Second)
	events, err := d.api.Watch(ctx, list, &client.ListOptions{Raw: &metav1.ListOptions{TimeoutSeconds: &seconds}},
		client.InNamespace(key.Namespace), client.MatchingFields{"metadata.name": key.Name})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", key, err)
	}
	return events, nil
}

// ask bounds one question to the API.
func ask(ctx context.Context, question func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return question(ctx)
}
