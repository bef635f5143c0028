package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// explanation is what `explain -o json` prints of a code.
type explanation struct {
	Code  fault.Code  `json:"code"`
	Class fault.Class `json:"class"`
	Title string      `json:"title"`
	Text  string      `json:"text"`
	Fix   string      `json:"fix"`
}

func explainCommand(streams Streams) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use: "explain [CODE]", Short: "Explain an error code, or list all of them",
		Long: "Explains a code (GA-…) that an error carried: what was seen, why it matters and what to do. Needs no cluster and no network.\n" +
			"Without a code all of them are listed.",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("unexpected argument %q", args[1])}
			}
			if len(args) == 0 {
				return explainAll(streams.Out, output)
			}
			return explainOne(streams.Out, args[0], output)
		},
	}
	outputFlag(command, &output)
	return command
}

func explainAll(out io.Writer, output string) error {
	var all []explanation
	for _, entry := range fault.Entries() {
		all = append(all, explanation(entry))
	}
	slices.SortFunc(all, func(a, b explanation) int { return strings.Compare(string(a.Code), string(b.Code)) })
	return printAs(out, output, all, func() {
		for _, e := range all {
			fmt.Fprintf(out, "%s  %-12s  %s\n", e.Code, e.Class, e.Title)
		}
	})
}

func explainOne(out io.Writer, name, output string) error {
	code := fault.Code(strings.ToUpper(name))
	if !strings.HasPrefix(string(code), "GA-") {
		code = "GA-" + code
	}
	entry, ok := fault.Find(code)
	if !ok {
		return usageError{fmt.Errorf("unknown code %q; near it are %s", name, strings.Join(nearCodes(code), ", "))}
	}
	return printAs(out, output, explanation(entry), func() {
		fmt.Fprintf(out, "%s: %s\n\n%s\n\nFix: %s\n", entry.Code, entry.Title, entry.Text, entry.Fix)
	})
}

// nearCodes returns the codes that are the most alike: first those with the longest common beginning.
func nearCodes(code fault.Code) []string {
	var all []string
	for _, entry := range fault.Entries() {
		all = append(all, string(entry.Code))
	}
	common := func(other string) int {
		n := 0
		for n < len(other) && n < len(code) && other[n] == code[n] {
			n++
		}
		return n
	}
	slices.Sort(all)
	slices.SortStableFunc(all, func(a, b string) int { return common(b) - common(a) })
	return all[:min(5, len(all))]
}

// outputFlag adds -o.
func outputFlag(command *cobra.Command, output *string) {
	command.Flags().StringVarP(output, "output", "o", "", "print as json or yaml")
}

// printAs prints a value as wished; text prints it for people.
func printAs(out io.Writer, output string, value any, text func()) error {
	switch output {
	case "json":
		raw, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, string(raw))
		return err
	case "yaml":
		raw, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = out.Write(raw)
		return err
	case "":
		text()
		return nil
	}
	return usageError{fmt.Errorf("unknown output %q: use json or yaml", output)}
}
