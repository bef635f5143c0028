package cli

import (
	"fmt"
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
	command.AddCommand(nodeNetworkCommand())
	return command
}

func nodeNetworkCommand() *cobra.Command {
	var services []string
	command := &cobra.Command{
		Use: "node-network", Short: "Route the service networks over the node's link", Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			prefixes := make([]netip.Prefix, 0, len(services))
			for _, service := range services {
				prefix, err := netip.ParsePrefix(service)
				if err != nil {
					return usageError{fmt.Errorf("--services: %q is not a network", service)}
				}
				prefixes = append(prefixes, prefix)
			}
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			return nodenetwork.Run(command.Context(), h, prefixes)
		},
	}
	command.Flags().StringSliceVar(&services, "services", nil, "service networks of the cluster")
	return command
}
