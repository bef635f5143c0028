package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ofOthers are things that somebody else has on a machine; they are there after a reset as before.
const ofOthers = `
mkdir -p /opt/bin /etc/systemd/system /etc/sysctl.d
echo 'mine' >/opt/bin/mine
echo 'vm.swappiness = 42' >/etc/sysctl.d/90-mine.conf; sysctl -q -p /etc/sysctl.d/90-mine.conf
printf '[Service]\nExecStart=/bin/sleep infinity\n' >/etc/systemd/system/mine.service; systemctl daemon-reload; systemctl start mine.service
ip link add mine0 type veth peer name mine1; for l in mine0 mine1; do echo 1 >/proc/sys/net/ipv6/conf/$l/disable_ipv6; done; ip addr add 192.0.2.77/32 dev mine0; ip link set mine0 up; ip route add 198.51.100.0/24 dev mine0`

// rejoins resets the worker and joins it again under its name, several times; nothing is left on it in between.
func (c *cluster) rejoins(worker *host, rounds int) {
	c.reset(worker)
	worker.run("bash", "-ec", ofOthers)
	worker.nft("add table inet mine; add chain inet mine c { type filter hook input priority 5; }")
	before := worker.run("bash", "-c", machineState)
	for round := range rounds {
		worker.run("bash", "-c", c.joinLine())
		c.ready()
		c.reset(worker)
		c.sameMachine(fmt.Sprintf("round %d", round+1), before, worker.run("bash", "-c", machineState))
	}
	for _, command := range []string{"test -s /opt/bin/mine", "systemctl is-active mine.service", "ip route show 198.51.100.0/24 | grep mine0", "test $(sysctl -n vm.swappiness) = 42"} {
		worker.run("bash", "-c", command)
	}
	worker.nft("delete table inet mine") // fails if it is not there
	worker.run("bash", "-c", "ip link del mine0; systemctl stop mine.service; rm -r /opt/bin/mine /etc/systemd/system/mine.service /etc/sysctl.d/90-mine.conf; systemctl daemon-reload")
	worker.run("bash", "-c", c.joinLine())
	c.ready()
}

// TestChaosRejoin does it as often as issue 5 says.
func TestChaosRejoin(t *testing.T) {
	chaos(t)
	c := newStory(t).newCluster("worker-1")
	c.rejoins(c.workers[0], 5)
}

// reset takes the machine out of the cluster, and asks it what is left.
func (c *cluster) reset(worker *host) {
	c.Helper()
	worker.run("gardenadm", "reset", "--yes")
	c.nodeIsGone(worker)
	c.leavesNothing(worker)
}

// leavesNothing: the machine's own comparison with how it was finds no difference, without a reboot.
func (c *cluster) leavesNothing(worker *host) {
	c.Helper()
	out, err := worker.Exec(c.ctx, "gardenadm", "reset", "--verify", "-o", "json")
	var verified struct {
		Clean       bool
		Differences []difference
	}
	if decodeErr := json.Unmarshal([]byte(out.Stdout), &verified); decodeErr != nil {
		c.Fatalf("reset --verify on %s: %v, %v:\n%s%s", worker.Name(), err, decodeErr, out.Stdout, out.Stderr)
	}
	clean := true
	for _, one := range verified.Differences {
		if one.Tolerated != "" {
			continue
		}
		clean = false
		if !one.ofBooting() {
			c.Errorf("left on %s: %+v", worker.Name(), one)
		}
	}
	if verified.Clean != clean || (err == nil) != clean {
		c.Errorf("reset --verify on %s says %t and %v of\n%s", worker.Name(), verified.Clean, err, out.Stdout)
	}
}

// difference is one of those that reset --verify prints.
type difference struct{ Kind, Item, Change, Is, Tolerated string }

// ofBooting says that another machine container has booted meanwhile, of another package's tests for one: there is one fs.file-max for
// all of them, and systemd raises it to the most there is.
func (d difference) ofBooting() bool {
	return d.Kind == "kernel setting" && d.Item == "fs/file-max" && d.Is == strconv.Itoa(math.MaxInt64)
}

// nodeIsGone: with the Node go its lease and the requests for its certificates.
func (c *cluster) nodeIsGone(worker *host) {
	c.Helper()
	c.eventually("nothing of "+worker.Name()+" is in the API", time.Minute, func() error {
		out, err := c.cp.kubectl("get", "nodes,leases,csr", "-A", "--no-headers", "-o", "custom-columns=K:.kind,N:.metadata.name,U:.spec.username")
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if regexp.MustCompile(`\b` + worker.Name() + `\s|:` + worker.Name() + `\s`).MatchString(line) {
				return fmt.Errorf("there is %s", strings.TrimSpace(line))
			}
		}
		return nil
	})
}

// kernelOwn are settings that come with a module of the kernel, and figures that the kernel changes itself.
var kernelOwn = regexp.MustCompile(`^/proc/sys/net/(netfilter|bridge|ipv[46]/vs|ipv4/tcp_mem|ipv4/udp_mem)|conntrack|^[a-z_0-9]+ [0-9]+ [0-9]+ .* (Live|Loading) `)

// times are those of a directory: they change when something is made in it and removed again.
var times = regexp.MustCompile(`(?m)^(/\S* d \d+ \d+:\d+) .*$`)

// sameMachine compares two looks at a machine by our own eyes, not by the record that reset trusts.
func (c *cluster) sameMachine(when, before, after string) {
	c.Helper()
	old, now := strings.Split(times.ReplaceAllString(before, "$1"), "\n"), strings.Split(times.ReplaceAllString(after, "$1"), "\n")
	for _, line := range only(old, now) {
		if !kernelOwn.MatchString(line) && !passing(line) {
			c.Errorf("%s: gone is %s", when, line)
		}
	}
	for _, line := range only(now, old) {
		if !kernelOwn.MatchString(line) && !passing(line) {
			c.Errorf("%s: left is %s", when, line)
		}
	}
}

// passing says that a line of a machine's state is about this moment: a run's lock.
func passing(line string) bool { return strings.HasPrefix(line, "/run/gardenadm") }

// nodeIsRemoved: the Node goes while its machine is off. Nothing keeps the machine from making it again when it is back: it has to be reset,
// which takes that Node out, too.
func (c *cluster) nodeIsRemoved(worker *host) {
	worker.run("bash", "-c", c.joinLine()) // it is a node, whatever became of the parts before
	check(c, worker.Stop(c.ctx))
	c.cp.run("gardenadm", "node", "remove", worker.Name(), "--force")
	c.nodeIsGone(worker)
	check(c, worker.Start(c.ctx))
	worker.run("gardenadm", "reset", "--yes")
	c.leavesNothing(worker)
	c.nodeIsGone(worker)
}

// resetsAlone: with the API gone a worker gives its machine back all the same, and says what it could not do.
func (c *cluster) resetsAlone(worker *host) {
	check(c, c.cp.Stop(c.ctx))
	out, err := worker.Exec(c.ctx, "gardenadm", "reset", "--yes")
	if err != nil || !strings.Contains(out.Stderr, "gardenadm node remove "+worker.Name()) {
		c.Errorf("reset without an API: %v, and no word of node remove:\n%s", err, tail(out.Stderr, 12))
	}
	c.leavesNothing(worker)
	check(c, c.cp.Start(c.ctx))
	c.eventually("the API server is there again", 2*time.Minute, func() error {
		_, err := c.cp.kubectl("get", "--raw=/readyz")
		return err
	})
	c.cp.run("gardenadm", "node", "remove", worker.Name(), "--force")
	c.nodeIsGone(worker)
}

// controlPlaneIsReset: the machine is as it was before init, and init makes a new cluster of it.
func (c *cluster) controlPlaneIsReset() {
	authority := c.cp.run("sha256sum", "/var/lib/gardener-node-agent/cluster-ca.crt")
	if out, err := c.cp.Exec(c.ctx, "gardenadm", "reset", "--yes"); err == nil || !strings.Contains(out.Stderr, "--etcd-data") {
		c.Errorf("reset of a control plane node without a word about etcd's data: %v\n%s", err, tail(out.Stderr, 12))
	}
	c.cp.run("gardenadm", "reset", "--yes", "--etcd-data=remove")
	c.leavesNothing(c.cp)
	c.cp.run("gardenadm", "init", "--bundle", "/root/bundle")
	c.ready()
	if now := c.cp.run("sha256sum", "/var/lib/gardener-node-agent/cluster-ca.crt"); now == authority {
		c.Error("the new cluster has the authority of the old one")
	}
}
