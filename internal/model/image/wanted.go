package image

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// When says by when a node is to have an image.
type When string

const (
	// Join: before the kubelet starts, because the node would not become ready without it.
	Join When = "join"
	// Later: soon after, because a pod may come to the node that runs it.
	Later When = "later"
)

// Wanted is an image that a node is to have at any time, pinned.
type Wanted struct {
	// Image is the reference that pods use.
	Image string `json:"image"`
	// Digest is that of the manifest; empty when the reference does not say it.
	Digest string `json:"digest,omitempty"`
	When   When   `json:"when"`
	// Packed images are there for other nodes alone, and not unpacked.
	Packed bool `json:"packed,omitempty"`
}

// maxWanted bounds the list of a node, which is foreign input where a node reads it.
const maxWanted = 1000

// NewWanted returns the image of a reference, with the digest that it says. What is no reference is an error.
func NewWanted(of string, when When) (Wanted, error) {
	named, err := reference.ParseNormalizedNamed(of)
	if err != nil {
		return Wanted{}, fmt.Errorf("read image name %q: %w", of, err)
	}
	out := Wanted{Image: of, When: when}
	if digested, ok := named.(reference.Digested); ok {
		out.Digest = digested.Digest().String()
	}
	return out, nil
}

// EncodeWanted writes the list as it is in layout.FileImages: each image once, in the most demanding form, what is wanted first in front.
func EncodeWanted(list []Wanted) ([]byte, error) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Wanted) int {
		return cmp.Or(cmp.Compare(a.Image, b.Image), cmp.Compare(a.When, b.When), compareBool(a.Packed, b.Packed))
	})
	list = slices.CompactFunc(list, func(a, b Wanted) bool { return a.Image == b.Image })
	slices.SortStableFunc(list, func(a, b Wanted) int { return cmp.Compare(a.When, b.When) })
	if err := validateWanted(list); err != nil {
		return nil, fmt.Errorf("write list of images: %w", err)
	}
	raw, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write list of images: %w", err)
	}
	return append(raw, '\n'), nil
}

// compareBool puts false first.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// DecodeWanted reads what EncodeWanted wrote, strictly.
func DecodeWanted(raw []byte) ([]Wanted, error) {
	var out []Wanted
	strict, err := kjson.UnmarshalStrict(raw, &out)
	if err := errors.Join(append(strict, err)...); err != nil {
		return nil, fmt.Errorf("read list of images: %w", err)
	}
	if err := validateWanted(out); err != nil {
		return nil, fmt.Errorf("read list of images: %w", err)
	}
	return out, nil
}

// AtJoin returns the images that a node needs before its kubelet starts.
func AtJoin(list []Wanted) []Wanted {
	return slices.DeleteFunc(slices.Clone(list), func(one Wanted) bool { return one.When != Join })
}

func validateWanted(list []Wanted) error {
	if len(list) > maxWanted {
		return fmt.Errorf("%d images, at most %d are accepted", len(list), maxWanted)
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, one := range list {
		at := field.NewPath("").Index(i)
		if seen[one.Image] {
			errs = append(errs, field.Duplicate(at.Child("image"), one.Image))
		}
		seen[one.Image] = true
		errs = append(errs, one.validate(at)...)
	}
	return errs.ToAggregate()
}

func (w Wanted) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	says, err := NewWanted(w.Image, w.When)
	if err != nil {
		errs = append(errs, field.Invalid(at.Child("image"), w.Image, "must be the name of an image"))
	}
	if says.Digest != "" && says.Digest != w.Digest {
		errs = append(errs, field.Invalid(at.Child("digest"), w.Digest, "must be the one that the image's name says"))
	} else if _, err := digest.Parse(w.Digest); w.Digest != "" && err != nil {
		errs = append(errs, field.Invalid(at.Child("digest"), w.Digest, "must be a digest such as sha256:…"))
	}
	if w.When != Join && w.When != Later {
		errs = append(errs, field.NotSupported(at.Child("when"), w.When, []When{Join, Later}))
	}
	return errs
}
