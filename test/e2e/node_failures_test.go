package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNodeFailures: what happens to workers, and to the node that they have images from; each comes back without help.
func TestNodeFailures(t *testing.T) {
	t.Parallel()
	failures(t, 10*time.Second, time.Second)
}

// TestChaosNodeFailures is the same with the times of issue 5.
func TestChaosNodeFailures(t *testing.T) {
	chaos(t)
	failures(t, time.Minute, 5*time.Minute)
}

func failures(t *testing.T, pause, outage time.Duration) {
	s := newStory(t)
	c := s.newCluster("worker-1")
	c.cp.importTestImage()
	c.cp.apply(everywhere)
	c.pods += len(c.nodes())
	c.ready()
	c.part(t, "rebooted", (*cluster).workerIsRebooted)
	c.part(t, "paused", func(c *cluster) { c.workerIsPaused(pause) })
	c.part(t, "disconnected", func(c *cluster) { c.workerIsDisconnected(outage) })
	c.part(t, "certificates expired", (*cluster).certificatesExpire)

	c.mirrorRestartsDuringJoin(s.bootJoiners("worker-2")[0])
	c.pods++ // of the test workload, on the new node
	c.ready()
	s.nothingLeft()
}

// works: all is Ready, and a pod of each node reaches the Service and the API.
func (c *cluster) works() {
	c.Helper()
	c.eventually("all nodes and pods are Ready again", 3*time.Minute, c.tryReady)
	for _, p := range c.echoes() {
		for _, url := range []string{"http://echo.default.svc.cluster.local/", "https://kubernetes.default.svc.cluster.local/healthz"} {
			c.eventually("a pod on "+p.node+" reaches "+url, time.Minute, func() error {
				_, err := c.in(p, "get", url)
				return err
			})
		}
	}
}

func (c *cluster) workerIsRebooted() {
	worker := c.workers[0]
	boot := func() string {
		return c.cp.mustKubectl("get", "node", worker.Name(), "-o", "jsonpath={.status.nodeInfo.bootID}") + worker.run("stat", "-c", "%Y", "/proc/1")
	}
	before := boot()
	check(c, worker.Restart(c.ctx))
	if boot() == before {
		c.Error("the machine did not boot anew")
	}
	c.works()
}

func (c *cluster) workerIsPaused(pause time.Duration) {
	worker := c.workers[0]
	check(c, worker.Pause(c.ctx))
	time.Sleep(pause)
	check(c, worker.Unpause(c.ctx))
	c.works()
}

// workerIsDisconnected, until the cluster has seen it and for as long as said: it keeps its containers, and takes up its work when it is back.
func (c *cluster) workerIsDisconnected(outage time.Duration) {
	worker := c.workers[0]
	began := time.Now()
	check(c, worker.Disconnect(c.ctx))
	c.nodeSays(worker, `{.status.conditions[?(@.type=="Ready")].status}`, "Unknown", 2*time.Minute)
	time.Sleep(time.Until(began.Add(outage)))
	check(c, worker.Connect(c.ctx))
	c.works()
	if state := strings.TrimSpace(worker.run("bash", "-c", "gardenadm status; echo exit $?")); !strings.HasSuffix(state, "exit 0") {
		c.Errorf("status on the node:\n%s", state)
	}
}

// mirrorRestartsDuringJoin: cp-1 goes while the machine takes images from it; the join survives it.
func (c *cluster) mirrorRestartsDuringJoin(worker *host) {
	c.Helper()
	line := c.joinLine()
	check(c, worker.WriteFile(c.ctx, "/root/join.sh", []byte("exec "+line+" >/root/join.out 2>&1\n"), 0o700))
	worker.run("bash", "-c", "systemd-run --unit=join --property=Type=exec bash /root/join.sh")
	c.eventually("the join takes programs from the mirror", time.Minute, func() error {
		out := worker.run("cat", "/root/join.out")
		if !strings.Contains(out, "lay the node's files …") {
			return fmt.Errorf("it says\n%s", out)
		}
		return nil
	})
	check(c, c.cp.Restart(c.ctx))
	c.eventually("the join ends", 4*time.Minute, func() error {
		if state := strings.TrimSpace(worker.run("bash", "-c", "systemctl show -P ActiveState join.service")); state == "active" {
			return fmt.Errorf("it says\n%s", tail(worker.run("cat", "/root/join.out"), 5))
		}
		return nil
	})
	if result := strings.TrimSpace(worker.run("bash", "-c", "systemctl show -P Result join.service")); result != "success" {
		c.Errorf("the join ends with %s:\n%s", result, tail(worker.run("cat", "/root/join.out"), 20))
		c.eventually("the same line joins in the end", 2*time.Minute, func() error { _, err := worker.Exec(c.ctx, "bash", "-c", line); return err })
	}
	c.workers = append(c.workers, worker)
}

// imageComesBack: images that somebody removes on a node are there again, from the mirror, and pinned; also those that no pod of
// the node has needed so far.
func (c *cluster) imageComesBack() {
	worker := c.workers[0]
	tool := filepath.Join(c.TempDir(), "cri")
	build := exec.CommandContext(c.ctx, "go", "build", "-o", tool, "./test/cri")
	build.Dir, build.Env = c.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		c.Fatalf("build test/cri: %v\n%s", err, out)
	}
	check(c, worker.Copy(c.ctx, tool, "/root/cri"))
	names := []string{"/kube-proxy:", "/coredns:"}
	for _, name := range names {
		c.eventually("the node has "+name, 2*time.Minute, func() error { _, err := worker.pinned(name); return err })
	}
	for _, name := range names {
		id, err := worker.pinned(name)
		check(c, err)
		worker.run("/root/cri", "rmi", id)
		if _, err := worker.pinned(name); err == nil {
			c.Errorf("%s was not removed", name)
		}
	}
	for _, name := range names {
		c.eventually("the node has "+name+" again", 2*time.Minute, func() error { _, err := worker.pinned(name); return err })
	}
}

// pinned returns the ID of an image of the node that is pinned.
func (h *host) pinned(name string) (string, error) {
	out, err := h.Exec(h.story.ctx, "/root/cri", "images")
	for line := range strings.Lines(out.Stdout) {
		if strings.Contains(line, name) && strings.HasSuffix(strings.TrimSpace(line), " pinned") {
			id, _, _ := strings.Cut(line, " ")
			return id, nil
		}
	}
	return "", fmt.Errorf("%s is not there, or not pinned: %v\n%s", name, err, out.Stdout)
}

// driftIsHealed: files and units that somebody changes, removes or stops are soon as they should be, and it is told.
func (c *cluster) driftIsHealed() {
	const config = "/var/lib/kubelet/config/kubelet"
	sums := map[string]string{}
	for _, node := range c.nodes() {
		sums[node.Name()] = node.run("sha256sum", config)
		node.run("bash", "-c", "echo '# by hand' >>"+config+"; rm /etc/sysctl.d/99-k8s-general.conf; systemctl stop kubelet.service")
	}
	for _, node := range c.nodes() {
		c.eventually(node.Name()+" is healed", time.Minute, func() error {
			if now := node.run("sha256sum", config); now != sums[node.Name()] {
				return fmt.Errorf("the kubelet's configuration is another one")
			}
			_, err := node.Exec(c.ctx, "bash", "-c", "test -s /etc/sysctl.d/99-k8s-general.conf && systemctl is-active kubelet.service")
			return err
		})
		c.eventually("the drift of "+node.Name()+" is told", time.Minute, func() error {
			events, err := c.cp.kubectl("get", "events", "-A", "--field-selector=involvedObject.name="+node.Name())
			if err == nil && !strings.Contains(events, config) {
				err = fmt.Errorf("events are\n%s", events)
			}
			return err
		})
	}
	c.ready()
}

// certificatesExpire: while the machine is off its certificates end, the kubelet's too; it is a node again by itself.
func (c *cluster) certificatesExpire() {
	worker := c.workers[0]
	const kubelet, agent = "/var/lib/kubelet/pki/kubelet-client-current.pem", "/var/lib/gardener-node-agent/credentials/client-current.pem"
	for _, file := range []string{kubelet, agent} {
		data, err := worker.ReadFile(c.ctx, file)
		check(c, err)
		now := time.Now()
		expired := issue(c, c.cp, firstCertificate(c, data).Subject, now.Add(-30*time.Minute), now.Add(-time.Minute)) // in the life of the authority
		check(c, worker.WriteFile(c.ctx, file+".expired", expired, 0o600))
	}
	for _, file := range []string{kubelet, agent} { // at once before the power is cut: nobody is to renew them before
		worker.run("bash", "-c", "cat "+file+".expired >$(readlink -f "+file+"); rm "+file+".expired")
	}
	check(c, worker.Kill(c.ctx))
	check(c, worker.Start(c.ctx))
	for _, file := range []string{kubelet, agent} {
		c.eventually("there is a new certificate in "+file, 2*time.Minute, func() error {
			data, err := worker.ReadFile(c.ctx, file)
			if err != nil {
				return err
			}
			if end := notAfter(c, data); time.Now().After(end) {
				return fmt.Errorf("it ended at %s", end)
			}
			return nil
		})
	}
	c.works()
}
