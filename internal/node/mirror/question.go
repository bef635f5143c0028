package mirror

import (
	"net/http"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// question is what a request asks for.
type question struct {
	// repository is how containerd's records of its images begin: registry[:port]/name.
	repository string
	// tag or digest is set. The digest of a blob may be a manifest's, too.
	tag, digest string
	// manifest: only a manifest will do.
	manifest bool
}

// parse reads a path of the OCI distribution API below /v2/. What is not in it is refused with 404, what cannot be a name or
// a digest with 400.
func parse(path, registry string) (question, error) {
	rest, isAPI := strings.CutPrefix(path, "/v2/")
	rest, last, hasLast := cutLast(rest)
	name, kind, hasKind := cutLast(rest)
	if !isAPI || !hasLast || !hasKind || kind != "manifests" && kind != "blobs" {
		return question{}, refuse(http.StatusNotFound, codeUnsupported, "this registry has manifests and blobs only")
	}
	// What is no canonical name is none of containerd's: "busybox" of docker.io must be library/busybox.
	named, err := reference.ParseNamed(registry + "/" + name)
	if err != nil || !reference.IsNameOnly(named) || reference.Domain(named) != registry {
		return question{}, refuse(http.StatusBadRequest, codeNameInvalid, "this is no name of a repository")
	}
	asked := question{repository: named.Name(), manifest: kind == "manifests"}
	if _, err := reference.WithTag(named, last); err == nil && asked.manifest {
		asked.tag = last
		return asked, nil
	}
	parsed, err := digest.Parse(last)
	if err != nil {
		return question{}, refuse(http.StatusBadRequest, codeDigestInvalid, "this is no digest")
	}
	asked.digest = parsed.String()
	return asked, nil
}

// cutLast cuts a path around its last slash.
func cutLast(path string) (before, last string, ok bool) {
	at := strings.LastIndexByte(path, '/')
	if at < 0 {
		return "", path, false
	}
	return path[:at], path[at+1:], true
}

// has says whether containerd's name for an image is of the repository, and what is behind it: a tag with its colon, or a digest with its @.
func (q question) has(name string) (version string, ok bool) {
	version, ok = strings.CutPrefix(name, q.repository)
	return version, ok && (strings.HasPrefix(version, ":") || strings.HasPrefix(version, "@")) && !strings.Contains(version, "/")
}
