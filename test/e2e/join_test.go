package e2e

import (
	"testing"
)

// TestJoin: what is refused, killed, reset and done again ends as a node like any other. The parts share a cluster; worker-2 is
// the measure of what worker-1 has to be in the end.
func TestJoin(t *testing.T) {
	s := newStory(t)
	c := s.newCluster("worker-2")
	killed := s.bootJoiners("worker-1")[0]
	c.part(t, "refused", func(c *cluster) { c.wrongJoinsAreRefused(killed) })
	c.part(t, "staircase", func(c *cluster) { c.staircase(killed) })
	c.workers = append(c.workers, killed)
	c.ready()
	c.part(t, "reset and join again", func(c *cluster) { c.rejoins(c.workers[1], 2) })
	c.part(t, "removed from elsewhere", func(c *cluster) { c.nodeIsRemoved(c.workers[1]) })
	c.part(t, "reset without an API", func(c *cluster) { c.resetsAlone(c.workers[0]) })
	c.workers = nil
	c.part(t, "reset of the control plane", (*cluster).controlPlaneIsReset)
}
