package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// document is an SPDX document that is being written.
type document struct {
	*v2_3.Document
	seen map[common.ElementID]bool
}

// spdx renders the inventory: images contain programs, and programs depend on what they were built of.
func (i *inventory) spdx(tool string) ([]byte, error) {
	d := &document{Document: i.head(tool), seen: map[common.ElementID]bool{}}
	for _, image := range i.images {
		id := d.add(imagePackage(image))
		d.relate("DOCUMENT", common.TypeRelationshipDescribe, id)
		for _, program := range i.programs(image) {
			fresh := !d.seen[programID(program)]
			programID := d.add(programPackage(program))
			d.relate(id, common.TypeRelationshipContains, programID)
			for _, one := range program.Modules {
				if componentID := d.add(componentPackage(i.best(one))); fresh {
					d.relate(programID, common.TypeRelationshipDependsOn, componentID)
				}
			}
		}
		for _, one := range i.others(image) {
			d.relate(id, common.TypeRelationshipContains, d.add(componentPackage(one)))
		}
	}
	d.OtherLicenses = i.ownLicenses()
	slices.SortStableFunc(d.Packages, func(a, b *v2_3.Package) int {
		return cmp.Compare(a.PackageSPDXIdentifier, b.PackageSPDXIdentifier)
	})
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // package URLs have an ampersand
	encoder.SetIndent("", " ")
	if err := encoder.Encode(d.Document); err != nil {
		return nil, fmt.Errorf("encode SPDX: %w", err)
	}
	return out.Bytes(), nil
}

// head has no time and no place of its own, so that the same images give the same document: it is dated by the newest image,
// and its name space is made of their digests.
func (i *inventory) head(tool string) *v2_3.Document {
	created := time.Unix(0, 0)
	var images bytes.Buffer
	for _, image := range i.images {
		if image.Created.After(created) {
			created = image.Created
		}
		fmt.Fprintf(&images, "%s %s %s\n", image.Name, image.Reference, image.Digest)
	}
	return &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      "gardenadm-bundle",
		DocumentNamespace: "https://gardenadm.dev/spdx/bundle-" + digestOf(images.String()),
		CreationInfo: &v2_3.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: tool}},
			Created:  created.UTC().Format("2006-01-02T15:04:05Z"),
		},
	}
}

// add puts the package into the document unless it is there, and returns its identifier.
func (d *document) add(p *v2_3.Package) common.ElementID {
	id := p.PackageSPDXIdentifier
	if !d.seen[id] {
		d.seen[id] = true
		d.Packages = append(d.Packages, p)
	}
	return id
}

func (d *document) relate(from common.ElementID, kind string, to common.ElementID) {
	d.Relationships = append(d.Relationships, &v2_3.Relationship{
		RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)), Relationship: kind,
	})
}

// newPackage leaves nothing out that SPDX wants to be said.
func newPackage(id common.ElementID, name, version, purl string) *v2_3.Package {
	out := &v2_3.Package{
		PackageName: name, PackageSPDXIdentifier: id, PackageVersion: version,
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
	}
	if purl != "" {
		out.PackageExternalReferences = []*v2_3.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: purl,
		}}
	}
	return out
}

func imagePackage(image Image) *v2_3.Package {
	repository, tag := image.Reference, ""
	if at := strings.LastIndexByte(image.Reference, ':'); at > strings.LastIndexByte(image.Reference, '/') {
		repository, tag = image.Reference[:at], image.Reference[at+1:]
	}
	purl := fmt.Sprintf("pkg:oci/%s@%s?repository_url=%s&tag=%s",
		path.Base(repository), url.QueryEscape(image.Digest.String()), url.QueryEscape(repository), url.QueryEscape(tag))
	out := newPackage(identifier("Image", image.Name, image.Digest.String()), image.Name, tag, purl)
	out.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: image.Digest.Hex}}
	out.PrimaryPackagePurpose = "CONTAINER"
	return out
}

func programID(p program) common.ElementID { return identifier("Program", path.Base(p.Path), p.SHA256) }

func programPackage(p program) *v2_3.Package {
	purl := ""
	if p.Module != "" && p.Version != "" {
		purl = golang(p.Module, p.Version)
	}
	out := newPackage(programID(p), path.Base(p.Path), p.Version, purl)
	out.PackageFileName = p.Path
	out.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: p.SHA256}}
	out.PrimaryPackagePurpose = "APPLICATION"
	return out
}

func componentPackage(c component) *v2_3.Package {
	out := newPackage(identifier("Package", c.Name, c.PURL), c.Name, c.Version, c.PURL)
	out.PackageLicenseDeclared = c.License
	if c.Source != "" {
		out.PackageDownloadLocation = c.Source
	}
	// A module's sum in go.sum is a SHA-256 over the digests of its files.
	if sum, ok := strings.CutPrefix(c.Sum, "h1:"); ok {
		if raw, err := base64.StdEncoding.DecodeString(sum); err == nil && len(raw) == sha256.Size {
			out.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: hex.EncodeToString(raw)}}
		}
	}
	out.PrimaryPackagePurpose = "LIBRARY"
	return out
}

// identifier makes an SPDX identifier that people can read and that is one element's alone.
func identifier(kind, name, unique string) common.ElementID {
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, name)
	return common.ElementID(kind + "-" + readable + "-" + digestOf(unique)[:12])
}

// ownLicenses explains the licences that are on no list, as SPDX wants it.
func (i *inventory) ownLicenses() []*v2_3.OtherLicense {
	own := regexp.MustCompile(`LicenseRef-[A-Za-z0-9.-]+`)
	var names []string
	for _, one := range i.known {
		names = append(names, own.FindAllString(one.License, -1)...)
	}
	slices.Sort(names)
	var out []*v2_3.OtherLicense
	for _, name := range slices.Compact(names) {
		out = append(out, &v2_3.OtherLicense{LicenseIdentifier: name, ExtractedText: "The text is in the bundle's NOTICE.", LicenseName: noAssertion})
	}
	return out
}
