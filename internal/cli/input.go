package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/pflag"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/bundle/signature"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// manifestsFlag is the same for all commands that read manifests.
func manifestsFlag(flags *pflag.FlagSet, directory *string) {
	flags.StringVarP(directory, "config-dir", "d", "", "directory with the Shoot and the other manifests (default: the built-in single-node Shoot)")
}

// readManifests reads the directory; none is nil.
func readManifests(directory string) (*manifest.Set, error) {
	if directory == "" {
		return nil, nil
	}
	info, err := os.Stat(directory)
	if err != nil {
		return nil, usageError{fmt.Errorf("--config-dir: %w", err)}
	}
	if !info.IsDir() {
		return nil, usageError{fmt.Errorf("--config-dir: %s is not a directory", directory)}
	}
	set, err := manifest.Read(os.DirFS(directory))
	if err != nil {
		return nil, err
	}
	return &set, nil
}

// parseNodeIP reads the flag --node-ip; empty is the zero Addr.
func parseNodeIP(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, usageError{fmt.Errorf("--node-ip: %q is not an address", text)}
	}
	return address, nil
}

// openBundle opens and checks a file or directory; with a key it must be signed with it.
func openBundle(ctx context.Context, path, keyFile, architecture string) (*bundle.Origin, error) {
	options := bundle.Options{Architecture: architecture}
	if keyFile != "" {
		key, err := signature.LoadVerifier(keyFile)
		if err != nil {
			return nil, err
		}
		options.Key = key
	}
	return bundle.OpenOrigin(ctx, path, options)
}
