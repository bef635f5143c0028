package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	introspection "github.com/containerd/containerd/api/services/introspection/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// imageNamespace is where the CRI plugin keeps its images.
	imageNamespace = "k8s.io"
	snapshotter    = "overlayfs"

	// managedLabel says to the CRI plugin that it need not make records of its own for an image.
	managedLabel = "io.cri-containerd.image"
	managedValue = "managed"
	// pinnedLabel is what the CRI plugin tells kubelet's garbage collection by.
	pinnedLabel = "io.cri-containerd.pinned"
	pinnedValue = "pinned"
	// ownerLabel tells the images that gardenadm brought, by itself or for a person, from those that kubelet or others did.
	ownerLabel = "dev.gardenadm.image"
	ownerValue = "imported"
	ownerUser  = "user"
)

// imageStore is the real containerd.
type imageStore struct {
	socket string

	mu     sync.Mutex
	client *containerd.Client
}

// connect returns the client; the connection below it is made by the first call and made anew by itself.
func (s *imageStore) connect() (*containerd.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	// The time also bounds the pause between two tries to connect: a restarted containerd is to be seen at once.
	client, err := containerd.New(s.socket, containerd.WithDefaultNamespace(imageNamespace), containerd.WithTimeout(time.Second))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd: %w", err)
	}
	s.client = client
	return client, nil
}

// Close ends the connection if there is one.
func (s *imageStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil
	}
	err := s.client.Close()
	s.client = nil
	if err != nil {
		return fmt.Errorf("close the connection to containerd: %w", err)
	}
	return nil
}

func (s *imageStore) Ready(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return fmt.Errorf("ask containerd whether it is ready: %w", err)
	}
	return nil
}

func (s *imageStore) ready(ctx context.Context) error {
	client, err := s.connect()
	if err != nil {
		return err
	}
	plugins, err := client.IntrospectionService().Plugins(ctx, "id=="+snapshotter, "id==cri")
	if err != nil {
		return err
	}
	if err := errors.Join(
		initialized(plugins.Plugins, "io.containerd.snapshotter.v1", snapshotter),
		initialized(plugins.Plugins, "io.containerd.grpc.v1", "cri")); err != nil {
		return err
	}
	// The plugin is loaded before its service has found the containers that are there; until then it refuses all calls.
	conn, ok := client.Conn().(grpc.ClientConnInterface)
	if !ok {
		return errors.New("the client has no connection")
	}
	_, err = cri.NewRuntimeServiceClient(conn).Version(ctx, &cri.VersionRequest{})
	return err
}

func initialized(plugins []*introspection.Plugin, kind, id string) error {
	for _, plugin := range plugins {
		if plugin.Type != kind || plugin.ID != id {
			continue
		}
		if plugin.InitErr != nil {
			return fmt.Errorf("plugin %s.%s failed: %s", kind, id, plugin.InitErr.Message)
		}
		return nil
	}
	return fmt.Errorf("plugin %s.%s is not there", kind, id)
}

func (s *imageStore) List(ctx context.Context) ([]Image, error) {
	client, err := s.connect()
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	records, err := client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var images []Image
	for _, record := range records {
		if strings.HasPrefix(record.Name, "sha256:") {
			continue // the CRI plugin's own second record of an image that it pulled
		}
		images = append(images, Image{
			Name:   record.Name,
			Digest: record.Target.Digest.String(),
			Pinned: record.Labels[pinnedLabel] == pinnedValue,
			User:   record.Labels[ownerLabel] == ownerUser,
		})
	}
	SortImages(images)
	return images, nil
}
