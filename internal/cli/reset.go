package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/record"
	"github.com/gardenadm/gardenadm/internal/sequence"
)

// drainPatience is how long pods may take to leave a node unless the user says otherwise.
const drainPatience = 5 * time.Minute

// resetOptions are the flags of reset.
type resetOptions struct {
	yes       bool
	force     bool
	verify    bool
	etcdData  string
	timeout   time.Duration
	logFormat string
	output    string
}

func resetCommand(streams Streams) *cobra.Command {
	var options resetOptions
	command := &cobra.Command{
		Use: "reset", Short: "Take this machine out of its cluster, and all that gardenadm put there off it", Args: noArguments,
		Long: "Moves the pods elsewhere as their disruption budgets allow, takes the node out of the cluster, and gives the machine back as it was:\n" +
			"units, files, mounts, links, routes, packet filter rules, kernel settings, images and containers. What others made stays.\n" +
			"With the API gone it does what can be done here, and says what is left to do. After a failure or a crash run it again.\n" +
			"Exit code 1 of --verify says that something is left.",
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkVerify(command.Flags()); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return preconditionError{fault.New(fault.NotRoot, "reset changes the whole machine: run it as root")}
			}
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			if options.verify {
				return verifyReset(command.Context(), h, options.output, streams.Out)
			}
			return runReset(command.Context(), h, options, streams)
		},
	}
	flags := command.Flags()
	flags.BoolVarP(&options.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&options.force, "force", false, "lose pods that cannot run elsewhere, do not wait for disruption budgets, leave other nodes without a control plane")
	flags.StringVar(&options.etcdData, "etcd-data", "", "keep or remove etcd's data; a control plane node has to be told")
	flags.DurationVar(&options.timeout, "timeout", drainPatience, "how long pods may take to leave")
	flags.BoolVar(&options.verify, "verify", false, "change nothing: compare this machine with the record from before it was a node")
	flags.StringVar(&options.logFormat, "log-format", "text", "progress on stderr as text or json")
	outputFlag(command, &options.output)
	return command
}

// checkVerify refuses flags of a reset beside --verify: whoever gives them expects one.
func checkVerify(flags *pflag.FlagSet) error {
	if verify, err := flags.GetBool("verify"); !verify || err != nil {
		return err
	}
	for _, name := range []string{"yes", "force", "etcd-data", "timeout", "log-format"} {
		if flags.Changed(name) {
			return usageError{fmt.Errorf("--%s is for a reset; --verify changes nothing: run one after the other", name)}
		}
	}
	return nil
}

func runReset(ctx context.Context, h *host.Host, options resetOptions, streams Streams) error {
	data := cleanup.EtcdData(options.etcdData)
	if data != cleanup.Undecided && data != cleanup.Keep && data != cleanup.Remove {
		return usageError{fmt.Errorf("--etcd-data: %q is unknown: use %s or %s", options.etcdData, cleanup.Keep, cleanup.Remove)}
	}
	if options.output != "" {
		return usageError{fmt.Errorf("--output is for --verify")}
	}
	if err := errors.Join(checkLogFormat(options.logFormat), checkTimeout(options.timeout)); err != nil {
		return err
	}
	if !options.yes {
		if err := confirm(ctx, os.Stdin, streams.Err); err != nil {
			return err
		}
	}
	story := &sequence.Reset{Host: h, EtcdData: data, Force: options.force, Timeout: options.timeout}
	announce(streams.Err, options.logFormat)
	observer, closeObserver := newProgress(options.logFormat, streams) // the journal goes with the rest
	err := story.Run(ctx, observer)
	closeObserver()
	printNotes(streams.Err, story.Undone, options.logFormat)
	if err != nil {
		return err
	}
	printReset(streams, story, options.logFormat)
	return nil
}

func checkLogFormat(format string) error {
	if format != "text" && format != "json" {
		return usageError{fmt.Errorf("--log-format: %q is unknown: use text or json", format)}
	}
	return nil
}

func checkTimeout(timeout time.Duration) error {
	if timeout <= 0 {
		return usageError{fmt.Errorf("--timeout: %s is no time: pods are told to go and need some; with --force it may be short", timeout)}
	}
	return nil
}

// confirm asks whoever sits at the terminal.
func confirm(ctx context.Context, in *os.File, out io.Writer) error {
	if !term.IsTerminal(int(in.Fd())) {
		return fault.New(fault.NotConfirmed, "reset this machine: standard input is no terminal, and --yes is missing")
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find the host's name: %w", err)
	}
	fmt.Fprintf(out, "This takes the machine %s out of its cluster and all that gardenadm put there off it. Go on? [y/N] ", name)
	return answeredYes(interruptible{ctx, in})
}

func answeredYes(in io.Reader) error {
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return fault.New(fault.NotConfirmed, "reset this machine: the answer is not yes")
}

func printReset(streams Streams, story *sequence.Reset, format string) {
	var left []string
	for _, one := range story.Left {
		left = append(left, "left on this machine: "+one.String())
	}
	printNotes(streams.Err, left, format)
	switch {
	case story.Nothing():
		fmt.Fprintln(streams.Out, "Nothing had to be changed: nothing of gardenadm's is on this machine.")
	case story.EtcdData == cleanup.Keep:
		fmt.Fprintf(streams.Out, "This machine is no node any more. What it had of etcd's data is in %s.\n", layout.DirEtcd)
	default:
		fmt.Fprintln(streams.Out, "This machine is no node any more.")
	}
	if story.Recorded && len(left) == 0 && !story.Nothing() {
		fmt.Fprintln(streams.Out, "It is as it was before, without a reboot: gardenadm reset --verify compares them again.")
	}
}

// verification is what `reset --verify -o json` prints.
type verification struct {
	Clean bool `json:"clean"`
	// Taken is when the machine was recorded.
	Taken       time.Time           `json:"taken"`
	Differences []record.Difference `json:"differences"`
}

func verifyReset(ctx context.Context, h *host.Host, output string, out io.Writer) error {
	before, err := record.Load(ctx, h)
	if err != nil {
		return err
	}
	if before == nil {
		return fault.New(fault.NoRecord, "compare this machine with its record: there is none")
	}
	after, err := record.Take(ctx, h)
	if err != nil {
		return err
	}
	differences := record.Diff(before, after)
	left := record.Leftovers(differences)
	result := verification{Clean: len(left) == 0, Taken: before.Taken, Differences: append([]record.Difference{}, differences...)}
	err = printAs(out, output, result, func() {
		for _, one := range left {
			fmt.Fprintln(out, one)
		}
		if result.Clean {
			fmt.Fprintf(out, "Nothing is left: this machine is as it was at %s.\n", before.Taken.Format(time.RFC3339))
		}
	})
	if err == nil && !result.Clean {
		err = fmt.Errorf("compare this machine with its record: %d differences are left", len(left))
	}
	return err
}
