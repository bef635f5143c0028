package cli

import (
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/daemon/nodenetwork"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// runCommand holds what systemd units of a node run.
func runCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "run", Short: "Run a part of a node (started by systemd)", Hidden: true,
		// systemd must see a unit fail whose part does not exist.
		RunE: func(_ *cobra.Command, args []string) error {
			return usageError{fmt.Errorf("run: unknown part %q", args)}
		},
	}
	command.AddCommand(nodeNetworkCommand(), gardenletCommand(), proxyCommand(), mirrorCommand(), nodeAgentCommand())
	return command
}

func nodeNetworkCommand() *cobra.Command {
	var services []string
	command := &cobra.Command{
		Use: "node-network", Short: "Route the service networks over the node's link", Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			prefixes, err := parseNetworks("--services", services)
			if err != nil {
				return err
			}
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			return nodenetwork.Run(command.Context(), h, prefixes)
		},
	}
	command.Flags().StringSliceVar(&services, "services", nil, "service networks of the cluster")
	return command
}

func parseNetworks(flag string, list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, one := range list {
		prefix, err := netip.ParsePrefix(one)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %q is not a network", flag, one)}
		}
		out = append(out, prefix)
	}
	return out, nil
}

// journalLog is the log of a unit: fields in text, without the time, which the journal has.
func journalLog(command *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(command.ErrOrStderr(), &slog.HandlerOptions{ReplaceAttr: func(groups []string, attribute slog.Attr) slog.Attr {
		if len(groups) == 0 && attribute.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attribute
	}}))
}
