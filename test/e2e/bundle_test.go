package e2e

import (
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fileFaults are things that are wrong with the bundle's file: how they come about, init's further arguments, and the code in its
// last lines with what they must mention.
var fileFaults = map[string]struct{ spoil, args, code, mention string }{
	"a wrong bit in the index":  {wrongBit("300"), "", "GA-1003", "bundle"},
	"a wrong bit in the middle": {wrongBit("$(($(stat -c %s bundle) / 2))"), "", "GA-1003", "bundle"},
	"a wrong bit at the end":    {wrongBit("$(($(stat -c %s bundle) - 2000))"), "", "GA-1003", "bundle"},
	"cut short":                 {"truncate -s -1000000 bundle", "", "GA-1003", "bundle"},
	"one byte short":            {"truncate -s -1 bundle", "", "GA-1003", "bundle"},
	"something behind it":       {"echo more >>bundle", "", "GA-1003", "bundle"},
	"empty":                     {"truncate -s 0 bundle", "", "GA-1003", "bundle"},
	"no bundle at all":          {"tar -cf bundle /etc/hostname", "", "GA-1003", "bundle"},
	"not there":                 {"rm bundle", "", "GA-1003", "no such file"},
	"another architecture":      {"cp arm64 bundle", "", "GA-1003", "linux/arm64"},
	"not signed":                {"true", "--bundle-key /root/public.pem", "GA-1006", "not signed"},
	"signed with another key":   {"cp signed bundle", "--bundle-key /root/other.pem", "GA-1006", "signature"},
}

func wrongBit(offset string) string {
	return `printf '\377' | dd of=bundle bs=1 seek=` + offset + ` conv=notrunc status=none`
}

// TestBundleFile: a file that is not as it was made is refused before anything is touched, and the images of one that is are exactly
// those that the cluster runs.
func TestBundleFile(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	dir := t.TempDir()
	s.makeKeys(dir, "private", "public")
	s.makeKeys(dir, "private2", "other")
	signed, arm64 := filepath.Join(dir, "signed"), filepath.Join(dir, "arm64")
	s.gardenadm("bundle", "create", "--images", s.product(".local/bundle"), "--sign-key", filepath.Join(dir, "private.pem"), "-o", signed)
	s.gardenadm("bundle", "create", "--images", s.foreignBundle(), "--platform", "linux/arm64", "-o", arm64)
	s.opensslAgrees(dir, signed)

	node := s.boot("machine-0")
	for _, name := range []string{"signed", "arm64", "public.pem", "other.pem"} {
		check(t, node.Copy(s.ctx, filepath.Join(dir, name), "/root/"+name))
	}
	node.run("cp", "/root/bundle", "/root/whole")
	for _, name := range slices.Sorted(maps.Keys(fileFaults)) {
		fault := fileFaults[name]
		t.Run(name, func(t *testing.T) {
			node.run("bash", "-ec", "cd /root; cp --reflink=auto whole bundle; "+fault.spoil)
			result := node.initFails(t, name, fault.args, fault.code, fault.mention)
			t.Logf("%s in %.1f s", result.code, result.seconds)
			if left := node.run("bash", "-c", "ls -d /var/lib/gardenadm /etc/kubernetes /opt/bin/* /var/lib/kubelet 2>/dev/null | cat"); left != "" {
				t.Errorf("something was touched: %s", left)
			}
		})
	}

	node.run("gardenadm", "init", "--bundle", "/root/signed", "--bundle-key", "/root/public.pem")
	check(t, node.allPodsReady(systemPods))
	node.imagesAreThoseOf(t, s.gardenadm("bundle", "inspect", signed, "-o", "json"))
	if left := node.run("bash", "-c", "ls /var/lib/gardenadm"); strings.Contains(left, "bundle") {
		t.Errorf("the unpacked bundle was left behind: %s", left)
	}
}

// makeKeys makes a key pair as a user without cosign does.
func (s *story) makeKeys(dir, private, public string) {
	s.Helper()
	for _, args := range [][]string{
		{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private + ".pem"},
		{"pkey", "-in", private + ".pem", "-pubout", "-out", public + ".pem"},
	} {
		command := exec.CommandContext(s.ctx, "openssl", args...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			s.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// opensslAgrees verifies the signature with another program than ours, as the guide shows it.
func (s *story) opensslAgrees(dir, bundle string) {
	s.Helper()
	command := exec.CommandContext(s.ctx, "bash", "-ec", `
tar --zstd -xf "$1" index.json index.json.sig
base64 -d index.json.sig >signature
openssl dgst -sha256 -verify public.pem -signature signature index.json`, "verify", bundle)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		s.Fatalf("openssl does not verify the signature: %v\n%s", err, out)
	}
}

// imagesAreThoseOf compares what runs on the node, and what its programs come from, with the images of the bundle.
func (h *host) imagesAreThoseOf(t *testing.T, inspected string) {
	t.Helper()
	var bundle struct {
		Images []struct{ Name, Use, Digest string }
	}
	check(t, json.Unmarshal([]byte(inspected), &bundle))
	packed := map[string]string{}
	for _, image := range bundle.Images {
		packed[image.Digest] = image.Name
	}
	used := map[string]bool{}
	digests := regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	for _, text := range []string{
		h.mustKubectl("get", "pods", "-A", "-o", `jsonpath={.items[*].spec['containers','initContainers'][*].image}`),
		h.run("grep", "-h", "sandbox =", "/etc/containerd/config.toml"),
		h.run("cat", "/var/lib/gardener-node-agent/last-applied-osc.yaml"),
		// What ran and has ended is in the kubelet's events.
		h.mustKubectl("get", "events", "-A", "-o", `jsonpath={range .items[?(@.reason=="Pulled")]}{.message}{"\n"}{end}`),
	} {
		for _, digest := range digests.FindAllString(text, -1) {
			used[digest] = true
		}
	}
	for digest := range used {
		if packed[digest] == "" {
			t.Errorf("%s is used and not in the bundle", digest)
		}
	}
	for digest, name := range packed {
		if !used[digest] {
			t.Errorf("%s is in the bundle and never used", name)
		}
	}
}
