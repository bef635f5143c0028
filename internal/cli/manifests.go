package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

func manifestsCommand(streams Streams) *cobra.Command {
	return &cobra.Command{
		Use: "manifests", Short: "Print the built-in manifests: the cluster that init makes when it is given none", Args: noArguments,
		Long: "Prints the CloudProfile, Project and Shoot of the built-in single-node cluster.\n" +
			"At init, spec.networking.nodes becomes the network of the machine's address.",
		RunE: func(*cobra.Command, []string) error {
			raw, err := manifest.Encode(manifest.Builtin(manifest.DefaultNodes()))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(streams.Out, string(raw))
			return err
		},
	}
}
