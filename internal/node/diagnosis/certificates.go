package diagnosis

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"path"
	"regexp"
	"slices"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// depth is how deep certificates are below the directories that hold them.
const depth = 3

// Certificates returns the certificates of the node's programs, the one that ends first at the beginning. Keys are not looked at.
func Certificates(ctx context.Context, h *host.Host) []Certificate {
	var out []Certificate
	for _, place := range certificatePlaces() {
		out = append(out, certificatesBelow(ctx, h, place, depth)...)
	}
	slices.SortStableFunc(out, func(a, b Certificate) int { return a.Expires.Compare(b.Expires) })
	return out
}

func certificatesBelow(ctx context.Context, h *host.Host, name string, depth int) []Certificate {
	if names, err := h.Files.List(ctx, name); err == nil {
		var out []Certificate
		for _, child := range names {
			if depth > 0 {
				out = append(out, certificatesBelow(ctx, h, path.Join(name, child), depth-1)...)
			}
		}
		return out
	}
	if old, _ := path.Match("kubelet-*-[0-9]*.pem", path.Base(name)); old || path.Base(name) == "kubelet-client-init.pem" {
		return nil // the current one is a link to one of these
	}
	switch path.Ext(name) {
	case ".crt", ".pem", "", ".conf", ".kubeconfig":
	default:
		return nil
	}
	raw, err := h.Files.Read(ctx, name)
	if err != nil {
		return nil
	}
	return certificatesIn(name, raw)
}

// certificatesIn reads PEM, also where a kubeconfig embeds it. What is none is passed over.
func certificatesIn(name string, raw []byte) []Certificate {
	for _, embedded := range regexp.MustCompile(`client-certificate-data:\s*([A-Za-z0-9+/=]+)`).FindAllSubmatch(raw, -1) {
		if decoded, err := base64.StdEncoding.DecodeString(string(embedded[1])); err == nil {
			raw = append(bytes.Clone(raw), append([]byte("\n"), decoded...)...)
		}
	}
	var out []Certificate
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			return out
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if parsed, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, Certificate{Path: name, Subject: parsed.Subject.CommonName, Begins: parsed.NotBefore, Expires: parsed.NotAfter, Authority: parsed.IsCA})
		}
	}
}
