package hosttest_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

// The programs with which the conformance suite makes what the doors take away.
func programs(fake *hosttest.Fake) {
	leave := func(left hosttest.Leftovers) (host.Output, error) {
		fake.Leave(left)
		return host.Output{}, nil
	}
	fake.OnRun("ip", func(_ context.Context, c host.Command) (host.Output, error) {
		words := c.Args
		after := func(word string) string {
			if at := slices.Index(words, word); at >= 0 {
				return words[at+1]
			}
			return ""
		}
		switch strings.Join(words[:2], " ") {
		case "link add":
			return leave(hosttest.Leftovers{Links: []host.Link{{Name: words[2], Kind: after("type")}}})
		case "link set":
			if master := after("master"); master != "" {
				ctx := context.Background()
				if err := fake.Host().Links.Delete(ctx, words[2]); err != nil {
					return host.Output{}, err
				}
				return leave(hosttest.Leftovers{Links: []host.Link{{Name: words[2], Kind: "veth", Master: master}}})
			}
		case "address add":
			prefix := netip.MustParsePrefix(words[2])
			left := hosttest.Leftovers{Addresses: []host.Address{{Link: after("dev"), Prefix: prefix, Up: true}}}
			if !prefix.IsSingleIP() {
				left.Hops = []host.Hop{{Table: 254, Destination: prefix.Masked(), Link: after("dev"), Source: prefix.Addr(), Protocol: "kernel"}}
			}
			return leave(left)
		case "route add":
			return leave(hosttest.Leftovers{Hops: []host.Hop{{Table: 254, Destination: netip.MustParsePrefix(words[2]), Link: after("dev"), Protocol: after("proto")}}})
		}
		return host.Output{}, nil
	})
	fake.OnRun("mount", func(_ context.Context, c host.Command) (host.Output, error) {
		return leave(hosttest.Leftovers{Mounts: []host.Mount{{Type: c.Args[1], Source: c.Args[2], Path: c.Args[3]}}})
	})
	fake.OnRun("sleep", func(ctx context.Context, c host.Command) (host.Output, error) {
		process := host.Process{PID: 4711, Started: 7, Program: "/bin/sleep", Args: append([]string{"sleep"}, c.Args...)}
		fake.Leave(hosttest.Leftovers{Processes: []host.Process{process}})
		for {
			list, err := fake.Host().Processes.List(ctx)
			if err != nil || !slices.ContainsFunc(list, func(p host.Process) bool { return p.PID == process.PID }) {
				return host.Output{}, errors.Join(err, errors.New("killed"))
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func TestConformanceOfLeftovers(t *testing.T) {
	fake := hosttest.New()
	programs(fake)
	containerd(t, fake)
	hosttest.Conformance(t, func(*testing.T) *host.Host { return fake.Host() }, "/scratch",
		hosttest.Links, hosttest.Tables, hosttest.Mounts, hosttest.Processes, hosttest.Kernel, hosttest.Trees, hosttest.UnitTable, hosttest.Images, hosttest.Runtime)
}

func containerd(t *testing.T, fake *hosttest.Fake) {
	t.Helper()
	h, ctx := fake.Host(), t.Context()
	const unit = "containerd.service"
	err := h.Files.Write(ctx, "/etc/systemd/system/"+unit, strings.NewReader("[Service]\nExecStart=/opt/bin/containerd\n"), 0o644)
	if err = errors.Join(err, h.Units.Reload(ctx), h.Units.Start(ctx, unit)); err != nil {
		t.Fatal(err)
	}
}

// What a node leaves is what the doors show, and a containerd that is down answers nobody.
func TestNode(t *testing.T) {
	fake := hosttest.New()
	fake.LeaveNode()
	h, ctx := fake.Host(), t.Context()
	if _, err := h.Runtime.Sandboxes(ctx); err == nil {
		t.Error("containerd answers although it does not run")
	}
	if err := h.Files.Remove(ctx, "/var/lib/kubelet"); err == nil {
		t.Error("a volume is removed with its mount point")
	}
	containerd(t, fake)
	if err := h.Runtime.RemoveSandbox(ctx, "pod1", time.Second); err != nil {
		t.Fatal(err)
	}
	processes, err := h.Processes.List(ctx)
	if err != nil || len(processes) != 1 || processes[0].PID != 903 {
		t.Errorf("left %+v (%v), want the process of another container alone", processes, err)
	}
	if err := h.Processes.RemoveCgroup(ctx, "/kubepods.slice"); err != nil {
		t.Fatal(err)
	}
	cgroups, err := h.Processes.Cgroups(ctx, "kubepods")
	if err != nil || len(cgroups) > 0 {
		t.Errorf("left %q (%v)", cgroups, err)
	}
}
