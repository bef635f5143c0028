package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// nodePods are what runs on every node: kube-proxy and flannel.
const nodePods = 2

// cluster is a control plane node and workers.
type cluster struct {
	*story
	cp      *host
	workers []*host
	pods    int    // that are expected, besides those of each worker
	told    string // what the latest join said while it worked
}

// newCluster boots all machines bare, proves that they reach nothing outside, makes cp-1 a cluster, and joins the workers by the line that it prints.
func (s *story) newCluster(workers ...string) *cluster {
	s.Helper()
	c := &cluster{story: s, pods: systemPods}
	joiners := s.bootJoiners(append([]string{"cp-1"}, workers...)...)
	for _, one := range joiners {
		s.cutIsReal(one)
	}
	c.cp = joiners[0]
	check(s, c.cp.Copy(s.ctx, s.product(".local/bundle.tar.zst"), "/root/bundle"))
	c.cp.run("gardenadm", "init", "--bundle", "/root/bundle")
	for _, worker := range joiners[1:] {
		c.join(worker, c.joinLine())
	}
	c.ready()
	return c
}

// part is a subtest on the cluster: what it cannot go on from ends it, and not the parts after it.
func (c *cluster) part(t *testing.T, name string, run func(c *cluster)) {
	t.Run(name, func(t *testing.T) {
		inner := *c.story
		inner.TB = t
		within := &cluster{story: &inner, cp: &host{c.cp.Machine, &inner}, pods: c.pods, told: c.told}
		for _, worker := range c.workers {
			within.workers = append(within.workers, &host{worker.Machine, &inner})
		}
		run(within)
	})
}

// joinLine is what a person copies from cp-1.
func (c *cluster) joinLine(args ...string) string {
	c.Helper()
	line := strings.TrimSpace(c.cp.run(append([]string{"gardenadm", "token", "create", "--print-join-command"}, args...)...))
	if !strings.HasPrefix(line, "gardenadm join "+c.cp.Addr().String()) || len(line) > 200 || strings.Contains(line, "\n") {
		c.Fatalf("the line to paste is %q", line)
	}
	return line
}

// join pastes a line on a machine, which is a worker then.
func (c *cluster) join(worker *host, line string) {
	c.Helper()
	out, err := worker.Exec(c.ctx, "bash", "-c", line)
	if err != nil {
		c.Fatalf("%s joins: %v\n%s", worker.Name(), err, tail(out.Stderr, 20))
	}
	c.told = out.Stderr
	c.workers = append(c.workers, worker)
}

// ready waits until all Nodes and all pods are.
func (c *cluster) ready() {
	c.Helper()
	c.eventually("all nodes and pods are Ready", 2*time.Minute, c.tryReady)
}

func (c *cluster) tryReady() error {
	for _, node := range c.nodes() {
		if err := c.nodeReady(node); err != nil {
			return err
		}
	}
	return c.cp.allPodsReady(c.pods + nodePods*len(c.workers))
}

func (c *cluster) nodes() []*host { return append([]*host{c.cp}, c.workers...) }

// nodeReady is nil when the Node is Ready and its taints let pods in.
func (c *cluster) nodeReady(node *host) error {
	out, err := c.cp.kubectl("get", "node", node.Name(), "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status} {.spec.taints[*].key}`)
	if err == nil && strings.TrimSpace(out) != "True" {
		err = fmt.Errorf("node %s: Ready and taints are %q", node.Name(), out)
	}
	return err
}

// nodeSays waits for the value of a JSON path of the Node.
func (c *cluster) nodeSays(node *host, path, want string, within time.Duration) {
	c.Helper()
	c.eventually(fmt.Sprintf("%s of node %s is %q", path, node.Name(), want), within, func() error {
		got, err := c.cp.kubectl("get", "node", node.Name(), "-o", "jsonpath="+path)
		if err == nil && got != want {
			err = fmt.Errorf("it is %q", got)
		}
		return err
	})
}

// nothingLeft is the last proof of an air gap: nothing even tried to leave the network.
func (s *story) nothingLeft() {
	s.Helper()
	left, err := s.network.PacketsLeft(s.ctx)
	check(s, err)
	if left != 0 {
		s.Errorf("%d packets tried to leave the machines' network, want none", left)
	}
}
