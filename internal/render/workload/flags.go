package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Command returns a program and its flags, each of the form --name=value, sorted by name.
// Flags of one name keep their order, because it can matter (the first service account issuer signs).
func Command(program string, flags []string) []string {
	sorted := slices.SortedStableFunc(slices.Values(flags), func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "=")
		nameB, _, _ := strings.Cut(b, "=")
		return strings.Compare(nameA, nameB)
	})
	return append([]string{program}, sorted...)
}

// Optional returns the flag when the Shoot says something about it, and nothing when the program's own default holds.
func Optional[T any](name string, value *T) []string {
	if value == nil {
		return nil
	}
	return []string{fmt.Sprintf("--%s=%v", name, *value)}
}

// Switches returns the flag for feature gates and the like, nothing for none.
func Switches(name string, switches map[string]bool) []string {
	if len(switches) == 0 {
		return nil
	}
	pairs := make([]string, 0, len(switches))
	for _, key := range slices.Sorted(maps.Keys(switches)) {
		pairs = append(pairs, fmt.Sprintf("%s=%t", key, switches[key]))
	}
	return []string{"--" + name + "=" + strings.Join(pairs, ",")}
}
