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

// follow hands over an object as it is, and each time that it changes, until the context ends; gone is called when it was deleted, be it
// while nothing was heard of it, and may be nil. It is one request, without a list: a watch that is not told where to begin starts
// with what there is.
func follow[O any, T object[O]](ctx context.Context, d *daemon, list client.ObjectList, key client.ObjectKey, handle func(T), gone func()) {
	there := false
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
		if there && gone != nil {
			// What is gone since the last watch shows in no event.
			still, err := exists[O, T](ctx, d, key)
			if err != nil {
				return tries.failed(log, "the API does not answer", err)
			}
			if there = still; !there {
				gone()
			}
		}
		for event := range events.ResultChan() {
			found, ok := event.Object.(T)
			switch {
			case ctx.Err() != nil:
				return 0
			case event.Type == watch.Error:
				return tries.failed(log, "the watch broke", apierrors.FromObject(event.Object))
			case !ok || found.GetName() != key.Name:
			case event.Type == watch.Deleted:
				there = false
				if gone != nil {
					gone()
				}
			default:
				tries.succeeded()
				there = true
				handle(found)
			}
		}
		return jitter(time.Second)
	})
}

// object is a pointer to an O.
type object[O any] interface {
	*O
	client.Object
}

func exists[O any, T object[O]](ctx context.Context, d *daemon, key client.ObjectKey) (bool, error) {
	err := ask(ctx, func(ctx context.Context) error { return d.api.Get(ctx, key, T(new(O))) })
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("get %s: %w", key, err)
	}
	return err == nil, nil
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
	return within(ctx, requestTimeout, question)
}
