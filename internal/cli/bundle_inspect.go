package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/bundle"
)

// bundleInfo is what `bundle inspect -o json` prints. Sizes are in bytes, compressed as they are in the bundle.
type bundleInfo struct {
	Path       string `json:"path"`
	Gardenadm  string `json:"gardenadm,omitempty"`
	Kubernetes string `json:"kubernetes,omitempty"`
	Platform   string `json:"platform,omitempty"`
	// Signed says that there is a signature, not that it was verified.
	Signed    bool          `json:"signed"`
	Size      int64         `json:"size"`
	Images    []bundleImage `json:"images"`
	Documents []string      `json:"documents"`
}

type bundleImage struct {
	Name      string     `json:"name"`
	Reference string     `json:"reference"`
	Digest    string     `json:"digest"`
	Use       bundle.Use `json:"use"`
	Size      int64      `json:"size"`
}

// bundleInspectOptions are the flags of bundle inspect.
type bundleInspectOptions struct {
	output string
	sbom   bool
	notice bool
}

func bundleInspectCommand(streams Streams) *cobra.Command {
	var options bundleInspectOptions
	command := &cobra.Command{
		Use: "inspect FILE", Short: "Say what is in a bundle", Args: oneBundle,
		Long: "Lists the images of a bundle with digest and compressed size, the versions and the platform that it is for, and whether it is signed.\n" +
			"The bundle is read as a whole and has to be undamaged; whose signature it is, bundle verify tells.",
		RunE: func(command *cobra.Command, args []string) error {
			return interrupted(command.Context(), options.run(command.Context(), args[0], streams.Out))
		},
	}
	flags := command.Flags()
	outputFlag(command, &options.output)
	flags.BoolVar(&options.sbom, "sbom", false, "print the list of what is in the images (SPDX)")
	flags.BoolVar(&options.notice, "notice", false, "print the licences")
	return command
}

func (o bundleInspectOptions) run(ctx context.Context, path string, out io.Writer) error {
	if o.sbom && o.notice || (o.sbom || o.notice) && o.output != "" {
		return usageError{fmt.Errorf("--sbom, --notice and --output print different things: name one of them")}
	}
	origin, err := openBundle(ctx, path, "", "")
	if err != nil {
		return err
	}
	switch {
	case o.sbom:
		return printDocument(out, origin, bundle.DocumentSBOM)
	case o.notice:
		return printDocument(out, origin, bundle.DocumentNotice)
	}
	info := inspect(origin)
	return printAs(out, o.output, info, func() { fmt.Fprint(out, info.text()) })
}

func printDocument(out io.Writer, origin *bundle.Origin, title string) error {
	raw, err := origin.Metadata(title)
	if err != nil {
		return err
	}
	_, err = out.Write(raw)
	return err
}

func inspect(origin *bundle.Origin) bundleInfo {
	out := bundleInfo{
		Path: origin.Path, Gardenadm: origin.Gardenadm(), Kubernetes: origin.Kubernetes(), Platform: origin.Platform(),
		Signed: origin.Signed(), Size: origin.Size(), Images: []bundleImage{}, Documents: origin.Documents(),
	}
	for _, image := range origin.Images() {
		out.Images = append(out.Images, bundleImage{image.Name, image.Reference, image.Digest, image.Use, origin.SizeOf(image)})
	}
	return out
}

// text is the bundle for people.
func (b bundleInfo) text() string {
	var out strings.Builder
	signed := "not signed"
	if b.Signed {
		signed = "signed"
	}
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"bundle", b.Path}, {"gardenadm", b.Gardenadm}, {"Kubernetes", b.Kubernetes}, {"platform", b.Platform},
		{"signature", signed}, {"documents", strings.Join(b.Documents, ", ")},
		{"size", fmt.Sprintf("%.1f MiB in %d images; layers that images share are counted once", mib(b.Size), len(b.Images))},
	} {
		if line[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
		}
	}
	table.Flush() //nolint:errcheck // writes to memory
	fmt.Fprintln(&out)
	table = tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "IMAGE\tUSE\tMIB\tREFERENCE\tDIGEST")
	for _, image := range b.Images {
		fmt.Fprintf(table, "%s\t%s\t%.1f\t%s\t%s\n", image.Name, image.Use, mib(image.Size), image.Reference, image.Digest)
	}
	table.Flush() //nolint:errcheck // writes to memory
	return out.String()
}
