// Package registry turns a registry, its mirrors and their credentials into the hosts.toml that containerd reads at every pull.
// Used by render/osc for the registries of the Shoot, and by the node agent for those that extensions ask for.
package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// Host is a server of images.
type Host struct {
	// URL of the server; without /v2 at its end containerd appends it, but for OverridePath.
	URL string
	// Capabilities are among pull, resolve and push; nil for all.
	Capabilities []string
	// CACerts are the paths of PEM files with authorities that are trusted for this server besides the others.
	CACerts      []string
	OverridePath bool
	// DialTimeout is how long a connection may take to be made; 0 leaves it to containerd (30 seconds). Before 2.3 it knows no other.
	DialTimeout time.Duration
	// Authorization is the value of the HTTP header of that name, see Basic; empty for anonymous access.
	Authorization string
}

// mirrorDial is how long a node waits for a mirror that is off, at every request: long enough for one lost packet.
const mirrorDial = 2 * time.Second

// Mirror is the cluster's mirror on the control plane node with that address. It stands first in every hosts.toml.
func Mirror(of netip.Addr) Host {
	return Host{
		URL:          "https://" + netip.AddrPortFrom(of, layout.PortMirror).String(),
		Capabilities: []string{"pull", "resolve"}, CACerts: []string{layout.FileClusterCA}, DialTimeout: mirrorDial,
	}
}

// Basic is the Authorization of a user. The user's name has no colon.
//
// containerd sends the header with every request to the server and, when that wants a token, to where tokens are issued; behind a
// redirect to another host it is gone (tried with 2.4.2). It reads the file at every pull, so new credentials restart nothing.
// The other ways are worse: registry.configs.<host>.auth in containerd's configuration is deprecated without a successor, read at
// start only, and gives way to a pod's imagePullSecrets, which are for the upstream and make a mirror refuse;
// what kubelet hands over (a credential provider's, or config.json) goes to every mirror and to the upstream alike.
// What remains: where a mirror issues tokens, a pod's imagePullSecrets still come before ours.
func Basic(username, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

// Dir is where containerd looks for what concerns an upstream: host[:port], or _default for all that have no such directory.
func Dir(upstream string) string { return path.Join(layout.DirRegistryHosts, upstream) }

// File is the path of an upstream's hosts.toml.
func File(upstream string) string { return path.Join(Dir(upstream), "hosts.toml") }

// Render returns the hosts.toml of a registry. Hosts are asked in their order, those behind a failed one too, and then the server.
// A server without URL leaves it to containerd where the registry answers; then nothing else in it counts.
func Render(server Host, hosts []Host) []byte {
	var out strings.Builder
	if server.URL != "" {
		fmt.Fprintf(&out, "server = %s\n", quote(server.URL))
		out.WriteString(settings(server, "header"))
	}
	for _, host := range hosts {
		table := "host." + quote(host.URL)
		fmt.Fprintf(&out, "\n[%s]\n%s", table, settings(host, table+".header"))
	}
	return []byte(strings.TrimPrefix(out.String(), "\n"))
}

func settings(host Host, header string) string {
	var out strings.Builder
	if host.Capabilities != nil {
		fmt.Fprintf(&out, "capabilities = %s\n", quote(host.Capabilities))
	}
	if len(host.CACerts) > 0 {
		fmt.Fprintf(&out, "ca = %s\n", quote(host.CACerts))
	}
	if host.DialTimeout > 0 {
		fmt.Fprintf(&out, "dial_timeout = %s\n", quote(host.DialTimeout.String()))
	}
	if host.OverridePath {
		out.WriteString("override_path = true\n")
	}
	if host.Authorization != "" {
		fmt.Fprintf(&out, "\n[%s]\nAuthorization = %s\n", header, quote(host.Authorization))
	}
	return out.String()
}

// quote writes a string or a list of strings. TOML's are those of JSON, but for one character that JSON leaves as it is.
func quote[T string | []string](value T) string {
	raw, _ := json.Marshal(value) // strings cannot fail
	return strings.ReplaceAll(string(raw), "\x7f", `\u007f`)
}
