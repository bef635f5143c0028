package agent

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

// writableMode is the mode of a static pod's own directory: nobody else has business in it (etcd insists on it).
const writableMode = 0o700

// podDirectories returns the directories that the static pods among the files write to, sorted by path.
// kubelet would make them root:root 0755, and the pods are not root.
func podDirectories(files []File) ([]staticpod.Directory, error) {
	byPath := map[string]staticpod.Directory{}
	for _, file := range files {
		if !file.isManifest() || file.Image != "" {
			continue
		}
		directories, err := WritableDirectories(file.Data)
		if err != nil {
			return nil, fmt.Errorf("static pod %s: %w", file.Path, err)
		}
		for _, directory := range directories {
			if err := put(byPath, directory); err != nil {
				return nil, fmt.Errorf("static pod %s: %w", file.Path, err)
			}
		}
	}
	return sorted(byPath), nil
}

// WritableDirectories returns the directories that a static pod writes to, sorted by path: its hostPath volumes
// of type DirectoryOrCreate that a container mounts read-write, owned by the user and group of that container.
func WritableDirectories(manifest []byte) ([]staticpod.Directory, error) {
	pod := &corev1.Pod{}
	if err := yaml.Unmarshal(manifest, pod); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	paths := map[string]string{}
	for _, volume := range pod.Spec.Volumes {
		source := volume.HostPath
		if source != nil && source.Type != nil && *source.Type == corev1.HostPathDirectoryOrCreate {
			paths[volume.Name] = source.Path
		}
	}
	byPath := map[string]staticpod.Directory{}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		uid, gid := user(pod.Spec.SecurityContext, container.SecurityContext)
		for _, mount := range container.VolumeMounts {
			directory, ok := paths[mount.Name]
			if !ok || mount.ReadOnly {
				continue
			}
			if err := put(byPath, staticpod.Directory{Path: directory, UID: uid, GID: gid, Mode: writableMode}); err != nil {
				return nil, fmt.Errorf("container %s: %w", container.Name, err)
			}
		}
	}
	return sorted(byPath), nil
}

// user returns whom a container runs as: what it says itself, else what its pod says, else root.
func user(pod *corev1.PodSecurityContext, container *corev1.SecurityContext) (uid, gid int64) {
	if pod != nil {
		uid, gid = value(pod.RunAsUser, uid), value(pod.RunAsGroup, gid)
	}
	if container != nil {
		uid, gid = value(container.RunAsUser, uid), value(container.RunAsGroup, gid)
	}
	return uid, gid
}

func value(pointer *int64, otherwise int64) int64 {
	if pointer != nil {
		return *pointer
	}
	return otherwise
}

// put refuses a directory that two users want to own: the second would take it from the first at every run.
func put(byPath map[string]staticpod.Directory, directory staticpod.Directory) error {
	if other, ok := byPath[directory.Path]; ok && other != directory {
		return fmt.Errorf("directory %s is written to by users %d:%d and %d:%d: let both run as the same user",
			directory.Path, other.UID, other.GID, directory.UID, directory.GID)
	}
	byPath[directory.Path] = directory
	return nil
}

func sorted(byPath map[string]staticpod.Directory) []staticpod.Directory {
	return slices.SortedFunc(maps.Values(byPath), func(a, b staticpod.Directory) int { return cmp.Compare(a.Path, b.Path) })
}
