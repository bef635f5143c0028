package record

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is what became of an item.
type Change string

// The changes.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed"
	Unread  Change = "unread" // of a whole kind: it cannot be compared
)

// Difference is one item that is not as it was.
type Difference struct {
	Kind   Kind   `json:"kind"`
	Item   string `json:"item,omitempty"` // "" for Unread
	Change Change `json:"change"`
	Was    string `json:"was,omitempty"`
	Is     string `json:"is,omitempty"`
	// Tolerated says why the difference is no leftover of gardenadm's; "" when it is one, or may be.
	Tolerated string `json:"tolerated,omitempty"`
}

// String tells the difference to a person.
func (d Difference) String() string {
	out := ""
	switch d.Change {
	case Added:
		out = fmt.Sprintf("%s %s is new (%s)", d.Kind, d.Item, d.Is)
	case Removed:
		out = fmt.Sprintf("%s %s is gone (was %s)", d.Kind, d.Item, d.Was)
	case Unread:
		out = fmt.Sprintf("each %s: not compared: %s", d.Kind, d.Is)
	default:
		out = fmt.Sprintf("%s %s is %s, was %s", d.Kind, d.Item, d.Is, d.Was)
	}
	if d.Tolerated != "" {
		out += " - tolerated: " + d.Tolerated
	}
	return out
}

// Diff returns what differs, in the order of the kinds, then by item; also what is tolerated. Kernel settings that one of both lacks are
// left out: they come and go with links and modules, by the hundred.
func Diff(before, after *Record) []Difference {
	var out []Difference
	for _, look := range looks() {
		for _, kind := range look.kinds {
			out = append(out, diffOf(kind, before, after)...)
		}
	}
	for i := range out {
		out[i].Tolerated = tolerance(out[i], before, after)
	}
	return out
}

func diffOf(kind Kind, before, after *Record) []Difference {
	var out []Difference
	if problem := cmp.Or(before.Unread[kind], after.Unread[kind]); problem != "" {
		out = append(out, Difference{Kind: kind, Change: Unread, Is: problem})
	}
	differences := Differences(kind, before.Items[kind], after.Items[kind])
	if kind == Chain { // a table that came or went as a whole is told already
		differences = slices.DeleteFunc(differences, func(d Difference) bool {
			table := tableOf(d.Item)
			return before.Had(Table, table) != after.Had(Table, table)
		})
	}
	return append(out, differences...)
}

// tableOf is the table in the item of a chain.
func tableOf(item string) string {
	words := strings.SplitN(item, " ", 3)
	return strings.Join(words[:min(2, len(words))], " ")
}

// Differences are those between two lists of items of one kind, sorted by item; of kernel settings only those that both have.
func Differences(kind Kind, was, is map[string]string) []Difference {
	var out []Difference
	names := slices.Collect(maps.Keys(was))
	names = slices.AppendSeq(names, maps.Keys(is))
	slices.Sort(names)
	for _, item := range slices.Compact(names) {
		then, had := was[item]
		now, has := is[item]
		switch {
		case kind == Setting && !(had && has):
		case !had:
			out = append(out, Difference{Kind: kind, Item: item, Change: Added, Is: now})
		case !has:
			out = append(out, Difference{Kind: kind, Item: item, Change: Removed, Was: then})
		case then != now:
			out = append(out, Difference{Kind: kind, Item: item, Change: Changed, Was: then, Is: now})
		}
	}
	return out
}

// Leftovers are the differences that are not tolerated.
func Leftovers(differences []Difference) []Difference {
	return slices.DeleteFunc(slices.Clone(differences), func(d Difference) bool { return d.Tolerated != "" })
}
