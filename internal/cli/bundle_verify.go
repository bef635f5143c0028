package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func bundleVerifyCommand(streams Streams) *cobra.Command {
	var key string
	command := &cobra.Command{
		Use: "verify FILE", Short: "Check that a bundle is whole, and who signed it", Args: oneBundle,
		Long: "Reads all of a bundle and checks every digest; with a public key, the signature first. Nothing is written.\n" +
			"The signature is in the file as index.json.sig and is one of index.json: cosign verify-blob and openssl can check it, too.",
		RunE: func(command *cobra.Command, args []string) error {
			return interrupted(command.Context(), verifyBundle(command.Context(), args[0], key, streams))
		},
	}
	keyFlag(command.Flags(), &key)
	return command
}

func verifyBundle(ctx context.Context, path, key string, streams Streams) error {
	origin, err := openBundle(ctx, path, key, "")
	if err != nil {
		return err
	}
	signature := "it is not signed"
	switch {
	case key != "":
		signature = "it is signed with the key " + key
	case origin.Signed():
		signature = "its signature was not checked: name the public key with --" + flagKey
	}
	_, err = fmt.Fprintf(streams.Out, "%s is whole: %d images, %.1f MiB; %s.\n", path, len(origin.Images()), mib(origin.Size()), signature)
	return err
}
