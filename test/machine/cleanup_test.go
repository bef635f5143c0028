package machine_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/test/machine"
)

// residue lists all that the engine and nftables know of the run.
func residue(t *testing.T, engine *machine.Engine, prefix string) string {
	t.Helper()
	var found strings.Builder
	for _, list := range [][]string{
		{engine.Name(), "ps", "--all", "--format", "{{.Names}}"}, {engine.Name(), "volume", "ls"}, {engine.Name(), "network", "ls"},
		{"nft", "list", "tables"}} {
		out, err := exec.Command(list[0], list[1:]...).Output()
		ok(t, err)
		for _, line := range strings.Split(string(out), "\n") {
			if strings.Contains(line, prefix+"-") {
				fmt.Fprintf(&found, "%v: %s\n", list, line)
			}
		}
	}
	return found.String()
}

func TestCleanupLeavesNothing(t *testing.T) {
	ctx, engine, run := start(t)
	net := network(t, ctx, engine, run)
	boot(t, ctx, net, "m1")
	ok(t, boot(t, ctx, net, "m2").Kill(ctx))
	ok(t, boot(t, ctx, net, "m3").Pause(ctx))
	if residue(t, engine, run.Prefix) == "" {
		t.Error("nothing is found of a living run: the check is blind")
	}
	ok(t, engine.Cleanup(ctx, run.Prefix))
	if left := residue(t, engine, run.Prefix); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	ok(t, engine.Cleanup(ctx, run.Prefix)) // nothing to do is no error
}

func TestSweepRemovesDeadRunsOnly(t *testing.T) {
	ctx, engine, run := start(t)
	dead := exec.Command("true")
	ok(t, dead.Run())
	runs := map[string]machine.Run{
		"living":     {Prefix: run.Prefix + "-living", PID: run.PID},
		"dead":       {Prefix: run.Prefix + "-dead", PID: dead.Process.Pid},
		"persistent": {Prefix: run.Prefix + "-stays"},
	}
	for _, run := range runs {
		t.Cleanup(func() { ok(t, engine.Cleanup(context.Background(), run.Prefix)) })
		_, err := engine.CreateNetwork(ctx, run, "net", netip.Prefix{})
		ok(t, err)
	}
	net := network(t, ctx, engine, runs["dead"])
	boot(t, ctx, net, "m1")
	ok(t, engine.Sweep(ctx))
	for name, run := range runs {
		if left := residue(t, engine, run.Prefix); (left == "") != (name == "dead") {
			t.Errorf("%s run after the sweep:\n%s", name, left)
		}
	}
}

func TestNetworkIsFoundAgain(t *testing.T) {
	ctx, engine, run := start(t)
	subnet := netip.MustParsePrefix("10.218.7.0/24")
	first, err := engine.CreateNetwork(ctx, run, "net", subnet)
	ok(t, err)
	again, err := engine.CreateNetwork(ctx, run, "net", netip.Prefix{})
	ok(t, err)
	if first.Subnet() != subnet || again.Subnet() != subnet || again.Gateway() != netip.MustParseAddr("10.218.7.1") {
		t.Errorf("got %v and %v", first.Subnet(), again.Subnet())
	}
	if _, err := engine.CreateNetwork(ctx, run, "net", netip.MustParsePrefix("10.218.8.0/24")); err == nil {
		t.Error("another subnet for the same network is no error")
	}
	if _, err := engine.CreateNetwork(ctx, run, "Bad_name", subnet); err == nil {
		t.Error("a bad name is no error")
	}
	ok(t, exec.Command("nft", "delete", "table", "inet", run.Prefix+"-net").Run()) // as after a reboot of the host
	third, err := engine.CreateNetwork(ctx, run, "net", subnet)
	ok(t, err)
	if _, err := third.PacketsLeft(ctx); err != nil {
		t.Error(err)
	}
}
