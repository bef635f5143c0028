package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// bootFaults are things that go wrong while init works on a fresh machine, or with what it is given:
// how they come about, init's further arguments, and the code in its last lines with what they must mention.
var bootFaults = map[string]struct{ spoil, args, code, mention string }{
	"no bundle":               {"rm -r /root/bundle", "", "GA-1003", "/root/bundle"},
	"bundle without a blob":   {"rm $(ls -S /root/bundle/blobs/sha256/* | head -n 1)", "", "GA-1003", "is missing"},
	"bundle cut short":        {"truncate -s -1 $(ls -S /root/bundle/blobs/sha256/* | head -n 1)", "", "GA-1003", "bytes instead of"},
	"bundle with a wrong bit": {`f=$(ls -S /root/bundle/blobs/sha256/* | head -n 1); printf '\377' | dd of="$f" bs=1 seek=1000000 conv=notrunc status=none`, "", "GA-1003", "does not match its digest"},
	"image missing":           {`sed -i 's/"dev.gardenadm.image.name":"kube-scheduler"/"dev.gardenadm.image.name":"kube-other"/; s#"dev.gardenadm.image.name": "kube-scheduler"#"dev.gardenadm.image.name": "kube-other"#' /root/bundle/index.json`, "", "GA-1007", "it lacks kube-scheduler"},
	"no such address":         {"true", "--node-ip 192.0.2.77", "GA-2006", "192.0.2.77"},
	"another gardenadm":       {"setsid flock /run/gardenadm.lock sleep 600 & until ! flock -n /run/gardenadm.lock true; do sleep 0.1; done", "", "GA-2101", "lock"},
	"bad secrets":             {"mkdir -p -m 700 /var/lib/gardenadm/secrets; echo garbage >/var/lib/gardenadm/secrets/ca.yaml", "", "GA-2104", "/var/lib/gardenadm/secrets/ca.yaml"},
	"disk full":               {"mkdir -p /var/lib/containerd; mount -t tmpfs -o size=120m none /var/lib/containerd", "--skip-check disk-space", "GA-3017", "no space left on device"},
	"read-only file system":   {"mkdir -p /var/lib/static-pods; mount -t tmpfs -o ro none /var/lib/static-pods", "--skip-check read-only", "GA-3018", "read-only file system"},
	"programs not executable": {"mkdir -p /opt; mount -t tmpfs -o size=2g,noexec none /opt", "", "GA-30", "containerd"},
	"etcd's port taken":       {"systemd-run --unit=port systemd-socket-activate --accept -l 2379 cat; until ss -ltn | grep -q :2379; do sleep 0.1; done", "--skip-check ports", "GA-3012", "2379"},
	"API server's port taken": {"systemd-run --unit=port systemd-socket-activate --accept -l 6443 cat; until ss -ltn | grep -q :6443; do sleep 0.1; done", "--skip-check ports", "GA-3012", "6443"},
	"damaged etcd data":       {"mkdir -p -m 700 /var/lib/etcd-main/data/new.etcd/member/wal; echo garbage >/var/lib/etcd-main/data/new.etcd/member/wal/0000000000000000-0000000000000000.wal", "--skip-check etcd-data,leftovers", "GA-2102", "already holds a cluster"},
	"kubelet's configuration": {
		"mkdir -p /var/lib/kubelet/config.d; printf 'apiVersion: kubelet.config.k8s.io/v1beta1\\nkind: KubeletConfiguration\\nevictionHard: 7\\n' >/var/lib/kubelet/config.d/99-user.conf",
		"--skip-check kubelet,leftovers", "GA-3022", "evictionHard"},
	"CRI disabled": {
		"mkdir -p /etc/containerd/conf.d; printf 'version = 3\\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\\n' >/etc/containerd/conf.d/99-user.toml",
		"--skip-check containerd", "GA-30", "containerd"},
	"containerd's configuration": {
		"mkdir -p /etc/containerd/conf.d; echo 'this is no toml [' >/etc/containerd/conf.d/99-user.toml",
		"--skip-check containerd", "GA-30", "containerd"},
}

// lastLines are what init must end with: code and title, cause, evidence where there is some, fix, and where to read more.
var lastLines = regexp.MustCompile(`(?s)\n(GA-\d{4}): [^\n]+\n  cause:    [^\n]+\n(  evidence: [^\n]+\n)?  fix:      [^\n]+\n  more:     gardenadm explain GA-\d{4}\n$`)

// result is one line of the table of results.
type result struct {
	name, code, fix string
	seconds         float64
}

// TestFaultsOfMachine: init itself ends with cause, fix and code for everything that preflight finds wrong with a machine.
func TestFaultsOfMachine(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	node := s.boot("preflight")
	var results []result
	for _, name := range slices.Sorted(maps.Keys(machineFaults)) {
		fault := machineFaults[name]
		t.Run(name, func(t *testing.T) {
			node.run("bash", "-ec", fault.spoil)
			defer node.run("bash", "-ec", fault.mend)
			results = append(results, node.initFails(t, name, "--skip-check disk-latency", fault.code, fault.mention))
		})
	}
	t.Log(table(results))
}

// TestChaosFaults injects the faults that need a fresh machine each.
func TestChaosFaults(t *testing.T) {
	chaos(t)
	s := newStory(t)
	var results []result
	for i, name := range slices.Sorted(maps.Keys(bootFaults)) {
		fault := bootFaults[name]
		t.Run(name, func(t *testing.T) {
			node := s.bootWith(fmt.Sprintf("fault-%d", i), s.product(".local/bundle"))
			defer func() { check(t, node.Remove(s.ctx)) }()
			node.run("bash", "-ec", fault.spoil)
			results = append(results, node.initFails(t, name, fault.args, fault.code, fault.mention))
		})
	}
	t.Run("wrong clock", func(t *testing.T) {
		node := s.boot("fault-clock")
		check(t, node.Copy(s.ctx, s.builtInFuture(), "/usr/local/bin/gardenadm"))
		results = append(results, node.initFails(t, "wrong clock", "", "GA-2022", "clock"))
	})
	t.Run("cgroup driver", func(t *testing.T) {
		// No fault: kubelet takes the driver from containerd, whatever a drop-in of the user's says.
		node := s.boot("fault-cgroup")
		node.run("bash", "-ec", "mkdir -p /var/lib/kubelet/config.d; printf 'apiVersion: kubelet.config.k8s.io/v1beta1\\nkind: KubeletConfiguration\\ncgroupDriver: systemd\\n' >/var/lib/kubelet/config.d/99-user.conf")
		node.run("gardenadm", "init", "--bundle", "/root/bundle", "--skip-check", "kubelet,leftovers")
		check(t, node.allPodsReady(systemPods))
		check(t, node.Remove(s.ctx))
	})
	t.Run("bundle for another architecture", func(t *testing.T) {
		node := s.bootWith("fault-arch", s.foreignBundle())
		results = append(results, node.initFails(t, "bundle for another architecture", "", "GA-1003", "made for linux/arm64"))
	})
	t.Log(table(results))
}

// builtInFuture is the program as a commit of the year 2040 would make it: a machine container cannot have a clock of its own,
// so it is the program that is ahead of it.
func (s *story) builtInFuture() string {
	s.Helper()
	clone := filepath.Join(s.TempDir(), "clone")
	binary := filepath.Join(s.TempDir(), "gardenadm")
	script := `git clone -q "$1" "$2" && cd "$2" && git -c user.name=e2e -c user.email=e2e@example.com commit -q --allow-empty -m later && go build -buildvcs=true -o "$3" ./cmd/gardenadm`
	command := exec.CommandContext(s.ctx, "bash", "-c", script, "build", s.root, clone, binary)
	command.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0", "GIT_COMMITTER_DATE=2040-01-01T00:00:00Z")
	if out, err := command.CombinedOutput(); err != nil {
		s.Fatalf("build gardenadm: %v\n%s", err, out)
	}
	return binary
}

// foreignBundle is a whole bundle whose images say that they are for arm64.
func (s *story) foreignBundle() string {
	s.Helper()
	from, err := layout.ImageIndexFromPath(s.product(".local/bundle"))
	check(s, err)
	manifest, err := from.IndexManifest()
	check(s, err)
	to, err := layout.Write(filepath.Join(s.TempDir(), "foreign"), empty.Index)
	check(s, err)
	for _, descriptor := range manifest.Manifests {
		image, err := from.Image(descriptor.Digest)
		check(s, err)
		config, err := image.ConfigFile()
		check(s, err)
		config = config.DeepCopy()
		config.Architecture = "arm64"
		image, err = mutate.ConfigFile(image, config)
		check(s, err)
		check(s, to.AppendImage(image, layout.WithAnnotations(descriptor.Annotations)))
	}
	return string(to)
}

// initFails runs init and checks its last lines.
func (h *host) initFails(t *testing.T, name, args, code, mention string) result {
	t.Helper()
	command := append([]string{"gardenadm", "init", "--bundle", "/root/bundle"}, strings.Fields(args)...)
	began := time.Now()
	out, err := h.Exec(h.story.ctx, command...)
	took := time.Since(began).Seconds()
	if err == nil {
		t.Errorf("init succeeds with %s", name)
		return result{name: name, code: "none", seconds: took}
	}
	end := lastLines.FindStringSubmatch("\n" + out.Stderr)
	if end == nil {
		t.Errorf("the last lines do not name cause, fix and code:\n%s", tail(out.Stderr, 12))
		return result{name: name, code: "none", seconds: took}
	}
	if !strings.Contains(out.Stderr, code) || !strings.Contains(tail(out.Stderr, 30), mention) {
		t.Errorf("want %s with %q:\n%s", code, mention, tail(out.Stderr, 12))
	}
	fix := regexp.MustCompile(`(?m)^  fix:      (.*)$`).FindAllStringSubmatch(out.Stderr, -1)
	return result{name: name, code: end[1], fix: fix[len(fix)-1][1], seconds: took}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func table(results []result) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n| fault | code | seconds | fix |\n|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&out, "| %s | %s | %.1f | %s |\n", r.name, r.code, r.seconds, r.fix)
	}
	return out.String()
}
