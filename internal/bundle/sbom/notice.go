package sbom

import (
	"bytes"
	"fmt"
	"strings"
)

// notice renders the inventory for people: what there is and under which licence, where sources are, and each text once.
func (i *inventory) notice() []byte {
	var out bytes.Buffer
	out.WriteString("This bundle consists of the images below. They are made of the work of many others, which is listed by program: the licence\n" +
		"as an SPDX expression (NOASSERTION: no expression is known; the texts tell), where the source is, and in brackets the texts at the end.\n\n")
	for _, image := range i.images {
		fmt.Fprintf(&out, "  %s: %s@%s\n", image.Name, image.Reference, image.Digest)
	}
	numbers := &numbering{}
	for _, section := range i.sections() {
		fmt.Fprintf(&out, "\n%s\nIn the images %s.\n\n", headline(section.title), strings.Join(section.images, ", "))
		for _, one := range section.components {
			out.WriteString("  " + describe(one, numbers) + "\n")
		}
	}
	for n, digest := range numbers.digests {
		fmt.Fprintf(&out, "\n%s\n%s\n", headline(fmt.Sprintf("text %d", n+1)), strings.TrimRight(i.texts[digest], "\n"))
	}
	return out.Bytes()
}

func headline(title string) string {
	return "=== " + title + " " + strings.Repeat("=", max(3, 90-len(title)))
}

func describe(one component, numbers *numbering) string {
	parts := []string{one.Name}
	if one.Version != "" {
		parts = append(parts, one.Version)
	}
	parts = append(parts, one.License)
	if one.Source != "" {
		parts = append(parts, one.Source)
	}
	for _, text := range one.Texts {
		parts = append(parts, fmt.Sprintf("[%d]", numbers.of(text)))
	}
	return strings.Join(parts, "  ")
}

// numbering counts texts in the order in which they are first mentioned.
type numbering struct{ digests []string }

func (n *numbering) of(digest string) int {
	for i, known := range n.digests {
		if known == digest {
			return i + 1
		}
	}
	n.digests = append(n.digests, digest)
	return len(n.digests)
}
