package cli

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/daemon/gardenlet"
	"github.com/gardenadm/gardenadm/internal/daemon/nodenetwork"
	"github.com/gardenadm/gardenadm/internal/model/layout"
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
	command.AddCommand(nodeNetworkCommand(), gardenletCommand())
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

func gardenletCommand() *cobra.Command {
	var kubeconfig string
	command := &cobra.Command{
		Use: "gardenlet", Short: "Look after the cluster, on a control plane node", Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			raw, err := os.ReadFile(kubeconfig)
			if err != nil {
				return fmt.Errorf("read kubeconfig: %w", err)
			}
			host, err := os.Hostname()
			if err != nil {
				return fmt.Errorf("find the host's name: %w", err)
			}
			return gardenlet.Run(command.Context(), gardenlet.Options{Kubeconfig: raw, Identity: host + "/" + rand.Text(), Log: journalLog(command)})
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", layout.FileGardenletConf, "kubeconfig of the gardenlet")
	return command
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
