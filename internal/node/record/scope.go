package record

import (
	"path"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// root is a directory or file that is recorded.
type root struct {
	path string
	// depth is how far below it; -1 is all of it.
	depth int
	// digest: with the digests of its files. Directories of data are recorded without.
	digest bool
}

// all of a directory with digests; the data in one; the names in one.
func whole(path string) root         { return root{path, -1, true} }
func outer(path string) root         { return root{path, 1, false} }
func deep(path string, n int) root   { return root{path, n, false} }
func (r root) has(item string) bool  { return item == r.path || strings.HasPrefix(item, r.path+"/") }
func (r root) level(item string) int { return strings.Count(strings.TrimPrefix(item, r.path), "/") }

// own are the places where gardenadm, and what it starts, makes files. A difference there is a leftover.
func own() []root {
	return []root{
		whole("/etc/systemd"), whole("/etc/sysctl.d"), whole("/etc/modules-load.d"),
		whole("/etc/containerd"), whole("/etc/cni"), whole("/etc/kubernetes"), whole("/etc/nri"),
		whole(layout.DirBin), whole("/opt/cni"), whole("/opt/containerd"), whole("/opt/nri"), whole("/var/bin"),
		whole("/root/.bashrc"),
		whole(layout.DirState), whole(layout.DirAgent), whole(layout.DirStaticPods), whole("/var/lib/cni"),
		// Data: that it is there is enough.
		deep(layout.DirKubelet, 1), deep(layout.DirContainerd, 1), deep(layout.DirEtcd, 1),
		deep(layout.DirPodLogs, 1), deep("/var/log/containers", 1), deep(layout.DirAuditLog, 1), deep("/usr/libexec/kubernetes", 2),
		deep("/run/containerd", 1), deep("/run/flannel", 1),
	}
}

// around are the directories above, of which it must be known whether they were there.
func around() []root {
	return []root{
		outer("/etc"), outer("/opt"), outer("/var"), outer("/var/lib"), outer("/var/log"), outer("/run"), outer("/root"),
		outer("/usr/libexec"), outer("/usr/local"),
	}
}

// mine says that a file in one of the directories above is gardenadm's by its name.
func mine(item string) bool {
	if slices.ContainsFunc(own(), func(r root) bool { return r.has(item) }) {
		return true
	}
	name := path.Base(item)
	return strings.HasPrefix(name, "gardener-") || strings.HasPrefix(name, "gardenadm") || strings.HasPrefix(name, "gardenlet")
}

// below says that the path is in one of gardenadm's places.
func below(item string) bool {
	return slices.ContainsFunc(own(), func(r root) bool { return r.has(item) })
}

// Told is what a record says about a path.
type Told string

// What a record can say.
const (
	There   Told = "there"
	Absent  Told = "absent"
	Unknown Told = "unknown" // it was not looked at
)

// Tell says whether a path was there. It knows that nothing was in a directory that was not there.
func (r *Record) Tell(file string) Told {
	file = path.Clean(file)
	switch {
	case r.Had(File, file):
		return There
	case r == nil || r.Unread[File] != "":
		return Unknown
	}
	for _, root := range slices.Concat(own(), around()) {
		if !root.has(file) {
			continue
		}
		if root.depth < 0 || root.level(file) <= root.depth || !r.Had(File, root.path) {
			return Absent
		}
	}
	if file != "/" && r.Tell(path.Dir(file)) == Absent {
		return Absent
	}
	return Unknown
}
