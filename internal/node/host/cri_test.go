package host_test

import (
	"context"
	"io"
	"io/fs"
	"slices"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

const socket = "/run/containerd/containerd.sock"

// imagesForKubelet looks at the images that are there with the kubelet's eyes, after a garbage collection.
func imagesForKubelet(t *testing.T) {
	ctx := t.Context()
	h := host.New()
	defer h.Close()
	images, err := h.Images.List(ctx)
	ok(t, err)
	if len(images) == 0 {
		t.Fatal("no images")
	}
	collectGarbage(t)
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	ok(t, err)
	defer conn.Close()
	service := cri.NewImageServiceClient(conn)
	for _, image := range images {
		// Nothing was collected, so nothing is taken.
		if err := h.Images.Import(ctx, image, noBlobs{}); err != nil {
			t.Error(err)
		}
		// To the CRI plugin all names of one digest are one image.
		pinned := slices.ContainsFunc(images, func(other host.Image) bool { return other.Digest == image.Digest && other.Pinned })
		// The CRI plugin hears of a change by an event.
		var found *cri.Image
		for deadline := time.Now().Add(5 * time.Second); (found == nil || found.Pinned != pinned) && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			response, err := service.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image.Name}})
			ok(t, err)
			found = response.Image
		}
		if found == nil || !slices.Contains(append(found.RepoTags, found.RepoDigests...), image.Name) {
			t.Errorf("the CRI plugin knows %s as %v", image.Name, found)
		}
		if found.GetPinned() != pinned {
			t.Errorf("that %s is pinned is %t, and to the CRI plugin %t", image.Name, pinned, found.GetPinned())
		}
	}
}

// collectGarbage waits for a collection: containerd makes one when a lease is deleted synchronously.
func collectGarbage(t *testing.T) {
	t.Helper()
	client, err := containerd.New(socket, containerd.WithDefaultNamespace("k8s.io"))
	ok(t, err)
	defer client.Close()
	lease, err := client.LeasesService().Create(t.Context(), leases.WithRandomID())
	ok(t, err)
	ok(t, client.LeasesService().Delete(t.Context(), lease, leases.SynchronousDelete))
}

type noBlobs struct{}

func (noBlobs) Blob(context.Context, string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }
