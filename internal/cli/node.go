package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/sequence"
)

// removeOptions are the flags of node remove.
type removeOptions struct {
	force     bool
	timeout   time.Duration
	logFormat string
}

func nodeCommand(streams Streams) *cobra.Command {
	command := &cobra.Command{
		Use: "node", Short: "Take nodes out of the cluster, from elsewhere", Args: noArguments,
		Long: "Works on nodes through the API, with the kubeconfig that KUBECONFIG names, else the one of a control plane node.",
		RunE: func(*cobra.Command, []string) error {
			return usageError{fmt.Errorf("say what to do with a node: remove")}
		},
	}
	command.AddCommand(nodeRemoveCommand(streams))
	return command
}

func nodeRemoveCommand(streams Streams) *cobra.Command {
	var options removeOptions
	command := &cobra.Command{
		Use: "remove NAME", Short: "Move a node's pods elsewhere and take it out of the cluster",
		Long: "Moves the pods of a node elsewhere as their disruption budgets allow, and takes the node out of the cluster: its Node, leases, requests for\n" +
			"certificates, and tokens for it alone. A node that does not answer is removed with --force; then its machine must be off.\n" +
			"Nothing keeps a machine out that stays on, or is switched on again: its certificates are good until they end, and its kubelet makes the\n" +
			"Node again when it starts. Reset it, or erase its disk.\n" +
			"On a machine that is on, gardenadm reset does this and gives the machine back, too.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("name one node, as kubectl get nodes shows it")}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			return removeNode(command.Context(), strings.ToLower(args[0]), options, streams)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&options.force, "force", false, "remove a node that does not answer, lose pods that cannot run elsewhere, do not wait for disruption budgets")
	flags.DurationVar(&options.timeout, "timeout", drainPatience, "how long pods may take to leave")
	flags.StringVar(&options.logFormat, "log-format", "text", "progress on stderr as text or json")
	return command
}

func removeNode(ctx context.Context, name string, options removeOptions, streams Streams) error {
	if err := errors.Join(checkLogFormat(options.logFormat), checkTimeout(options.timeout)); err != nil {
		return err
	}
	announce(streams.Err, options.logFormat)
	api, err := administrator()
	if err != nil {
		return err
	}
	story := &sequence.Remove{API: api, Node: name, Force: options.force, Timeout: options.timeout}
	observer, closeObserver := newProgress(options.logFormat, streams)
	err = story.Run(ctx, observer)
	closeObserver()
	if err != nil {
		return err
	}
	switch {
	case story.Missing():
		fmt.Fprintf(streams.Out, "The cluster has no node %s.\n", name)
	case story.Answered():
		fmt.Fprintf(streams.Out, "Node %s is out of the cluster. Its machine is still on: gardenadm reset there keeps it from coming back.\n", name)
	default:
		fmt.Fprintf(streams.Out, "Node %s is out of the cluster. Should its machine ever be switched on again: gardenadm reset there.\n", name)
	}
	return nil
}
