package image

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/fault"
)

//go:embed images.yaml
var builtin []byte

// Sources says where images come from. It is the content of an image vector file as Gardener has it
// (gardener v1.154, docs/deployment/image_vector.md).
type Sources struct {
	Images []Source `json:"images"`
	// CABundle is trusted by whoever pulls the images, beside the system's authorities.
	CABundle *CABundle `json:"caBundle,omitempty"`
}

// CABundle holds certificates of authorities in PEM.
type CABundle struct {
	Inline string `json:"inline,omitempty"`
}

// Source says where an image is: by Ref, or by Repository and Tag. Empty fields are not set.
type Source struct {
	Name string `json:"name"`
	// SourceRepository, ResourceID and Labels are for people and other tools.
	SourceRepository string      `json:"sourceRepository,omitempty"`
	ResourceID       *ResourceID `json:"resourceId,omitempty"`
	Labels           []any       `json:"labels,omitempty"`

	// RuntimeVersion and TargetVersion are constraints of the Kubernetes version, such as ">= 1.36"; here both are the Shoot's.
	RuntimeVersion string `json:"runtimeVersion,omitempty"`
	TargetVersion  string `json:"targetVersion,omitempty"`
	// Architectures are as in GOARCH; none means amd64 and arm64.
	Architectures []string `json:"architectures,omitempty"`

	Ref        string `json:"ref,omitempty"`
	Repository string `json:"repository,omitempty"`
	// Tag may be a digest, or end in one. Without it the tag is v and the Kubernetes version.
	Tag string `json:"tag,omitempty"`
	// Version is for people, where Ref or Tag does not tell it.
	Version string `json:"version,omitempty"`
}

// ResourceID names a resource of a component descriptor.
type ResourceID struct {
	Name string `json:"name"`
}

// Builtin returns where images come from when nobody says otherwise: from the projects' public registries.
func Builtin() (Sources, error) { return Parse(builtin) }

// Parse reads an image vector file. What it cannot use is an error, all of it at once.
func Parse(raw []byte) (Sources, error) {
	var out Sources
	if err := yaml.UnmarshalStrict(raw, &out); err != nil {
		return Sources{}, fault.New(fault.ImageSource, "decode image vector: %w", err)
	}
	var errs field.ErrorList
	for i, source := range out.Images {
		errs = append(errs, source.validate(field.NewPath("images").Index(i))...)
	}
	if err := errs.ToAggregate(); err != nil {
		return Sources{}, fault.New(fault.ImageSource, "read image vector: %w", err)
	}
	return out, nil
}

func (s Source) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), "an image has a name"))
	}
	switch {
	case s.Ref == "" && s.Repository == "":
		errs = append(errs, field.Required(at.Child("repository"), "say where the image is: by repository, or by ref"))
	case s.Ref != "" && s.Repository != "":
		errs = append(errs, field.Forbidden(at.Child("repository"), "ref says it already"))
	case s.Ref != "" && s.Tag != "":
		errs = append(errs, field.Forbidden(at.Child("tag"), "ref says it already"))
	default:
		if _, err := s.locate("0.0.0"); err != nil {
			errs = append(errs, field.Invalid(at, s.Ref+s.Repository, err.Error()))
		}
	}
	if _, err := parseConstraint(s.RuntimeVersion); err != nil {
		errs = append(errs, field.Invalid(at.Child("runtimeVersion"), s.RuntimeVersion, err.Error()))
	}
	if _, err := parseConstraint(s.TargetVersion); err != nil {
		errs = append(errs, field.Invalid(at.Child("targetVersion"), s.TargetVersion, err.Error()))
	}
	return errs
}

// Names lists the images, each once, sorted.
func (s Sources) Names() []string {
	out := make([]string, 0, len(s.Images))
	for _, source := range s.Images {
		out = append(out, source.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Overwrite returns the sources with those of another file laid over them, as Gardener does it: an entry replaces the one of the
// same name, versions and architectures, but keeps its tag when it says none; others come beside it. A name that is not
// known here is an error: nothing would ever ask for it.
func (s Sources) Overwrite(by Sources) (Sources, error) {
	out := Sources{Images: slices.Clone(s.Images), CABundle: s.CABundle}
	if by.CABundle != nil {
		out.CABundle = by.CABundle
	}
	known := s.Names()
	var unknown []string
	for _, source := range by.Images {
		if !slices.Contains(known, source.Name) {
			unknown = append(unknown, source.Name)
			continue
		}
		at := slices.IndexFunc(out.Images, source.sameKey)
		if at < 0 {
			out.Images = append(out.Images, source)
			continue
		}
		if source.Tag == "" && source.Ref == "" {
			source.Tag = out.Images[at].Tag
		}
		out.Images[at] = source
	}
	if len(unknown) > 0 {
		return Sources{}, fault.New(fault.ImageSource, "overwrite the image vector: it has no image %s: there are %s",
			strings.Join(unknown, ", "), strings.Join(known, ", ")).Mend("correct the names in the file, or remove them")
	}
	return out, nil
}

func (s Source) sameKey(other Source) bool {
	return s.Name == other.Name && s.RuntimeVersion == other.RuntimeVersion && s.TargetVersion == other.TargetVersion &&
		slices.Equal(s.Architectures, other.Architectures)
}

// Encode renders the sources as an image vector file.
func (s Sources) Encode() ([]byte, error) {
	out, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode image vector: %w", err)
	}
	return out, nil
}
