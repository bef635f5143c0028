package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/cli/progress"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/sequence"
)

// initOptions are the flags of init. What the cluster is comes from manifests, never from flags.
type initOptions struct {
	manifests string
	bundle    string
	bundleKey string
	nodeIP    string
	zone      string
	logFormat string
	skip      []string
	dryRun    bool
}

const flagBundleKey = "bundle-key"

func initCommand(streams Streams) *cobra.Command {
	var options initOptions
	command := &cobra.Command{
		Use: "init", Short: "Make this machine the first control plane node of a new cluster", Args: noArguments,
		Long: "Makes this machine a cluster of one node from a bundle, with nothing from outside.\n" +
			"It can be run again after a failure or a crash at any point and goes on where it has to.",
		RunE: func(command *cobra.Command, _ []string) error {
			return runInit(command.Context(), options, streams)
		},
	}
	flags := command.Flags()
	manifestsFlag(flags, &options.manifests)
	flags.StringVar(&options.bundle, "bundle", "", "the cluster's images: a file made by gardenadm bundle create, or an OCI image layout directory")
	flags.Var(given{&options.bundleKey}, flagBundleKey, "PEM file with the public key that must have signed the bundle")
	flags.StringVarP(&options.zone, "zone", "z", "", "this machine's zone, when the control plane's pool has several")
	flags.StringVar(&options.nodeIP, "node-ip", "", "this machine's address in the cluster (default: source of the default route, else the only address)")
	flags.BoolVar(&options.dryRun, "dry-run", false, "print every file, unit and object that init would make, secrets left out, and change nothing")
	flags.StringVar(&options.logFormat, "log-format", "text", "progress on stderr as text or json")
	skipFlag(flags, &options.skip)
	return command
}

func runInit(ctx context.Context, options initOptions, streams Streams) error {
	announce(streams.Err, options.logFormat)
	story, err := options.story(ctx)
	if err != nil {
		return err
	}
	defer story.Host.Close() //nolint:errcheck // the process ends
	notes, err := story.Warnings(ctx)
	if err != nil {
		return err
	}
	printNotes(streams.Err, append(unchecked(story.Bundle, options.bundleKey, flagBundleKey), notes...), options.logFormat)
	if options.dryRun {
		return story.DryRun(ctx, streams.Out)
	}
	observer, closeObserver := newObserver(options.logFormat, streams)
	err = story.Run(ctx, observer)
	closeObserver()
	printWarnings(streams.Err, story.Machine.Warnings, options.logFormat)
	if err != nil {
		return err
	}
	printNext(streams, story)
	return nil
}

// story checks the flags and opens what they name; nothing is changed yet.
func (o initOptions) story(ctx context.Context) (*sequence.Init, error) {
	address, err := parseNodeIP(o.nodeIP)
	if err != nil {
		return nil, err
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		return nil, usageError{fmt.Errorf("--log-format: %q is unknown: use text or json", o.logFormat)}
	}
	if o.bundle == "" {
		return nil, usageError{fmt.Errorf("--bundle is missing: name the file or directory with the cluster's images")}
	}
	set, err := readManifests(o.manifests)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, preconditionError{fmt.Errorf("init changes the whole machine: run it as root")}
	}
	images, err := openBundle(ctx, o.bundle, o.bundleKey, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running program: %w", err)
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return nil, fmt.Errorf("find the running program: %w", err)
	}
	return &sequence.Init{
		Host: host.New(), Bundle: images, Manifests: set, Zone: o.zone, NodeIP: address, SkipChecks: o.skip, Program: program,
	}, nil
}

// newObserver returns what shows progress on stderr and keeps the journal on disk, and what ends it.
func newObserver(format string, streams Streams) (flow.Observer, func()) {
	disk := &journal{}
	shown, closeShown := newProgress(format, streams)
	return flow.Observers(shown, progress.NewJournal(disk)), func() { closeShown(); disk.Close() }
}

// newProgress returns what shows progress on stderr, and what ends it.
func newProgress(format string, streams Streams) (flow.Observer, func()) {
	if format == "json" {
		return progress.NewJSON(streams.Err), func() {}
	}
	style := progress.Style{}
	if file, ok := streams.Err.(*os.File); ok {
		style = progress.Detect(file, os.Getenv)
	}
	console := progress.NewConsole(streams.Err, style)
	return console, console.Close
}

func printNext(streams Streams, story *sequence.Init) {
	if story.Unchanged() {
		fmt.Fprintln(streams.Out, "Nothing had to be changed: this cluster was complete.")
	}
	fmt.Fprintf(streams.Out, `The cluster %s runs on this machine: node %s, API server https://%s:%d.

Use it here (as root, in a new shell):
    kubectl get nodes,pods -A
Use it from elsewhere: copy %s and set its server to the address above.
Keep the cluster's identity with your backups: %s
`, story.Cluster.Shoot.Name, story.Node.Name, story.Node.IP(), layout.PortAPIServer, layout.FileAdminKubeconfig, story.Cluster.UID)
}
