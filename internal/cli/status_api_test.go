package cli

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
)

// slowAPI takes this long for each list.
func slowAPI(takes time.Duration) *kube.Client {
	return &kube.Client{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, api client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			select {
			case <-time.After(takes):
				return api.List(ctx, list, options...)
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}).Build()}
}

// A large cluster is not taken for a broken one; what hangs is given up.
func TestStatusIsPatientWithLargeClusters(t *testing.T) {
	for takes, good := range map[time.Duration]bool{4 * time.Second: true, time.Hour: false} {
		synctest.Test(t, func(t *testing.T) {
			var out apiStatus
			if err := out.askObjects(t.Context(), slowAPI(takes), "machine-0", true); (err == nil) != good {
				t.Errorf("a list that takes %s: %v", takes, err)
			}
		})
	}
}
