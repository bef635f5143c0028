package agent

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/registry"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

// defaultMode is the mode of a file whose OperatingSystemConfig names none: it may be a secret.
const defaultMode fs.FileMode = 0o600

// Local is what one host adds to the OperatingSystemConfig of its pool; it never enters the pool's checksum.
type Local struct {
	// Files win over those of the OperatingSystemConfig with the same path.
	Files []extensionsv1alpha1.File
	// Units amend the units of the same name with drop-ins and filePaths.
	// One without content whose name the OperatingSystemConfig does not know has nothing to amend and is left out.
	Units []extensionsv1alpha1.Unit
	// Mirrors are the cluster's, which are asked before the hosts of registries that extensions ask for.
	Mirrors []registry.Host
}

// Want is what the host shall be: an OperatingSystemConfig with the local additions, decoded and checked.
type Want struct {
	// Directories are the writable ones of the static pods, sorted by path.
	Directories []staticpod.Directory
	Files       []File // sorted by path
	Units       []Unit // in the order of the OperatingSystemConfig
	// Applied is the content of last-applied-osc.yaml once the host is so.
	Applied []byte
}

// File is one wanted file, root:root, with inline content or the content of a file of an image.
type File struct {
	Path string
	Mode fs.FileMode
	// Data and its digest, for a file with inline content.
	Data   []byte
	SHA256 string
	// Image and PathInImage, for a file that is taken from an image.
	Image, PathInImage string
}

// NewWant decodes an OperatingSystemConfig for the host with the given name: status.extensionUnits and
// extensionFiles are merged into spec, local comes on top, files for other hosts are left out.
func NewWant(osc *extensionsv1alpha1.OperatingSystemConfig, local Local, hostName string) (Want, error) {
	registries, err := registryFiles(osc.Spec.CRIConfig, local.Mirrors)
	if err != nil {
		return Want{}, fmt.Errorf("read OperatingSystemConfig %q: %w", osc.Name, err)
	}
	files := mergeFiles(hostName, registries, osc.Spec.Files, osc.Status.ExtensionFiles, local.Files)
	if err := unheeded(osc, files).ToAggregate(); err != nil {
		return Want{}, fmt.Errorf("read OperatingSystemConfig %q: %w", osc.Name, err)
	}
	units := mergeUnits(osc.Spec.Units, osc.Status.ExtensionUnits, amendments(osc, local.Units))

	var want Want
	var errs []error
	for _, file := range files {
		decoded, err := newFile(file)
		errs = append(errs, err)
		want.Files = append(want.Files, decoded)
	}
	for _, unit := range units {
		decoded, err := newUnit(unit, units)
		errs = append(errs, err)
		want.Units = append(want.Units, decoded)
	}
	if err := errors.Join(errs...); err != nil {
		return Want{}, fmt.Errorf("read OperatingSystemConfig %q: %w", osc.Name, err)
	}

	if want.Directories, err = podDirectories(want.Files); err != nil {
		return Want{}, fmt.Errorf("read OperatingSystemConfig %q: %w", osc.Name, err)
	}
	if want.Applied, err = encodeApplied(osc.Name, files, units); err != nil {
		return Want{}, err
	}
	return want, nil
}

// encodeApplied writes down the merged files and units, so that what is gone next time can be removed.
func encodeApplied(name string, files []extensionsv1alpha1.File, units []extensionsv1alpha1.Unit) ([]byte, error) {
	applied := &extensionsv1alpha1.OperatingSystemConfig{
		TypeMeta:   metav1.TypeMeta{APIVersion: extensionsv1alpha1.SchemeGroupVersion.String(), Kind: extensionsv1alpha1.OperatingSystemConfigResource},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: extensionsv1alpha1.OperatingSystemConfigSpec{
			Purpose: extensionsv1alpha1.OperatingSystemConfigPurposeReconcile, Files: files, Units: units,
		},
	}
	data, err := yaml.Marshal(applied)
	if err != nil {
		return nil, fmt.Errorf("encode applied OperatingSystemConfig %q: %w", name, err)
	}
	return data, nil
}

// mergeFiles returns the files of all lists that are for this host, sorted by path; of two with the same path the later wins.
func mergeFiles(hostName string, lists ...[]extensionsv1alpha1.File) []extensionsv1alpha1.File {
	byPath := map[string]extensionsv1alpha1.File{}
	for _, file := range slices.Concat(lists...) {
		if file.HostName != nil && *file.HostName != hostName {
			continue
		}
		file.HostName = nil
		byPath[file.Path] = file
	}
	out := make([]extensionsv1alpha1.File, 0, len(byPath))
	for _, file := range byPath {
		out = append(out, file)
	}
	slices.SortFunc(out, func(a, b extensionsv1alpha1.File) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

func newFile(file extensionsv1alpha1.File) (File, error) {
	out := File{Path: file.Path, Mode: defaultMode}
	if !path.IsAbs(file.Path) || path.Clean(file.Path) != file.Path || file.Path == "/" {
		return out, fmt.Errorf("file %q: the path must be absolute and clean", file.Path)
	}
	if file.Permissions != nil {
		out.Mode = fs.FileMode(*file.Permissions)
	}
	if out.Mode != out.Mode.Perm() {
		return out, fmt.Errorf("file %s: permissions %#o have more than the nine permission bits", file.Path, *file.Permissions)
	}

	content := file.Content
	switch {
	case content.SecretRef != nil:
		return out, fmt.Errorf("file %s: content from Secret %q is not supported: put it inline", file.Path, content.SecretRef.Name)
	case (content.Inline != nil) == (content.ImageRef != nil):
		return out, fmt.Errorf("file %s: it needs exactly one of inline and imageRef", file.Path)
	case content.ImageRef != nil:
		out.Image, out.PathInImage = content.ImageRef.Image, path.Join("/", content.ImageRef.FilePathInImage)
		return out, nil
	}
	data, err := decode(content.Inline)
	if err != nil {
		return out, fmt.Errorf("file %s: %w", file.Path, err)
	}
	out.Data, out.SHA256 = data, digest(data)
	return out, nil
}

// decode never quotes the content: it may be a secret.
func decode(inline *extensionsv1alpha1.FileContentInline) ([]byte, error) {
	switch inline.Encoding {
	case string(extensionsv1alpha1.PlainFileCodecID):
		return []byte(inline.Data), nil
	case string(extensionsv1alpha1.B64FileCodecID):
		data, err := base64.StdEncoding.DecodeString(inline.Data)
		if err != nil {
			return nil, fmt.Errorf("decode base64 content: %w", err)
		}
		return data, nil
	default:
		return nil, fmt.Errorf("encoding %q is unknown: use \"b64\" or none", inline.Encoding)
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// isManifest says that kubelet starts a static pod from the file.
func (f File) isManifest() bool {
	return path.Dir(f.Path) == layout.DirManifests && !strings.HasPrefix(path.Base(f.Path), ".")
}
