package gardenlet

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// A failure is tried again after firstRetry, then after twice as long, and so on up to lastRetry.
	firstRetry = 250 * time.Millisecond
	lastRetry  = time.Minute
)

// controller calls reconcile for the name of each object that it watches and that is wanted, one after the other.
type controller struct {
	name    string
	object  client.Object
	list    func() client.ObjectList
	options []client.ListOption
	// trim takes from an object what need not be kept in memory.
	trim   func(client.Object)
	wanted func(client.Object) bool
	// reconcile returns after which time it wants to be called again; 0 for not before the object changes.
	reconcile func(ctx context.Context, name string) (again time.Duration, err error)
}

// runAll runs the controllers until the context ends.
func runAll(ctx context.Context, api client.WithWatch, log *slog.Logger, controllers ...controller) {
	var group sync.WaitGroup
	for _, one := range controllers {
		group.Go(func() { one.run(ctx, api, log.With("controller", one.name)) })
	}
	group.Wait()
}

func (c controller) run(ctx context.Context, api client.WithWatch, log *slog.Logger) {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry))
	add := func(object any) {
		if o, ok := object.(client.Object); ok && c.wanted(o) {
			queue.Add(o.GetName())
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: listerWatcher{api, c},
		ObjectType:    c.object,
		Handler:       cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, object any) { add(object) }},
		Transform: func(object any) (any, error) {
			if o, ok := object.(client.Object); ok {
				o.SetManagedFields(nil)
				c.trim(o)
			}
			return object, nil
		},
	})
	var group sync.WaitGroup
	group.Go(func() { informer.RunWithContext(ctx) })
	group.Go(func() {
		<-ctx.Done()
		queue.ShutDown()
	})
	for c.next(ctx, queue, log) {
	}
	group.Wait()
}

// next works on one name; false when there will be none any more.
func (c controller) next(ctx context.Context, queue workqueue.TypedRateLimitingInterface[string], log *slog.Logger) bool {
	name, shutdown := queue.Get()
	if shutdown {
		return false
	}
	defer queue.Done(name)
	again, err := c.reconcile(ctx, name)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		log.Error("reconcile", "name", name, "tries", queue.NumRequeues(name)+1, "error", err)
		queue.AddRateLimited(name)
	case again > 0:
		queue.Forget(name)
		queue.AddAfter(name, again)
	default:
		queue.Forget(name)
	}
	return true
}

// listerWatcher lists and watches what a controller is about.
type listerWatcher struct {
	api client.WithWatch
	of  controller
}

// List and Watch are without a context in client-go's older interface; it calls them by ListWithContext and WatchWithContext.
func (l listerWatcher) List(options metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), options)
}

func (l listerWatcher) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(context.Background(), options)
}

func (l listerWatcher) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	list := l.of.list()
	if err := l.api.List(ctx, list, l.with(options)...); err != nil {
		return nil, fmt.Errorf("list for controller %s: %w", l.of.name, err)
	}
	return list, nil
}

func (l listerWatcher) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return l.api.Watch(ctx, l.of.list(), l.with(options)...)
}

// IsWatchListSemanticsUnSupported keeps to a list before the watch: it is one request, and the client of tests knows nothing else.
func (l listerWatcher) IsWatchListSemanticsUnSupported() bool { return true }

func (l listerWatcher) with(options metav1.ListOptions) []client.ListOption {
	return append([]client.ListOption{&client.ListOptions{Raw: &options}}, l.of.options...)
}
