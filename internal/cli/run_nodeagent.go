package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/daemon/nodeagent"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

func nodeAgentCommand() *cobra.Command {
	return &cobra.Command{
		Use: "node-agent", Short: "Keep the node as its pool's configuration says", Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			log := journalLog(command)
			err := nodeagent.Run(command.Context(), nodeagent.Options{Host: h, Log: log})
			if errors.Is(err, nodeagent.ErrRestart) {
				log.Info("started again", "because", err)
				return nil // systemd does it
			}
			return err
		},
	}
}
