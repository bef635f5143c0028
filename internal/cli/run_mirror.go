package cli

import (
	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/daemon/mirror"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

func mirrorCommand() *cobra.Command {
	var networks []string
	command := &cobra.Command{
		Use: "mirror", Short: "Serve the cluster's images to its nodes, on a control plane node", Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			prefixes, err := parseNetworks("--networks", networks)
			if err != nil {
				return err
			}
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			return mirror.Run(command.Context(), h, prefixes, journalLog(command))
		},
	}
	command.Flags().StringSliceVar(&networks, "networks", nil, "networks of the nodes, to which images are served")
	return command
}
