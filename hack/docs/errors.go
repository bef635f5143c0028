package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// errorCodes is the page of all codes; `gardenadm explain` says the same offline.
func errorCodes() []byte {
	var out bytes.Buffer
	out.WriteString(notice + "# Error codes\n\nThe codes that errors of gardenadm carry (internal/fault). `gardenadm explain CODE` says the same without a network.\n" +
		"A code that was released never means something else.\n")
	entries := fault.Entries()
	slices.SortFunc(entries, func(a, b fault.Entry) int { return cmp.Compare(a.Code, b.Code) })
	class := fault.Class("")
	for _, e := range entries {
		if e.Class != class {
			class = e.Class
			fmt.Fprintf(&out, "\n## %s\n", headings()[class])
		}
		fmt.Fprintf(&out, "\n### %s: %s\n\n%s\n\nFix: %s\n", e.Code, e.Title, e.Text, e.Fix)
	}
	return out.Bytes()
}

func headings() map[fault.Class]string {
	return map[fault.Class]string{
		fault.Usage:        "Usage: flags or manifests are wrong (exit code 2)",
		fault.Precondition: "Precondition: the machine or its surroundings are not fit (exit code 3)",
		fault.Component:    "Component: something of the cluster does not come up (exit code 1, or 4 when the time was over)",
	}
}
