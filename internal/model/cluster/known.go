package cluster

import (
	"embed"
	"fmt"
	"strings"

	utilversion "k8s.io/apimachinery/pkg/util/version"
)

// nameFiles have a file per minor version, which a test in upstream/kubernetes writes: a line each, kind and name, and after the name of
// a gate the only value that it can have.
//
//go:embed names/*.txt
var nameFiles embed.FS

// known are the names that a version of Kubernetes knows. It refuses to start with others.
type known struct {
	version string
	// gates are the feature gates of all its components: "" for one that can be switched, else the value that a locked one has.
	gates map[string]string
	// plugins are the API server's admission plugins, groups its API groups without the core group.
	plugins, groups []string
}

// knownTo returns the names of a version; ok is false when gardenadm does not have it.
func knownTo(version string) (out known, ok bool) {
	parsed, err := utilversion.ParseSemantic(version)
	if err != nil {
		return known{}, false
	}
	raw, err := nameFiles.ReadFile(fmt.Sprintf("names/%d.%d.txt", parsed.Major(), parsed.Minor()))
	if err != nil {
		return known{}, false
	}
	out = known{gates: map[string]string{}}
	for line := range strings.Lines(string(raw)) {
		switch fields := strings.Fields(line); fields[0] {
		case "version":
			out.version = fields[1]
		case "gate":
			out.gates[fields[1]] = strings.Join(fields[2:], "")
		case "plugin":
			out.plugins = append(out.plugins, fields[1])
		case "group":
			out.groups = append(out.groups, fields[1])
		}
	}
	return out, true
}
