package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// memory is a disk with one file, which may be full.
type memory struct {
	mu     sync.Mutex
	file   []byte
	full   bool
	writes int
}

func (m *memory) Read(context.Context, string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(m.file), nil
}

func (m *memory) Write(_ context.Context, _ string, content io.Reader, _ fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.full {
		return errors.New("no space left on device")
	}
	var err error
	m.file, err = io.ReadAll(content)
	return err
}

func (m *memory) fill(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

// mode is how a server of a world behaves.
type mode int

const (
	serving  mode = iota
	lost          // packets vanish
	hanging       // the kernel takes connections, the process does nothing
	gone          // the kernel refuses
	stopping      // answers that it shuts down
	sick          // answers that it is not ready
)

// world is servers that behave as told.
type world struct {
	mu     sync.Mutex
	modes  map[netip.AddrPort]mode
	probes map[netip.AddrPort]int
}

func (w *world) set(m mode, servers ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range servers {
		w.modes[address(n)] = m
	}
}

func (w *world) count(server int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probes[address(server)]
}

// visitor probes a server of a world, as readyz would.
type visitor struct {
	world   *world
	address netip.AddrPort
	warm    bool
}

func (v *visitor) close() {}

func (v *visitor) probe(ctx context.Context, limit time.Duration) outcome {
	v.world.mu.Lock()
	m := v.world.modes[v.address]
	v.world.probes[v.address]++
	v.world.mu.Unlock()
	warm := v.warm
	v.warm = m == serving || m == stopping || m == sick
	switch m {
	case serving:
		return outcome{answer: ready}
	case stopping:
		return outcome{draining, errors.New("the server is shutting down")}
	case sick:
		return outcome{unready, errors.New("failed checks: etcd")}
	case gone:
		return outcome{refused, errors.New("connection refused")}
	case lost:
		if !warm {
			limit = min(limit, defaultTiming().connect)
		}
	}
	pause(ctx, limit)
	return outcome{failed, errSilent}
}

// inWorld serves servers 1 to n of a world to one node.
func inWorld(t *testing.T, n int, o Options) (*Proxy, *world) {
	t.Helper()
	w := &world{modes: map[netip.AddrPort]mode{}, probes: map[netip.AddrPort]int{}}
	if o.Files == nil {
		o.Files = &memory{}
	}
	o.Node = "worker"
	p := newProxy(o, defaultTiming())
	p.newProber = func(a netip.AddrPort) prober { return &visitor{world: w, address: a} }
	var numbers []int
	for i := range n {
		numbers = append(numbers, i+1)
	}
	if _, err := p.Offer(t.Context(), list(1, servers(numbers...)...)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() {
		if err := p.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); served.Wait() })
	time.Sleep(20 * time.Second)
	return p, w
}

// preferred numbers the servers in the order in which the node prefers them.
func preferred(p *Proxy) []int {
	var out []int
	for _, server := range p.State().Servers {
		out = append(out, int(server.Address.Addr().As4()[3]))
	}
	return out
}

func health(p *Proxy, server int) Health {
	for _, s := range p.State().Servers {
		if s.Address == address(server) {
			return s.Health
		}
	}
	return ""
}

func connections(p *Proxy, server int) int {
	for _, s := range p.State().Servers {
		if s.Address == address(server) {
			return s.Connections
		}
	}
	return -1
}

// until returns how long it takes until done says so; a minute is never.
func until(t *testing.T, done func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !done() {
		if time.Since(began) > time.Minute {
			t.Fatal("never happened")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// hold gives the server n open connections.
func hold(t *testing.T, p *Proxy, server, n int) {
	t.Helper()
	for range n {
		client, far := tcpPair(t)
		t.Cleanup(func() { abort(far) })
		f := newFlow(client, far)
		p.mu.Lock()
		target := p.targets[address(server)]
		p.mu.Unlock()
		if !p.attach(target, f) {
			t.Fatal("no connection to a healthy server")
		}
	}
}

// tcpPair is the two ends of one connection over the loopback.
func tcpPair(t testing.TB) (one, other *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

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

func TestOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &memory{}
		p, _ := inWorld(t, 3, Options{Files: disk})
		writes := disk.writes
		restored := list(1, servers(7)...)
		restored.Generation = 2
		for _, tc := range []struct {
			name  string
			list  endpoint.List
			newer bool
			fails bool
		}{
			{"empty", list(9), false, true},
			{"equal", list(1, servers(4)...), false, false},
			{"newer", list(3, servers(1, 4)...), true, false},
			{"older", list(2, servers(5)...), false, false},
			{"next life", restored, true, false},
			{"former life", list(99, servers(6)...), false, false},
		} {
			newer, err := p.Offer(t.Context(), tc.list)
			if newer != tc.newer || (err != nil) != tc.fails {
				t.Errorf("%s: got %v, %v", tc.name, newer, err)
			}
		}
		if got := disk.writes - writes; got != 2 {
			t.Errorf("the file was written %d times, want once for each newer list", got)
		}

		next := newProxy(Options{Node: "worker", Files: disk}, defaultTiming())
		next.load(t.Context())
		if diff := cmp.Diff(p.known, next.known, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Errorf("the next process knows something else: %s", diff)
		}
		if got := next.State(); got.Generation != 2 || got.Sequence != 1 || got.Servers[0].Address != address(7) || !got.Servers[1].Retired {
			t.Errorf("got %+v", got)
		}
	})
}

func TestListIsWrittenWhenTheDiskHasRoomAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &memory{}
		p, _ := inWorld(t, 1, Options{Files: disk})
		disk.fill(true)
		if newer, err := p.Offer(t.Context(), list(2, servers(2)...)); !newer || err == nil {
			t.Errorf("got %v, %v", newer, err)
		}
		if p.State().Servers[0].Address != address(2) || p.State().Problem == "" {
			t.Errorf("the list has to be used all the same: %+v", p.State())
		}
		disk.fill(false)
		until(t, func() bool { return p.State().Problem == "" })
		if known, err := endpoint.DecodeKnown(disk.file); err != nil || known.List.Sequence != 2 {
			t.Errorf("the file holds %v, %v", known, err)
		}
	})
}

// fetcher knows one list, on one node.
type fetcher struct {
	mu    sync.Mutex
	node  netip.Addr
	list  endpoint.List
	asked int
}

func (f *fetcher) Fetch(ctx context.Context, node netip.Addr) (endpoint.List, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if node != f.node {
		<-ctx.Done()
		return endpoint.List{}, context.Cause(ctx)
	}
	return f.list, nil
}

func (f *fetcher) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func TestOthersAreAskedWhileNoServerIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		others := &fetcher{node: address(2).Addr(), list: list(5, servers(9)...)}
		p, w := inWorld(t, 3, Options{Fetcher: others})
		time.Sleep(time.Minute)
		if others.times() != 0 {
			t.Errorf("asked %d times while all was well", others.times())
		}
		w.set(lost, 1, 2, 3)
		until(t, func() bool { return p.State().Sequence == 5 && health(p, 9) == Ready })
		asked := others.times()
		time.Sleep(time.Minute)
		if others.times() != asked {
			t.Error("asked on after a server was found")
		}
	})
}

func TestServeWantsToKnowSomeone(t *testing.T) {
	p := New(t.Context(), Options{Node: "worker", Files: &memory{file: []byte("{")}, Path: "/known"})
	if err := p.Serve(t.Context()); err == nil {
		t.Error("started without any API server")
	}
	if p.State().Problem == "" {
		t.Error("a damaged file is not mentioned")
	}
}
