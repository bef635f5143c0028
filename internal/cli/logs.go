package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis/podlog"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// followEvery is the pause between two looks at a log that is followed.
const followEvery = 300 * time.Millisecond

// logOptions are the flags of logs.
type logOptions struct {
	tail     int
	follow   bool
	previous bool
}

func logsCommand(streams Streams) *cobra.Command {
	var options logOptions
	command := &cobra.Command{
		Use: "logs COMPONENT", Short: "Print the log of a component of this node, also with the API down",
		Long: "Prints the log of a unit (containerd, kubelet) from the journal, or of a pod of this node from the disk. Neither API server,\n" +
			"kubelet nor containerd need to run. COMPONENT is a unit, a static pod (kube-apiserver), the name of a pod or what it begins with;\n" +
			"an unknown one lists those that have a log.",
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("unexpected argument %q", args[1])}
			}
			if options.tail < 0 || options.follow && options.previous {
				return usageError{fmt.Errorf("--tail must not be negative, and --follow does not go with --previous")}
			}
			if os.Geteuid() != 0 {
				return preconditionError{fault.New(fault.NotRoot, "logs reads files of the system: run it as root")}
			}
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			return printLogs(command.Context(), h, streams.Out, strings.Join(args, ""), options)
		},
	}
	flags := command.Flags()
	flags.IntVar(&options.tail, "tail", 100, "how many of the last lines")
	flags.BoolVarP(&options.follow, "follow", "f", false, "go on with new lines until interrupted")
	flags.BoolVarP(&options.previous, "previous", "p", false, "the run before the last one")
	return command
}

func printLogs(ctx context.Context, h *host.Host, out io.Writer, component string, options logOptions) error {
	for _, unit := range logUnits() {
		if component == unit || component == strings.TrimSuffix(unit, ".service") {
			return unitLog(ctx, h, out, unit, options)
		}
	}
	containers, err := podlog.Find(ctx, h.Files, layout.DirPodLogs)
	if err != nil {
		return err
	}
	found := newest(ctx, h, matching(containers, component))
	if len(found) == 0 {
		return usageError{fmt.Errorf("no log of %q here; there are those of %s", component, strings.Join(known(containers), ", "))}
	}
	if options.follow {
		return podLogFollow(ctx, h, out, found[len(found)-1], options.tail)
	}
	for _, one := range found {
		if len(found) > 1 {
			fmt.Fprintf(out, "==> %s/%s %s\n", one.Namespace, one.Pod, one.Name)
		}
		if err := podLog(ctx, h, out, one, options); err != nil {
			return err
		}
	}
	return nil
}

func logUnits() []string {
	return []string{
		layout.UnitContainerd, layout.UnitKubelet, layout.UnitNetwork, layout.UnitGardenlet,
		layout.UnitProxy, layout.UnitMirror, layout.UnitNodeAgent,
	}
}

// matching returns the containers of a component, one or several pods of it.
func matching(containers []podlog.Container, component string) []podlog.Container {
	if component == "" {
		return nil
	}
	var found []podlog.Container
	for _, one := range containers {
		if one.Name == component || one.Pod == component || strings.HasPrefix(one.Pod, component+"-") {
			found = append(found, one)
		}
	}
	return found
}

// newest drops what an earlier pod of the same name left: a static pod keeps its name when its manifest changes.
func newest(ctx context.Context, h *host.Host, containers []podlog.Container) []podlog.Container {
	var out []podlog.Container
	var written time.Time // when the last one in out was written to
	for _, one := range containers {
		_, at := lastSaid(ctx, h, one)
		if n := len(out); n > 0 && out[n-1].Namespace == one.Namespace && out[n-1].Pod == one.Pod && out[n-1].Name == one.Name {
			if at.After(written) {
				out[n-1], written = one, at
			}
			continue
		}
		out, written = append(out, one), at
	}
	return out
}

// lastSaid returns the run of a container that wrote something last, as an index of its files, and when. A run that has only begun has
// written nothing yet: what it will fail of, the one before it has said.
func lastSaid(ctx context.Context, h *host.Host, container podlog.Container) (int, time.Time) {
	for at := len(container.Files) - 1; at >= 0; at-- {
		if last, err := podlog.Tail(ctx, h.Observer, container.Files[at], 1); err == nil && len(last) > 0 {
			return at, last[0].Time
		}
	}
	return len(container.Files) - 1, time.Time{}
}

// known are the names that a user may type.
func known(containers []podlog.Container) []string {
	var names []string
	for _, unit := range logUnits() {
		names = append(names, strings.TrimSuffix(unit, ".service"))
	}
	for _, one := range containers {
		if !slices.Contains(names, one.Name) {
			names = append(names, one.Name)
		}
	}
	return names
}

func unitLog(ctx context.Context, h *host.Host, out io.Writer, unit string, options logOptions) error {
	lines, err := h.Observer.Journal(ctx, unit, options.tail)
	if err != nil {
		return err
	}
	var last time.Time
	for {
		for _, line := range lines {
			if line.Time.After(last) {
				fmt.Fprintf(out, "%s %s\n", line.Time.UTC().Format(time.RFC3339), line.Text)
				last = line.Time
			}
		}
		if !options.follow || !wait(ctx) {
			return nil
		}
		const most = 1000 // in one pause
		if lines, err = h.Observer.Journal(ctx, unit, most); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func podLog(ctx context.Context, h *host.Host, out io.Writer, container podlog.Container, options logOptions) error {
	at, _ := lastSaid(ctx, h, container)
	if options.previous {
		if at--; at < 0 {
			return fmt.Errorf("%s has no log of an earlier run", container.Pod)
		}
	}
	lines, err := podlog.Tail(ctx, h.Observer, container.Files[at], options.tail)
	if err != nil {
		return err
	}
	printLines(out, lines)
	return nil
}

func printLines(out io.Writer, lines []podlog.Line) {
	for _, line := range lines {
		fmt.Fprintln(out, line.Text)
	}
}

// wait is false when the user has seen enough.
func wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(followEvery):
		return true
	}
}
