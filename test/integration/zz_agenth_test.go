package integration

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

func TestZZMany(t *testing.T) {
	const n = 100
	on := start(t)
	c, err := cluster.New(twoPools(), uid)
	check(t, err)
	on.giveAccess(t, c)
	on.publish(t, c, "workers", "a=1")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var all []*agentRun
	for i := range n {
		name := fmt.Sprintf("w%d", i)
		on.register(t, name, "workers")
		all = append(all, on.nodeAgent(t, c, name, "workers"))
	}
	eventually(t, "all", func() bool {
		for i := range n {
			if on.applied(t, fmt.Sprintf("w%d", i)) == "" {
				return false
			}
		}
		return true
	})
	time.Sleep(20 * time.Second)
	runtime.GC()
	runtime.ReadMemStats(&after)
	sum := func() (out int64) {
		for _, a := range all {
			out += a.requests.Load()
		}
		return out
	}
	a, began := sum(), time.Now()
	time.Sleep(60 * time.Second)
	t.Logf("per agent: heap %d KiB, stacks %d KiB, goroutines %d, %.2f requests/min", (after.HeapAlloc-before.HeapAlloc)/n/1024, (after.StackInuse-before.StackInuse)/n/1024,
		runtime.NumGoroutine()/n, float64(sum()-a)/n/time.Since(began).Minutes())
}
