package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/model/offer"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/preflight"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// syncTest is how long gardenadm preflight measures the disk; init takes less.
const syncTest = 2 * time.Second

// preflightOptions are the flags of preflight.
type preflightOptions struct {
	manifests    string
	nodeIP       string
	controlPlane []string
	skip         []string
	output       string
}

func preflightCommand(streams Streams) *cobra.Command {
	var options preflightOptions
	command := &cobra.Command{
		Use: "preflight", Short: "Check whether this machine can become a node; nothing is changed", Args: noArguments,
		Long: "Makes all checks that init makes before it changes anything, and reports all that they find. With the addresses of control\n" +
			"plane nodes the checks are those of join: what a worker needs, and whether it and the control plane reach each other, both ways.\n" +
			"Of a cluster to join only --config-dir tells its networks and whether its first pool of workers allows swap.\n" +
			"It changes nothing; the kernel may load the module of a feature that is tried, and ports that others dial are listened on for a moment.\n" +
			"Not tested: the ways between two workers.\n\nChecks: " + strings.Join(preflight.Names(), ", "),
		RunE: func(command *cobra.Command, _ []string) error {
			return runPreflight(command.Context(), options, streams)
		},
	}
	flags := command.Flags()
	manifestsFlag(flags, &options.manifests)
	flags.StringVar(&options.nodeIP, "node-ip", "", "this machine's address in the cluster (default: source of the default route, else the only address)")
	flags.StringSliceVar(&options.controlPlane, "control-plane", nil, "address of a control plane node of the cluster to join (can be repeated); its certificate is not verified")
	flags.StringVarP(&options.output, "output", "o", "", "print as json or yaml")
	skipFlag(flags, &options.skip)
	return command
}

// skipFlag is the same for all commands that make the checks.
func skipFlag(flags *pflag.FlagSet, skip *[]string) {
	flags.StringSliceVar(skip, "skip-check", nil, "do not make this check (can be repeated; gardenadm preflight --help lists them)")
}

func runPreflight(ctx context.Context, options preflightOptions, streams Streams) error {
	announce(streams.Err, "text")
	address, err := parseNodeIP(options.nodeIP)
	if err != nil {
		return err
	}
	if options.output != "" && options.output != "json" && options.output != "yaml" {
		return usageError{fmt.Errorf("unknown output %q: use json or yaml", options.output)}
	}
	controlPlane, err := parseControlPlane(options.controlPlane)
	if err != nil {
		return err
	}
	h := host.New()
	defer h.Close() //nolint:errcheck // the process ends
	in, notes, err := options.input(controlPlane)
	if err != nil {
		return err
	}
	printNotes(streams.Err, notes, "text")
	in.NodeIP, in.Skip, in.SyncTest = address, options.skip, syncTest
	report, err := preflight.Run(ctx, h, in)
	if err != nil {
		return err
	}
	if err := printReport(streams.Out, report, options.output); err != nil {
		return err
	}
	return failedChecks(report)
}

// input is what the checks are to know: those of init, or with a control plane those of join; notes are worth knowing about the
// manifests. Without manifests nobody knows the networks
// and pools of the cluster to join: they are not those of the built-in Shoot.
func (o preflightOptions) input(controlPlane []netip.Addr) (in preflight.Input, notes []string, err error) {
	joins, peers := len(controlPlane) > 0, &preflight.Peers{Addresses: controlPlane}
	set, err := readManifests(o.manifests)
	switch {
	case err != nil:
		return in, nil, err
	case set == nil && joins:
		return hoststep.JoinInput(offer.Offer{}, offer.Pool{}, peers), nil, nil
	case set == nil:
		set = new(manifest.Builtin(manifest.DefaultNodes()))
	}
	wanted, err := cluster.New(*set, "")
	if err == nil {
		err = catalog.Check(wanted)
	}
	if err != nil {
		return in, nil, err
	}
	if !joins {
		return hoststep.CheckInput(wanted, netip.Addr{}, nil), wanted.Warnings, nil
	}
	offered := offer.New(wanted, nil)
	pool, err := offered.Pool("")
	return hoststep.JoinInput(offered, pool, peers), wanted.Warnings, err
}

func parseControlPlane(texts []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, text := range texts {
		address, err := netip.ParseAddr(text)
		if err != nil || !address.Is4() {
			return nil, usageError{fmt.Errorf("--control-plane %q is not an IPv4 address", text)}
		}
		out = append(out, address)
	}
	return out, nil
}

// failedChecks names them; what they found was printed already.
func failedChecks(report preflight.Report) error {
	var failed []string
	for _, result := range report.Results {
		if result.Status() == "fail" {
			failed = append(failed, result.Name)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return preconditionError{fmt.Errorf("this machine cannot become a node yet: %s (see above; --skip-check NAME leaves a check out)", strings.Join(failed, ", "))}
}

// reportData is what `preflight -o json` prints.
type reportData struct {
	Passed      bool        `json:"passed"`
	NodeAddress string      `json:"nodeAddress,omitempty"`
	Checks      []checkData `json:"checks"`
}

type checkData struct {
	Name     string        `json:"name"`
	Status   string        `json:"status"` // ok, warn, fail or skipped
	Seen     string        `json:"seen,omitempty"`
	Findings []findingData `json:"findings,omitempty"`
}

type findingData struct {
	Severity preflight.Severity `json:"severity"`
	faultData
}

// faultData is a fault as data.
type faultData struct {
	Code     fault.Code `json:"code"`
	Title    string     `json:"title"`
	Cause    string     `json:"cause"`
	Evidence []string   `json:"evidence,omitempty"`
	Fix      string     `json:"fix"`
}

func dataOf(f *fault.Error) faultData {
	entry, _ := fault.Find(f.Code)
	out := faultData{Code: f.Code, Title: entry.Title, Cause: f.Cause.Error(), Evidence: f.Evidence, Fix: entry.Fix}
	if f.Fix != "" {
		out.Fix = f.Fix
	}
	return out
}

func printReport(out io.Writer, report preflight.Report, format string) error {
	data := reportData{Passed: report.Err() == nil}
	if ip := report.Address.IP(); ip.IsValid() {
		data.NodeAddress = ip.String()
	}
	for _, result := range report.Results {
		check := checkData{Name: result.Name, Status: result.Status(), Seen: result.Seen}
		for _, finding := range result.Findings {
			check.Findings = append(check.Findings, findingData{finding.Severity, dataOf(finding.Fault)})
		}
		data.Checks = append(data.Checks, check)
	}
	var raw []byte
	var err error
	switch format {
	case "json":
		raw, err = json.MarshalIndent(data, "", "  ")
		raw = append(raw, '\n')
	case "yaml":
		raw, err = yaml.Marshal(data)
	default:
		raw = []byte(reportText(data))
	}
	if err == nil {
		_, err = out.Write(raw)
	}
	return err
}

// reportText is a line per check, and below it what is wrong and how to mend it.
func reportText(data reportData) string {
	var out strings.Builder
	count := map[string]int{}
	for _, check := range data.Checks {
		count[check.Status]++
		fmt.Fprintf(&out, "%-8s%-16s %s\n", check.Status, check.Name, check.Seen)
		for _, finding := range check.Findings {
			fmt.Fprintf(&out, "%8s%s: %s\n", "", finding.Code, finding.Cause)
			for _, line := range finding.Evidence {
				fmt.Fprintf(&out, "%8s  %s\n", "", line)
			}
			fmt.Fprintf(&out, "%8s  fix: %s\n", "", finding.Fix)
		}
	}
	fmt.Fprintf(&out, "\n%d ok, %d warnings, %d failed, %d skipped\n", count["ok"], count["warn"], count["fail"], count["skipped"])
	return out.String()
}

// printWarnings shows what init's checks let pass, in the form of its progress.
func printWarnings(out io.Writer, warnings []*fault.Error, format string) {
	for _, warning := range warnings {
		data := dataOf(warning)
		if format == "json" {
			raw, _ := json.Marshal(struct {
				Event string `json:"event"`
				faultData
			}{"warning", data})
			fmt.Fprintln(out, string(raw))
			continue
		}
		fmt.Fprintf(out, "Warning: %s (%s)\n  fix: %s\n", data.Cause, data.Code, data.Fix)
	}
}

// printNotes shows what is allowed about the manifests and worth knowing, in the form of init's progress.
func printNotes(out io.Writer, notes []string, format string) {
	for _, note := range notes {
		if format == "json" {
			raw, _ := json.Marshal(map[string]string{"event": "warning", "cause": note}) // strings cannot fail
			fmt.Fprintln(out, string(raw))
			continue
		}
		fmt.Fprintf(out, "Warning: %s\n", note)
	}
}
