package host

import (
	"fmt"

	"github.com/distribution/reference"
)

// ImageNames returns the names under which containerd is to know an image, so that a pod that says name finds it.
// The CRI plugin looks a name up in its normalized form ("busybox" is "docker.io/library/busybox:latest"); of a name with
// both tag and digest it drops the tag. Such an image gets both names, so that a pod may also say the tag alone.
// A digest in the name must be the image's.
func ImageNames(name, digest string) ([]string, error) {
	full, err := reference.ParseDockerRef(name)
	if err != nil {
		return nil, fmt.Errorf("read image name %q: %w", name, err)
	}
	names := []string{full.String()}
	if digested, ok := full.(reference.Digested); ok && digested.Digest().String() != digest {
		return nil, fmt.Errorf("read image name %q: the image's digest is another one, %s", name, digest)
	}
	// ParseDockerRef has dropped the tag already.
	if both, err := reference.ParseNormalizedNamed(name); err == nil {
		_, isDigested := both.(reference.Digested)
		if tagged, ok := both.(reference.Tagged); ok && isDigested {
			names = append(names, both.Name()+":"+tagged.Tag())
		}
	}
	return names, nil
}

// RecordNames returns all ImageNames of these images.
func RecordNames(images []Image) (map[string]bool, error) {
	out := map[string]bool{}
	for _, image := range images {
		names, err := ImageNames(image.Name, image.Digest)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			out[name] = true
		}
	}
	return out, nil
}
