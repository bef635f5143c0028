package sbom

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// inventory is what is in all images.
type inventory struct {
	images []Image // in order of name
	layers map[v1.Hash]findings
	// known is the most that was found out about each component, by its package URL.
	known map[string]component
	texts map[string]string // by digest
}

// takeInventory reads every layer once, however many images share it.
func takeInventory(ctx context.Context, images []Image) (*inventory, error) {
	out := &inventory{
		images: slices.SortedFunc(slices.Values(images), func(a, b Image) int { return cmp.Compare(a.Name, b.Name) }),
		layers: map[v1.Hash]findings{}, known: map[string]component{}, texts: map[string]string{},
	}
	for _, image := range out.images {
		for _, layer := range image.Layers {
			if _, done := out.layers[layer.Digest]; done {
				continue
			}
			found, err := scan(ctx, layer)
			if err != nil {
				return nil, fmt.Errorf("image %s: layer %s: %w", image.Name, layer.Digest, err)
			}
			out.layers[layer.Digest] = found
			out.learn(found)
		}
	}
	return out, nil
}

func (i *inventory) learn(found findings) {
	maps.Copy(i.texts, found.texts)
	for _, program := range found.programs {
		i.meet(program.Modules)
	}
	i.meet(found.installed)
	for _, name := range slices.Sorted(maps.Keys(found.declared)) {
		i.meet(found.declared[name])
	}
}

// meet remembers components. One whose licence is known replaces one whose is not.
func (i *inventory) meet(components []component) {
	for _, one := range components {
		if there, ok := i.known[one.PURL]; !ok || there.License == noAssertion && (one.License != noAssertion || len(one.Texts) > len(there.Texts)) {
			i.known[one.PURL] = one
		}
	}
}

// best is what is known about the component, from wherever it was found.
func (i *inventory) best(one component) component { return i.known[one.PURL] }

// programs are those of an image, each content once.
func (i *inventory) programs(image Image) []program {
	var out []program
	for _, layer := range image.Layers {
		out = append(out, i.layers[layer.Digest].programs...)
	}
	slices.SortStableFunc(out, func(a, b program) int { return cmp.Compare(a.SHA256, b.SHA256) })
	return slices.CompactFunc(out, func(a, b program) bool { return a.SHA256 == b.SHA256 })
}

// others are the components of an image that none of its programs says it was built of: libraries, packages of a distribution.
func (i *inventory) others(image Image) []component {
	found := map[string]component{}
	for _, layer := range image.Layers {
		for _, one := range i.layers[layer.Digest].installed {
			found[one.PURL] = i.best(one)
		}
		for _, components := range i.layers[layer.Digest].declared {
			for _, one := range components {
				found[one.PURL] = i.best(one)
			}
		}
	}
	for _, program := range i.programs(image) {
		for _, one := range program.Modules {
			delete(found, one.PURL)
		}
	}
	return slices.SortedFunc(maps.Values(found), compare)
}

// section is a part of the notice: something that is handed out, and what it consists of.
type section struct {
	title      string
	images     []string
	components []component
}

// sections lists what each layer brings along, by program; layers that bring the same share a section.
func (i *inventory) sections() []section {
	byLayer := map[v1.Hash][]string{}
	for _, image := range i.images {
		for _, layer := range image.Layers {
			byLayer[layer.Digest] = append(byLayer[layer.Digest], image.Name)
		}
	}
	var out []section
	for digest, found := range i.layers {
		for title, components := range found.parts() {
			known := make([]component, 0, len(components))
			for _, one := range components {
				known = append(known, i.best(one))
			}
			out = append(out, section{title, byLayer[digest], slices.SortedFunc(slices.Values(known), compare)})
		}
	}
	slices.SortFunc(out, func(a, b section) int {
		return cmp.Or(cmp.Compare(a.title, b.title), slices.CompareFunc(a.components, b.components, compare), slices.Compare(a.images, b.images))
	})
	return merge(out)
}

// parts are the components of a layer by what they are part of. Licence files know better than the programs themselves.
func (f findings) parts() map[string][]component {
	out := map[string][]component{}
	if len(f.installed) > 0 {
		out["packages of the distribution"] = f.installed
	}
	for name, components := range f.declared {
		out[name] = components
	}
	if len(f.declared) == 0 {
		for _, program := range f.programs {
			if program.Modules != nil {
				out[path.Base(program.Path)] = program.Modules
			}
		}
	}
	return out
}

func merge(sections []section) []section {
	var out []section
	for _, one := range sections {
		if last := len(out) - 1; last >= 0 && out[last].title == one.title &&
			slices.CompareFunc(out[last].components, one.components, compare) == 0 {
			out[last].images = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(out[last].images), one.images...))))
			continue
		}
		one.images = slices.Compact(slices.Sorted(slices.Values(one.images)))
		out = append(out, one)
	}
	return out
}
