package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
)

// text is the status for people, a topic a line.
func (s nodeStatus) text(now time.Time) string {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	line := func(topic, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", topic, fmt.Sprintf(format, args...))
	}
	line("cluster", "%s", s.Cluster)
	line("node", "%s %s", s.Node, strings.Join(s.Addresses, ", "))
	for _, part := range s.Units {
		line(part.Name, "%s", describePart(part, now))
	}
	for _, part := range s.StaticPods {
		line(part.Name, "%s", describePart(part, now))
	}
	line("API server", "%s", s.API)
	if len(s.API.NotReady) > 0 {
		line("not Ready", "%s", strings.Join(s.API.NotReady, ", "))
	}
	if len(s.Certificates) > 0 {
		first := s.Certificates[0]
		line("certificates", "%s (%s) ends first: %s, in %s", first.Subject, first.Path, first.Expires.Format(time.DateOnly), days(first.Expires.Sub(now)))
	}
	if s.Disk.Size > 0 {
		line("disk", "%s: %.1f of %.1f GiB free (%d %%)", s.Disk.Path, gib(s.Disk.Free), gib(s.Disk.Size), s.Disk.Free*100/s.Disk.Size)
	}
	if s.LastRun != "" {
		line("last init", "%s", s.LastRun)
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
