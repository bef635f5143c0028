package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// refusal is a line that no machine may join with: how it is made of one that works, and what join must say.
type refusal struct {
	line          func(c *cluster, line string) string
	code, mention string
}

// wrong replaces the part of a line that follows a word.
func wrong(word, value string) func(*cluster, string) string {
	return func(_ *cluster, line string) string {
		before, rest, _ := strings.Cut(line, word+" ")
		_, after, _ := strings.Cut(rest, " ")
		return strings.TrimSpace(before + word + " " + value + " " + after)
	}
}

// refusals are told by name. Clocks of machine containers are the host's, so a wrong one is left to unit tests.
var refusals = map[string]refusal{
	"another authority's pin": {wrong("--ca-pin", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "GA-2204", "authority"},
	"no pin":                  {wrong("--ca-pin", "nonsense"), "GA-1001", "pin"},
	"no token":                {wrong("--token", "nonsense"), "GA-1001", "token"},
	"unknown token":           {wrong("--token", "abcdef.0123456789abcdef"), "GA-2201", "token create --print-join-command"},
	"wrong secret part":       {wrongSecret, "GA-2203", "token"},
	"deleted token":           {deletedToken, "GA-2201", "token create --print-join-command"},
	"expired token":           {expiredToken, "GA-2202", "token create --print-join-command"},
	"used token":              {usedToken, "GA-2408", "worker-9"},
	"token for another node":  {printed("--node", "worker-9"), "GA-2409", "worker-9"},
	"token for another pool":  {otherPoolToken, "GA-2409", "another"},
	"address of nobody":       {wrong("join", "10.219.255.254"), "GA-2206", "10.219.255.254"},
	"address of a worker":     {func(c *cluster, line string) string { return wrong("join", c.workers[0].Addr().String())(c, line) }, "GA-2206", "6443"},
	"address of the host":     {func(c *cluster, line string) string { return wrong("join", c.network.Gateway().String())(c, line) }, "GA-2206", "6443"},
	"address of its own":      {more("--node-ip 192.0.2.77"), "GA-2006", "192.0.2.77"},
	"pool that is not there":  {more("--worker-pool-name nowhere"), "GA-2404", "nowhere"},
}

// printed is a line of a token that is bound.
func printed(args ...string) func(*cluster, string) string {
	return func(c *cluster, _ string) string { return c.joinLine(args...) }
}

func more(args string) func(*cluster, string) string {
	return func(_ *cluster, line string) string { return line + " " + args }
}

// usedToken is one that a node has joined with, the only one.
func usedToken(c *cluster, _ string) string {
	line := c.joinLine("--single-use")
	c.cp.mustKubectl("annotate", "secret", "-n", "kube-system", "bootstrap-token-"+tokenID(line), "token.gardenadm.dev/used-by=worker-9")
	return line
}

// otherPoolToken is bound to a pool that was taken out of the Shoot since.
func otherPoolToken(c *cluster, _ string) string {
	line := c.joinLine("--single-use")
	c.cp.mustKubectl("annotate", "secret", "-n", "kube-system", "bootstrap-token-"+tokenID(line), "token.gardenadm.dev/pool=another")
	return line
}

func wrongSecret(_ *cluster, line string) string {
	return wrong("--token", tokenID(line)+".0123456789abcdef")(nil, line)
}

func deletedToken(c *cluster, _ string) string {
	line := c.joinLine()
	c.cp.run("gardenadm", "token", "delete", tokenID(line))
	return line
}

func tokenID(line string) string {
	id, _, _ := strings.Cut(line[strings.Index(line, "--token ")+len("--token "):], ".")
	return id
}

// expiredToken is one whose time is set back: the shortest would take ten minutes.
func expiredToken(c *cluster, _ string) string {
	line := c.joinLine()
	c.cp.mustKubectl("patch", "secret", "-n", "kube-system", "bootstrap-token-"+tokenID(line), "-p", `{"stringData":{"expiration":"2020-01-01T00:00:00Z"}}`)
	c.cp.run("bash", "-ec", `k="/opt/bin/kubectl --kubeconfig=/etc/kubernetes/admin.conf -n kube-public"
$k get configmap cluster-info -o yaml | sed -E 's/("id":"`+tokenID(line)+`","expires":")[^"]*/\12020-01-01T00:00:00Z/' | $k replace -f -`)
	return line
}

// wrongJoinsAreRefused: each with its own code and words, and before anything is changed.
func (c *cluster) wrongJoinsAreRefused(node *host) {
	before := node.run("bash", "-c", machineState)
	line := c.joinLine()
	var results []result
	for _, name := range slices.Sorted(maps.Keys(refusals)) {
		one := refusals[name]
		began := time.Now()
		out, err := node.Exec(c.ctx, "bash", "-c", one.line(c, line))
		took := time.Since(began).Seconds()
		end := lastLines.FindStringSubmatch("\n" + out.Stderr)
		if err == nil || end == nil || !strings.Contains(out.Stderr, "\n"+one.code) || !strings.Contains(out.Stderr, one.mention) {
			c.Errorf("%s: exit code %d, want %s with %q:\n%s", name, out.Code, one.code, one.mention, tail(out.Stderr, 12))
			continue
		}
		results = append(results, result{name: name, code: end[1], seconds: took})
	}
	c.Log(table(results))
	node.unchanged(c.TB.(*testing.T), "join", before, "/run/gardenadm.lock")
	if nodes := c.cp.mustKubectl("get", "nodes", "-o", "name"); strings.Contains(nodes, node.Name()) {
		c.Errorf("a refused machine is a Node: %s", nodes)
	}
}
