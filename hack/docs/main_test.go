package main

import (
	"runtime"
	"strings"
	"testing"
)

// The reference has what the help has: arguments and short flags. Nothing in it is the machine's that made it.
func TestCLIReference(t *testing.T) {
	text := string(cliReference())
	for _, want := range []string{
		"\n## gardenadm bundle create\n", "\n```\ngardenadm bundle create -o FILE [flags]\n```\n", "\n```\ngardenadm join ADDRESS... [flags]\n```\n",
		"\n- `-d`, `--config-dir` directory with", "\n- `--bundle` ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(text, "(default `linux/"+runtime.GOARCH) {
		t.Error("a default is this machine's")
	}
}
