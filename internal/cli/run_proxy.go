package cli

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/daemon/proxy"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

func proxyCommand() *cobra.Command {
	var local string
	command := &cobra.Command{
		Use: "proxy", Short: "Connect this node and its pods with a healthy API server", Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			options := proxy.Options{Log: journalLog(command)}
			if local != "" {
				address, err := netip.ParseAddrPort(local)
				if err != nil {
					return usageError{fmt.Errorf("--local: %q is not an address with a port", local)}
				}
				options.Local = address
			}
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			return proxy.Run(command.Context(), h, options)
		},
	}
	command.Flags().StringVar(&local, "local", "", "address and port of this node's own API server, on a control plane node")
	return command
}
