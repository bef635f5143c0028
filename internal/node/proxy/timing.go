package proxy

import "time"

// timing is every duration that decides how fast the proxy notices and how patient it is.
//
// A machine that dies silently is noticed within interval + answer + connect = 2.2 s, and after 1.7 s on average;
// a server that hangs, but whose machine still takes connections, within interval + answer + confirm = 3.2 s.
type timing struct {
	// interval is the time between probes of a server that is used or would be used first, idle of any other one, and
	// retired of an address that is only a last resort. So most nodes ask one server each second, not all of them.
	interval, idle, retired time.Duration
	// connect is how long a probe's connection may take to be made, answer how long a probe may take in all.
	connect, answer time.Duration
	// confirm is how long the second probe after a failed one may take in all. It uses a connection of its own: a lost
	// packet, or a connection that a firewall forgot, is not a dead server.
	confirm time.Duration
	// gap is the least time between two probes of a server.
	gap time.Duration
	// dial is how long a client's connection to one server may take before the next one is tried.
	dial time.Duration
	// silence is how long a connection may have data on the way and see no acknowledgement.
	silence time.Duration
	// tick is the time between looks at what has to be closed; spread how long connections take to leave an unready server.
	tick, spread time.Duration
	// ask is the time between questions to other nodes while no server is ready; fetch is the time for one answer.
	ask, fetch time.Duration
	// After burst servers lost their connections, another one may every refill. Under overload servers seem to die in
	// turns, and resets would drive the whole load from one to the next.
	burst  int
	refill time.Duration
}

func defaultTiming() timing {
	return timing{
		interval: time.Second, idle: 5 * time.Second, retired: time.Minute,
		connect: 500 * time.Millisecond, answer: 700 * time.Millisecond, confirm: 1500 * time.Millisecond, gap: 100 * time.Millisecond,
		dial: time.Second, silence: 5 * time.Second,
		tick: time.Second, spread: 10 * time.Second,
		ask: 5 * time.Second, fetch: 2 * time.Second,
		burst: 3, refill: 30 * time.Second,
	}
}
