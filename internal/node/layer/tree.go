package layer

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxLinks is how many links a path may lead over, as in Linux.
const maxLinks = 40

// place is where a file's content is: an entry of a layer.
type place struct {
	layer int
	name  string
}

// entry is what a layer's archive says about a path.
type entry struct {
	kind byte
	link string
}

// tree is an image's file system, learned from the headers of its layers, from the top layer down.
type tree struct {
	layers []map[string]entry // by layer, lowest first
	// hidden holds paths that whiteouts of the layers above take away; opaque those below which they take everything away.
	hidden, opaque map[string]bool
	// next is the same of the layer that is read now: it holds for those below only.
	nextHidden, nextOpaque map[string]bool
}

func newTree(layers int) *tree {
	return &tree{layers: make([]map[string]entry, layers), hidden: map[string]bool{}, opaque: map[string]bool{}}
}

// begin starts with a layer.
func (t *tree) begin(layer int) {
	t.layers[layer] = map[string]entry{}
	t.nextHidden, t.nextOpaque = map[string]bool{}, map[string]bool{}
}

// end is done with a layer.
func (t *tree) end() {
	for name := range t.nextHidden {
		t.hidden[name] = true
	}
	for name := range t.nextOpaque {
		t.opaque[name] = true
	}
}

// add takes in a header and returns its clean path, and whether the entry is visible in the image.
func (t *tree) add(layer int, header *tar.Header) (string, bool) {
	name := path.Clean("/" + header.Name)
	dir, base := path.Split(name)
	if base == ".wh..wh..opq" {
		t.nextOpaque[path.Clean(dir)] = true
		return name, false
	}
	if gone, ok := strings.CutPrefix(base, ".wh."); ok {
		t.nextHidden[path.Join(dir, gone)] = true
		return name, false
	}
	t.layers[layer][name] = entry{kind: header.Typeflag, link: header.Linkname}
	return name, t.visible(layer, name)
}

// visible says that no layer above hides the path: by an entry of the same name, by a whiteout of it or of a directory
// that it is in, or by something at the place of such a directory that is none.
func (t *tree) visible(layer int, name string) bool {
	if t.hidden[name] {
		return false
	}
	for _, above := range t.layers[layer+1:] {
		if _, ok := above[name]; ok {
			return false
		}
	}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if t.hidden[dir] || t.opaque[dir] {
			return false
		}
		for _, above := range t.layers[layer+1:] {
			if e, ok := above[dir]; ok && e.kind != tar.TypeDir {
				return false
			}
		}
		if dir == "/" {
			return true
		}
	}
}

// lookup finds what the image has at a path that leads over no links.
func (t *tree) lookup(name string) (int, entry, bool) {
	for layer := len(t.layers) - 1; layer >= 0; layer-- {
		if e, ok := t.layers[layer][name]; ok && t.visible(layer, name) {
			return layer, e, true
		}
	}
	return 0, entry{}, false
}

// resolve follows the links of a path to the regular file at its end. The tree must know all layers.
func (t *tree) resolve(name string) (place, error) {
	at, todo, links := "/", split(name), 0
	for len(todo) > 0 {
		next := path.Join(at, todo[0])
		todo = todo[1:]
		layer, e, ok := t.lookup(next)
		switch {
		case !ok && len(todo) == 0:
			return place{}, fs.ErrNotExist
		case e.kind == tar.TypeSymlink:
			if links++; links > maxLinks {
				return place{}, fmt.Errorf("more than %d links lead on from each other", maxLinks)
			}
			if path.IsAbs(e.link) {
				at = "/"
			}
			todo = append(split(e.link), todo...)
		case len(todo) > 0:
			// Archives may leave directories out.
			at = next
		case e.kind == tar.TypeLink:
			return t.linked(layer, e.link)
		case e.kind == tar.TypeReg:
			return place{layer, next}, nil
		default:
			return place{}, fmt.Errorf("%s is not a regular file", next)
		}
	}
	return place{}, fmt.Errorf("%s is not a regular file", at)
}

// linked follows a hard link: to the entry of its own layer, or else one below, whatever layers above do with that name.
func (t *tree) linked(layer int, name string) (place, error) {
	name = path.Clean("/" + name)
	for ; layer >= 0; layer-- {
		if e, ok := t.layers[layer][name]; ok && e.kind == tar.TypeReg {
			return place{layer, name}, nil
		}
	}
	return place{}, fmt.Errorf("hard link to %s, which is not there", name)
}

// split returns the components of a path; path.Join takes care of dots.
func split(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
}
