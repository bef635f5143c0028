// Package cli turns command lines into calls of sequences and daemons, and their outcome into output and exit codes.
// Used by cmd/gardenadm.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Streams are where a command reads and writes: results to Out, progress and errors to Err.
type Streams struct{ Out, Err io.Writer }

// Execute runs the command line and returns the exit code. The first Ctrl-C or SIGTERM stops cleanly, the second one at once.
func Execute(ctx context.Context, args []string, streams Streams) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // from here on the signals do what they always do
	}()
	root := Root(streams)
	root.SetArgs(args)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	command, err := root.ExecuteContextC(ctx)
	if err != nil && command == root {
		err = usageError{err} // the root itself runs nothing: there is no such command
	}
	if err != nil {
		fmt.Fprint(streams.Err, fault.Report(err))
	}
	return ExitCode(err)
}

// Root returns the whole command tree.
func Root(streams Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "gardenadm",
		Short: "Make Linux machines an autonomous shoot cluster",
		Long: "gardenadm turns Linux machines into an autonomous shoot cluster: a Kubernetes cluster described by a Gardener Shoot\n" +
			"manifest, whose control plane runs on its own nodes.",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(initCommand(streams), joinCommand(streams), preflightCommand(streams), manifestsCommand(streams), versionCommand(streams), runCommand())
	root.AddCommand(statusCommand(streams), logsCommand(streams), explainCommand(streams), bundleCommand(streams), certsCommand(streams), tokenCommand(streams), nodeCommand(streams), resetCommand(streams))
	return root
}

// noArguments refuses arguments as a usage error.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
