package sbom

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"

	"github.com/gardenadm/gardenadm/internal/bundle/bundletest"
	"github.com/gardenadm/gardenadm/internal/golden"
)

const (
	apache = "Apache License\nVersion 2.0\n"
	bsd    = "Redistribution and use in source and binary forms …\n"
	gpl    = "This package was debianized by somebody.\n"
)

// licenseFile is what hack/build lays into an image beside the program tool.
func licenseFile(t testing.TB) bundletest.File {
	t.Helper()
	raw, err := json.Marshal(map[string]any{
		"packages": []map[string]any{
			{"name": "k8s.io/api", "version": "v0.36.3", "purl": "pkg:golang/k8s.io/api@v0.36.3", "license": "Apache-2.0", "sum": "h1:" + strings.Repeat("A", 43) + "=", "source": "https://proxy.golang.org/k8s.io/api/@v/v0.36.3.zip", "texts": []string{digestOf(apache)}},
			{"name": "stdlib", "version": "go1.26.8", "purl": "pkg:golang/stdlib@1.26.8", "license": "BSD-3-Clause", "texts": []string{digestOf(bsd)}},
			{"name": "libseccomp", "version": "2.5.4", "purl": "pkg:generic/libseccomp@2.5.4", "license": "LGPL-2.1-only AND LicenseRef-tool", "texts": []string{digestOf(bsd), digestOf(apache)}},
		},
		"texts": map[string]string{digestOf(apache): apache, digestOf(bsd): bsd},
	})
	if err != nil {
		t.Fatal(err)
	}
	return bundletest.File{Name: "usr/share/doc/tool/licenses.json", Content: string(raw)}
}

const dpkgStatus = `Package: nftables
Status: install ok installed
Architecture: amd64
Version: 1:1.0.6-2+deb12u2
Description: Program to control packet filtering rules
 by the Netfilter project:
 one more line

Package: libnftables1
Status: install ok installed
Source: nftables
Architecture: amd64
Version: 1.0.6-2+deb12u2

Package: gone
Status: deinstall ok config-files
Version: 1
`

func images(t testing.TB) []Image {
	t.Helper()
	ours := bundletest.Layer(t, types.OCILayerZStd,
		bundletest.File{Name: "usr/local/bin/tool", Mode: 0o755, Content: executable("go1.26.8", "path\tk8s.io/tool\nmod\tgithub.com/gardenadm/tool\t(devel)\t\ndep\tk8s.io/api\tv0.36.3\th1:"+strings.Repeat("A", 43)+"=\n")},
		bundletest.File{Name: "usr/local/bin/tool.txt", Mode: 0o755, Content: "#!/bin/sh\n"},
		licenseFile(t))
	debian := bundletest.Layer(t, types.OCILayer,
		bundletest.File{Name: "var/lib/dpkg/status", Content: dpkgStatus},
		bundletest.File{Name: "usr/share/doc/nftables/copyright", Content: gpl},
		bundletest.File{Name: "usr/sbin/nft", Mode: 0o755, Content: executable("", "")})
	public := bundletest.Layer(t, types.OCIUncompressedLayer,
		bundletest.File{Name: "public", Mode: 0o755, Content: executable("go1.25.1 X:greenteagc", "path\tk8s.io/public\nmod\tk8s.io/public\tv1.2.3\t\ndep\tk8s.io/api\tv0.36.3\th1:"+strings.Repeat("A", 43)+"=\ndep\tgithub.com/a/b\tv1.0.0\n=>\tgithub.com/c/d\tv1.1.0\th1:x\n")},
		bundletest.File{Name: "var/lib/dpkg/status.d/tzdata", Content: "Package: tzdata\nVersion: 2026a\nArchitecture: all\n"},
		bundletest.File{Name: "var/lib/dpkg/status.d/tzdata.md5sums", Content: "Package: no\nVersion: 1\n"})
	pause := bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "pause", Mode: 0o755, Content: executable("", "")})
	return []Image{
		describedAs("tool", "registry.test/tool:v1", time.Unix(1_700_000_000, 0), ours, debian),
		describedAs("again", "registry.test:5000/again:v1", time.Unix(0, 0), ours),
		describedAs("public", "registry.test/public:v1.2.3", time.Time{}, public),
		describedAs("pause", "registry.test/pause:v1", time.Time{}, pause),
	}
}

func describedAs(name, reference string, created time.Time, layers ...v1.Layer) Image {
	digest, _, _ := v1.SHA256(strings.NewReader(name))
	out := Image{Name: name, Reference: reference, Digest: digest, Created: created}
	for _, layer := range layers {
		digest, _ := layer.Digest()
		out.Layers = append(out.Layers, Layer{Digest: digest, Open: layer.Compressed})
	}
	return out
}

func describeAll(t testing.TB, images []Image) Documents {
	t.Helper()
	out, err := Describe(t.Context(), "gardenadm-v1.0.0", images)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDescribe(t *testing.T) {
	got := describeAll(t, images(t))
	golden.Equal(t, "testdata/sbom.spdx.json", got.SPDX)
	golden.Equal(t, "testdata/NOTICE", got.Notice)
	turned := images(t)
	slices.Reverse(turned)
	again := describeAll(t, turned)
	if !bytes.Equal(got.SPDX, again.SPDX) || !bytes.Equal(got.Notice, again.Notice) {
		t.Error("the documents depend on the order of the images")
	}
}

func TestSPDXIsValid(t *testing.T) {
	document, err := spdxjson.Read(bytes.NewReader(describeAll(t, images(t)).SPDX))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		t.Error(err)
	}
	find := func(name, version string) *v2_3.Package {
		at := slices.IndexFunc(document.Packages, func(p *v2_3.Package) bool { return p.PackageName == name && p.PackageVersion == version })
		if at < 0 {
			t.Fatalf("there is no %s %s", name, version)
		}
		return document.Packages[at]
	}
	// The licence that one image tells counts for another one that has the same module.
	if got := find("k8s.io/api", "v0.36.3").PackageLicenseDeclared; got != "Apache-2.0" {
		t.Errorf("the licence of k8s.io/api is %s", got)
	}
	find("stdlib", "go1.25.1")
	find("github.com/c/d", "v1.1.0")
	find("tzdata", "2026a")
	related := func(from, kind, to *v2_3.Package) bool {
		return slices.ContainsFunc(document.Relationships, func(r *v2_3.Relationship) bool {
			return r.RefA.ElementRefID == from.PackageSPDXIdentifier && r.Relationship == kind.PackageName && r.RefB.ElementRefID == to.PackageSPDXIdentifier
		})
	}
	is := func(kind string) *v2_3.Package { return &v2_3.Package{PackageName: kind} }
	for _, c := range []struct{ from, kind, to *v2_3.Package }{
		{find("tool", "v1"), is("CONTAINS"), find("tool", "")},
		{find("again", "v1"), is("CONTAINS"), find("tool", "")},
		{find("tool", ""), is("DEPENDS_ON"), find("k8s.io/api", "v0.36.3")},
		{find("public", "v1.2.3"), is("CONTAINS"), find("tzdata", "2026a")},
		{find("tool", "v1"), is("CONTAINS"), find("libseccomp", "2.5.4")},
		{find("pause", "v1"), is("CONTAINS"), find("pause", "")},
	} {
		if !related(c.from, c.kind, c.to) {
			t.Errorf("%s does not say that it %s %s", c.from.PackageName, c.kind.PackageName, c.to.PackageName)
		}
	}
}

func TestDamagedImages(t *testing.T) {
	text := licenseFile(t).Content
	for name, c := range map[string]struct {
		layer v1.Layer
		want  string
	}{
		"no tar":               {bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "a", Content: strings.Repeat("a", 5000)}), "unexpected EOF"},
		"no licences":          {bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "usr/share/doc/tool/licenses.json", Content: "{"}), "usr/share/doc/tool/licenses.json: decode licenses"},
		"a changed text":       {bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "usr/share/doc/tool/licenses.json", Content: strings.ReplaceAll(text, "Redistribution", "redistribution")}), "has digest"},
		"a text is missing":    {bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "usr/share/doc/tool/licenses.json", Content: `{"packages":[{"name":"a","purl":"b","texts":["c"]}]}`}), `the text "c" of a is missing`},
		"a package of no name": {bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "usr/share/doc/tool/licenses.json", Content: `{"packages":[{}]}`}), "package 0 has no name"},
	} {
		image := describedAs("tool", "registry.test/tool:v1", time.Time{}, c.layer)
		if name == "no tar" {
			open := image.Layers[0].Open
			image.Layers[0].Open = func() (io.ReadCloser, error) {
				whole, err := open()
				return struct {
					io.Reader
					io.Closer
				}{io.LimitReader(whole, 40), whole}, err
			}
		}
		_, err := Describe(t.Context(), "test", []Image{image})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "image tool: layer sha256:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
