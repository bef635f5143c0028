// Package manifest turns garden manifests (YAML) into a typed set, and a set into YAML.
// Used by model/cluster, which defaults and validates it, and by the command `manifests`.
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"sigs.k8s.io/yaml"
)

// Set is what describes one cluster; each of the three is required (contract shoot-api §1).
type Set struct {
	CloudProfile *gardencore.CloudProfile
	Project      *gardencore.Project
	Shoot        *gardencore.Shoot
}

// Encode renders the set as multi-document YAML in a fixed order; what a server would fill in is left out.
func Encode(set Set) ([]byte, error) {
	var out bytes.Buffer
	for i, object := range []any{set.CloudProfile, set.Project, set.Shoot} {
		raw, err := encodeOne(object)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(raw)
	}
	return out.Bytes(), nil
}

func encodeOne(object any) ([]byte, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", object, err)
	}
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("encode %T: %w", object, err)
	}
	delete(tree, "status")
	if metadata, ok := tree["metadata"].(map[string]any); ok {
		delete(metadata, "creationTimestamp")
	}
	return yaml.Marshal(tree)
}
