package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/proxy"
)

// text is the status for people, a topic a line.
func (s nodeStatus) text(now time.Time) string {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	line := func(topic, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", topic, fmt.Sprintf(format, args...))
	}
	if s.Cluster != "" {
		line("cluster", "%s", s.Cluster)
	}
	line("node", "%s %s %s", s.Node, strings.Join(s.Addresses, ", "), s.Pool)
	for _, part := range s.Units {
		line(part.Name, "%s", describePart(part, now))
	}
	for _, part := range s.StaticPods {
		line(part.Name, "%s", describePart(part, now))
	}
	if s.Proxy != nil {
		line("API servers", "%s", describeServers(*s.Proxy))
	}
	line("API", "%s", s.API)
	for _, node := range s.API.NodeList {
		line("node "+node.Name, "%s", describeNode(node))
	}
	if pods := s.API.podsNotReady(); len(pods) > 0 {
		line("not Ready", "%s", strings.Join(pods, ", "))
	}
	if s.API.Published != "" {
		line("configuration", "%s", s.API.describeConfiguration())
	}
	if len(s.Certificates) > 0 {
		first := s.Certificates[0]
		line("certificates", "%s (%s) ends first: %s, in %s", first.Subject, first.Path, first.Expires.Format(time.DateOnly), days(first.Expires.Sub(now)))
	}
	if s.Disk.Size > 0 {
		line("disk", "%s: %.1f of %.1f GiB free (%d %%)", s.Disk.Path, gib(s.Disk.Free), gib(s.Disk.Size), s.Disk.Free*100/s.Disk.Size)
	}
	if s.LastRun != "" {
		line("last run", "%s", s.LastRun)
	}
	table.Flush() //nolint:errcheck // writes to memory
	return out.String()
}

func describePart(part diagnosis.Part, now time.Time) string {
	text := part.State
	if !part.Since.IsZero() {
		text += fmt.Sprintf(" since %s", now.Sub(part.Since).Truncate(time.Second))
	}
	if part.Restarts > 0 {
		text += fmt.Sprintf(", %d restarts", part.Restarts)
	}
	return text
}

// describeServers is the way to the API servers, in the order in which they are tried.
func describeServers(state proxy.State) string {
	var out []string
	for _, server := range state.Servers {
		text := server.Address.String() + " " + string(server.Health)
		if server.Reason != "" && server.Health != proxy.Ready {
			text += " (" + server.Reason + ")"
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "none is known"
	}
	return fmt.Sprintf("%s; %d connections", strings.Join(out, ", "), state.Connections)
}

func describeNode(node clusterNode) string {
	out := "Ready"
	if !node.Ready {
		out = "not Ready, " + node.Reason
	}
	if node.Pool != "" {
		out += ", pool " + node.Pool
	}
	return out + ", " + node.Version
}

// podsNotReady leaves out nodes, which have lines of their own.
func (s apiStatus) podsNotReady() []string {
	return slices.DeleteFunc(slices.Clone(s.NotReady), func(text string) bool { return strings.HasPrefix(text, "node ") })
}

func (s apiStatus) describeConfiguration() string {
	if s.Configuration == s.Published {
		return "as published"
	}
	if s.Refused {
		return fmt.Sprintf("%.12s is applied, %.12s is published, and this node went back from it", s.Configuration, s.Published)
	}
	return fmt.Sprintf("%.12s is applied, %.12s is published: it comes when it is this node's time", s.Configuration, s.Published)
}

func gib(bytes uint64) float64 { return float64(bytes) / (1 << 30) }

func days(d time.Duration) string {
	if d < 0 {
		return "the past"
	}
	if d < 48*time.Hour {
		return d.Truncate(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
