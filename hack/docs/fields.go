package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

const aboutFields = `# What a Shoot can say

Every field of a Shoot (Gardener's core.gardener.cloud/v1beta1) and what comes of it in an autonomous cluster (internal/model/cluster).
Nothing is ignored silently: what has no effect is refused with [GA-1004](errors.md), held against the rest of the manifests and does nothing else,
or kept for a garden that the cluster may be connected to.
A field that this version of gardenadm does not know is refused, too. Other annotations than those at the end are kept and mean nothing here.

[most-fields](../test/testdata/shoots/most-fields) is a Shoot that sets nearly all of them.
`

// shootFields is the page of all fields of a Shoot.
func shootFields() []byte {
	var out bytes.Buffer
	out.WriteString(notice + aboutFields)
	for _, section := range cluster.FieldSections() {
		prefix := common(section.Fields)
		fmt.Fprintf(&out, "\n## %s\n", section.Title)
		if prefix == cluster.PathPoolKubelet+"." {
			fmt.Fprintf(&out, "\n`%s` has the same fields as `spec.kubernetes.kubelet`. When it is set it replaces the cluster's as a whole.\n", cluster.PathPoolKubelet)
			continue
		}
		if prefix != "" {
			fmt.Fprintf(&out, "\nBelow `%s`:\n", strings.TrimSuffix(prefix, "."))
		}
		out.WriteString("\n| field | what it does |\n|---|---|\n")
		for _, field := range section.Fields {
			fmt.Fprintf(&out, "| `%s` | %s |\n", strings.TrimPrefix(field.Path, prefix), comesOf(field))
		}
	}
	return out.Bytes()
}

// comesOf says in a cell what comes of a field.
func comesOf(field cluster.Field) string {
	only := ""
	if len(field.Only) > 0 {
		only = "`" + strings.Join(field.Only, "`, `") + "`"
	}
	switch {
	case field.Heed == cluster.Refused && only != "":
		return "**refused** unless " + only + ": " + field.Reason
	case field.Heed == cluster.Refused:
		return "**refused**: " + field.Reason
	}
	text := field.Text
	switch field.Heed {
	case cluster.Garden:
		text = "*kept for a garden*: " + text
	case cluster.Checked:
		text = "*checked, and does nothing else*: " + text
	}
	if only != "" {
		text += "; only " + only + ": " + field.Reason
	}
	return text
}

// common is the path, with a dot at its end, that all fields are below.
func common(fields []cluster.Field) string {
	prefix := fields[0].Path
	for _, field := range fields {
		for !strings.HasPrefix(field.Path, prefix) || !strings.HasSuffix(prefix, ".") {
			if prefix == "" {
				return ""
			}
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}
