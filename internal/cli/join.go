package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/sequence"
)

// joinOptions are the flags of join.
type joinOptions struct {
	token     string
	tokenFile string
	pins      []string
	authority string
	pool      string
	zone      string
	nodeIP    string
	logFormat string
	skip      []string
	control   bool
	dryRun    bool
}

func joinCommand(streams Streams) *cobra.Command {
	var options joinOptions
	command := &cobra.Command{
		Use: "join ADDRESS...", Short: "Make this machine a node of a cluster",
		Long: "Makes this machine a worker of the cluster whose control plane nodes have the addresses, with nothing from elsewhere.\n" +
			"gardenadm token create --print-join-command, on a control plane node, prints the whole line. It can be run again after a failure or a\n" +
			"crash at any point and goes on where it has to. On a command line everybody on the machine sees a token: --token-file reads it from a\n" +
			"file, - from standard input.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("name the address of a control plane node")}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			return runJoin(command.Context(), options, args, streams)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.token, "token", "", "bootstrap token, - for standard input")
	flags.StringVar(&options.tokenFile, "token-file", "", "file with the bootstrap token, - for standard input")
	flags.StringSliceVar(&options.pins, "ca-pin", nil, "pin of the cluster's authority (can be repeated; one must fit)")
	flags.StringVar(&options.authority, "ca-certificate", "", "the cluster's authorities instead of a pin: a PEM bundle in base64")
	flags.StringVarP(&options.pool, "worker-pool-name", "w", "", "worker pool to join (default: the first one of the Shoot)")
	flags.StringVarP(&options.zone, "zone", "z", "", "this machine's zone, when the pool has several")
	flags.StringVar(&options.nodeIP, "node-ip", "", "this machine's address in the cluster (default: source of the default route, else the only address)")
	flags.BoolVar(&options.control, "control-plane", false, "join as a node of the control plane (not in this release)")
	flags.BoolVar(&options.dryRun, "dry-run", false, "make all checks, say what the machine would be, and change nothing")
	flags.StringVar(&options.logFormat, "log-format", "text", "progress on stderr as text or json")
	skipFlag(flags, &options.skip)
	return command
}

func runJoin(ctx context.Context, options joinOptions, args []string, streams Streams) error {
	announce(streams.Err, options.logFormat)
	story, err := options.story(ctx, args)
	if err != nil {
		return err
	}
	story.Host = host.New()
	defer story.Host.Close() //nolint:errcheck // the process ends
	run := story.Run
	if options.dryRun {
		run = story.Look().Run
	}
	observer, closeObserver := newObserver(options.logFormat, streams)
	err = run(ctx, observer)
	closeObserver()
	printWarnings(streams.Err, story.Machine.Warnings, options.logFormat)
	if err != nil {
		return err
	}
	printJoined(streams, story, options.dryRun)
	return nil
}

// story checks the flags; nothing is asked for yet.
func (o joinOptions) story(ctx context.Context, args []string) (*sequence.Join, error) {
	out := &sequence.Join{Pool: o.pool, Zone: o.zone, SkipChecks: o.skip}
	var err error
	if out.Addresses, err = parseServers(args); err != nil {
		return nil, err
	}
	if out.NodeIP, err = parseNodeIP(o.nodeIP); err != nil {
		return nil, err
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		return nil, usageError{fmt.Errorf("--log-format: %q is unknown: use text or json", o.logFormat)}
	}
	if o.control {
		return nil, fault.New(fault.ControlPlanePool, "--control-plane: machines join as workers")
	}
	if out.Trust, err = o.trust(ctx); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, preconditionError{fmt.Errorf("join changes the whole machine: run it as root")}
	}
	program, err := os.Executable()
	if err == nil {
		out.Program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return nil, fmt.Errorf("find the running program: %w", err)
	}
	return out, nil
}

// trust reads whom to believe, and the token last: it may come from a pipe.
func (o joinOptions) trust(ctx context.Context) (token.Trust, error) {
	var out token.Trust
	for _, text := range o.pins {
		pin, err := token.ParsePin(text)
		if err != nil {
			return out, err
		}
		out.Pins = append(out.Pins, pin)
	}
	if o.authority != "" {
		bundle, err := base64.StdEncoding.DecodeString(o.authority)
		if err == nil {
			_, err = token.PinOf(bundle)
		}
		if err != nil {
			return out, fault.New(fault.BadFlag, "--ca-certificate: it is not a PEM bundle in base64: %w", err)
		}
		out.CA = bundle
	}
	if len(out.Pins) == 0 && out.CA == nil {
		return out, usageError{fmt.Errorf("--ca-pin is missing: without it (or --ca-certificate) this machine would believe everybody")}
	}
	var err error
	out.Token, err = o.readToken(ctx)
	return out, err
}

func (o joinOptions) readToken(ctx context.Context) (token.Token, error) {
	switch {
	case o.token != "" && o.tokenFile != "":
		return token.Token{}, usageError{fmt.Errorf("give the token with --token or with --token-file, not both")}
	case o.token == "" && o.tokenFile == "":
		return token.Token{}, usageError{fmt.Errorf("--token is missing: on a control plane node, gardenadm token create --print-join-command prints the whole line")}
	case o.token == "-":
		return readTokenFile(ctx, "-")
	case o.token != "":
		return token.Parse(o.token)
	}
	return readTokenFile(ctx, o.tokenFile)
}

// parseServers reads addresses of control plane nodes, separated by commas or given one by one, each with or without the API server's
// port. Another port is refused: the mirror and the gardenlet are asked at the same address, and no forwarder has them.
func parseServers(args []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, text := range strings.Split(strings.Join(args, ","), ",") {
		if _, err := token.Parse(text); err == nil { // it is never told
			return nil, usageError{fmt.Errorf("an argument is a token, not the address of a control plane node: give it with --token or --token-file")}
		}
		server, err := netip.ParseAddrPort(text)
		if err != nil {
			var address netip.Addr
			address, err = netip.ParseAddr(text)
			server = netip.AddrPortFrom(address, cluster.APIServerPort)
		}
		if err != nil || server.Port() == 0 || server.Addr().IsUnspecified() || server.Addr().Zone() != "" {
			return nil, usageError{fmt.Errorf("%q is not the address of a control plane node, such as 192.0.2.1 or 192.0.2.1:6443", text)}
		}
		if server.Port() != cluster.APIServerPort {
			return nil, usageError{fmt.Errorf("%q is a forwarder's address, not that of a control plane node: the API server listens on port %d there, and nodes reach more than that port",
				text, cluster.APIServerPort)}
		}
		out = append(out, server)
	}
	return out, nil
}

func printJoined(streams Streams, story *sequence.Join, dryRun bool) {
	node := story.Node
	where := fmt.Sprintf("pool %s, address %s", node.Pool, node.IP())
	if node.Zone != "" {
		where = fmt.Sprintf("pool %s, zone %s, address %s", node.Pool, node.Zone, node.IP())
	}
	switch {
	case dryRun:
		fmt.Fprintf(streams.Out, "This machine can become node %s: %s. Nothing was changed.\n", node.Name, where)
	case story.Unchanged():
		fmt.Fprintf(streams.Out, "Nothing had to be changed: this machine is node %s: %s.\n", node.Name, where)
	default:
		fmt.Fprintf(streams.Out, "This machine is node %s of the cluster: %s.\n\nSee it on a control plane node:\n    kubectl get node %s\n", node.Name, where, node.Name)
	}
}
