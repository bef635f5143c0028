// Command flanneld turns a node's pod CIDR into pod networking: flannel's backend, masquerading and the CNI configuration;
// used as the cluster's own network, one per node, in the host network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"k8s.io/klog/v2"
)

// options are the command line.
type options struct {
	Kubeconfig string
	Config     string
	NodeName   string
	NodeIPs    []net.IP
	CNIConf    string
	CNIDataDir string
	Healthz    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	opts, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, opts)
	}
	klog.Flush()
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "flanneld:", err)
		os.Exit(1)
	}
}

func parseOptions(args []string) (options, error) {
	var o options
	var nodeIPs string
	flags := flag.NewFlagSet("flanneld", flag.ContinueOnError)
	klog.InitFlags(flags)
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file; empty for the pod's service account")
	flags.StringVar(&o.Config, "config", "/etc/kube-flannel/net-conf.json", "flannel's network configuration: Network, EnableNFTables, Backend")
	flags.StringVar(&o.NodeName, "node-name", "", "name of this node's object")
	flags.StringVar(&nodeIPs, "node-ip", "", "address that other nodes reach this node at; two of different families, separated by a comma, for dual stack")
	flags.StringVar(&o.CNIConf, "cni-conf", "/etc/cni/net.d/10-flannel.conflist", "CNI configuration file, written when the network is up")
	flags.StringVar(&o.CNIDataDir, "cni-data-dir", "/var/lib/cni/networks", "where host-local keeps the addresses in use")
	flags.StringVar(&o.Healthz, "healthz-bind-address", "", "HOST:PORT to serve /healthz and /readyz at; empty for none")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.NodeName == "" || nodeIPs == "" {
		return o, errors.New("--node-name and --node-ip are required")
	}
	for _, text := range strings.Split(nodeIPs, ",") {
		ip := net.ParseIP(text)
		if ip == nil {
			return o, fmt.Errorf("--node-ip: %q is not an IP address", text)
		}
		o.NodeIPs = append(o.NodeIPs, ip)
	}
	return o, nil
}
