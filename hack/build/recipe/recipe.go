// Package recipe turns what we build and from where into data: programs from pinned Go modules, files from Debian, images from both.
// Used by the builder, which knows how to build but not what.
package recipe

import (
	"fmt"
	"strings"
)

// Program is a set of files that is built in one go, usually from one Go module, and cached as one.
type Program struct {
	// Name is what the command line calls it.
	Name string
	// Dir is the module's directory, below the repository.
	Dir string
	// Module is the one whose version in Dir's go.mod is the program's. Empty: Version says it.
	Module  string
	Version string
	// Files are the programs that come out.
	Files []File
	// Links are further names of a program: name to file.
	Links map[string]string
	Tags  []string
	// Stamps are variables set at link time; {version}, {major} and {minor} are replaced.
	Stamps []string
	// Archives are the C libraries that a program with cgo is linked with, statically. None: it is built without cgo.
	Archives []string
	// Tools are the commands that the build calls besides go and the C compiler; hack/setup installs them.
	Tools []string
	// Debian says where the files come from when it is not a Go module.
	Debian *Debian
	// Uncached programs are our own: they change all the time and go build is quick.
	Uncached bool
}

// File is one program and the Go package that its main is in.
type File struct{ Name, Package string }

// Debian picks files, and the shared libraries that they need, out of packages.
type Debian struct {
	Suite    string
	Packages []string
	Files    []string
}

// Use says who uses an image.
type Use string

const (
	// Pod images are run.
	Pod Use = "pod"
	// Host images are only read: their files are laid on the host.
	Host Use = "host"
)

// Image is one image of the bundle.
type Image struct {
	// Name is the image vector's; the reference is Repository/Name:tag, the tag the version of the first layer's program.
	Name   string
	Use    Use
	Layers []Layer
	// Entrypoint is empty for images that are only read.
	Entrypoint []string
	User       string
}

// Layer is one program's files in a directory.
type Layer struct {
	Program string
	Dir     string
	// Base adds what a pod's image needs besides its program: /tmp, root and nonroot.
	Base bool
	// Window is the compressor's, as a binary logarithm of bytes; 0 is its default.
	Window int
}

// Repository is where the bundle's images say they come from. The domain is a name, nothing answers there.
const Repository = "bundle.gardenadm.dev"

// ByName finds programs by their names.
func ByName(programs []Program, names ...string) ([]Program, error) {
	var found []Program
	for _, name := range names {
		one, err := find(programs, name)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}

func find(programs []Program, name string) (Program, error) {
	known := make([]string, len(programs))
	for i, p := range programs {
		if p.Name == name {
			return p, nil
		}
		known[i] = p.Name
	}
	return Program{}, fmt.Errorf("find program %q: there are %s", name, strings.Join(known, ", "))
}

// Needed lists the programs that the images are made of, each once, in the images' order.
func Needed(images []Image) []string {
	var names []string
	seen := map[string]bool{}
	for _, image := range images {
		for _, layer := range image.Layers {
			if !seen[layer.Program] {
				seen[layer.Program] = true
				names = append(names, layer.Program)
			}
		}
	}
	return names
}
