package gardenlet

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/watchlist"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kind says which objects of a kind are watched, and what of them is kept in memory.
type kind struct {
	name    string
	object  client.Object
	list    func() client.ObjectList
	options []client.ListOption
	// trim takes from an object what no controller reads.
	trim func(client.Object)
	// index finds objects by a word that each of them has; nil for none.
	index func(client.Object) string
}

// indexed is the name of a kind's only index.
const indexed = "index"

// watched are the objects of a kind as the API has them now, as far as they are kept. What it returns must not be changed.
type watched struct{ cache.SharedIndexInformer }

func watchKind(api client.WithWatch, of kind) (watched, error) {
	indexers := cache.Indexers{}
	if of.index != nil {
		indexers[indexed] = func(object any) ([]string, error) { return []string{of.index(object.(client.Object))}, nil }
	}
	informer := cache.NewSharedIndexInformerWithOptions(listerWatcher{api, of}, of.object, cache.SharedIndexInformerOptions{Indexers: indexers})
	return watched{informer}, informer.SetTransform(of.trimmed)
}

func (k kind) trimmed(object any) (any, error) {
	if o, ok := object.(client.Object); ok {
		o.SetManagedFields(nil)
		if k.trim != nil {
			k.trim(o)
		}
	}
	return object, nil
}

// find returns the object of the key, which is namespace/name, or the name of what has no namespace; nil when there is none.
func find[T client.Object](in watched, key string) T {
	var none T
	object, found, err := in.GetStore().GetByKey(key)
	if err != nil || !found {
		return none
	}
	return object.(T)
}

// all returns all objects, in no order.
func all[T client.Object](in watched) []T { return cast[T](in.GetStore().List()) }

// having returns the objects with the word in the kind's index, in no order.
func having[T client.Object](in watched, word string) []T {
	objects, err := in.GetIndexer().ByIndex(indexed, word)
	if err != nil {
		return nil // a kind without an index
	}
	return cast[T](objects)
}

func cast[T client.Object](objects []any) []T {
	out := make([]T, 0, len(objects))
	for _, object := range objects {
		out = append(out, object.(T))
	}
	return out
}

// changed leaves out what only its version says: most updates of a Node are about what is not kept. Where nothing but metadata is
// watched, the version is all there is.
func changed(before, after client.Object) bool {
	if _, ok := after.(*metav1.PartialObjectMetadata); ok {
		return before.GetResourceVersion() != after.GetResourceVersion()
	}
	same := after.DeepCopyObject().(client.Object)
	same.SetResourceVersion(before.GetResourceVersion())
	return !equality.Semantic.DeepEqual(before, same)
}

// listerWatcher lists and watches a kind.
type listerWatcher struct {
	api client.WithWatch
	of  kind
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
		return nil, fmt.Errorf("list %s: %w", l.of.name, err)
	}
	return list, nil
}

func (l listerWatcher) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return l.api.Watch(ctx, l.of.list(), l.with(options)...)
}

// IsWatchListSemanticsUnSupported is true for clients of tests: any other one gets objects one by one from the first, and never
// holds a whole list of untrimmed ones.
func (l listerWatcher) IsWatchListSemanticsUnSupported() bool {
	return watchlist.DoesClientNotSupportWatchListSemantics(l.api)
}

func (l listerWatcher) with(options metav1.ListOptions) []client.ListOption {
	return append([]client.ListOption{&client.ListOptions{Raw: &options}}, l.of.options...)
}
