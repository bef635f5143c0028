package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// versionInfo is what `version -o json` prints.
type versionInfo struct {
	Gardenadm  string   `json:"gardenadm"`
	Gardener   string   `json:"gardener"`
	Kubernetes []string `json:"kubernetes"`
	Go         string   `json:"go"`
	Platform   string   `json:"platform"`
}

// gardenerModule is the module whose types are spoken on the wire; its version is the Gardener version.
const gardenerModule = "github.com/gardener/gardener/pkg/apis"

func currentVersion() versionInfo {
	out := versionInfo{
		Gardenadm: "devel", Gardener: "unknown", Kubernetes: []string{manifest.KubernetesVersion},
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		out.Gardenadm = v
	}
	for _, module := range info.Deps {
		if module.Path == gardenerModule {
			out.Gardener = module.Version
		}
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
				fmt.Fprintf(streams.Out, "gardenadm %s (Gardener API %s, Kubernetes %s, %s, %s)\n",
					v.Gardenadm, v.Gardener, v.Kubernetes[0], v.Go, v.Platform)
			default:
				return usageError{fmt.Errorf("unknown output %q: use json or yaml", output)}
			}
			return nil
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "print as json or yaml")
	return command
}
