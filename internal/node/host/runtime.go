package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Sandbox is what holds a pod's containers together.
type Sandbox struct {
	ID string
	// Namespace and Name are those of the pod.
	Namespace, Name string
}

// Holding is what one of containerd's namespaces holds; the CRI's is called k8s.io, Docker's moby. Both lists are sorted.
type Holding struct {
	Namespace  string
	Containers []string // IDs
	Images     []string // names
}

// Empty says that it holds nothing that anybody would miss.
func (h Holding) Empty() bool { return len(h.Containers) == 0 && len(h.Images) == 0 }

// Runtime is what containerd runs and holds. All fail when it does not answer.
type Runtime interface {
	// Sandboxes returns all, sorted by pod.
	Sandboxes(ctx context.Context) ([]Sandbox, error)
	// RemoveSandbox asks the containers to end, kills them after the grace (a second at least), takes the pod off its network, and
	// forgets it; a missing one is fine.
	RemoveSandbox(ctx context.Context, id string, grace time.Duration) error
	// Holdings returns the namespaces by name.
	Holdings(ctx context.Context) ([]Holding, error)
	// Clear kills and deletes the containers and deletes the images of a namespace that are not kept, and with them content that
	// nothing refers to any more. Where nothing is kept, the namespace goes too.
	Clear(ctx context.Context, namespace string, keep Holding) error
}

// runtimeDoor is the real containerd.
type runtimeDoor struct{ store *imageStore }

func (r runtimeDoor) service() (cri.RuntimeServiceClient, error) {
	client, err := r.store.connect()
	if err != nil {
		return nil, err
	}
	conn, ok := client.Conn().(grpc.ClientConnInterface)
	if !ok {
		return nil, errors.New("the client has no connection")
	}
	return cri.NewRuntimeServiceClient(conn), nil
}

func (r runtimeDoor) Sandboxes(ctx context.Context) ([]Sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, criTimeout)
	defer cancel()
	service, err := r.service()
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	listed, err := service.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	var out []Sandbox
	for _, one := range listed.Items {
		out = append(out, Sandbox{ID: one.Id, Namespace: one.GetMetadata().GetNamespace(), Name: one.GetMetadata().GetName()})
	}
	slices.SortFunc(out, CompareSandboxes)
	return out, nil
}

// CompareSandboxes orders sandboxes as Runtime.Sandboxes does.
func CompareSandboxes(a, b Sandbox) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

func (r runtimeDoor) RemoveSandbox(ctx context.Context, id string, grace time.Duration) error {
	service, err := r.service()
	if err == nil {
		err = removeSandbox(ctx, service, id, grace)
	}
	if err != nil && status.Code(err) != codes.NotFound {
		return fmt.Errorf("remove sandbox %s: %w", id, err)
	}
	return nil
}

func removeSandbox(ctx context.Context, service cri.RuntimeServiceClient, id string, grace time.Duration) error {
	listed, err := service.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{PodSandboxId: id}})
	if err != nil {
		return err
	}
	var stops sync.WaitGroup
	for _, one := range listed.Containers {
		stops.Go(func() {
			// Whatever does not end by asking is killed with the sandbox.
			_, _ = service.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: one.Id, Timeout: max(1, int64(grace.Seconds()))})
		})
	}
	stops.Wait()
	if _, err := service.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		return err
	}
	_, err = service.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
	return err
}

func (r runtimeDoor) Holdings(ctx context.Context) ([]Holding, error) {
	ctx, cancel := context.WithTimeout(ctx, criTimeout)
	defer cancel()
	out, err := r.holdings(ctx)
	if err != nil {
		return nil, fmt.Errorf("list what containerd holds: %w", err)
	}
	return out, nil
}

func (r runtimeDoor) holdings(ctx context.Context) ([]Holding, error) {
	client, err := r.store.connect()
	if err != nil {
		return nil, err
	}
	names, err := client.NamespaceService().List(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []Holding
	for _, name := range names {
		holding, err := holdingOf(ctx, client, name)
		if err != nil {
			return nil, fmt.Errorf("namespace %s: %w", name, err)
		}
		out = append(out, holding)
	}
	return out, nil
}

func holdingOf(ctx context.Context, client *containerd.Client, namespace string) (Holding, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	out := Holding{Namespace: namespace}
	held, err := client.ContainerService().List(ctx)
	if err != nil {
		return out, err
	}
	for _, one := range held {
		out.Containers = append(out.Containers, one.ID)
	}
	records, err := client.ImageService().List(ctx)
	if err != nil {
		return out, err
	}
	for _, one := range records {
		out.Images = append(out.Images, one.Name)
	}
	slices.Sort(out.Containers)
	slices.Sort(out.Images)
	return out, nil
}

func (r runtimeDoor) Clear(ctx context.Context, namespace string, keep Holding) error {
	client, err := r.store.connect()
	if err == nil {
		err = clearNamespace(namespaces.WithNamespace(ctx, namespace), client, namespace, keep)
	}
	if err != nil {
		return fmt.Errorf("clear containerd's namespace %s: %w", namespace, err)
	}
	return nil
}

func clearNamespace(ctx context.Context, client *containerd.Client, namespace string, keep Holding) error {
	have, err := holdingOf(ctx, client, namespace)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range have.Containers {
		if !slices.Contains(keep.Containers, id) {
			errs = append(errs, deleteContainer(ctx, client, id))
		}
	}
	for _, name := range have.Images {
		if !slices.Contains(keep.Images, name) {
			errs = append(errs, ignoreMissing(client.ImageService().Delete(ctx, name)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if !keep.Empty() {
		return collectGarbage(ctx, client)
	}
	if err := endLeases(ctx, client); err != nil {
		return err
	}
	if err := collectGarbage(ctx, client); err != nil {
		return err
	}
	err = client.NamespaceService().Delete(ctx, namespace)
	if errdefs.IsFailedPrecondition(err) {
		return nil // what is left belongs to somebody else
	}
	return ignoreMissing(err)
}

func deleteContainer(ctx context.Context, client *containerd.Client, id string) error {
	container, err := client.LoadContainer(ctx, id)
	if err != nil {
		return ignoreMissing(err)
	}
	task, err := container.Task(ctx, nil)
	if err == nil {
		_, err = task.Delete(ctx, containerd.WithProcessKill)
	}
	if err := ignoreMissing(err); err != nil {
		return fmt.Errorf("kill container %s: %w", id, err)
	}
	return ignoreMissing(container.Delete(ctx, containerd.WithSnapshotCleanup))
}

// collectGarbage waits for a collection, which the end of a lease can ask for.
func collectGarbage(ctx context.Context, client *containerd.Client) error {
	lease, err := client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Minute))
	if err != nil {
		return err
	}
	return ignoreMissing(client.LeasesService().Delete(ctx, lease, leases.SynchronousDelete))
}

// endLeases ends what keeps content that nothing else refers to, such as that of an interrupted pull.
func endLeases(ctx context.Context, client *containerd.Client) error {
	list, err := client.LeasesService().List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, lease := range list {
		errs = append(errs, ignoreMissing(client.LeasesService().Delete(ctx, lease)))
	}
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
