package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gardenadm/gardenadm/internal/flow"
)

func bundleCommand(streams Streams) *cobra.Command {
	command := &cobra.Command{
		Use: "bundle", Short: "Make and use one file with everything a cluster needs",
		Long: "A bundle is one file with all images that a cluster needs, for machines that reach no registry. It is an OCI image layout as a tar,\n" +
			"compressed with zstd, with an image vector, a list of what is in the images (SBOM) and their licences (NOTICE).",
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("say what to do with a bundle: create, inspect, verify or import")}
		},
	}
	command.AddCommand(bundleCreateCommand(streams), bundleInspectCommand(streams), bundleVerifyCommand(streams), bundleImportCommand(streams))
	return command
}

// oneBundle wants the path of a bundle as the only argument.
func oneBundle(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usageError{fmt.Errorf("name the bundle: a file made by gardenadm bundle create, or an OCI image layout directory")}
	case 1:
		return nil
	}
	return usageError{fmt.Errorf("unexpected argument %q", args[1])}
}

const flagKey = "key"

// keyFlag is the same for all commands that verify a signature.
func keyFlag(flags *pflag.FlagSet, key *string) {
	flags.Var(given{key}, flagKey, "PEM file with the public key that must have signed the bundle")
}

// interrupted gives the end by Ctrl-C its own exit code.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", flow.ErrCancelled, err)
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
