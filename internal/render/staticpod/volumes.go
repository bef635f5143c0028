package staticpod

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// fileMode is that of all files of static pods (contract node-agent-and-osc §7): root writes, group root reads.
const fileMode = 0o640

// sources are the ConfigMaps and Secrets that volumes may refer to, by "kind/name".
type sources map[string]source

type source struct {
	data   map[string][]byte
	reread bool
}

const (
	kindConfigMap = "ConfigMap"
	kindSecret    = "Secret"
)

func newSources(w Workload) sources {
	out := sources{}
	for _, object := range w.ConfigMaps {
		data := maps.Clone(object.BinaryData)
		if data == nil {
			data = map[string][]byte{}
		}
		for key, value := range object.Data {
			data[key] = []byte(value)
		}
		out[kindConfigMap+"/"+object.Name] = source{data, object.Annotations[AnnotationReread] == "true"}
	}
	for _, object := range w.Secrets {
		data := maps.Clone(object.Data)
		if data == nil {
			data = map[string][]byte{}
		}
		for key, value := range object.StringData { // as the API server does: stringData wins
			data[key] = []byte(value)
		}
		out[kindSecret+"/"+object.Name] = source{data, object.Annotations[AnnotationReread] == "true"}
	}
	return out
}

// reference is what a volume takes from one ConfigMap or Secret.
type reference struct {
	kind, name string
	items      []corev1.KeyToPath // empty: all keys
	optional   *bool
}

// rewriteVolumes turns ConfigMap, Secret and projected volumes into directories on the host and returns their files, sorted by path.
func rewriteVolumes(pod string, spec *corev1.PodSpec, from sources) ([]File, error) {
	var files []File
	for i := range spec.Volumes {
		volume := &spec.Volumes[i]
		references, rewrite, err := referencesOf(volume)
		if err != nil {
			return nil, err
		}
		if !rewrite {
			continue
		}
		dir := path.Join(layout.DirStaticPods, pod, volume.Name)
		content, err := read(volume.Name, references, from)
		if err != nil {
			return nil, err
		}
		for _, key := range slices.Sorted(maps.Keys(content)) {
			file := content[key]
			file.Path, file.Mode = path.Join(dir, key), fileMode
			files = append(files, file)
		}
		kind := corev1.HostPathDirectory
		if len(content) == 0 {
			kind = corev1.HostPathDirectoryOrCreate // nothing optional is there, so no file makes the directory
		}
		volume.VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir, Type: &kind}}
		mountReadOnly(spec, volume.Name)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// referencesOf returns what a volume takes from ConfigMaps and Secrets, and whether it is to become a directory on the host.
// A volume that a static pod cannot have is an error.
func referencesOf(volume *corev1.Volume) ([]reference, bool, error) {
	switch source := volume.VolumeSource; {
	case source.ConfigMap != nil:
		return []reference{{kindConfigMap, source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional}}, true, nil
	case source.Secret != nil:
		return []reference{{kindSecret, source.Secret.SecretName, source.Secret.Items, source.Secret.Optional}}, true, nil
	case source.Projected != nil:
		references, err := projections(volume.Name, source.Projected.Sources)
		return references, true, err
	case source.HostPath != nil, source.EmptyDir != nil, source.DownwardAPI != nil, source.Image != nil:
		return nil, false, nil
	default:
		return nil, false, fmt.Errorf("volume %q: its type needs the API; a static pod can have "+
			"configMap, secret, projected, hostPath, emptyDir, downwardAPI and image", volume.Name)
	}
}

func projections(volume string, list []corev1.VolumeProjection) ([]reference, error) {
	var out []reference
	for i, source := range list {
		switch {
		case source.ConfigMap != nil:
			out = append(out, reference{kindConfigMap, source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional})
		case source.Secret != nil:
			out = append(out, reference{kindSecret, source.Secret.Name, source.Secret.Items, source.Secret.Optional})
		default:
			return nil, fmt.Errorf("volume %q: source %d is neither configMap nor secret; a static pod can project only these", volume, i)
		}
	}
	return out, nil
}

// read returns the content of a volume by path below it.
func read(volume string, references []reference, from sources) (map[string]File, error) {
	out := map[string]File{}
	for _, reference := range references {
		optional := reference.optional != nil && *reference.optional
		object, found := from[reference.kind+"/"+reference.name]
		if !found && !optional {
			return nil, fmt.Errorf("volume %q: %s %q is not part of the workload", volume, reference.kind, reference.name)
		}
		items := reference.items
		if len(items) == 0 {
			for _, key := range slices.Sorted(maps.Keys(object.data)) {
				items = append(items, corev1.KeyToPath{Key: key, Path: key})
			}
		}
		for _, item := range items {
			value, found := object.data[item.Key]
			switch {
			case !found && optional:
				continue
			case !found:
				return nil, fmt.Errorf("volume %q: %s %q has no key %q", volume, reference.kind, reference.name, item.Key)
			case !filepath.IsLocal(item.Path):
				return nil, fmt.Errorf("volume %q: %s %q: path %q of key %q leaves the volume", volume, reference.kind, reference.name, item.Path, item.Key)
			}
			name := path.Clean(item.Path)
			if _, taken := out[name]; taken {
				return nil, fmt.Errorf("volume %q: %s %q: path %q of key %q is already taken", volume, reference.kind, reference.name, item.Path, item.Key)
			}
			out[name] = File{Data: value, reread: object.reread}
		}
	}
	return out, nil
}

// mountReadOnly makes every mount of the volume read-only, as mounts of ConfigMaps and Secrets are.
func mountReadOnly(spec *corev1.PodSpec, volume string) {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for _, container := range containers {
			for i := range container.VolumeMounts {
				if container.VolumeMounts[i].Name == volume {
					container.VolumeMounts[i].ReadOnly = true
				}
			}
		}
	}
}

// addClaims gives every volume claim template a directory on the host (contract node-agent-and-osc §7).
func addClaims(spec *corev1.PodSpec, claims []corev1.PersistentVolumeClaim) error {
	for _, claim := range claims {
		if slices.ContainsFunc(spec.Volumes, func(volume corev1.Volume) bool { return volume.Name == claim.Name }) {
			return fmt.Errorf("volume %q: is both a volume and a volume claim template", claim.Name)
		}
		spec.Volumes = append(spec.Volumes, corev1.Volume{
			Name: claim.Name,
			VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: path.Join("/var/lib", claim.Name, "data"),
				Type: new(corev1.HostPathDirectoryOrCreate),
			}},
		})
	}
	return nil
}
