package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Bounds of a directory of manifests. They keep a wrong directory or file from filling the memory.
const (
	maxFile  = 10 << 20
	maxFiles = 1000
)

// Read reads a directory of manifests (contract shoot-api §1): every file below it that ends .yaml, .yml or .json, names that begin
// with a dot left out. Links to files are followed. What a server fills in is dropped, no default is applied.
// Lists are ordered by namespace and name: how objects are spread over files changes nothing.
// The error holds all Problems and is a fault.
func Read(fsys fs.FS) (Set, error) {
	r := newReader()
	files := r.directory(fsys)
	if files == 0 && len(r.problems) == 0 {
		r.problems = append(r.problems, Problem{Message: "no file ends .yaml, .yml or .json"})
		return Set{}, r.err()
	}
	return r.finish()
}

// Decode reads what Encode wrote, as strictly as Read.
func Decode(raw []byte) (Set, error) {
	r := newReader()
	r.content("", ".yaml", raw)
	return r.finish()
}

// reader collects objects and problems.
type reader struct {
	set      Set
	problems Problems
	// first is where an object or a kind that there may be only one of was seen first.
	first map[string]Origin
	// present counts documents by kind, those that are wrong too; unclear is true when a document's kind is not known.
	present map[string]int
	unclear bool
	// foreign is true when a document is of a kind that is not read.
	foreign bool
}

func newReader() *reader {
	return &reader{set: Set{Origins: map[any]Origin{}}, first: map[string]Origin{}, present: map[string]int{}}
}

func (r *reader) err() error {
	var out *fault.Error
	switch len(r.problems) {
	case 0:
		return nil
	case 1:
		out = fault.New(fault.BadManifest, "read manifests: %w", r.problems)
	default:
		out = fault.New(fault.BadManifest, "read manifests: %d problems:\n%w", len(r.problems), r.problems)
	}
	if r.foreign {
		out = out.Mend("correct the manifests at the places named; kinds that are read: %s", strings.Join(kindNames(), ", "))
	}
	return out
}

// directory reads all files and returns how many there are.
func (r *reader) directory(fsys fs.FS) (files int) {
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		hidden := name != "." && strings.HasPrefix(path.Base(name), ".")
		switch {
		case hidden && entry != nil && entry.IsDir():
			return fs.SkipDir
		case hidden:
			return nil
		case err != nil:
			r.fileProblem(name, "cannot be read: "+cause(err))
			return nil
		case entry.IsDir():
			return nil
		}
		if r.skipped(fsys, name, entry) {
			return nil
		}
		if files++; files > maxFiles {
			r.fileProblem("", fmt.Sprintf("there are more than %d manifests: is this the right directory?", maxFiles))
			return fs.SkipAll
		}
		r.file(fsys, name)
		return nil
	})
	if err != nil {
		r.fileProblem("", "cannot be read: "+cause(err))
	}
	return files
}

// skipped decides by name and type. A linked directory is not walked, and to leave it out silently would be worse.
func (r *reader) skipped(fsys fs.FS, name string, entry fs.DirEntry) bool {
	linked := entry.Type()&fs.ModeSymlink != 0
	if linked {
		if target, err := fs.Stat(fsys, name); err == nil && target.IsDir() {
			r.fileProblem(name, "is a link to a directory: these are not followed")
			return true
		}
	}
	return !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name))
}

func (r *reader) file(fsys fs.FS, name string) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		r.fileProblem(name, "cannot be read: "+cause(err))
		return
	}
	if !info.Mode().IsRegular() {
		r.fileProblem(name, "is not a regular file")
		return
	}
	file, err := fsys.Open(name)
	if err != nil {
		r.fileProblem(name, "cannot be read: "+cause(err))
		return
	}
	defer file.Close() //nolint:errcheck // only read from
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		r.fileProblem(name, "cannot be read: "+cause(err))
	case len(raw) > maxFile:
		r.fileProblem(name, fmt.Sprintf("is larger than %d MiB", maxFile>>20))
	default:
		r.content(name, path.Ext(name), raw)
	}
}

// content reads the documents of one file.
func (r *reader) content(file, extension string, raw []byte) {
	for _, d := range documents(extension, raw) {
		origin := Origin{file, d.number}
		tree, readable := d.tree()
		for _, m := range d.wrong {
			r.problems = append(r.problems, Problem{Origin: origin, Object: label(tree), Path: m.path, Message: m.message})
		}
		if readable {
			r.document(origin, tree, nil)
		} else {
			r.unclear = true
		}
	}
}

// document reads one manifest; at is where it stands in a List, nil outside of one.
func (r *reader) document(origin Origin, tree any, at *field.Path) {
	report := func(message string) {
		r.problems = append(r.problems, Problem{Origin: origin, Object: label(tree), Path: pathString(at), Message: message})
	}
	fields, ok := tree.(map[string]any)
	if !ok {
		r.unclear = true
		report(mismatch("an object with apiVersion and kind", tree))
		return
	}
	apiVersion, _ := fields["apiVersion"].(string)
	name, _ := fields["kind"].(string)
	if apiVersion == "v1" && name == "List" {
		r.list(origin, fields, at)
		return
	}
	for _, k := range kinds() {
		if k.apiVersion == apiVersion && k.name == name {
			r.object(origin, k, fields, at)
			return
		}
	}
	message, meant := kindHint(apiVersion, name)
	r.present[meant]++
	r.unclear = r.unclear || name == ""
	r.foreign = r.foreign || name != "" && meant == ""
	report(message)
}

// label is kind, namespace and name, as far as a manifest has them.
func label(tree any) string {
	fields, _ := tree.(map[string]any)
	kind, _ := fields["kind"].(string)
	metadata, _ := fields["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	name, _ := metadata["name"].(string)
	if namespace != "" && name != "" {
		name = namespace + "/" + name
	}
	return strings.TrimSpace(kind + " " + name)
}

// list reads the items of a v1 List, which kubectl prints.
func (r *reader) list(origin Origin, fields map[string]any, at *field.Path) {
	before := len(r.problems)
	check := strict{func(path *field.Path, message string) {
		r.problems = append(r.problems, Problem{Origin: origin, Object: "List", Path: pathString(path), Message: message})
	}}
	check.value(reflect.TypeFor[metav1.List](), fields, at)
	r.unclear = r.unclear || len(r.problems) > before // its objects may be in a field of another name
	items, _ := fields["items"].([]any)
	for i, item := range items {
		r.document(origin, item, at.Child("items").Index(i))
	}
}

func (r *reader) fileProblem(name, message string) {
	r.unclear = true
	r.problems = append(r.problems, Problem{Origin: Origin{File: name}, Message: message})
}

// cause leaves out the operation and the path, which the origin names.
func cause(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}
