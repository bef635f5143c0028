// Package renewal turns a node's configuration whose certificates have ended into one with new certificates of the same authorities.
// Used by the node agent, for a control plane node that was off for so long that its API server could not start.
package renewal

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// Apply returns the configuration with a new certificate in the place of each that has ended or is about to, for the same name and the
// same key, by the authorities whose keys are among its own files (layout.DirAuthorities). Static pods that read one get another hash, so
// that kubelet starts them again. Without such a key, and as long as all certificates last, it is the same configuration.
//
// The result depends on nothing but its arguments, and stays the same for half of a certificate's life: whoever computes it again, on the
// same configuration, gets what is there already.
func Apply(config *extensionsv1alpha1.OperatingSystemConfig, now time.Time) (*extensionsv1alpha1.OperatingSystemConfig, error) {
	authorities, err := findAuthorities(config.Spec.Files)
	if err != nil || len(authorities) == 0 {
		return config, err
	}
	out := config.DeepCopy()
	var changed []string // paths
	for at := range out.Spec.Files {
		file := &out.Spec.Files[at]
		fresh, err := renewFile(file, authorities, now)
		if err != nil {
			return config, fmt.Errorf("renew certificates of %s: %w", file.Path, err)
		}
		if fresh {
			changed = append(changed, file.Path)
		}
	}
	if len(changed) == 0 {
		return config, nil
	}
	if err := rehash(out.Spec.Files, changed); err != nil {
		return config, err
	}
	return out, nil
}

// findAuthorities reads the authorities with their keys.
func findAuthorities(files []extensionsv1alpha1.File) ([]secret.Signer, error) {
	var out []secret.Signer
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Path, ".crt")
		if !ok || path.Dir(file.Path) != layout.DirAuthorities {
			continue
		}
		cert, err := content(file)
		if err != nil {
			return nil, fmt.Errorf("read authority %s: %w", file.Path, err)
		}
		at := slices.IndexFunc(files, func(f extensionsv1alpha1.File) bool { return f.Path == name+".key" })
		if at < 0 {
			return nil, fmt.Errorf("read authority %s: its key is missing", file.Path)
		}
		key, err := content(files[at])
		if err != nil {
			return nil, fmt.Errorf("read authority %s: %w", file.Path, err)
		}
		signer, err := secret.NewSigner(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read authority %s: %w", file.Path, err)
		}
		out = append(out, signer)
	}
	return out, nil
}

// content decodes what is inline, and never quotes it. A file of an image has none.
func content(file extensionsv1alpha1.File) ([]byte, error) {
	inline := file.Content.Inline
	switch {
	case inline == nil:
		return nil, nil
	case inline.Encoding == string(extensionsv1alpha1.PlainFileCodecID):
		return []byte(inline.Data), nil
	case inline.Encoding == string(extensionsv1alpha1.B64FileCodecID):
		out, err := base64.StdEncoding.DecodeString(inline.Data)
		if err != nil {
			return nil, errors.New("its content is no base64")
		}
		return out, nil
	}
	return nil, fmt.Errorf("encoding %q is unknown", inline.Encoding)
}

func renewFile(file *extensionsv1alpha1.File, authorities []secret.Signer, now time.Time) (bool, error) {
	old, err := content(*file)
	if err != nil || old == nil {
		return false, err
	}
	fresh, err := Text(string(old), authorities, now)
	if err != nil || fresh == string(old) {
		return false, err
	}
	inline := *file.Content.Inline
	inline.Data = fresh
	if inline.Encoding == string(extensionsv1alpha1.B64FileCodecID) {
		inline.Data = base64.StdEncoding.EncodeToString([]byte(fresh))
	}
	file.Content.Inline = &inline
	return true, nil
}

// rehash gives each static pod that reads a changed file another hash, made of the old one and of what changed.
func rehash(files []extensionsv1alpha1.File, changed []string) error {
	for at := range files {
		file := &files[at]
		if path.Dir(file.Path) != layout.DirManifests || file.Content.Inline == nil {
			continue
		}
		raw, err := content(*file)
		if err != nil {
			return fmt.Errorf("read static pod %s: %w", file.Path, err)
		}
		var pod corev1.Pod
		var whole map[string]any // what a Pod's type would add is left out
		if err := errors.Join(yaml.Unmarshal(raw, &pod), yaml.Unmarshal(raw, &whole)); err != nil {
			return fmt.Errorf("read static pod %s: it is no YAML of a Pod", file.Path)
		}
		old, hash := pod.Annotations[staticpod.AnnotationHash], sha256.New()
		read := false
		for i := range files {
			if slices.Contains(changed, files[i].Path) && reads(pod, files[i]) && sameHost(file, &files[i]) {
				read = true
				fmt.Fprintf(hash, "%s %q\n", files[i].Path, files[i].Content.Inline.Data)
			}
		}
		if !read || old == "" {
			continue
		}
		fmt.Fprintf(hash, "%s\n", old)
		fresh := strings.ReplaceAll(string(raw), old, hex.EncodeToString(hash.Sum(nil)))
		file.Content.Inline = &extensionsv1alpha1.FileContentInline{Data: fresh}
	}
	return nil
}

// reads says whether a volume of the pod has the file.
func reads(pod corev1.Pod, file extensionsv1alpha1.File) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(volume corev1.Volume) bool {
		return volume.HostPath != nil && (volume.HostPath.Path == file.Path || strings.HasPrefix(file.Path, volume.HostPath.Path+"/"))
	})
}

// sameHost: the files of several nodes are in one configuration.
func sameHost(a, b *extensionsv1alpha1.File) bool {
	return a.HostName == nil || b.HostName == nil || *a.HostName == *b.HostName
}
