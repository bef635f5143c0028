package cli

import (
	"crypto/rand"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/daemon/gardenlet"
	"github.com/gardenadm/gardenadm/internal/daemon/serving"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

func gardenletCommand() *cobra.Command {
	var kubeconfig string
	var networks []string
	command := &cobra.Command{
		Use: "gardenlet", Short: "Look after the cluster, on a control plane node", Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			prefixes, err := parseNetworks("--networks", networks)
			if err != nil {
				return err
			}
			raw, err := os.ReadFile(kubeconfig)
			if err != nil {
				return fmt.Errorf("read kubeconfig: %w", err)
			}
			name, err := os.Hostname()
			if err != nil {
				return fmt.Errorf("find the host's name: %w", err)
			}
			h, log := host.New(), journalLog(command)
			defer h.Close() //nolint:errcheck // the process ends
			listener, err := serving.Listen(command.Context(), h.Files, layout.PortGardenlet)
			if err != nil {
				return err
			}
			return gardenlet.Run(command.Context(), gardenlet.Options{
				Kubeconfig: raw, Identity: name + "/" + rand.Text(), Files: h.Files,
				Listener: listener, TLS: serving.Config(h.Files, log), Networks: prefixes, Log: log,
			})
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", layout.FileGardenletConf, "kubeconfig of the gardenlet")
	command.Flags().StringSliceVar(&networks, "networks", nil, "networks of the nodes, which are told where API servers are")
	return command
}
