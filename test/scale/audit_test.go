package scale

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/secret"
)

// noted is what is read of a line of the audit log.
type noted struct {
	Stage, Verb string
	User        struct{ Username string }
	ObjectRef   struct{ Resource, Subresource string }

	RequestReceivedTimestamp time.Time
}

// who is a class of users.
func (n noted) who() string {
	switch {
	case strings.HasPrefix(n.User.Username, "gardener.cloud:node-agent:"):
		return "agents"
	case n.User.Username == secret.Gardenlet().CommonName:
		return "gardenlet"
	}
	return "others"
}

// requests is a table of the requests in that time, by who asked for what.
func (a *api) requests(t *testing.T, from, to time.Time) string {
	t.Helper()
	file, err := os.Open(a.audit)
	check(t, err)
	defer file.Close()
	counts, totals := map[string]int{}, map[string]int{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one noted
		if json.Unmarshal(lines.Bytes(), &one) != nil || one.RequestReceivedTimestamp.Before(from) || one.RequestReceivedTimestamp.After(to) {
			continue // also a last line that is not yet whole
		}
		if (one.Verb == "watch") != (one.Stage == "ResponseStarted") {
			continue // a watch counts when it begins
		}
		what := one.ObjectRef.Resource
		if one.ObjectRef.Subresource != "" {
			what += "/" + one.ObjectRef.Subresource
		}
		counts[fmt.Sprintf("%-9s  %-6s  %s", one.who(), one.Verb, what)]++
		totals[one.who()]++
	}
	check(t, lines.Err())
	var rows []string
	for row, count := range counts {
		if strings.HasPrefix(row, "others") {
			continue // the API server itself, and this test
		}
		rows = append(rows, fmt.Sprintf("%8.2f/s %7d  %s", float64(count)/to.Sub(from).Seconds(), count, row))
	}
	slices.SortFunc(rows, func(a, b string) int { return strings.Compare(b, a) })
	for _, who := range []string{"agents", "gardenlet", "others"} {
		rows = append(rows, fmt.Sprintf("%8.2f/s %7d  %s, all", float64(totals[who])/to.Sub(from).Seconds(), totals[who], who))
	}
	return strings.Join(rows, "\n")
}
