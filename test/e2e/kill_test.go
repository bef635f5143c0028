package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// initCommand is init as the stories about interruptions run it.
const initCommand = "gardenadm init --bundle /root/bundle"

// killAt runs the command $2 and kills it with SIGKILL when the start line of task $1 is on stderr; the line is flushed before
// the task runs. It says whether the task was reached.
const killAt = `
exec 3< <($2 2>&1 >/dev/null & echo "pid $!"; wait)
while read -r line <&3; do
  case "$line" in
  "pid "*) pid=${line#pid } ;;
  *"$1 …") kill -9 "$pid"; echo killed; exit 0 ;;
  esac
done
echo "not reached"
`

// TestStaircase: on one machine, init is killed in each task in turn. In the end there is the cluster of an uninterrupted run,
// with the authorities that were issued first.
func TestStaircase(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	whole := s.boot("whole")
	tasks := tasksOf(whole.run("bash", "-c", "gardenadm init --bundle /root/bundle 2>&1 >/dev/null"))
	if len(tasks) < 15 {
		t.Fatalf("init shows only the tasks %q", tasks)
	}

	node := s.boot("killed")
	authority, killed := "", 0
	for _, task := range tasks {
		out := node.run("bash", "-c", killAt, "kill-at", task, initCommand)
		if strings.Contains(out, "killed") {
			killed++
		}
		t.Logf("%-45s %s", task, strings.TrimSpace(out))
		if now := node.authority(); authority == "" {
			authority = now
		} else if now != authority {
			t.Fatalf("killed in %q: the cluster's authority changed", task)
		}
	}
	if killed < len(tasks)-2 {
		t.Errorf("only %d of %d tasks were reached: the staircase proves little", killed, len(tasks))
	}
	node.run("gardenadm", "init", "--bundle", "/root/bundle")
	check(t, node.allPodsReady(systemPods))
	if now := node.authority(); authority == "" || now != authority {
		t.Error("the cluster's authority is not the one that was issued first")
	}
	compareStates(t, whole.state(), node.state())
}

// tasksOf reads the names of the tasks from plain progress, in the order in which they started.
func tasksOf(progress string) []string {
	var out []string
	for line := range strings.Lines(progress) {
		rest, ok := strings.CutSuffix(strings.TrimSpace(line), " …")
		if !ok {
			continue
		}
		_, name, _ := strings.Cut(rest, "  ")
		out = append(out, strings.TrimSpace(name))
	}
	return out
}

// authority is the fingerprint of the cluster's authority as the disk has it, "" before it was issued.
func (h *host) authority() string {
	out := h.run("bash", "-c", `
if [ -e /etc/kubernetes/admin.conf ]; then sed -n 's/.*certificate-authority-data: *//p' /etc/kubernetes/admin.conf | base64 -d | sha256sum
elif [ -e /var/lib/gardenadm/secrets/ca.yaml ]; then sed -n 's/^ *ca.crt: *//p' /var/lib/gardenadm/secrets/ca.yaml | base64 -d | sha256sum; fi`)
	return strings.TrimSpace(out)
}

// state describes what init made of a machine, without what differs between two clusters: identities, addresses, keys.
// Files are listed with mode and owner, those without secrets or addresses with their content.
func (h *host) state() []string {
	script := `
cd /
find etc/kubernetes etc/containerd etc/cni etc/sysctl.d etc/systemd/journald.conf.d opt var/lib/static-pods var/lib/gardenadm var/lib/gardener-node-agent -printf '%y %m %U:%G %p\n'
find var/lib/etcd-main -maxdepth 3 -printf '%y %m %U:%G %p\n'
find opt etc/containerd etc/sysctl.d etc/systemd/journald.conf.d etc/systemd/system -name '*' -type f ! -name hosts.toml -exec sha256sum {} +
cat etc/containerd/certs.d/*/hosts.toml
cat root/.bashrc | sha256sum
for u in containerd kubelet gardener-node-network gardener-api-proxy gardener-image-mirror gardener-node-agent gardenlet; do systemctl show -p Id,LoadState,ActiveState,SubState,UnitFileState $u.service | paste -sd' '; done
`
	out := strings.Split(strings.TrimSpace(h.run("bash", "-c", script)), "\n")
	out = append(out, strings.Split(h.mustKubectl("get", "all,cm,sa,clusterroles,clusterrolebindings,roles,rolebindings", "-A", "--no-headers",
		"-o", "custom-columns=K:.kind,NS:.metadata.namespace,N:.metadata.name"), "\n")...)
	ownReplicaSet := regexp.MustCompile(`^(ReplicaSet .* metrics-server-)[0-9a-z]+$`)
	random := strings.NewReplacer(h.Name(), "NODE", h.Addr().String(), "ADDRESS")
	for i := range out {
		// metrics-server's pods mount a certificate by a name that says its content, so their ReplicaSet is named after it.
		out[i] = ownReplicaSet.ReplaceAllString(random.Replace(strings.TrimSpace(out[i])), "${1}HASH")
	}
	out = slices.DeleteFunc(out, func(line string) bool {
		// Pods have names of their own; etcd's and the network's files depend on time.
		return line == "" || strings.HasPrefix(line, "Pod ") || strings.Contains(line, "/member/")
	})
	slices.Sort(out)
	return out
}

func compareStates(t *testing.T, want, got []string) {
	t.Helper()
	if len(want) < 80 {
		t.Fatalf("the state of an uninterrupted run has only %d lines: the comparison proves nothing", len(want))
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("only after an uninterrupted run: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("only after the killed runs: %s", line)
		}
	}
}

// chaos skips the long matrices unless they are asked for: make chaos.
func chaos(t *testing.T) {
	t.Helper()
	if os.Getenv("GARDENADM_CHAOS") == "" {
		t.Skip("a long matrix: make chaos runs it")
	}
}

// TestChaosKill kills init in each task on a fresh machine, and runs it again.
func TestChaosKill(t *testing.T) {
	chaos(t)
	s := newStory(t)
	whole := s.boot("whole")
	tasks := tasksOf(whole.run("bash", "-c", "gardenadm init --bundle /root/bundle 2>&1 >/dev/null"))
	want := whole.state()
	for i, task := range tasks {
		t.Run(task, func(t *testing.T) {
			node := s.boot(fmt.Sprintf("kill-%d", i))
			defer func() { check(t, node.Remove(s.ctx)) }()
			if out := node.run("bash", "-c", killAt, "kill-at", task, initCommand); !strings.Contains(out, "killed") {
				t.Errorf("the task was not reached: %s", out)
			}
			before := node.authority()
			node.run("gardenadm", "init", "--bundle", "/root/bundle")
			check(t, node.allPodsReady(systemPods))
			if after := node.authority(); before != "" && before != after {
				t.Error("the cluster's authority changed")
			}
			compareStates(t, want, node.state())
		})
	}
}

// TestChaosPower cuts the power at random moments in and after init; the machine comes back and, once init was through, the cluster with no hands.
func TestChaosPower(t *testing.T) {
	chaos(t)
	const cuts = 20
	s := newStory(t)
	for i := range cuts {
		after := time.Duration(rand.Int64N(int64(25 * time.Second)))
		t.Run(fmt.Sprintf("%02d after %s", i, after.Round(100*time.Millisecond)), func(t *testing.T) {
			node := s.boot(fmt.Sprintf("power-%d", i))
			defer func() { check(t, node.Remove(s.ctx)) }()
			node.run("bash", "-c", "gardenadm init --bundle /root/bundle >/root/init.out 2>&1 & disown")
			time.Sleep(after)
			check(t, node.Kill(s.ctx))
			check(t, node.Start(s.ctx))
			if out := node.run("bash", "-c", "grep -c 'The cluster' /root/init.out || true"); strings.TrimSpace(out) == "0" {
				node.run("gardenadm", "init", "--bundle", "/root/bundle")
			}
			s.eventually("all pods are Ready", 4*time.Minute, func() error { return node.allPodsReady(systemPods) })
		})
	}
}
