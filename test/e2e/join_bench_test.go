package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// BenchmarkJoin prints the figures of a worker that comes and goes. Each round is a fresh machine; the figures are medians.
//
//	join-s:      bare machine (the program on disk) → join's exit, with the Node Ready
//	pods-s:      bare machine → the pods that run on every node are Ready too
//	pulled-MiB:  bytes that the machine's link received meanwhile
//	reset-s:     reset's start → exit
//	pss-MiB:     sum of PSS of all processes of a worker after half a minute at idle
func BenchmarkJoin(b *testing.B) {
	const rounds = 5
	c := newStory(b).newCluster()
	figures := map[string][]float64{}
	add := func(name string, value float64) { figures[name] = append(figures[name], value) }
	for i := range rounds {
		worker := c.bootJoiners(fmt.Sprintf("worker-%d", i+1))[0]
		line := c.joinLine()
		received := worker.received()
		began := time.Now()
		c.join(worker, line)
		add("join-s", time.Since(began).Seconds())
		c.eventually("all pods are Ready", time.Minute, func() error { return c.cp.allPodsReady(c.pods + nodePods) })
		add("pods-s", time.Since(began).Seconds())
		add("pulled-MiB", worker.received()-received)
		if i == 0 {
			time.Sleep(30 * time.Second)
			total, table := worker.pss()
			add("pss-MiB", total)
			b.Logf("PSS of a worker in MiB by program: %s", table)
		}
		began = time.Now()
		worker.run("gardenadm", "reset", "--yes")
		add("reset-s", time.Since(began).Seconds())
		c.nodeIsGone(worker)
		c.workers = nil
		check(b, worker.Remove(c.ctx))
		c.ready() // its pods are gone, too: the next round counts its own
	}
	report(b, figures)
}

// received is how many MiB came over the machine's link.
func (h *host) received() float64 {
	h.story.Helper()
	bytes, err := strconv.ParseFloat(strings.TrimSpace(h.run("cat", "/sys/class/net/eth0/statistics/rx_bytes")), 64)
	check(h.story, err)
	return bytes / (1 << 20)
}

// BenchmarkParallelJoin joins four machines at once, with one token.
//
//	each-s:  one join, from its start to its exit, median
//	all-s:   the slowest one, with which all Nodes are Ready
func BenchmarkParallelJoin(b *testing.B) {
	c := newStory(b).newCluster()
	each := c.joinAtOnce(4)
	c.ready()
	report(b, map[string][]float64{"each-s": each, "all-s": {slices.Max(each)}})
}

// TestChaosParallelJoin: four machines join at once, with one token.
func TestChaosParallelJoin(t *testing.T) {
	chaos(t)
	c := newStory(t).newCluster()
	t.Logf("seconds of each: %.1f", c.joinAtOnce(4))
	c.ready()
}

// joinAtOnce boots machines and joins them side by side, and returns how many seconds each took.
func (c *cluster) joinAtOnce(machines int) []float64 {
	c.Helper()
	var names []string
	for i := range machines {
		names = append(names, fmt.Sprintf("worker-%d", i+1))
	}
	joiners := c.bootJoiners(names...)
	line := c.joinLine()
	seconds := make([]float64, machines)
	var group errgroup.Group
	for i, worker := range joiners {
		group.Go(func() error {
			began := time.Now()
			out, err := worker.Exec(c.ctx, "bash", "-c", line)
			seconds[i] = time.Since(began).Seconds()
			if err != nil {
				return fmt.Errorf("%s joins: %w\n%s", worker.Name(), err, tail(out.Stderr, 20))
			}
			return nil
		})
	}
	check(c, group.Wait())
	c.workers = append(c.workers, joiners...)
	return seconds
}
