package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gardenadm/gardenadm/internal/kube/lease"
)

func holder(t *testing.T, api client.Client) string {
	t.Helper()
	object := &coordinationv1.Lease{}
	if err := api.Get(context.Background(), client.ObjectKey{Namespace: "kube-system", Name: "reconcile"}, object); err != nil {
		t.Fatal(err)
	}
	return ptr.Deref(object.Spec.HolderIdentity, "")
}

func on(api client.Client, host, process string) lease.Lease {
	return lease.Lease{API: api, Namespace: "kube-system", Name: "reconcile", Host: host, Process: process}
}

func TestHoldReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := fake.NewClientBuilder().Build()
		failure := errors.New("work failed")
		err := on(api, "a", "1").Hold(t.Context(), func(context.Context) error {
			if got := holder(t, api); got != "a/1" {
				t.Errorf("holder is %q", got)
			}
			time.Sleep(time.Minute) // renewed several times
			return failure
		})
		if !errors.Is(err, failure) {
			t.Errorf("the function's error is lost: %v", err)
		}
		if got := holder(t, api); got != "" {
			t.Errorf("still held by %q", got)
		}
	})
}

func TestDeadHolderOfSameHostIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := fake.NewClientBuilder().Build()
		die(t, on(api, "a", "1"))
		start := time.Now()
		if err := on(api, "a", "2").Hold(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %s for a dead process of the same host", waited)
		}
	})
}

func TestDeadHolderOfAnotherHostIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := fake.NewClientBuilder().Build()
		die(t, on(api, "a", "1"))
		start := time.Now()
		if err := on(api, "b", "1").Hold(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < 90*time.Second || waited > 95*time.Second {
			t.Errorf("took over after %s, want the lease's 90 s", waited)
		}
	})
}

// TestClocksApart: whoever takes over goes by his own clock, but for one who is dead for long.
func TestClocksApart(t *testing.T) {
	for name, c := range map[string]struct{ renewed, want time.Duration }{
		"the holder's is behind": {-2 * time.Minute, 91 * time.Second},
		"the holder's is ahead":  {time.Hour, 91 * time.Second},
		"dead for long":          {-time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := fake.NewClientBuilder().Build()
				die(t, on(api, "a", "1"))
				object := &coordinationv1.Lease{}
				check(t, api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "reconcile"}, object))
				object.Spec.RenewTime = ptr.To(metav1.NewMicroTime(time.Now().Add(c.renewed)))
				check(t, api.Update(t.Context(), object))
				start := time.Now()
				check(t, on(api, "b", "1").Hold(t.Context(), func(context.Context) error { return nil }))
				if waited := time.Since(start).Truncate(time.Second); waited != c.want {
					t.Errorf("took over after %s, want %s", waited, c.want)
				}
			})
		})
	}
}

// TestCutOff: who cannot renew ends before anybody may take over, also when a request hangs.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := false
		api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if cut {
					<-ctx.Done()
					return ctx.Err()
				}
				return api.Get(ctx, key, object, options...)
			},
		}).Build()
		err := on(api, "a", "1").Hold(t.Context(), func(ctx context.Context) error {
			cut = true
			start := time.Now()
			<-ctx.Done()
			if worked := time.Since(start); worked < time.Minute || worked >= 90*time.Second {
				t.Errorf("worked on for %s", worked)
			}
			return context.Cause(ctx)
		})
		if !errors.Is(err, lease.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLivingHolderKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := fake.NewClientBuilder().Build()
		done := make(chan error)
		go func() {
			done <- on(api, "a", "1").Hold(t.Context(), func(context.Context) error { time.Sleep(2 * time.Minute); return nil })
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := on(api, "b", "1").Hold(ctx, func(context.Context) error { t.Error("two hold it"); return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the wait", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the holder was disturbed: %v", err)
		}
	})
}

func TestLostLeaseEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := fake.NewClientBuilder().Build()
		err := on(api, "a", "1").Hold(t.Context(), func(ctx context.Context) error {
			object := &coordinationv1.Lease{}
			if err := api.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "reconcile"}, object); err != nil {
				t.Fatal(err)
			}
			object.Spec.HolderIdentity = ptr.To("b/1")
			if err := api.Update(ctx, object); err != nil {
				t.Fatal(err)
			}
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if !errors.Is(err, lease.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		if got := holder(t, api); got != "b/1" {
			t.Errorf("the new holder's lease was released: %q", got)
		}
	})
}

// die leaves the lease as a killed holder does.
func die(t *testing.T, l lease.Lease) {
	t.Helper()
	err := l.Hold(t.Context(), func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	object := &coordinationv1.Lease{}
	if err := l.API.Get(t.Context(), client.ObjectKey{Namespace: l.Namespace, Name: l.Name}, object); err != nil {
		t.Fatal(err)
	}
	object.Spec.HolderIdentity = ptr.To(l.Host + "/" + l.Process)
	if err := l.API.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}
