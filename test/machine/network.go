package machine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
)

// Network joins machines by a bridge of the host. Machines on it reach each other and the bridge's own address
// (Gateway), and nothing else: they have no default route and no DNS, and the host drops what they send elsewhere
// all the same. The host reaches every machine.
type Network struct {
	engine  *Engine
	run     Run
	name    string // without the prefix
	full    string
	subnet  netip.Prefix
	bridge  string
	booting sync.Mutex // guards the choice of the next free address
}

// CreateNetwork makes the network, or opens the one of that name. Without a subnet a free /24 is chosen.
func (e *Engine) CreateNetwork(ctx context.Context, run Run, name string, subnet netip.Prefix) (*Network, error) {
	full, err := run.full(name)
	if err != nil {
		return nil, err
	}
	candidates := []netip.Prefix{subnet.Masked()}
	if !subnet.IsValid() {
		candidates = freeSubnets(full)
	} else if !subnet.Addr().Is4() || subnet.Bits() > 28 {
		return nil, fmt.Errorf("create network %s: subnet %s is not IPv4, or smaller than a /28", full, subnet)
	}
	network, err := e.openNetwork(ctx, run, name)
	if err != nil {
		return nil, err
	}
	if network != nil {
		if subnet.IsValid() && network.subnet != candidates[0] {
			return nil, fmt.Errorf("create network %s: it is there already, with subnet %s", full, network.subnet)
		}
		// A network that stays may have lost its table to a reboot of the host. If not, its count goes on.
		if _, err := network.PacketsLeft(ctx); err != nil {
			return network, network.fence(ctx)
		}
		return network, nil
	}
	for _, candidate := range candidates {
		err = e.run(ctx, IO{}, e.networkArguments(run, name, full, candidate)...)
		if err == nil {
			break
		}
		if taken := err.Error(); !strings.Contains(taken, "already used") && !strings.Contains(taken, "overlap") {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("create network %s: %w", full, err)
	}
	if network, err = e.openNetwork(ctx, run, name); err != nil {
		return nil, err
	}
	if network == nil {
		return nil, fmt.Errorf("create network %s: it is gone again", full)
	}
	return network, network.fence(ctx)
}

func (e *Engine) networkArguments(run Run, name, full string, subnet netip.Prefix) []string {
	args := []string{"network", "create", "--internal", "--subnet", subnet.String(),
		"--gateway", subnet.Addr().Next().String()} // said by hand: Podman gives the bridge of an internal network no address otherwise
	if e.docker() {
		args = append(args, "--opt", dockerBridge+"="+bridgeName(full))
	} else {
		args = append(args, "--disable-dns")
	}
	args = append(args, run.labels(labelName+"="+name, labelSubnet+"="+subnet.String())...)
	return append(args, full)
}

// openNetwork returns nil if there is no such network.
func (e *Engine) openNetwork(ctx context.Context, run Run, name string) (*Network, error) {
	full, err := run.full(name)
	if err != nil {
		return nil, err
	}
	var info struct {
		Labels    map[string]string
		Options   map[string]string
		Interface string `json:"network_interface"` // Podman's
	}
	if found, err := e.inspect(ctx, "network", full, &info); err != nil || !found {
		return nil, err
	}
	subnet, err := netip.ParsePrefix(info.Labels[labelSubnet])
	if err != nil || info.Labels[labelRun] != run.Prefix {
		return nil, fmt.Errorf("open network %s: it is not one of run %s", full, run.Prefix)
	}
	network := &Network{engine: e, run: run, name: name, full: full, subnet: subnet, bridge: info.Interface}
	if e.docker() {
		network.bridge = info.Options[dockerBridge]
	}
	return network, nil
}

// Subnet holds the addresses of the network.
func (n *Network) Subnet() netip.Prefix { return n.subnet }

// Gateway is the host's address on the bridge: a server of the host that listens there is reachable by machines.
func (n *Network) Gateway() netip.Addr { return n.subnet.Addr().Next() }

// fence drops, and counts, what tries to leave the network.
func (n *Network) fence(ctx context.Context) error {
	rules := strings.NewReplacer("TABLE", n.full, "BRIDGE", n.bridge, "GATEWAY", n.Gateway().String(),
		"BROADCAST", broadcast(n.subnet).String()).Replace(`
		table inet TABLE
		delete table inet TABLE
		table inet TABLE {
			counter left { }
			chain forward {
				type filter hook forward priority -10; policy accept;
				iifname "BRIDGE" oifname != "BRIDGE" counter name left drop
				oifname "BRIDGE" iifname != "BRIDGE" drop
			}
			chain input {
				type filter hook input priority -10; policy accept;
				iifname "BRIDGE" ip daddr != { GATEWAY, BROADCAST, 255.255.255.255, 224.0.0.0/4 } counter name left drop
				iifname "BRIDGE" ip6 daddr != { fe80::/10, ff00::/8 } counter name left drop
			}
		}`)
	if err := run(ctx, []string{"nft", "-f", n.full}, IO{In: strings.NewReader(rules)}, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("fence network %s: %w", n.full, err)
	}
	return nil
}

// PacketsLeft counts the packets that came from the bridge into the host and wanted to go anywhere but back to the
// bridge: those that the host was to forward to another link, and those to an address of the host other than
// Gateway (multicast, broadcast and IPv6 link-local not counted). All of them were dropped. Not counted is what
// never reached the host: traffic between machines, and what a machine could not send for want of a route;
// also IPv6 packets for elsewhere on a host that does not forward IPv6.
func (n *Network) PacketsLeft(ctx context.Context) (uint64, error) {
	var out strings.Builder
	command := []string{"nft", "-j", "list", "counter", "inet", n.full, "left"}
	if err := run(ctx, command, IO{Out: &out}, command...); err != nil {
		return 0, fmt.Errorf("count packets that left network %s: %w", n.full, err)
	}
	var answer struct {
		Nftables []struct {
			Counter *struct{ Packets uint64 }
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &answer); err != nil {
		return 0, fmt.Errorf("count packets that left network %s: %w", n.full, err)
	}
	for _, item := range answer.Nftables {
		if item.Counter != nil {
			return item.Counter.Packets, nil
		}
	}
	return 0, fmt.Errorf("count packets that left network %s: no counter in the answer", n.full)
}

// removeFence is done before the network is removed, so that no table is left that no network leads to.
func removeFence(ctx context.Context, full string) error {
	command := []string{"nft", "delete", "table", "inet", full}
	err := run(ctx, command, IO{}, command...)
	var failed *CommandError
	if errors.As(err, &failed) && strings.Contains(failed.Output, "No such file") {
		return nil
	}
	return err
}

const dockerBridge = "com.docker.network.bridge.name"

// bridgeName fits the kernel's 15 characters.
func bridgeName(full string) string {
	sum := sha256.Sum256([]byte(full))
	return "ga" + hex.EncodeToString(sum[:6])
}

// freeSubnets are the /24s to try, in an order that differs by name, so that runs side by side seldom collide.
// 10.219.0.0/16 is none of the usual pod, service and node networks, and no default of Docker or Podman.
func freeSubnets(full string) []netip.Prefix {
	sum := sha256.Sum256([]byte(full))
	candidates := make([]netip.Prefix, 0, 256)
	for i := range 256 {
		candidates = append(candidates, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 219, sum[0] + byte(i), 0}), 24))
	}
	return candidates
}

func broadcast(subnet netip.Prefix) netip.Addr {
	bytes := subnet.Addr().As4()
	number := binary.BigEndian.Uint32(bytes[:]) | (1<<(32-subnet.Bits()) - 1)
	binary.BigEndian.PutUint32(bytes[:], number)
	return netip.AddrFrom4(bytes)
}
