package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pod is a pod as the container runtime has it.
type Pod struct {
	Namespace, Name, UID string
	// Ready: its sandbox runs.
	Ready   bool
	Created time.Time
	// Annotations are those that the kubelet gave the newest sandbox: the pod's own, as they were when it was started.
	Annotations map[string]string
	// Containers by name, then attempt.
	Containers []Container
}

// States of a container.
const (
	ContainerCreated = "created"
	ContainerRunning = "running"
	ContainerExited  = "exited"
	ContainerUnknown = "unknown"
)

// Container is one run of a pod's container.
type Container struct {
	ID, Name, Image string
	State           string
	// Attempt counts the runs before this one in the same pod.
	Attempt int
	// ExitCode, Reason (Completed, Error, OOMKilled, StartError …) and Message are those of an ended one.
	ExitCode          int
	Reason, Message   string
	Started, Finished time.Time
	LogPath           string
}

// criTimeout bounds a question to the container runtime: one that hangs is as bad as one that is not there.
const criTimeout = 3 * time.Second

func (o observer) Pods(ctx context.Context) ([]Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, criTimeout)
	defer cancel()
	pods, err := o.pods(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the container runtime for its pods: %w", err)
	}
	return pods, nil
}

func (o observer) pods(ctx context.Context) ([]Pod, error) {
	client, err := o.images.connect()
	if err != nil {
		return nil, err
	}
	conn, ok := client.Conn().(grpc.ClientConnInterface)
	if !ok {
		return nil, errors.New("the client has no connection")
	}
	service := cri.NewRuntimeServiceClient(conn)
	sandboxes, err := service.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, err
	}
	containers, err := service.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return nil, err
	}
	bySandbox := map[string][]Container{}
	for _, one := range containers.Containers {
		found, err := containerOf(ctx, service, one)
		if status.Code(err) == codes.NotFound {
			continue // removed since the list was made
		}
		if err != nil {
			return nil, err
		}
		bySandbox[one.PodSandboxId] = append(bySandbox[one.PodSandboxId], found)
	}
	return mergeSandboxes(sandboxes.Items, bySandbox), nil
}

// mergeSandboxes makes one pod of all sandboxes that it had: after a reboot or a change of its network there are several.
func mergeSandboxes(sandboxes []*cri.PodSandbox, containers map[string][]Container) []Pod {
	byUID := map[string]*Pod{}
	for _, sandbox := range sandboxes {
		meta := sandbox.GetMetadata()
		pod := byUID[meta.GetUid()]
		if pod == nil {
			pod = &Pod{Namespace: meta.GetNamespace(), Name: meta.GetName(), UID: meta.GetUid()}
			byUID[meta.GetUid()] = pod
		}
		pod.Ready = pod.Ready || sandbox.State == cri.PodSandboxState_SANDBOX_READY
		if created := time.Unix(0, sandbox.CreatedAt); created.After(pod.Created) {
			pod.Created, pod.Annotations = created, sandbox.Annotations
		}
		pod.Containers = append(pod.Containers, containers[sandbox.Id]...)
	}
	pods := make([]Pod, 0, len(byUID))
	for _, pod := range byUID {
		slices.SortFunc(pod.Containers, func(a, b Container) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Attempt, b.Attempt), a.Started.Compare(b.Started))
		})
		pods = append(pods, *pod)
	}
	slices.SortFunc(pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), a.Created.Compare(b.Created))
	})
	return pods
}

func containerOf(ctx context.Context, service cri.RuntimeServiceClient, one *cri.Container) (Container, error) {
	response, err := service.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: one.Id})
	if err != nil {
		return Container{}, err
	}
	is := response.GetStatus()
	states := map[cri.ContainerState]string{
		cri.ContainerState_CONTAINER_CREATED: ContainerCreated, cri.ContainerState_CONTAINER_RUNNING: ContainerRunning,
		cri.ContainerState_CONTAINER_EXITED: ContainerExited,
	}
	return Container{
		ID: is.GetId(), Name: is.GetMetadata().GetName(), Image: is.GetImage().GetImage(),
		State: cmp.Or(states[is.GetState()], ContainerUnknown), Attempt: int(is.GetMetadata().GetAttempt()),
		ExitCode: int(is.GetExitCode()), Reason: is.GetReason(), Message: is.GetMessage(),
		Started: nanoseconds(is.GetStartedAt()), Finished: nanoseconds(is.GetFinishedAt()), LogPath: is.GetLogPath(),
	}, nil
}

// nanoseconds is a time of the CRI, where 0 says that there is none.
func nanoseconds(at int64) time.Time {
	if at <= 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}
