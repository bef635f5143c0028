package sbom

import (
	"bufio"
	"bytes"
	"net/url"
	"path"
	"slices"
	"strings"
)

// isStatus knows dpkg's list of installed packages. Images without dpkg have it in parts.
func isStatus(name string) bool {
	return name == "var/lib/dpkg/status" || path.Dir(name) == "var/lib/dpkg/status.d" && !strings.HasSuffix(name, ".md5sums")
}

// copyrightOf returns the Debian package that a path has the licence of, "" when it is no such file.
func copyrightOf(name string) string {
	dir, base := path.Split(name)
	pkg, ok := strings.CutPrefix(path.Clean(dir), "usr/share/doc/")
	if base != "copyright" || !ok || strings.Contains(pkg, "/") {
		return ""
	}
	return pkg
}

// parseStatus reads dpkg's list. What is not installed is left out, and so is what it cannot understand.
func parseStatus(raw []byte) []component {
	var out []component
	for stanza := range bytes.SplitSeq(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n\n")) {
		fields := parseStanza(stanza)
		status, listed := fields["Status"]
		if fields["Package"] == "" || fields["Version"] == "" || listed && !strings.HasSuffix(status, " installed") {
			continue
		}
		out = append(out, debian(fields))
	}
	slices.SortFunc(out, compare)
	return out
}

func parseStanza(stanza []byte) map[string]string {
	fields := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(stanza))
	lines.Buffer(nil, len(stanza)+1)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if ok && !strings.HasPrefix(name, " ") {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields
}

func debian(fields map[string]string) component {
	source, version := fields["Source"], fields["Version"]
	if source == "" {
		source = fields["Package"]
	}
	// A source package whose version differs from the binary's has it behind its name: "gcc-12 (12.2.0-14)".
	if name, own, ok := strings.Cut(source, " ("); ok {
		source, version = name, strings.TrimSuffix(own, ")")
	}
	return component{
		Name: fields["Package"], Version: fields["Version"], License: noAssertion,
		PURL:   "pkg:deb/debian/" + fields["Package"] + "@" + url.QueryEscape(fields["Version"]) + "?arch=" + url.QueryEscape(fields["Architecture"]),
		Source: "https://snapshot.debian.org/package/" + url.PathEscape(source) + "/" + url.PathEscape(version) + "/",
	}
}
