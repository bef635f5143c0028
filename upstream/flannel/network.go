package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flannel-io/flannel/pkg/backend"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/lease"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/nftables"
	"k8s.io/klog/v2"

	_ "github.com/flannel-io/flannel/pkg/backend/hostgw"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
)

const (
	// annotationPrefix is flannel's own, so that other flannels understand our nodes.
	annotationPrefix = "flannel.alpha.coreos.com"
	// retryEvery is short because pods wait for it: a new node gets its pod CIDR a moment after it appears.
	retryEvery = time.Second
	// confirmEvery bounds how long a node whose object was deleted and made anew stays unknown to the others.
	confirmEvery = 15 * time.Second
)

// run brings the network up and keeps it until the context ends.
func run(ctx context.Context, opts options) error {
	var ready atomic.Bool
	if err := serveHealth(ctx, opts.Healthz, &ready); err != nil {
		return err
	}
	leases, config, err := connect(ctx, opts)
	if err != nil {
		return err
	}
	link, err := findLink(opts.NodeIPs)
	if err != nil {
		return err
	}
	klog.InfoS("Found link of node IP", "link", link.IfaceName, "mtu", link.Iface.MTU)

	var helpers sync.WaitGroup
	network, err := register(ctx, &helpers, leases, config, link)
	if err != nil {
		return err
	}
	if err := masquerade(ctx, config, network.Lease()); err != nil {
		return err
	}
	conflist, err := renderConflist(cniFacts(opts, config, network))
	if err != nil {
		return err
	}
	if err := writeAtomically(opts.CNIConf, conflist); err != nil {
		return fmt.Errorf("write CNI configuration: %w", err)
	}
	klog.InfoS("Network is up", "backend", config.BackendType, "subnet", network.Lease().Subnet.String(),
		"subnet6", network.Lease().IPv6Subnet.String(), "mtu", network.MTU(), "cniConf", opts.CNIConf)
	ready.Store(true)

	backendCtx, stopBackend := context.WithCancel(ctx)
	defer stopBackend()
	helpers.Go(func() { network.Run(backendCtx) })
	err = confirm(ctx, leases, network.Lease())
	stopBackend()
	helpers.Wait()
	return err
}

// connect makes flannel's view of the nodes, which is the API's, and reads the network configuration.
func connect(ctx context.Context, opts options) (subnet.Manager, *subnet.Config, error) {
	// The library asks the environment for the node's name and knows no other way.
	if err := os.Setenv("NODE_NAME", opts.NodeName); err != nil {
		return nil, nil, fmt.Errorf("set node name: %w", err)
	}
	leases, err := kube.NewSubnetManager(ctx, "", opts.Kubeconfig, annotationPrefix, opts.Config, false)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the API: %w", err)
	}
	config, err := leases.GetNetworkConfig(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("get network configuration: %w", err)
	}
	if !config.EnableNFTables {
		return nil, nil, fmt.Errorf("read %s: EnableNFTables is not true, but this flanneld has nftables only", opts.Config)
	}
	return leases, config, nil
}

// register sets up the backend's devices and writes this node's annotations; it tries until the node has a pod CIDR.
func register(ctx context.Context, helpers *sync.WaitGroup, leases subnet.Manager, config *subnet.Config,
	link *backend.ExternalInterface) (backend.Network, error) {
	kind, err := backend.NewManager(ctx, leases, link).GetBackend(config.BackendType)
	if err != nil {
		return nil, fmt.Errorf("find backend %q (there are vxlan and host-gw): %w", config.BackendType, err)
	}
	for {
		network, err := kind.RegisterNetwork(ctx, helpers, config)
		if err == nil {
			return network, nil
		}
		klog.InfoS("Network is not up yet, trying again", "reason", err.Error())
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("register network: %w", errors.Join(ctx.Err(), err))
		case <-time.After(retryEvery):
		}
	}
}

// masquerade makes what pods send out of the cluster leave with the node's address.
func masquerade(ctx context.Context, config *subnet.Config, own *lease.Lease) error {
	var rules nftables.NFTablesManager
	if err := rules.Init(ctx); err != nil {
		return fmt.Errorf("set up nftables: %w", err)
	}
	// The former subnets matter to the iptables variant alone: here each start writes the whole chain.
	err := rules.SetupAndEnsureMasqRules(ctx, config.Network, ip.IP4Net{}, ip.IP4Net{},
		config.IPv6Network, ip.IP6Net{}, ip.IP6Net{}, own, 0, false)
	if err != nil {
		return fmt.Errorf("set up masquerading: %w", err)
	}
	return nil
}

// confirm repeats the node's annotations where they are gone, and ends when the node got another pod CIDR:
// only a fresh start brings bridge, rules and backend over to that.
func confirm(ctx context.Context, leases subnet.Manager, own *lease.Lease) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(confirmEvery):
		}
		attributes := own.Attrs
		now, err := leases.AcquireLease(ctx, &attributes)
		if err != nil {
			klog.InfoS("Could not confirm this node's annotations, trying again", "reason", err.Error())
			continue
		}
		if !now.Subnet.Equal(own.Subnet) || now.IPv6Subnet.String() != own.IPv6Subnet.String() {
			return fmt.Errorf("this node's pod CIDR changed from %s %s to %s %s", own.Subnet, own.IPv6Subnet, now.Subnet, now.IPv6Subnet)
		}
	}
}

func cniFacts(opts options, config *subnet.Config, network backend.Network) cni {
	facts := cni{MTU: network.MTU(), DataDir: opts.CNIDataDir}
	own := network.Lease()
	if config.EnableIPv4 {
		facts.Ranges = append(facts.Ranges, cniRange{Cluster: config.Network.String(), Node: own.Subnet.String()})
	}
	if config.EnableIPv6 {
		facts.Ranges = append(facts.Ranges, cniRange{Cluster: config.IPv6Network.String(), Node: own.IPv6Subnet.String()})
	}
	return facts
}
