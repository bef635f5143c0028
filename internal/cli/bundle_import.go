package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// readyWait is how long containerd may take to say that it is ready.
const readyWait = 10 * time.Second

func bundleImportCommand(streams Streams) *cobra.Command {
	var key string
	command := &cobra.Command{
		Use: "import FILE", Short: "Bring the images of a bundle into this machine's containerd", Args: oneBundle,
		Long: "Imports the images of a bundle into this machine's containerd, pinned so that the kubelet never removes them. A control plane node serves\n" +
			"them to all nodes; a worker takes those alone that pods run. What older bundles brought is left to the kubelet's garbage collection,\n" +
			"unless the node still runs it. The bundle is checked as a whole before anything is changed. What is there already is passed over, so\n" +
			"an import that was stopped can be run again. gardenadm init imports its bundle itself.\n" +
			"Images of your own may come in an OCI image layout as docker save, ctr image export and skopeo write it, a directory or a tar, under their\n" +
			"whole names, for example registry.example.org/name:v1.",
		RunE: func(command *cobra.Command, args []string) error {
			if os.Geteuid() != 0 {
				return preconditionError{fault.New(fault.NotRoot, "import changes containerd's images: run it as root")}
			}
			return interrupted(command.Context(), runBundleImport(command.Context(), args[0], key, streams))
		},
	}
	keyFlag(command.Flags(), &key)
	return command
}

func runBundleImport(ctx context.Context, path, key string, streams Streams) error {
	announce(streams.Err, "text")
	options, err := bundleOptions(key, runtime.GOARCH)
	if err != nil {
		return err
	}
	h := host.New()
	defer h.Close() //nolint:errcheck // the process ends
	unlock, err := hoststep.Lock(ctx, h)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process
	// Its images are in containerd, or the next attempt begins anew. The context may be over.
	return errors.Join(importImages(ctx, h, path, options, key, streams), os.RemoveAll(layout.DirForeignImages))
}

func importImages(ctx context.Context, h *host.Host, path string, options bundle.Options, key string, streams Streams) error {
	origin, err := bundle.OpenImages(ctx, path, options, layout.DirForeignImages)
	if err != nil {
		return err
	}
	printNotes(streams.Err, unchecked(origin, key, flagKey), "text")
	return importBundle(ctx, h, origin, layout.DirBundle, streams)
}

// importBundle unpacks a bundle that is a file into dir, which it removes once all is imported.
func importBundle(ctx context.Context, h *host.Host, origin *bundle.Origin, dir string, streams Streams) error {
	if err := waitForRuntime(ctx, h, origin); err != nil {
		return err
	}
	images, err := hoststep.AddImages(ctx, h, origin.Contents, func(ctx context.Context) (*bundle.Bundle, error) { return origin.Unpack(ctx, dir) })
	if err != nil {
		return err
	}
	if origin.IsFile() { // an earlier import may have been stopped just before this
		if err := h.Files.Remove(ctx, dir); err != nil {
			return fmt.Errorf("remove the unpacked bundle: %w", err)
		}
	}
	_, err = fmt.Fprintf(streams.Out, "Imported %d images; %d were there already.\n", images.New, images.There)
	return err
}

func waitForRuntime(ctx context.Context, h *host.Host, origin *bundle.Origin) error {
	ready, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	err := h.Images.Ready(ready)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	unreachable := fault.New(fault.RuntimeUnreachable, "import bundle: %w", err)
	if origin.IsForeign() {
		return unreachable.Mend("systemctl start containerd; a machine that is no node yet gets these images once it is one")
	}
	return unreachable.Mend("systemctl start containerd; on a machine that is no node yet, gardenadm init --bundle %s brings containerd and imports the images itself", origin.Path)
}
