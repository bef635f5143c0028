package diagnosis

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
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
	eachCertificateFile(ctx, h, func(name string, raw []byte) {
		found, _ := certificatesIn(name, raw)
		out = append(out, found...)
	})
	slices.SortStableFunc(out, func(a, b Certificate) int { return a.Expires.Compare(b.Expires) })
	return out
}

// UnreadableCertificates returns the files that are named as certificates of the node's programs and hold none, or one that is damaged.
func UnreadableCertificates(ctx context.Context, h *host.Host) []string {
	var out []string
	eachCertificateFile(ctx, h, func(name string, raw []byte) {
		named := slices.Contains([]string{".crt", ".pem"}, path.Ext(name))
		if found, damaged := certificatesIn(name, raw); named && (damaged || len(found) == 0) {
			out = append(out, name)
		}
	})
	slices.Sort(out)
	return out
}

// eachCertificateFile calls visit with each file that has certificates by its name, and its content; nil when it cannot be read.
func eachCertificateFile(ctx context.Context, h *host.Host, visit func(name string, raw []byte)) {
	for _, place := range certificatePlaces() {
		if _, err := h.Files.Stat(ctx, place); !errors.Is(err, fs.ErrNotExist) {
			certificateFilesBelow(ctx, h, place, depth, visit)
		}
	}
}

func certificateFilesBelow(ctx context.Context, h *host.Host, name string, depth int, visit func(name string, raw []byte)) {
	if names, err := h.Files.List(ctx, name); err == nil {
		for _, child := range names {
			if depth > 0 {
				certificateFilesBelow(ctx, h, path.Join(name, child), depth-1, visit)
			}
		}
		return
	}
	if old, _ := path.Match("kubelet-*-[0-9]*.pem", path.Base(name)); old || path.Base(name) == "kubelet-client-init.pem" {
		return // the current one is a link to one of these
	}
	switch path.Ext(name) {
	case ".crt", ".pem", "", ".conf", ".kubeconfig":
		raw, _ := h.Files.Read(ctx, name) // what cannot be read has none
		visit(name, raw)
	}
}

// certificatesIn reads PEM, also where a kubeconfig embeds it. Keys and text are passed over; damaged says that a certificate is none.
func certificatesIn(name string, raw []byte) (out []Certificate, damaged bool) {
	for _, embedded := range regexp.MustCompile(`client-certificate-data:\s*([A-Za-z0-9+/=]+)`).FindAllSubmatch(raw, -1) {
		if decoded, err := base64.StdEncoding.DecodeString(string(embedded[1])); err == nil {
			raw = append(bytes.Clone(raw), append([]byte("\n"), decoded...)...)
		}
	}
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			return out, damaged
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			damaged = true
			continue
		}
		out = append(out, Certificate{Path: name, Subject: parsed.Subject.CommonName, Begins: parsed.NotBefore, Expires: parsed.NotAfter, Authority: parsed.IsCA})
	}
}
