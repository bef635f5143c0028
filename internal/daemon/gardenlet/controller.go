package gardenlet

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// A failure is tried again after firstRetry, then after twice as long, and so on up to lastRetry.
	firstRetry = 250 * time.Millisecond
	lastRetry  = time.Minute
)

// controller calls reconcile for names that its triggers tell, one after the other.
type controller struct {
	name     string
	triggers []trigger
	// pause is how long what happens is collected before a name is worked on.
	pause time.Duration
	// reconcile returns after which time it wants to be called again; 0 for not before something happens.
	reconcile func(ctx context.Context, name string) (again time.Duration, err error)
}

// trigger tells the names that a controller has to work on when an object comes, goes, or changes in what is kept of it.
type trigger struct {
	on    watched
	names func(client.Object) []string
}

// always names one thing whatever the object.
func always(name string) func(client.Object) []string {
	return func(client.Object) []string { return []string{name} }
}

// itself names the object, if it is wanted.
func itself(wanted func(client.Object) bool) func(client.Object) []string {
	return func(object client.Object) []string {
		if !wanted(object) {
			return nil
		}
		return []string{object.GetName()}
	}
}

type queue = workqueue.TypedRateLimitingInterface[string]

// runAll runs the controllers until the context ends.
func runAll(ctx context.Context, log *slog.Logger, controllers ...controller) {
	var group sync.WaitGroup
	for _, one := range controllers {
		group.Go(func() { one.run(ctx, log.With("controller", one.name)) })
	}
	group.Wait()
}

// run begins when all is known that the triggers tell of.
func (c controller) run(ctx context.Context, log *slog.Logger) {
	names := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry))
	stop := context.AfterFunc(ctx, names.ShutDown)
	defer stop()
	var known []cache.InformerSynced
	for _, t := range c.triggers {
		registered, err := t.on.AddEventHandler(c.handler(t, names))
		if err != nil {
			log.Error("watch", "error", err) // the informer has ended, and so has the context
			return
		}
		defer t.on.RemoveEventHandler(registered) //nolint:errcheck // it is gone or its informer is
		known = append(known, registered.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), known...) {
		return
	}
	for c.next(ctx, names, log) {
	}
}

func (c controller) handler(t trigger, names queue) cache.ResourceEventHandler {
	add := func(object client.Object) {
		for _, name := range t.names(object) {
			names.AddAfter(name, c.pause)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { add(object.(client.Object)) },
		UpdateFunc: func(before, after any) {
			if before, after := before.(client.Object), after.(client.Object); changed(before, after) {
				add(before)
				add(after)
			}
		},
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			add(object.(client.Object))
		},
	}
}

// next works on one name; false when there will be none any more.
func (c controller) next(ctx context.Context, names queue, log *slog.Logger) bool {
	name, shutdown := names.Get()
	if shutdown {
		return false
	}
	defer names.Done(name)
	again, err := c.reconcile(ctx, name)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		log.Error("reconcile", "name", name, "tries", names.NumRequeues(name)+1, "error", err)
		names.AddRateLimited(name)
	case again > 0:
		names.Forget(name)
		names.AddAfter(name, again)
	default:
		names.Forget(name)
	}
	return true
}
