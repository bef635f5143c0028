package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	operatorv1alpha1 "github.com/gardener/gardener/pkg/apis/operator/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Encode renders the whole set as multi-document YAML, by kind, namespace and name. Secrets are rendered as they are;
// what a server fills in is left out. Read makes an equal set of it: of one that Read made the same,
// and of another one what Read would leave of it.
func Encode(set Set) ([]byte, error) {
	var out bytes.Buffer
	for _, k := range kinds() {
		if k.of == nil {
			continue
		}
		objects := k.of(set)
		sortObjects(objects)
		for _, o := range objects {
			raw, err := k.encode(o)
			if err != nil {
				return nil, fmt.Errorf("encode %s %s/%s: %w", k.name, o.GetNamespace(), o.GetName(), err)
			}
			if out.Len() > 0 {
				out.WriteString("---\n")
			}
			out.Write(raw)
		}
	}
	return out.Bytes(), nil
}

func (k kind) encode(o object) ([]byte, error) {
	o = o.DeepCopyObject().(object)
	normalize(o)
	o.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(k.apiVersion, k.name))
	raw, err := marshal(o)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // large integers stay integers
	var tree map[string]any
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	prune(tree)
	if raw, err = marshal(tree); err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(printable(raw))
}

// normalize drops what a server fills in, and of a status all that is not needed to make the same cluster again.
func normalize(o object) {
	o.SetUID("")
	o.SetResourceVersion("")
	o.SetGeneration(0)
	o.SetSelfLink("")
	o.SetCreationTimestamp(metav1.Time{})
	o.SetDeletionTimestamp(nil)
	o.SetDeletionGracePeriodSeconds(nil)
	o.SetManagedFields(nil)
	if annotations := o.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
		delete(annotations, corev1.LastAppliedConfigAnnotation) // kubectl's copy of the whole object
		if len(annotations) == 0 {
			o.SetAnnotations(nil)
		}
	}
	switch o := o.(type) {
	case *gardencore.CloudProfile:
		o.Status = gardencore.CloudProfileStatus{}
	case *gardencore.Project:
		o.Status = gardencore.ProjectStatus{}
	case *operatorv1alpha1.Extension:
		o.Status = operatorv1alpha1.ExtensionStatus{}
	case *gardencore.Shoot:
		// Contract shoot-api §1 and §3 rule 14: identity and state of credentials outlive a cluster's machines.
		o.Status = gardencore.ShootStatus{
			UID: o.Status.UID, TechnicalID: o.Status.TechnicalID, ClusterIdentity: o.Status.ClusterIdentity, Credentials: o.Status.Credentials,
		}
	}
}

// prune removes what Go's encoding of the types adds and nobody wrote.
func prune(tree map[string]any) {
	if metadata, ok := tree["metadata"].(map[string]any); ok && metadata["creationTimestamp"] == nil {
		delete(metadata, "creationTimestamp")
	}
	status, ok := tree["status"].(map[string]any)
	if !ok {
		return
	}
	for name, value := range status {
		if name == "gardener" || value == "" || value == false {
			delete(status, name)
		}
	}
	if len(status) == 0 {
		delete(tree, "status")
	}
}

// printable escapes the runes that YAML does not allow as they are. In JSON these stand in strings only.
func printable(raw []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(raw) {
		if r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfeff || r == 0xfffe || r == 0xffff {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.Bytes()
}
