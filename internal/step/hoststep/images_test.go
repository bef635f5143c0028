package hoststep

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/bundle/bundletest"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
)

// packed is a bundle with an image that a pod runs, and one that is for hosts.
func packed(t *testing.T, version string) *bundle.Bundle {
	t.Helper()
	var images []bundletest.Named
	for name, use := range map[string]string{"network": "pod", "programs": "host"} {
		layer := bundletest.Layer(t, types.OCILayer, bundletest.File{Name: name, Content: version})
		images = append(images, bundletest.Named{Name: name, Reference: "registry.test/" + name + ":" + version, Use: use, Appendable: bundletest.Image(t, "amd64", layer)})
	}
	out, err := bundle.Open(bundletest.Layout(t, images...), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (m machine) keep(b *bundle.Bundle) Imported {
	m.t.Helper()
	got, err := KeepImages(m.t.Context(), m.Host, b.Contents, func(context.Context) (*bundle.Bundle, error) { return b, nil })
	m.must(err)
	return got
}

// pinned are the tagged names of pinned images.
func (m machine) pinned() []string {
	m.t.Helper()
	var out []string
	all, err := m.Images.List(m.t.Context())
	m.must(err)
	for _, one := range all {
		if one.Pinned && !strings.Contains(one.Name, "@") {
			out = append(out, strings.TrimPrefix(one.Name, "registry.test/"))
		}
	}
	return out
}

// configure makes the machine a node that is to have the images of the bundle; a worker none of those for hosts.
func (m machine) configure(b *bundle.Bundle, uses ...bundle.Use) {
	m.t.Helper()
	raw, err := image.EncodeWanted(wantedOf(b.Contents, uses...))
	m.must(err)
	m.write(layout.FileImages, string(raw), 0o644)
}

func TestKeepImages(t *testing.T) {
	first, second := packed(t, "v1"), packed(t, "v2")
	t.Run("before there is a node", func(t *testing.T) {
		m := newMachine(t)
		m.must(ImportImages(t.Context(), m.Host, first))
		m.ClearLog()
		if got := m.keep(first); got != (Imported{There: 1, New: 1}) {
			t.Errorf("got %+v", got)
		}
		if log := m.Log(); len(log) != 1 || !strings.HasPrefix(log[0], "store registry.test/programs:v1@") || !strings.HasSuffix(log[0], " pinned") {
			t.Errorf("it did %q", log)
		}
		m.ClearLog()
		got, err := KeepImages(t.Context(), m.Host, first.Contents, func(context.Context) (*bundle.Bundle, error) { return nil, errors.New("unpacked") })
		if m.must(err); got != (Imported{There: 2}) {
			t.Errorf("the second time: %+v", got)
		}
		m.unchanged("the second time")
	})
	t.Run("of the next release, on a control plane node", func(t *testing.T) {
		m := newMachine(t)
		m.configure(first, bundle.UsePod, bundle.UseHost)
		m.keep(first)
		m.keep(second)
		if got, want := m.pinned(), []string{"network:v1", "network:v2", "programs:v1", "programs:v2"}; !slices.Equal(got, want) {
			t.Errorf("pinned are %v, want %v: other nodes still take what runs", got, want)
		}
		m.configure(second, bundle.UsePod, bundle.UseHost)
		m.keep(second)
		if got, want := m.pinned(), []string{"network:v2", "programs:v2"}; !slices.Equal(got, want) {
			t.Errorf("after the update pinned are %v, want %v", got, want)
		}
	})
	t.Run("beside the user's own", func(t *testing.T) {
		m := newMachine(t)
		m.configure(first, bundle.UsePod, bundle.UseHost)
		own := host.Image{Name: "registry.test/own:v1", Digest: second.Images()[0].Digest, Pinned: true, User: true}
		m.must(m.Images.Import(t.Context(), own, second))
		left := host.Image{Name: "registry.test/left-the-catalog:v1", Digest: second.Images()[0].Digest, Pinned: true}
		m.must(m.Images.Import(t.Context(), left, second))
		m.keep(first)
		if got, want := m.pinned(), []string{"network:v1", "own:v1", "programs:v1"}; !slices.Equal(got, want) {
			t.Errorf("pinned are %v, want %v", got, want)
		}
	})
	t.Run("on a worker", func(t *testing.T) {
		m := newMachine(t)
		m.configure(first, bundle.UsePod)
		if got := m.keep(second); got != (Imported{New: 1}) || !slices.Equal(m.pinned(), []string{"network:v2"}) {
			t.Errorf("got %+v, pinned are %v", got, m.pinned())
		}
	})
	t.Run("for a person, on a worker that lists other images", func(t *testing.T) {
		m := newMachine(t)
		m.configure(first, bundle.UsePod)
		other := packed(t, "v3")
		unpack := func(context.Context) (*bundle.Bundle, error) { return other, nil }
		_, err := AddImages(t.Context(), m.Host, other.Contents, unpack)
		m.must(err)
		m.must(ImportImages(t.Context(), m.Host, first))
		m.must(mirror.Release(t.Context(), m.Images, nil))
		if got := m.pinned(); !slices.Equal(got, []string{"network:v3"}) {
			t.Errorf("when the list changed, pinned are %v", got)
		}
		next := packed(t, "v4")
		_, err = AddImages(t.Context(), m.Host, next.Contents, func(context.Context) (*bundle.Bundle, error) { return next, nil })
		m.must(err)
		if got := m.pinned(); !slices.Equal(got, []string{"network:v4"}) {
			t.Errorf("after the person's next import pinned are %v", got)
		}
	})
	t.Run("for a person, on a control plane node", func(t *testing.T) {
		m := newMachine(t)
		m.configure(first, bundle.UsePod, bundle.UseHost)
		m.keep(first)
		unlisted := host.Image{Name: "registry.test/of-the-cluster:v1", Digest: second.Images()[0].Digest, Pinned: true}
		m.must(m.Images.Import(t.Context(), unlisted, second))
		_, err := AddImages(t.Context(), m.Host, second.Contents, func(context.Context) (*bundle.Bundle, error) { return second, nil })
		m.must(err)
		if got, want := m.pinned(), []string{"network:v1", "network:v2", "of-the-cluster:v1", "programs:v1", "programs:v2"}; !slices.Equal(got, want) {
			t.Errorf("pinned are %v, want %v", got, want)
		}
	})
	t.Run("for a person, what the node lists", func(t *testing.T) {
		m := newMachine(t)
		m.configure(first, bundle.UsePod)
		_, err := AddImages(t.Context(), m.Host, first.Contents, func(context.Context) (*bundle.Bundle, error) { return first, nil })
		m.must(err)
		m.must(mirror.Release(t.Context(), m.Images, nil))
		if got := m.pinned(); len(got) > 0 {
			t.Errorf("pinned are %v, which was the cluster's own", got)
		}
	})
	t.Run("not as another list says it", func(t *testing.T) {
		m := newMachine(t)
		m.write(layout.FileImages, "{", 0o644)
		m.must(m.Images.Import(t.Context(), host.Image{Name: first.Images()[0].Pinned(), Digest: first.Images()[0].Digest, Pinned: true}, first))
		m.ClearLog()
		if _, err := KeepImages(t.Context(), m.Host, second.Contents, nil); err == nil {
			t.Error("a damaged list is heeded")
		}
		m.unchanged("with a damaged list")
	})
}
