package cli

import (
	"encoding/base64"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/fault"
)

func TestParseServers(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want []string // nil: refused
	}{
		"as it is printed":     {[]string{"192.0.2.1,192.0.2.2"}, []string{"192.0.2.1:6443", "192.0.2.2:6443"}},
		"one by one":           {[]string{"192.0.2.1", "192.0.2.2:6443"}, []string{"192.0.2.1:6443", "192.0.2.2:6443"}},
		"behind a forwarder":   {[]string{"192.0.2.1", "192.0.2.2:443"}, nil},
		"a name":               {[]string{"cp-1"}, nil},
		"nothing behind comma": {[]string{"192.0.2.1,"}, nil},
		"no port":              {[]string{"192.0.2.1:0"}, nil},
		"a token":              {[]string{"192.0.2.1", "abcdef.0123456789abcdef"}, nil},
		"nowhere":              {[]string{"0.0.0.0"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseServers(test.args)
			if test.want == nil {
				if err != nil && strings.Contains(err.Error(), "0123456789abcdef") {
					t.Errorf("the token is in %v", err)
				}
				if ExitCode(err) != exitUsage {
					t.Errorf("got %v, %v, want a usage error", got, err)
				}
				return
			}
			var texts []string
			for _, server := range got {
				texts = append(texts, server.String())
			}
			if err != nil || !slices.Equal(texts, test.want) {
				t.Errorf("got %q, %v", texts, err)
			}
		})
	}
}

func TestJoinFlagsAreRefused(t *testing.T) {
	const pin, secret = "eIj9YAFs8wQFAD3Fdq8l7-WJUo7Dl-OMOf0RJ0nEXdg", "0123456789abcdef"
	good := joinOptions{token: "abcdef." + secret, pins: []string{pin}, logFormat: "text"}
	for name, test := range map[string]struct {
		spoil func(*joinOptions)
		want  string
	}{
		"no token":        {func(o *joinOptions) { o.token = "" }, "token create --print-join-command"},
		"two tokens":      {func(o *joinOptions) { o.tokenFile = "x" }, "not both"},
		"no file":         {func(o *joinOptions) { o.token, o.tokenFile = "", "/nowhere/token" }, "/nowhere/token"},
		"not a token":     {func(o *joinOptions) { o.token = "abcdef-" + secret }, "abcdef.0123456789abcdef"},
		"nobody to trust": {func(o *joinOptions) { o.pins = nil }, "--ca-pin"},
		"not a pin":       {func(o *joinOptions) { o.pins = []string{pin, "x"} }, "it has 1 characters"},
		"not base64":      {func(o *joinOptions) { o.authority = "%" }, "--ca-certificate"},
		"no certificate":  {func(o *joinOptions) { o.authority = base64.StdEncoding.EncodeToString([]byte("x")) }, "--ca-certificate"},
		"bad address":     {func(o *joinOptions) { o.nodeIP = "x" }, "--node-ip"},
		"bad format":      {func(o *joinOptions) { o.logFormat = "xml" }, "--log-format"},
		"control plane":   {func(o *joinOptions) { o.control = true }, string(fault.ControlPlanePool)},
	} {
		t.Run(name, func(t *testing.T) {
			options := good
			test.spoil(&options)
			_, err := options.story(t.Context(), []string{"192.0.2.1"})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && name != "not a token" && strings.Contains(err.Error(), secret) {
				t.Errorf("the token is in %v", err)
			}
		})
	}
}

func TestJoinReadsTheTokenFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("abcdef.0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := joinOptions{tokenFile: file}.readToken(t.Context())
	if err != nil || got.Text() != "abcdef.0123456789abcdef" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestJoinStory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may join")
	}
	options := joinOptions{token: "abcdef.0123456789abcdef", pins: []string{"eIj9YAFs8wQFAD3Fdq8l7-WJUo7Dl-OMOf0RJ0nEXdg"}, pool: "p", zone: "z", nodeIP: "192.0.2.7", logFormat: "json", skip: []string{"swap"}}
	story, err := options.story(t.Context(), []string{"192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	if story.Pool != "p" || story.Zone != "z" || story.NodeIP != netip.MustParseAddr("192.0.2.7") || !slices.Equal(story.SkipChecks, []string{"swap"}) ||
		len(story.Trust.Pins) != 1 || story.Trust.Token.ID != "abcdef" || story.Program == "" {
		t.Errorf("got %+v", story)
	}
}
