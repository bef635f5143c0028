package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// staircase kills join in each task in turn, on one machine; in the end it is a node as the cluster's worker is.
func (c *cluster) staircase(node *host) {
	line := c.joinLine()
	tasks := c.tasksOfJoin()
	killed := 0
	for _, task := range tasks {
		out := node.run("bash", "-c", killAt, "kill-at", task, line)
		if strings.Contains(out, "killed") {
			killed++
		}
		c.Logf("%-45s %s", task, strings.TrimSpace(out))
	}
	if killed < len(tasks)-2 {
		c.Errorf("only %d of %d tasks were reached: the staircase proves little", killed, len(tasks))
	}
	node.run("bash", "-c", line)
	c.isLikeWorker(node)
}

// tasksOfJoin are those of the latest join of a bare machine.
func (c *cluster) tasksOfJoin() []string {
	c.Helper()
	tasks := tasksOf(c.told)
	if len(tasks) < 8 {
		c.Fatalf("join shows only the tasks %q", tasks)
	}
	return tasks
}

// isLikeWorker compares the node with the first worker, which nobody interrupted.
func (c *cluster) isLikeWorker(node *host) {
	c.Helper()
	c.eventually("the node is Ready", time.Minute, func() error { return c.nodeReady(node) })
	var last error
	c.eventually("the node is like "+c.workers[0].Name(), time.Minute, func() error {
		last = sameStates(c.workerState(c.workers[0]), c.workerState(node))
		return last
	})
}

// workerState describes a worker, on its disk and in the API, without what differs between two: names, addresses, keys, times.
func (c *cluster) workerState(node *host) []string {
	c.Helper()
	files := node.run("bash", "-c", `
cd /
find etc/kubernetes etc/containerd etc/cni etc/sysctl.d etc/systemd/system etc/systemd/journald.conf.d opt var/lib/gardenadm var/lib/gardener-node-agent -printf '%y %m %U:%G %p\n'
find var/lib/kubelet/config var/lib/kubelet/config.d var/lib/kubelet/ca.crt -printf '%y %m %U:%G %p\n'
find opt etc/containerd etc/sysctl.d etc/systemd/journald.conf.d etc/systemd/system -type f -exec sha256sum {} +
for u in containerd.service kubelet.service gardener-node-network.service gardener-node-agent.service gardener-api-proxy.socket gardener-api-proxy.service; do systemctl show -p Id,LoadState,ActiveState,UnitFileState $u | paste -sd' '; done
`)
	object := c.cp.mustKubectl("get", "node", node.Name(), "-o",
		`go-template={{range $k, $v := .metadata.labels}}label {{$k}}={{$v}}{{"\n"}}{{end}}{{range $k, $v := .metadata.annotations}}annotation {{$k}}={{$v}}{{"\n"}}{{end}}{{range .spec.taints}}taint {{.key}}{{"\n"}}{{end}}{{range .status.conditions}}condition {{.type}}={{.status}}{{"\n"}}{{end}}`)
	own := strings.NewReplacer(node.Name(), "NODE", node.Addr().String(), "ADDRESS")
	out := strings.Split(strings.TrimSpace(own.Replace(files+object)), "\n")
	passing := regexp.MustCompile(`flannel\.alpha\.coreos\.com|reconciliation-delay|lib/gardenadm/(journal|endpoints)`)
	out = slices.DeleteFunc(out, passing.MatchString)
	slices.Sort(out)
	if len(out) < 60 {
		c.Fatalf("the state of %s has only %d lines: the comparison proves nothing", node.Name(), len(out))
	}
	return out
}

func sameStates(want, got []string) error {
	lost, more := only(want, got), only(got, want)
	if len(lost)+len(more) == 0 {
		return nil
	}
	return fmt.Errorf("it lacks\n%s\nand has\n%s", strings.Join(lost, "\n"), strings.Join(more, "\n"))
}

// TestChaosJoinKill kills join in each task on a fresh machine, and runs it again.
func TestChaosJoinKill(t *testing.T) {
	chaos(t)
	s := newStory(t)
	c := s.newCluster("worker-1")
	line := c.joinLine("--validity", "24h")
	for i, task := range c.tasksOfJoin() {
		c.part(t, task, func(c *cluster) {
			node := c.bootJoiners(fmt.Sprintf("kill-%d", i))[0]
			if out := node.run("bash", "-c", killAt, "kill-at", task, line); !strings.Contains(out, "killed") {
				c.Errorf("the task was not reached: %s", out)
			}
			node.run("bash", "-c", line)
			c.isLikeWorker(node)
			c.cp.run("gardenadm", "node", "remove", node.Name())
			check(c, node.Remove(c.ctx))
		})
	}
}
