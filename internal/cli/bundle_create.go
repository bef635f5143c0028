package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/bundle/demand"
	"github.com/gardenadm/gardenadm/internal/bundle/pack"
	"github.com/gardenadm/gardenadm/internal/bundle/signature"
	"github.com/gardenadm/gardenadm/internal/bundle/source"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// bundleCreateOptions are the flags of bundle create.
type bundleCreateOptions struct {
	manifests  string
	images     string
	overwrite  string
	platform   string
	registryCA string
	signKey    string
	output     string
	logFormat  string
	list       bool
}

func bundleCreateCommand(streams Streams) *cobra.Command {
	var options bundleCreateOptions
	command := &cobra.Command{
		Use: "create -o FILE", Short: "Pack all that a cluster needs into one file", Args: noArguments,
		Long: "Packs the images that the cluster of the manifests needs into one file, with an image vector, an SBOM and a NOTICE.\n" +
			"They come from the projects' public registries, from one registry that has all of them, or from an OCI image layout.\n" +
			"What is downloaded is kept in ~/.cache/gardenadm/blobs (or below XDG_CACHE_HOME), so a second run goes on where the first one ended.\n" +
			"Credentials are those of docker login. The password of an encrypted key is read from the variable COSIGN_PASSWORD.\n" +
			"The checksum of the file is printed as sha256sum does.",
		RunE: func(command *cobra.Command, _ []string) error {
			return runBundleCreate(command.Context(), options, streams)
		},
	}
	flags := command.Flags()
	manifestsFlag(flags, &options.manifests)
	flags.StringVar(&options.images, "images", "", "where the images are: an OCI image layout (directory or tar), or a registry such as registry.example.org/mirror (default: as the image vector says)")
	flags.StringVar(&options.overwrite, "image-vector-overwrite", "", "file in the format of Gardener's image vectors that says where images are (default: the variable IMAGEVECTOR_OVERWRITE)")
	flags.StringVar(&options.platform, "platform", "linux/"+runtime.GOARCH, "what the images are to be made for: linux/amd64 or linux/arm64")
	flags.StringVar(&options.registryCA, "registry-ca", "", "PEM file with an authority to trust when images are downloaded, beside the system's")
	flags.StringVar(&options.signKey, "sign-key", "", "PEM file with the private key to sign the bundle with")
	flags.StringVarP(&options.output, "output", "o", "", "the file to make; one that is there is replaced")
	flags.BoolVar(&options.list, "list", false, "print which images the cluster needs, what for and where they are looked for, and make nothing: to fill a registry, for example")
	flags.StringVar(&options.logFormat, "log-format", "text", "progress on stderr as text or json")
	return command
}

func runBundleCreate(ctx context.Context, options bundleCreateOptions, streams Streams) error {
	if options.list {
		return options.printImages(streams.Out)
	}
	packing, err := options.packing(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	announce(streams.Err, options.logFormat)
	observer, closeObserver := newProgress(options.logFormat, streams)
	result, err := packing.Run(ctx, observer)
	closeObserver()
	if err != nil {
		return err
	}
	fmt.Fprintf(streams.Err, "The bundle has %d images and %.1f MiB.\n", len(packing.Images), mib(result.Size))
	_, err = fmt.Fprintf(streams.Out, "%s  %s\n", result.SHA256, options.output)
	return err
}

// printImages prints a line for each image: its name, whether pods or hosts use it, and its reference.
func (o bundleCreateOptions) printImages(out io.Writer) error {
	platform, err := o.platformOf()
	if err != nil {
		return err
	}
	c, err := o.cluster()
	if err != nil {
		return err
	}
	images, err := demand.Images(c)
	if err != nil {
		return err
	}
	wish := source.Wish{Names: namesOf(images), Kubernetes: c.KubernetesVersion(), Platform: platform}
	locations, _, err := o.locate(wish)
	if err != nil {
		return err
	}
	for _, image := range images {
		if _, err := fmt.Fprintf(out, "%-24s %-4s %s\n", image.Name, image.Use, locations[image.Name]); err != nil {
			return err
		}
	}
	return nil
}

// packing checks the flags and reads what they name; nothing is written yet.
func (o bundleCreateOptions) packing(ctx context.Context) (*pack.Packing, error) {
	platform, err := o.check()
	if err != nil {
		return nil, err
	}
	out := &pack.Packing{Platform: platform, Gardenadm: currentVersion().Gardenadm, Output: o.output}
	if o.signKey != "" {
		if out.Signer, err = signature.LoadSigner(o.signKey, os.Getenv("COSIGN_PASSWORD")); err != nil {
			return nil, err
		}
	}
	c, err := o.cluster()
	if err != nil {
		return nil, err
	}
	out.Kubernetes = c.KubernetesVersion()
	if out.Images, err = demand.Images(c); err != nil {
		return nil, err
	}
	out.Source, err = o.source(ctx, platform, out)
	return out, err
}

func (o bundleCreateOptions) platformOf() (source.Platform, error) {
	platforms := []source.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
	at := slices.IndexFunc(platforms, func(p source.Platform) bool { return p.String() == o.platform })
	if at < 0 {
		return source.Platform{}, usageError{fmt.Errorf("--platform: %q is unknown: use linux/amd64 or linux/arm64", o.platform)}
	}
	return platforms[at], nil
}

func (o bundleCreateOptions) check() (source.Platform, error) {
	platform, err := o.platformOf()
	if err != nil {
		return source.Platform{}, err
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		return source.Platform{}, usageError{fmt.Errorf("--log-format: %q is unknown: use text or json", o.logFormat)}
	}
	if o.output == "" {
		return source.Platform{}, usageError{fmt.Errorf("--output is missing: name the file to make")}
	}
	if info, err := os.Stat(filepath.Dir(o.output)); err != nil || !info.IsDir() {
		return source.Platform{}, usageError{fmt.Errorf("--output: %s is not a directory", filepath.Dir(o.output))}
	}
	if info, err := os.Stat(o.output); err == nil && !info.Mode().IsRegular() {
		return source.Platform{}, usageError{fmt.Errorf("--output: %s is not a file", o.output)}
	}
	return platform, nil
}

func (o bundleCreateOptions) cluster() (*cluster.Cluster, error) {
	set, err := readManifests(o.manifests)
	if err != nil {
		return nil, err
	}
	if set == nil {
		builtin := manifest.Builtin(manifest.DefaultNodes())
		set = &builtin
	}
	// Which images there are does not depend on who the cluster is.
	return cluster.New(*set, "00000000-0000-0000-0000-000000000000")
}

// source opens where the images are: what is on this disk is a layout, all else a registry.
func (o bundleCreateOptions) source(ctx context.Context, platform source.Platform, wanted *pack.Packing) (*source.Source, error) {
	names := namesOf(wanted.Images)
	info, err := os.Stat(o.images)
	here := o.images != "" && err == nil
	if here && o.overwrite != "" {
		return nil, usageError{fmt.Errorf("--image-vector-overwrite: the images of the layout %s have their places already", o.images)}
	}
	cache, err := os.UserCacheDir()
	if err != nil && !(here && info.IsDir()) { // a directory is read in place
		return nil, usageError{fmt.Errorf("find the directory for downloads: %w", err)}
	}
	cache = filepath.Join(cache, "gardenadm", "blobs")
	if here {
		return source.Layout(ctx, o.images, platform, cache, names)
	}
	wish := source.Wish{Names: names, Kubernetes: wanted.Kubernetes, Platform: platform}
	return o.registry(wish, source.RegistryConfig{Platform: platform, Cache: cache})
}

func namesOf(images []demand.Image) []string {
	var out []string
	for _, one := range images {
		out = append(out, one.Name)
	}
	return out
}

func (o bundleCreateOptions) registry(wish source.Wish, config source.RegistryConfig) (*source.Source, error) {
	locations, found, err := o.locate(wish)
	if err != nil {
		return nil, err
	}
	config.Locations, config.Plain, config.CAs = locations, found.Plain, found.CAs
	return source.Registry(config)
}

// locate finds out where the wanted images are, and how their registries are reached (Plain and CAs).
func (o bundleCreateOptions) locate(wish source.Wish) (_ map[string]image.Location, config source.RegistryConfig, err error) {
	if o.images != "" {
		if wish.Prefix, config.Plain, err = source.ParseRegistry(o.images); err != nil {
			return nil, config, err
		}
	}
	if err := o.readSources(&wish, &config); err != nil {
		return nil, config, err
	}
	locations, err := wish.Locate()
	return locations, config, err
}

// readSources reads the image vectors and the authorities.
func (o bundleCreateOptions) readSources(wish *source.Wish, config *source.RegistryConfig) (err error) {
	if wish.Sources, err = image.Builtin(); err != nil {
		return err
	}
	// The variable is Gardener's: one file serves both.
	if overwrite := cmp.Or(o.overwrite, os.Getenv("IMAGEVECTOR_OVERWRITE")); overwrite != "" {
		raw, err := os.ReadFile(overwrite)
		if err != nil {
			return usageError{fmt.Errorf("read the image vector to overwrite with: %w", err)}
		}
		if wish.Overwrite, err = image.Parse(raw); err != nil {
			return fmt.Errorf("%s: %w", overwrite, err)
		}
	}
	if bundle := wish.Overwrite.CABundle; bundle != nil {
		config.CAs = append([]byte(bundle.Inline), '\n')
	}
	if o.registryCA != "" {
		raw, err := os.ReadFile(o.registryCA)
		if err != nil {
			return usageError{fmt.Errorf("--registry-ca: %w", err)}
		}
		config.CAs = append(config.CAs, raw...)
	}
	return nil
}
