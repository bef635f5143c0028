package proxy

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

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

// The file is all that the next process knows.
func TestLostFileComesBack(t *testing.T) {
	for name, spoiled := range map[string][]byte{"deleted": nil, "damaged": []byte("{"), "cut short": []byte(`{"list":`)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &memory{}
				p, _ := inWorld(t, 1, Options{Files: disk})
				writes := disk.count()
				disk.spoil(spoiled)
				time.Sleep(time.Minute)
				known, err := endpoint.DecodeKnown(disk.content())
				if err != nil || known.List.Sequence != 1 || p.State().Problem != "" {
					t.Errorf("the file holds %v, %v; the problem is %q", known, err, p.State().Problem)
				}
				if got := disk.count() - writes; got != 1 {
					t.Errorf("it was written %d times, want once", got)
				}
			})
		})
	}
}

// What has left is forgotten in time, whether a newer list comes or not.
func TestRetiredAddressesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		since := time.Now().Add(time.Minute - 30*24*time.Hour)
		known := endpoint.Known{List: list(1, servers(2)...), Retired: []endpoint.Retired{{Node: "cp-1", Address: address(1), Since: since}}}
		file, err := known.Encode()
		if err != nil {
			t.Fatal(err)
		}
		disk := &memory{file: file}
		p, _ := inWorld(t, 2, Options{Files: disk}) // its list is no newer
		if got := preferred(p); !slices.Equal(got, []int{2, 1}) {
			t.Errorf("before its time is over the servers are %v", got)
		}
		time.Sleep(time.Minute)
		if got := preferred(p); !slices.Equal(got, []int{2}) {
			t.Errorf("after that the servers are %v", got)
		}
		if known, err := endpoint.DecodeKnown(disk.content()); err != nil || len(known.Retired) > 0 {
			t.Errorf("the file holds %v, %v", known, err)
		}
		next := newProxy(Options{Node: "worker", Files: &memory{file: file}}, defaultTiming())
		next.load(t.Context())
		if got := preferred(next); !slices.Equal(got, []int{2}) {
			t.Errorf("a process that starts then knows %v", got)
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
