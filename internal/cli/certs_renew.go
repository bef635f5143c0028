package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/sequence"
)

func certsRenewCommand(streams Streams) *cobra.Command {
	var logFormat string
	command := &cobra.Command{
		Use: "renew", Short: "Make new certificates for this node, and on a control plane node for the whole cluster", Args: noArguments,
		Long: "Makes new certificates for this node's kubelet and node agent; on a control plane node also those of the control plane and of the\n" +
			"administrator, which the other control plane nodes then take one after the other. Authorities, and keys that others rely on, stay.\n" +
			"It needs nothing from outside the cluster. Nobody has to run it: certificates are renewed before they end, and those that ended\n" +
			"while a machine was off are renewed when it starts. On a control plane node it also works when they have ended and no API server answers.",
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkLogFormat(logFormat); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return preconditionError{fault.New(fault.NotRoot, "certs renew changes the whole machine: run it as root")}
			}
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			story := &sequence.Renew{Host: h, Since: time.Now()}
			announce(streams.Err, logFormat)
			observer, closeObserver := newObserver(logFormat, streams)
			err := story.Run(command.Context(), observer)
			closeObserver()
			if err != nil {
				return err
			}
			printRenewed(streams, story)
			return nil
		},
	}
	command.Flags().StringVar(&logFormat, "log-format", "text", "progress on stderr as text or json")
	return command
}

func printRenewed(streams Streams, story *sequence.Renew) {
	if !story.ControlPlane {
		fmt.Fprintln(streams.Out, "This node has new certificates: gardenadm certs check lists them.")
		return
	}
	fmt.Fprintln(streams.Out, "This node and its control plane have new certificates: gardenadm certs check lists them.\n"+
		"Copies of the administrator's kubeconfig work until the certificate in them ends.")
}
