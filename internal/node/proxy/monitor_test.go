package proxy

import (
	"testing"
	"testing/synctest"
	"time"
)

// The times are promises of timing; here the clock is the bubble's.
func TestDeathIsNoticed(t *testing.T) {
	for name, tc := range map[string]struct {
		mode   mode
		within time.Duration
	}{
		"silent": {lost, 2200 * time.Millisecond},
		"hung":   {hanging, 3200 * time.Millisecond},
		"killed": {gone, 1100 * time.Millisecond},
	} {
		for phase := range 10 {
			synctest.Test(t, func(t *testing.T) {
				p, w := inWorld(t, 3, Options{})
				first := preferred(p)[0]
				hold(t, p, first, 5)
				time.Sleep(time.Duration(phase) * 97 * time.Millisecond)
				w.set(tc.mode, first)
				took := until(t, func() bool { return connections(p, first) == 0 })
				if took > tc.within {
					t.Errorf("%s: connections were reset after %s", name, took)
				}
				if got := preferred(p)[0]; got == first || health(p, first) != Dead {
					t.Errorf("%s: new connections still go to server %d, which is %s", name, got, health(p, first))
				}
				if t.Failed() {
					t.Logf("%+v", p.State())
				}
			})
		}
	}
}

func TestLostProbeChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := inWorld(t, 2, Options{})
		first := preferred(p)[0]
		hold(t, p, first, 1)
		for range 20 {
			before := w.count(first)
			w.set(lost, first)
			until(t, func() bool { return w.count(first) > before })
			w.set(serving, first)
			time.Sleep(3 * time.Second)
			if health(p, first) != Ready || connections(p, first) != 1 {
				t.Fatalf("server %d is %s after one lost probe", first, health(p, first))
			}
		}
	})
}

func TestStoppingServerKeepsItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := inWorld(t, 2, Options{})
		first := preferred(p)[0]
		hold(t, p, first, 3)
		w.set(stopping, first)
		until(t, func() bool { return preferred(p)[0] != first })
		time.Sleep(10 * time.Second)
		w.set(gone, first) // it listens no more and finishes what it has
		time.Sleep(30 * time.Second)
		if got := connections(p, first); got != 3 {
			t.Errorf("%d of 3 connections are left", got)
		}
		w.set(lost, first)
		until(t, func() bool { return connections(p, first) == 0 })
	})
}

func TestConnectionsLeaveUnreadyServerOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := inWorld(t, 2, Options{})
		first := preferred(p)[0]
		hold(t, p, first, 40)
		w.set(sick, first)
		until(t, func() bool { return health(p, first) == Unready })
		time.Sleep(5 * time.Second)
		if got := connections(p, first); got < 10 || got > 30 {
			t.Errorf("%d of 40 connections are left half-way", got)
		}
		time.Sleep(6 * time.Second)
		if got := connections(p, first); got != 0 {
			t.Errorf("%d of 40 connections are left in the end", got)
		}
	})
}

func TestConnectionsStayWhereThereIsNoOtherServer(t *testing.T) {
	for _, m := range []mode{lost, hanging, sick} {
		synctest.Test(t, func(t *testing.T) { stayPut(t, m) })
	}
}

func stayPut(t *testing.T, m mode) {
	p, w := inWorld(t, 2, Options{})
	hold(t, p, 1, 2)
	hold(t, p, 2, 2)
	w.set(m, 1, 2)
	until(t, func() bool { return health(p, 1) != Ready && health(p, 2) != Ready })
	time.Sleep(30 * time.Second)
	if connections(p, 1) != 2 || connections(p, 2) != 2 {
		t.Errorf("%d and %d of 2 connections are left: this node may be cut off for a moment", connections(p, 1), connections(p, 2))
	}
	w.set(serving, 1)
	until(t, func() bool { return connections(p, 2) == 0 })
	if connections(p, 1) != 2 || health(p, 1) != Ready {
		t.Errorf("server 1 is %s and has %d of 2 connections", health(p, 1), connections(p, 1))
	}
}

func TestResetsAreRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := inWorld(t, 3, Options{})
		resets := 0
		for range 10 {
			first := preferred(p)[0]
			hold(t, p, first, 1)
			w.set(hanging, first)
			until(t, func() bool { return health(p, first) == Dead })
			if connections(p, first) == 0 {
				resets++
			}
			w.set(serving, first)
			until(t, func() bool { return health(p, first) == Ready })
		}
		if resets < 3 || resets > 5 {
			t.Errorf("10 deaths in turns reset %d times", resets)
		}
	})
}

func TestUnusedServersAreSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := inWorld(t, 3, Options{})
		all := preferred(p)
		before := []int{w.count(all[0]), w.count(all[1]), w.count(all[2])}
		time.Sleep(100 * time.Second)
		for i, limits := range [][2]int{{100, 112}, {20, 23}, {20, 23}} {
			if got := w.count(all[i]) - before[i]; got < limits[0] || got > limits[1] {
				t.Errorf("choice %d was probed %d times in 100 s", i+1, got)
			}
		}
	})
}
