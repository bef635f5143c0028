// Package hosttest turns a Host into a machine in memory that records its changes and fails where it is told to.
// Used by tests of the node agent and the host steps, and by both hosts' conformance tests.
package hosttest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"net/netip"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Fake is a machine in memory. Its methods may be called while the machine is in use.
type Fake struct {
	mu      sync.Mutex
	log     []string
	changes int
	failAt  map[int]error
	failOn  map[string]error

	tree       tree
	units      map[string]*unit
	images     map[string]host.Image
	blobs      map[string][]byte
	addresses  []host.Address
	source     netip.Addr
	routes     []host.Route
	facts      host.Facts
	programs   map[string]Program
	locks      locks
	inspection inspection
	running    running
	left       Leftovers
	service    passed
}

// Program answers for a program that is run.
type Program func(ctx context.Context, command host.Command) (host.Output, error)

// New returns an empty machine: root on systemd and cgroup 2, amd64, one card "eth0" with 192.0.2.10/24 and a default route.
func New() *Fake {
	address := netip.MustParseAddr("192.0.2.10")
	return &Fake{
		failAt: map[int]error{},
		failOn: map[string]error{},
		tree:   newTree(),
		units:  map[string]*unit{},
		images: map[string]host.Image{},
		blobs:  map[string][]byte{},
		addresses: []host.Address{
			{Link: "lo", Prefix: netip.MustParsePrefix("127.0.0.1/8"), Up: true},
			{Link: "eth0", Prefix: netip.PrefixFrom(address, 24), Physical: true, Up: true},
		},
		source: address,
		routes: []host.Route{{Destination: netip.MustParsePrefix("192.0.2.0/24"), Link: "eth0", Source: address}},
		facts: host.Facts{
			HostName: "machine-0", Architecture: "amd64", Kernel: "6.1.0-35-amd64", CgroupVersion: 2, Systemd: true, LowersOOMScore: true,
			Nameservers: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Root: true, Memory: 4 << 30, CPUs: 2,
			Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ClockSynchronised: true,
		},
		programs:   map[string]Program{},
		inspection: newInspection(),
		left:       newLeftovers(),
	}
}

// Host returns the machine's door. All doors lead to the same machine, so a second one is a second run of a program.
func (f *Fake) Host() *host.Host {
	return &host.Host{
		Files:     files{f},
		Units:     unitDoor{f},
		Images:    imageDoor{f},
		Content:   contentDoor{f},
		Network:   networkDoor{f},
		Service:   serviceDoor{f},
		Runner:    runnerDoor{f},
		Prober:    proberDoor{f},
		Locks:     &f.locks,
		Inspector: inspectorDoor{f},
		Observer:  observerDoor{f},
		Links:     linksDoor{f},
		Tables:    tablesDoor{f},
		Mounts:    mountsDoor{f},
		Processes: processesDoor{f},
		Kernel:    kernelDoor{f},
		UnitTable: unitTableDoor{f},
		Runtime:   runtimeDoor{f},
		Trees:     treesDoor{f},
	}
}

// Log returns the changes so far, in order, one line each. Calls that change nothing because it is so already are in it
// too where the real host would write (write, link, start …), but not those that only look.
//
//	write /etc/x 0644 sha256:0123456789ab     link /etc/y -> x           mkdir /var/z 65532:65532 0700    remove /etc/x
//	reload     enable k.service     disable k.service     start k.service     restart k.service     stop k.service
//	import registry/repo:tag sha256:0123456789ab pinned     store registry/repo:tag sha256:0123456789ab     release registry/repo:tag
//	route 10.0.0.0/16 dev eth0 src 192.0.2.10     run /bin/x -a b
//	delete link cni0     delete address 240.0.0.1/32 dev lo     delete route 10.0.0.0/16 dev eth0     delete table ip kube-proxy
//	unmount /x     kill 42 /bin/x     remove cgroup /x     set net/ipv4/ip_forward 0     forget k.service     remove sandbox ID     clear k8s.io
func (f *Fake) Log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.log...)
}

// ClearLog forgets the changes so far.
func (f *Fake) ClearLog() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = nil
}

// FailAt makes the n-th change from now (the next one is 1) fail once with err, without effect, as if the program
// had been killed before it.
func (f *Fake) FailAt(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failAt[f.changes+n] = err
}

// FailOn makes every operation fail, without effect, whose line begins with the given words ("restart kubelet.service",
// "write /etc/kubernetes"; also those that only look: "read /etc/x", "state kubelet.service", "ready"). A nil err ends it.
func (f *Fake) FailOn(operation string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.failOn, operation)
		return
	}
	f.failOn[operation] = err
}

// SetFacts sets what the prober finds.
func (f *Fake) SetFacts(facts host.Facts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.facts = facts
}

// SetNetwork sets the addresses, the default route's source (the zero Addr for no default route) and the other routes.
func (f *Fake) SetNetwork(addresses []host.Address, source netip.Addr, routes ...host.Route) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addresses, f.source, f.routes = addresses, source, routes
}

// OnRun lets answer answer for the program of that path; one without an answer is not there.
func (f *Fake) OnRun(path string, answer Program) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.programs[path] = answer
}

// change records a change, or returns the error that it is to fail with. The caller holds the lock.
func (f *Fake) change(ctx context.Context, line string) error {
	if err := f.look(ctx, line); err != nil {
		return err
	}
	f.changes++
	if err := f.failAt[f.changes]; err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	f.log = append(f.log, line)
	return nil
}

// look returns the error that an operation is to fail with. The caller holds the lock.
func (f *Fake) look(ctx context.Context, line string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	for operation, err := range f.failOn {
		if strings.HasPrefix(line, operation) {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

// short is enough of a hex digest to see a change.
func short(hex string) string {
	return "sha256:" + strings.TrimPrefix(hex, "sha256:")[:12]
}
