package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/pflag"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/bundle/signature"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// given is a flag's text that must not be empty: a variable of the shell that is not set would silently mean the default.
type given struct{ text *string }

func (g given) String() string {
	if g.text == nil {
		return ""
	}
	return *g.text
}

// Set is an error for the empty text.
func (g given) Set(text string) error {
	if text == "" {
		return errors.New("it is empty: give it a value or leave the flag out")
	}
	*g.text = text
	return nil
}

// Type is what stands in the help.
func (given) Type() string { return "string" }

// manifestsFlag is the same for all commands that read manifests.
func manifestsFlag(flags *pflag.FlagSet, directory *string) {
	flags.VarP(given{directory}, "config-dir", "d", "directory with the Shoot and the other manifests (default: the built-in single-node Shoot)")
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
	options, err := bundleOptions(keyFile, architecture)
	if err != nil {
		return nil, err
	}
	return bundle.OpenOrigin(ctx, path, options)
}

func bundleOptions(keyFile, architecture string) (options bundle.Options, err error) {
	options.Architecture = architecture
	if keyFile != "" {
		options.Key, err = signature.LoadVerifier(keyFile)
	}
	return options, err
}

// unchecked notes that nobody looks at the signature that a bundle has; flag is that which would.
func unchecked(origin *bundle.Origin, keyFile, flag string) []string {
	if keyFile != "" || !origin.Signed() {
		return nil
	}
	return []string{fmt.Sprintf("%s is signed, but its signature was not checked: name the public key with --%s", origin.Path, flag)}
}
