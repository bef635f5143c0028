package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/proxy"
	"github.com/gardenadm/gardenadm/internal/node/proxy/control"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// nodeStatus is what `status -o json` prints.
type nodeStatus struct {
	Healthy bool `json:"healthy"`
	// Cluster is its identity; a worker does not know it.
	Cluster   string   `json:"cluster,omitempty"`
	Node      string   `json:"node"`
	Pool      string   `json:"pool,omitempty"`
	Addresses []string `json:"addresses"`
	diagnosis.Summary
	// Proxy is how this node reaches the API servers; nil when it does not say.
	Proxy *proxy.State `json:"proxy,omitempty"`
	API   apiStatus    `json:"api"`
	// Certificates are the three that end first.
	Certificates []diagnosis.Certificate `json:"certificates"`
	Disk         diskStatus              `json:"disk"`
	LastRun      string                  `json:"lastRun,omitempty"`
	Diagnosis    *statusFault            `json:"diagnosis,omitempty"`

	fault *fault.Error
}

type diskStatus struct {
	Path string `json:"path"`
	Size uint64 `json:"size"`
	Free uint64 `json:"free"`
}

type statusFault struct {
	Code     fault.Code `json:"code"`
	Title    string     `json:"title"`
	Cause    string     `json:"cause"`
	Evidence []string   `json:"evidence"`
	Fix      string     `json:"fix"`
}

func statusCommand(streams Streams) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use: "status", Short: "Say how this node and its cluster are, also with the API down", Args: noArguments,
		Long: "Says how this node and its cluster are: units, static pods, the way to the API servers, the API and what it tells of nodes and pods,\n" +
			"whether this node has the configuration that is published, certificates, disk and the last run.\n" +
			"It needs none of them to work, changes nothing, and ends with a diagnosis when something is wrong.\n" +
			"Exit code 0 says that all is healthy, 1 that something is not.",
		RunE: func(command *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return preconditionError{fault.New(fault.NotRoot, "status reads files of the system: run it as root")}
			}
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			status, err := gatherStatus(command.Context(), h)
			if err != nil {
				return err
			}
			if err := printAs(streams.Out, output, status, func() { fmt.Fprint(streams.Out, status.text(time.Now())) }); err != nil {
				return err
			}
			return status.verdict()
		},
	}
	outputFlag(command, &output)
	return command
}

// gatherStatus asks host and API at the same time, and diagnoses when one of them is not well.
func gatherStatus(ctx context.Context, h *host.Host) (nodeStatus, error) {
	var out nodeStatus
	if err := out.readNode(ctx, h); err != nil {
		return nodeStatus{}, err
	}
	api := make(chan apiStatus, 1)
	go func() { api <- askAPI(ctx, h, out.Node) }()
	out.Summary = diagnosis.Summarize(ctx, h)
	certificates := diagnosis.Certificates(ctx, h)
	out.Certificates = certificates[:min(3, len(certificates))]
	out.Proxy = askProxy(ctx)
	if disk, err := h.Observer.Disk(ctx, "/var/lib"); err == nil {
		out.Disk = diskStatus{Path: "/var/lib", Size: disk.Size, Free: disk.Free}
	}
	if raw, err := h.Files.Read(ctx, layout.FileJournal); err == nil {
		out.LastRun = lastRun(raw)
	}
	out.API = <-api
	expired := len(certificates) > 0 && time.Now().After(certificates[0].Expires)
	wentBack := hoststep.WentBack(ctx, h, time.Time{})
	out.API.Refused = wentBack != nil
	out.Healthy = out.Good() && out.API.good() && !expired && wentBack == nil
	if !out.Healthy {
		out.diagnose(ctx, h, wentBack)
	}
	return out, ctx.Err()
}

// readNode finds out which node this is. An init that has just begun knows its cluster and not yet its node; a worker never knows the
// cluster's identity.
func (s *nodeStatus) readNode(ctx context.Context, h *host.Host) error {
	uid, uidErr := h.Files.Read(ctx, layout.FileShootUID)
	raw, err := h.Files.Read(ctx, layout.FileNode)
	if uidErr != nil && err != nil {
		return fmt.Errorf("this machine is not a node of a cluster: %w", err)
	}
	s.Cluster = strings.TrimSpace(string(uid))
	var node struct {
		Name      string
		Addresses []string
		Pool      string
	}
	if json.Unmarshal(raw, &node) == nil {
		s.Node, s.Addresses, s.Pool = node.Name, node.Addresses, node.Pool
	}
	return nil
}

// askProxy is nil when the endpoint proxy does not answer at once, which the state of its unit tells.
func askProxy(ctx context.Context) *proxy.State {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	state, err := control.Client{Socket: layout.SocketProxy}.State(ctx)
	if err != nil {
		return nil
	}
	return &state
}

// diagnose looks for a fault, as long as the API answers only if none is known.
func (s *nodeStatus) diagnose(ctx context.Context, h *host.Host, known error) {
	faults := fault.Of(known)
	switch {
	case !s.API.Ready:
		s.fault = diagnosis.ControlPlane(ctx, h)
	case len(faults) > 0:
		s.fault = faults[0]
	default:
		s.fault = diagnosis.Workloads(ctx, h)
	}
	if s.fault == nil {
		return
	}
	entry, _ := fault.Find(s.fault.Code)
	s.Diagnosis = &statusFault{Code: s.fault.Code, Title: entry.Title, Cause: s.fault.Cause.Error(), Evidence: s.fault.Evidence, Fix: cmp.Or(s.fault.Fix, entry.Fix)}
}

// verdict is nil when all is healthy; as an error it is printed last, with cause, evidence, fix and code.
func (s nodeStatus) verdict() error {
	switch {
	case s.Healthy:
		return nil
	case s.fault != nil:
		return fmt.Errorf("not healthy: %w", s.fault)
	case s.API.Error != "":
		return fmt.Errorf("not healthy: %s", s.API.Error)
	case len(s.API.NotReady) > 0:
		return fmt.Errorf("not healthy: not Ready: %s", strings.Join(s.API.NotReady, ", "))
	}
	return fmt.Errorf("not healthy: see the lines above")
}

// lastFlows are those that end a command.
func lastFlows() []string { return []string{"finish", "join", "renew"} }

// lastRun says how the last run of a command ended, from the journal of its flows.
func lastRun(journal []byte) string {
	lines := slices.Collect(bytes.Lines(bytes.TrimSpace(journal)))
	for _, raw := range slices.Backward(lines) {
		var event struct{ Time, Flow, Task, Event, Error string }
		if json.Unmarshal(raw, &event) != nil {
			continue
		}
		at, _, _ := strings.Cut(strings.Replace(event.Time, "T", " ", 1), ".")
		switch {
		case event.Event == "flow-done" && slices.Contains(lastFlows(), event.Flow):
			return "done at " + at
		case event.Event == "flow-failed":
			return fmt.Sprintf("failed at %s in %s: %s", at, event.Flow, event.Error)
		default:
			return fmt.Sprintf("not finished: the last event is %q of %q in %s at %s", event.Event, event.Task, event.Flow, at)
		}
	}
	return ""
}
