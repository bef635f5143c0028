package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// manifestsOptions are the flags of manifests.
type manifestsOptions struct {
	directory   string
	forGarden   bool
	showSecrets bool
}

func manifestsCommand(streams Streams) *cobra.Command {
	var options manifestsOptions
	command := &cobra.Command{
		Use: "manifests", Short: "Print the built-in manifests, or those of a directory as they are understood", Args: noArguments,
		Long: "Without -d: prints the CloudProfile, Project and Shoot of the built-in single-node cluster, which init makes when it is given none.\n" +
			"At init, spec.networking.nodes becomes the network of the machine's address.\n" +
			"With -d: prints the manifests of the directory in one form and order, or all that is wrong with reading them. Whether a cluster\n" +
			"can be made of them is checked by init and preflight.\n" +
			"With --for-garden: prints only what a garden must have before this cluster can be connected to it: the CloudProfile, and for every\n" +
			"kind and type that the Shoot needs a ControllerRegistration with its ControllerDeployment, made of an operator's Extension where\n" +
			"there is one. What gardenadm serves itself is registered under its name, without a ControllerDeployment. What is still unserved is\n" +
			"named on stderr; the garden may have it. Secrets that these refer to must be in the garden, too.",
		RunE: func(*cobra.Command, []string) error { return printManifests(options, streams) },
	}
	flags := command.Flags()
	manifestsFlag(flags, &options.directory)
	flags.BoolVar(&options.forGarden, "for-garden", false, "print only what a garden must have before the cluster can be connected")
	flags.BoolVar(&options.showSecrets, "show-secrets", false, "print the values of Secrets and of the ShootState; without it only their keys")
	return command
}

func printManifests(options manifestsOptions, streams Streams) error {
	set, err := readManifests(options.directory)
	if err != nil {
		return err
	}
	if set == nil {
		set = new(manifest.Builtin(manifest.DefaultNodes()))
	}
	printed, redacted := *set, false
	if options.forGarden {
		var unserved []string
		printed, unserved = cluster.ForGarden(printed)
		printNotes(streams.Err, unserved, "text")
	}
	if !options.showSecrets {
		printed, redacted = manifest.Redact(printed)
	}
	raw, err := manifest.Encode(printed)
	if err != nil {
		return err
	}
	if redacted {
		fmt.Fprintf(streams.Out, "# %s stands for what is secret; --show-secrets prints it.\n", manifest.Redacted)
	}
	_, err = streams.Out.Write(raw)
	return err
}
