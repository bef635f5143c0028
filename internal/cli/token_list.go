package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/kube/token"
)

// tokenData is what `token list -o json` prints; the secret part is never among it.
type tokenData struct {
	ID          string    `json:"id"`
	Expires     time.Time `json:"expires"`
	Description string    `json:"description,omitempty"`
	Node        string    `json:"node,omitempty"`
	Pool        string    `json:"pool,omitempty"`
	SingleUse   bool      `json:"singleUse"`
	// Renewal: nobody joins with it; the gardenlet made it for a node whose certificates have expired.
	Renewal bool     `json:"renewal,omitempty"`
	UsedBy  []string `json:"usedBy"`
	// UsedAt is when the last of them joined.
	UsedAt *time.Time `json:"usedAt,omitempty"`
}

func tokenDataOf(t token.Token) tokenData {
	out := tokenData{
		ID: t.ID, Expires: t.Expires, Description: t.Description, Node: t.Binding.Node, Pool: t.Binding.Pool, SingleUse: t.Binding.SingleUse,
		Renewal: t.Binding.Renewal, UsedBy: append([]string{}, t.UsedBy...),
	}
	if !t.UsedAt.IsZero() {
		out.UsedAt = &t.UsedAt
	}
	return out
}

func tokenListCommand(streams Streams) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use: "list", Short: "List the tokens of the cluster, without their secret parts", Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			store, err := tokenStore()
			if err != nil {
				return err
			}
			return listTokens(command.Context(), store, output, streams.Out)
		},
	}
	outputFlag(command, &output)
	return command
}

func listTokens(ctx context.Context, store token.Store, output string, out io.Writer) error {
	tokens, err := store.List(ctx)
	if err != nil {
		return err
	}
	all := []tokenData{}
	for _, one := range tokens {
		all = append(all, tokenDataOf(one))
	}
	return printAs(out, output, all, func() { printTokens(out, all, time.Now()) })
}

func printTokens(out io.Writer, all []tokenData, now time.Time) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tENDS IN\tUSE\tFOR\tUSED BY\tDESCRIPTION")
	for _, one := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", one.ID, ends(one.Expires, now), one.use(), one.whom(), one.users(now), dash(one.Description))
	}
	table.Flush() //nolint:errcheck // as all printing of tables
}

// use is what the token does.
func (t tokenData) use() string {
	if t.Renewal {
		return "renew"
	}
	return "join"
}

// users are the nodes, and how long ago the last of them joined.
func (t tokenData) users(now time.Time) string {
	if len(t.UsedBy) == 0 || t.UsedAt == nil {
		return dash(strings.Join(t.UsedBy, ","))
	}
	return fmt.Sprintf("%s (%s ago)", strings.Join(t.UsedBy, ","), days(now.Sub(*t.UsedAt)))
}

func (t tokenData) whom() string {
	var out []string
	if t.Node != "" {
		out = append(out, "node "+t.Node)
	}
	if t.Pool != "" {
		out = append(out, "pool "+t.Pool)
	}
	if t.SingleUse {
		out = append(out, "one node")
	}
	if len(out) == 0 {
		return "everybody"
	}
	return strings.Join(out, ", ")
}

func ends(at, now time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return days(at.Sub(now))
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
