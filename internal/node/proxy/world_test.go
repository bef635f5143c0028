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
	"time"
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

func (m *memory) spoil(file []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.file = file
}

func (m *memory) content() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.file)
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
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
	p.load(t.Context())
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
