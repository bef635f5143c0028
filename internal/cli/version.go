package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// versionInfo is what `version -o json` prints.
type versionInfo struct {
	Gardenadm string `json:"gardenadm"`
	// Gardener is the version of the Gardener API that is spoken.
	Gardener string `json:"gardener"`
	// Kubernetes are the versions that a Shoot may have.
	Kubernetes []string `json:"kubernetes"`
	Go         string   `json:"go"`
	Platform   string   `json:"platform"`
}

// String is the version in one line.
func (v versionInfo) String() string {
	return fmt.Sprintf("gardenadm %s (Gardener API %s, Kubernetes %s, %s, %s)", v.Gardenadm, v.Gardener, strings.Join(v.Kubernetes, ", "), v.Go, v.Platform)
}

// announce tells on stderr which versions are at work, before a command changes something. format is that of --log-format.
func announce(out io.Writer, format string) {
	v := currentVersion()
	if format != "json" {
		fmt.Fprintln(out, v)
		return
	}
	raw, _ := json.Marshal(struct { // strings cannot fail
		Event string `json:"event"`
		versionInfo
	}{"version", v})
	fmt.Fprintln(out, string(raw))
}

func currentVersion() versionInfo {
	out := versionInfo{
		Gardenadm: "devel", Gardener: cluster.GardenerVersion, Kubernetes: manifest.SupportedKubernetes(),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		out.Gardenadm = v
	}
	return out
}

func versionCommand(streams Streams) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use: "version", Short: "Print the versions of gardenadm, the Gardener API it speaks, and Kubernetes", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			v := currentVersion()
			switch output {
			case "json":
				raw, err := json.MarshalIndent(v, "", "  ")
				if err != nil {
					return err
				}
				fmt.Fprintln(streams.Out, string(raw))
			case "yaml":
				raw, err := yaml.Marshal(v)
				if err != nil {
					return err
				}
				fmt.Fprint(streams.Out, string(raw))
			case "":
				fmt.Fprintln(streams.Out, v)
			default:
				return usageError{fmt.Errorf("unknown output %q: use json or yaml", output)}
			}
			return nil
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "print as json or yaml")
	return command
}
