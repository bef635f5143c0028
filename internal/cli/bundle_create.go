package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/bundle/demand"
	"github.com/gardenadm/gardenadm/internal/bundle/pack"
	"github.com/gardenadm/gardenadm/internal/bundle/signature"
	"github.com/gardenadm/gardenadm/internal/bundle/source"
	"github.com/gardenadm/gardenadm/internal/fault"
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
	flags.Var(given{&options.images}, "images", "where the images are: an OCI image layout (directory or tar), or a registry such as registry.example.org/mirror (default: as the image vector says)")
	flags.StringVar(&options.overwrite, "image-vector-overwrite", "", "file in the format of Gardener's image vectors that says where images are (default: the variable IMAGEVECTOR_OVERWRITE)")
	flags.StringVar(&options.platform, "platform", "", "what the images are to be made for: linux/amd64 or linux/arm64 (default: the machines' of the Shoot where it states their architecture, else this one's)")
	flags.StringVar(&options.registryCA, "registry-ca", "", "PEM file with an authority to trust when images are downloaded, beside the system's")
	flags.Var(given{&options.signKey}, "sign-key", "PEM file with the private key to sign the bundle with")
	flags.StringVarP(&options.output, "output", "o", "", "the file to make; one that is there is replaced")
	flags.BoolVar(&options.list, "list", false, "print which images the cluster needs, what for and where they are looked for, and make nothing: to fill a registry, for example")
	flags.StringVar(&options.logFormat, "log-format", "text", "progress on stderr as text or json")
	return command
}

func runBundleCreate(ctx context.Context, options bundleCreateOptions, streams Streams) error {
	if options.list {
		return interrupted(ctx, options.printImages(ctx, streams.Out))
	}
	announce(streams.Err, options.logFormat)
	packing, err := options.packing(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
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
func (o bundleCreateOptions) printImages(ctx context.Context, out io.Writer) error {
	c, err := o.cluster()
	if err != nil {
		return err
	}
	platform, err := o.platformOf(c)
	if err != nil {
		return err
	}
	images, err := demand.Images(c)
	if err != nil {
		return err
	}
	references, err := o.references(ctx, source.Wish{Names: namesOf(images), Kubernetes: c.KubernetesVersion(), Platform: platform})
	if err != nil {
		return err
	}
	for _, image := range images {
		if _, err := fmt.Fprintf(out, "%-24s %-4s %s\n", image.Name, image.Use, references[image.Name]); err != nil {
			return err
		}
	}
	return nil
}

// references says where each image is: in a registry, or by what name the layout has it.
func (o bundleCreateOptions) references(ctx context.Context, wish source.Wish) (map[string]string, error) {
	layout, err := o.layout(ctx, wish.Platform, wish.Names)
	if err != nil {
		return nil, err
	}
	if layout != nil {
		return layout.References(ctx, wish.Names)
	}
	locations, _, err := o.locate(wish)
	out := map[string]string{}
	for name, location := range locations {
		out[name] = location.String()
	}
	return out, err
}

// packing checks the flags and reads what they name; nothing is written yet.
func (o bundleCreateOptions) packing(ctx context.Context) (*pack.Packing, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c, err := o.cluster()
	if err != nil {
		return nil, err
	}
	platform, err := o.platformOf(c)
	if err != nil {
		return nil, err
	}
	out := &pack.Packing{Platform: platform, Gardenadm: currentVersion().Gardenadm, Output: o.output}
	if o.signKey != "" {
		if out.Signer, err = signature.LoadSigner(o.signKey, os.Getenv("COSIGN_PASSWORD")); err != nil {
			return nil, err
		}
	}
	out.Kubernetes = c.KubernetesVersion()
	if out.Images, err = demand.Images(c); err != nil {
		return nil, err
	}
	out.Source, err = o.source(ctx, platform, out)
	return out, err
}

// platformOf is what --platform says, else the manifests, else this machine's.
func (o bundleCreateOptions) platformOf(c *cluster.Cluster) (source.Platform, error) {
	stated := c.Architecture()
	out := source.Platform{OS: "linux", Architecture: cmp.Or(stated, runtime.GOARCH)}
	switch o.platform {
	case "", out.String():
		return out, nil
	case "linux/amd64", "linux/arm64":
		out.Architecture = strings.TrimPrefix(o.platform, "linux/")
	default:
		return out, usageError{fmt.Errorf("--platform: %q is unknown: use linux/amd64 or linux/arm64", o.platform)}
	}
	if stated != "" {
		return out, fault.New(fault.BadFlag, "--platform %s: the machines of the Shoot are %s (machine.architecture)", o.platform, stated).
			Mend("leave out --platform, or mend the Shoot")
	}
	return out, nil
}

func (o bundleCreateOptions) check() error {
	if o.logFormat != "text" && o.logFormat != "json" {
		return usageError{fmt.Errorf("--log-format: %q is unknown: use text or json", o.logFormat)}
	}
	if o.output == "" {
		return usageError{fmt.Errorf("--output is missing: name the file to make")}
	}
	if info, err := os.Stat(filepath.Dir(o.output)); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("--output: %s is not a directory", filepath.Dir(o.output))}
	}
	if info, err := os.Stat(o.output); err == nil && !info.Mode().IsRegular() {
		return usageError{fmt.Errorf("--output: %s is not a file", o.output)}
	}
	return nil
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
	if out, err := o.layout(ctx, platform, names); out != nil || err != nil {
		return out, err
	}
	cache, err := downloads()
	if err != nil {
		return nil, err
	}
	wish := source.Wish{Names: names, Kubernetes: wanted.Kubernetes, Platform: platform}
	return o.registry(wish, source.RegistryConfig{Platform: platform, Cache: cache})
}

// layout opens the image layout that --images names; nil where it names none.
func (o bundleCreateOptions) layout(ctx context.Context, platform source.Platform, names []string) (*source.Source, error) {
	info, err := os.Stat(o.images)
	if o.images == "" || err != nil {
		return nil, nil
	}
	if file, from := o.overwriting(); file != "" {
		return nil, usageError{fmt.Errorf("%s: the images of the layout %s have their places already; leave one of the two out", from, o.images)}
	}
	cache, err := downloads()
	if err != nil && !info.IsDir() { // a directory is read in place
		return nil, err
	}
	return source.Layout(ctx, o.images, platform, cache, names)
}

// downloads is the directory where they are kept.
func downloads() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", usageError{fmt.Errorf("find the directory for downloads: %w", err)}
	}
	return filepath.Join(cache, "gardenadm", "blobs"), nil
}

// overwriting is the file with the image vector to overwrite with, and what names it; the variable is Gardener's: one file serves both.
func (o bundleCreateOptions) overwriting() (file, from string) {
	if o.overwrite != "" {
		return o.overwrite, "--image-vector-overwrite"
	}
	return os.Getenv(variableOverwrite), "variable " + variableOverwrite
}

const variableOverwrite = "IMAGEVECTOR_OVERWRITE"

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
	if overwrite, from := o.overwriting(); overwrite != "" {
		raw, err := os.ReadFile(overwrite)
		if err != nil {
			return usageError{fmt.Errorf("%s: read the image vector to overwrite with: %w", from, err)}
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
