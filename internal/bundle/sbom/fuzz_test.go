package sbom

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/internal/bundle/bundletest"
)

// FuzzScan: whatever a layer has, describing it ends without a panic.
func FuzzScan(f *testing.F) {
	for _, files := range [][]bundletest.File{
		{licenseFile(f)},
		{{Name: "var/lib/dpkg/status", Content: dpkgStatus}},
		{{Name: "tool", Mode: 0o755, Content: executable("go1.26", "path\ta\nmod\ta\tv1\t\ndep\tb\tv1\th1:x\n=>\t../b\n")}},
	} {
		layer := bundletest.Layer(f, types.OCIUncompressedLayer, files...)
		content, err := layer.Compressed()
		if err != nil {
			f.Fatal(err)
		}
		raw, err := io.ReadAll(content)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		image := Image{Name: "tool", Reference: "registry.test/tool:v1", Layers: []Layer{{Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(string(raw))), nil
		}}}}
		if _, err := Describe(t.Context(), "test", []Image{image}); err != nil && !strings.Contains(err.Error(), "image tool") {
			t.Errorf("the error does not name the image: %v", err)
		}
	})
}

// FuzzStatus: dpkg's list is text that others wrote.
func FuzzStatus(f *testing.F) {
	f.Add([]byte(dpkgStatus))
	f.Add([]byte("Package: a\r\nVersion: 1\r\n\r\nPackage: b\nSource: c (1)\nVersion: 2"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, one := range parseStatus(raw) {
			if one.Name == "" || one.Version == "" || !strings.HasPrefix(one.PURL, "pkg:deb/") {
				t.Errorf("read %+v", one)
			}
		}
	})
}

// FuzzLicenses: what is accepted has all that it refers to.
func FuzzLicenses(f *testing.F) {
	f.Add([]byte(licenseFile(f).Content))
	f.Fuzz(func(t *testing.T, raw []byte) {
		found, err := parseLicenses(raw)
		if err != nil {
			return
		}
		for _, one := range found.Packages {
			if one.Name == "" || one.PURL == "" || one.License == "" {
				t.Errorf("accepted %+v", one)
			}
			for _, text := range one.Texts {
				if _, ok := found.Texts[text]; !ok {
					t.Errorf("the text %s is missing", text)
				}
			}
		}
	})
}
