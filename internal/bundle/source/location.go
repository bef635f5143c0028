package source

import (
	"strings"

	"github.com/distribution/reference"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/image"
)

// Wish says which images are wanted from registries.
type Wish struct {
	Names      []string
	Kubernetes string
	Platform   Platform
	// Sources are the built-in ones, Overwrite those of the user's file.
	Sources, Overwrite image.Sources
	// Prefix is a registry, with a path or without, that has all images that Overwrite does not name: each below its name in the
	// image vector and with its tag, as in registry.example.org/mirror/coredns:v1.15.0. "" for the registries of the image vector.
	Prefix string
}

// Locate finds out where the wanted images are.
func (w Wish) Locate() (map[string]image.Location, error) {
	merged, err := w.Sources.Overwrite(w.Overwrite)
	if err != nil {
		return nil, err
	}
	out := map[string]image.Location{}
	for _, name := range w.Names {
		at, err := merged.Find(name, w.Kubernetes, w.Platform.Architecture)
		if err != nil {
			return nil, err
		}
		if _, own := w.Overwrite.Find(name, w.Kubernetes, w.Platform.Architecture); w.Prefix != "" && own != nil {
			if at, err = at.Below(w.Prefix, name); err != nil {
				return nil, fault.New(fault.BadFlag, "read registry %s: %w", w.Prefix, err)
			}
		}
		out[name] = at
	}
	return out, nil
}

// ParseRegistry reads a registry as a person writes it: HOST[:PORT][/PATH], behind https:// or nothing, or behind http:// when it is to
// be spoken to without TLS; plain is its host then.
func ParseRegistry(text string) (prefix, plain string, err error) {
	prefix, insecure := strings.CutPrefix(text, "http://")
	prefix = strings.TrimSuffix(strings.TrimPrefix(prefix, "https://"), "/")
	host, _, _ := strings.Cut(prefix, "/")
	if at := strings.LastIndex(host, "@"); at >= 0 { // what stands before it may be a password
		return "", "", fault.New(fault.BadFlag, "--images has credentials for %s", host[at+1:]).
			Mend("give them with docker login %s: here they are seen in the process list and the shell's history", host[at+1:])
	}
	// Without a dot or a port it would be a user of Docker Hub.
	if _, err := reference.ParseNormalizedNamed(prefix + "/image"); err != nil || host != "localhost" && !strings.ContainsAny(host, ".:") {
		return "", "", fault.New(fault.BadFlag, "%q is neither a directory nor a file nor a registry", text).
			Mend("name an OCI image layout that is there, or a registry such as registry.example.org/mirror")
	}
	if insecure {
		plain = host
	}
	return prefix, plain, nil
}
