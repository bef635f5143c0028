package proxy

import (
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkFailover is how long a client with open HTTP/2 connections gets no answer after its server died.
// Run it with -benchtime 10x or so: each round takes seconds, its phase is random.
func BenchmarkFailover(b *testing.B) {
	for name, die := range map[string]func(*backend){
		"killed":    (*backend).kill,
		"hung":      func(one *backend) { one.hang(true) },
		"power-cut": func(one *backend) { one.vanish(b) },
	} {
		b.Run(name, func(b *testing.B) {
			var sum, worst time.Duration
			for range b.N {
				gap := outage(b, die)
				sum, worst = sum+gap, max(worst, gap)
			}
			b.ReportMetric(float64(sum.Milliseconds())/float64(b.N), "ms/outage")
			b.ReportMetric(float64(worst.Milliseconds()), "ms-longest")
		})
	}
}

// outage is the longest time between two answers around the death of the preferred server.
func outage(b *testing.B, die func(*backend)) time.Duration {
	a := newAuthority(b)
	one, two, three := newBackend(b, a, "cp-1"), newBackend(b, a, "cp-2"), newBackend(b, a, "cp-3")
	p := run(b, Options{Node: "cp-1", Local: one.address, Authorities: a.pool}, defaultTiming(), one, two, three)
	defer p.stop()
	eventually(b, "it is ready", func() bool { return healthOf(p.Proxy, one).Health == Ready })
	c := client(a, p.address)
	defer c.CloseIdleConnections()
	death := time.Now().Add(time.Second + rand.N(time.Second))
	var longest time.Duration
	for last := time.Now(); time.Since(death) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
		if die != nil && time.Now().After(death) {
			die(one)
			die = nil
		}
		if got, err := get(c); err == nil && got != "" {
			longest, last = max(longest, time.Since(last)), time.Now()
		}
	}
	return longest
}
