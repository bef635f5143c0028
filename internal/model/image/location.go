package image

import (
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/distribution/reference"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Location is where one image is found.
type Location struct {
	// Repository is in full, for example docker.io/library/busybox.
	Repository string
	// Tag or Digest is set, or both; the digest tells which it is.
	Tag, Digest string
	// Version is for people; the tag unless the source says another.
	Version string
}

// String is the reference with all that is known.
func (l Location) String() string {
	out := l.Repository
	if l.Tag != "" {
		out += ":" + l.Tag
	}
	if l.Digest != "" {
		out += "@" + l.Digest
	}
	return out
}

// Tagged is the reference without digest. An image that is known by its digest alone gets a tag that says it.
func (l Location) Tagged() string {
	if l.Tag != "" {
		return l.Repository + ":" + l.Tag
	}
	return l.Repository + ":" + strings.ReplaceAll(l.Digest, ":", "-")
}

// Below is the location of an image of this name and tag below a prefix, such as registry.example.org/mirror.
func (l Location) Below(prefix, name string) (Location, error) {
	return parse(strings.TrimPrefix(l.String(), l.Repository), strings.TrimSuffix(prefix, "/")+"/"+name, l.Version)
}

// locate reads the source's reference. The Kubernetes version is the tag of an image that has none.
func (s Source) locate(kubernetes string) (Location, error) {
	switch {
	case s.Ref != "":
		return parse("", s.Ref, s.Version)
	case s.Tag == "":
		return parse(":v"+strings.TrimPrefix(kubernetes, "v"), s.Repository, s.Version)
	case strings.HasPrefix(s.Tag, "sha256:"):
		return parse("@"+s.Tag, s.Repository, s.Version)
	}
	return parse(":"+s.Tag, s.Repository, s.Version)
}

func parse(suffix, repository, version string) (Location, error) {
	named, err := reference.ParseNormalizedNamed(repository + suffix)
	if err != nil {
		return Location{}, err
	}
	out := Location{Repository: named.Name(), Version: version}
	if tagged, ok := named.(reference.Tagged); ok {
		out.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		out.Digest = digested.Digest().String()
	}
	if out.Tag == "" && out.Digest == "" {
		out.Tag = "latest"
	}
	if out.Version == "" {
		out.Version = out.Tag
	}
	return out, nil
}

// Find returns where the named image is for a Kubernetes version and an architecture (as in GOARCH). Of several that fit, the one
// that says so most closely wins, and among equals the first, as in Gardener.
func (s Sources) Find(name, kubernetes, architecture string) (Location, error) {
	best, highest := -1, -1
	for i, source := range s.Images {
		if score, ok := source.match(name, kubernetes, architecture); ok && score > highest {
			best, highest = i, score
		}
	}
	if best < 0 {
		return Location{}, fault.New(fault.ImageSource, "find image %s: the image vector has none for Kubernetes %s and %s", name, kubernetes, architecture).
			Mend("add it to the file that --image-vector-overwrite names")
	}
	return s.Images[best].locate(kubernetes)
}

// match says whether the source fits, and how closely.
func (s Source) match(name, kubernetes, architecture string) (score int, ok bool) {
	if s.Name != name {
		return 0, false
	}
	version, err := semver.NewVersion(kubernetes)
	if err != nil {
		return 0, false
	}
	for _, text := range []string{s.RuntimeVersion, s.TargetVersion} {
		constraint, err := parseConstraint(text)
		if err != nil || !constraint.Check(version) {
			return 0, false
		}
		score += closeness(text)
	}
	architectures := s.Architectures
	if len(architectures) == 0 {
		architectures = []string{"amd64", "arm64"}
	}
	if len(architectures) == 1 {
		score++
	}
	return score, slices.Contains(architectures, architecture)
}

// parseConstraint reads a constraint; an empty one admits every version.
func parseConstraint(text string) (*semver.Constraints, error) {
	if text == "" {
		text = "*"
	}
	return semver.NewConstraint(text)
}

// closeness prefers a constraint to none, and one version to a range of them.
func closeness(constraint string) int {
	switch {
	case constraint == "":
		return 0
	case regexp.MustCompile(`^(v?\d+\.\d+\.\d+|=)`).MatchString(constraint):
		return 2
	}
	return 1
}
