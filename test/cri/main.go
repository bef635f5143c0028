// Command cri turns its arguments into calls of a node's container runtime, as crictl would, which nodes do not have;
// used by the end-to-end tests to remove images by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cri:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	conn, err := grpc.NewClient("unix://"+layout.SocketContainerd, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to the runtime: %w", err)
	}
	defer conn.Close()
	images := cri.NewImageServiceClient(conn)
	switch {
	case len(args) == 1 && args[0] == "images":
		return list(ctx, images)
	case len(args) == 2 && args[0] == "rmi":
		_, err := images.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: args[1]}})
		return err
	}
	return errors.New("want: cri images | rmi NAME")
}

// list prints a line per image: its ID, all its names, and whether it is pinned.
func list(ctx context.Context, images cri.ImageServiceClient) error {
	answer, err := images.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	for _, image := range answer.Images {
		pinned := ""
		if image.Pinned {
			pinned = " pinned"
		}
		fmt.Printf("%s %s%s\n", image.Id, strings.Join(append(image.RepoTags, image.RepoDigests...), " "), pinned)
	}
	return nil
}
