package e2e

import (
	"strings"
	"testing"
)

// TestDryRun: what is printed is what init then lays on the machine, without a secret in it, and printing changes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	node := s.boot("cp-1")
	list := func() string {
		return node.run("bash", "-c", "find / -xdev -newer /usr/local/bin/gardenadm -not -path '/root/*' -not -path '/proc/*' -not -path '/tmp/*' -not -path '/usr/local/bin*' -type f; find /var /run/gardenadm* -newer /usr/local/bin/gardenadm -type f -not -path '/var/log/*' 2>/dev/null || true; ip route; ip link")
	}
	before := list()
	shown := node.run("gardenadm", "init", "--bundle", "/root/bundle", "--dry-run")
	if after := list(); after != before {
		t.Errorf("a dry run changed the machine; before:\n%s\nafter:\n%s", before, after)
	}
	if strings.Contains(shown, "PRIVATE KEY") || strings.Contains(shown, "BEGIN CERTIFICATE") {
		t.Error("a dry run shows certificates or keys")
	}
	for _, want := range []string{"# unit kubelet.service", "# file /etc/kubernetes/manifests/kube-apiserver.yaml 0640", "kind: DaemonSet"} {
		if !strings.Contains(shown, want) {
			t.Errorf("a dry run does not show %q", want)
		}
	}

	node.run("gardenadm", "init", "--bundle", "/root/bundle")
	files := 0
	for line := range strings.Lines(shown) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[0] != "#" || fields[1] != "file" {
			continue
		}
		files++
		if mode := strings.TrimSpace(node.run("stat", "-c", "0%a", fields[2])); mode != fields[3] {
			t.Errorf("%s is %s on the machine, the dry run says %s", fields[2], mode, fields[3])
		}
	}
	if files < 50 {
		t.Errorf("a dry run shows only %d files", files)
	}
}
