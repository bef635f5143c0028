package e2e

import (
	"strings"
	"testing"
)

// interruptAt runs init, sends it SIGINT when the task's start line is on stderr, and prints how it ended.
const interruptAt = `
exec 3< <(gardenadm init --bundle /root/bundle 2>&1 >/dev/null & echo "pid $!"; wait $!; echo "exit $?")
while read -r line <&3; do
  case "$line" in
  "pid "*) pid=${line#pid } ;;
  *"$1 …") kill -INT "$pid" ;;
  esac
  echo "$line"
done
`

// TestInterrupt: Ctrl-C ends init cleanly with exit code 130, and the same command goes on.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	node := s.boot("cp-1")
	for _, task := range []string{"import images", "wait for the API server", "wait for the node"} {
		if out := node.run("bash", "-c", interruptAt, "interrupt-at", task); !strings.Contains(out, "exit 130") {
			t.Errorf("Ctrl-C in %q does not end with 130:\n%s", task, out)
		}
	}
	node.run("gardenadm", "init", "--bundle", "/root/bundle")
	check(t, node.allPodsReady(systemPods))
}

// TestFullDisk: the disk of the images is full in the middle of the import; with room again, the same command converges.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	node := s.boot("cp-1")
	node.run("bash", "-c", "mkdir -p /var/lib/containerd && mount -t tmpfs -o size=120m tmpfs /var/lib/containerd")
	out, err := node.Exec(s.ctx, "gardenadm", "init", "--bundle", "/root/bundle", "--skip-check", "disk-space")
	if err == nil || !strings.Contains(out.Stderr, "no space left on device") {
		t.Errorf("init on a full disk: %v\n%s", err, out.Stderr)
	}
	before := node.authority()
	node.run("mount", "-o", "remount,size=4g", "/var/lib/containerd")
	node.run("gardenadm", "init", "--bundle", "/root/bundle", "--skip-check", "disk-space")
	check(t, node.allPodsReady(systemPods))
	if after := node.authority(); before != "" && after != before {
		t.Error("the cluster's authority changed")
	}
}
