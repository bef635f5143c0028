// Package iptables turns what iptables-save prints into chains, and the wish to be rid of some into input for iptables-restore.
// Used by node/record and node/cleanup, where a machine has these programs; kubelet uses them there.
package iptables

import (
	"fmt"
	"slices"
	"strings"
)

// Family is one address family of one of the two kinds of iptables.
type Family struct {
	// Name is ip or ip6.
	Name string
	// Save and Restore are names of programs.
	Save, Restore string
	// Used is a file of the kernel that names the tables in use; "" with nftables, which tells itself.
	Used string
}

// Legacy is the kind that is older than nftables.
func Legacy() []Family {
	return []Family{
		{"ip", "iptables-legacy-save", "iptables-legacy-restore", "/proc/net/ip_tables_names"},
		{"ip6", "ip6tables-legacy-save", "ip6tables-legacy-restore", "/proc/net/ip6_tables_names"},
	}
}

// NFT is the kind that makes tables of nftables.
func NFT() []Family {
	return []Family{
		{"ip", "iptables-nft-save", "iptables-nft-restore", ""},
		{"ip6", "ip6tables-nft-save", "ip6tables-nft-restore", ""},
	}
}

// Chain is a chain of a table.
type Chain struct {
	Table, Name string
	// Rules as they are saved, "-A CHAIN …".
	Rules []string
}

// Parse reads what iptables-save prints, in its order; lines that it does not understand are passed over.
func Parse(saved []byte) []Chain {
	var out []Chain
	table := ""
	for line := range strings.Lines(string(saved)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case strings.HasPrefix(line, ":"):
			if name, _, _ := strings.Cut(line[1:], " "); name != "" && table != "" {
				out = append(out, Chain{Table: table, Name: name})
			}
		case strings.HasPrefix(line, "-A "):
			name, _, _ := strings.Cut(line[len("-A "):], " ")
			at := slices.IndexFunc(out, func(c Chain) bool { return c.Table == table && c.Name == name })
			if at >= 0 {
				out[at].Rules = append(out[at].Rules, line)
			}
		}
	}
	return out
}

// Without returns the input for "iptables-restore --noflush" that deletes the chains that are ours, and the rules of others that lead
// to them; "" when there are none. All else stays, with its counters.
func Without(chains []Chain, ours func(Chain) bool) string {
	var out strings.Builder
	var tables []string
	for _, chain := range chains {
		if ours(chain) && !slices.Contains(tables, chain.Table) {
			tables = append(tables, chain.Table)
		}
	}
	for _, table := range tables {
		in := slices.DeleteFunc(slices.Clone(chains), func(c Chain) bool { return c.Table != table })
		fmt.Fprintf(&out, "*%s\n", table)
		flush, remove := "", ""
		for _, chain := range in {
			if ours(chain) {
				flush += "-F " + chain.Name + "\n"
				remove += "-X " + chain.Name + "\n"
				continue
			}
			for _, rule := range chain.Rules {
				target := Chain{Table: table, Name: targetOf(rule)}
				if slices.ContainsFunc(in, func(c Chain) bool { return c.Name == target.Name }) && ours(target) {
					out.WriteString("-D" + strings.TrimPrefix(rule, "-A") + "\n")
				}
			}
		}
		out.WriteString(flush + remove + "COMMIT\n")
	}
	return out.String()
}

// targetOf is the chain that a rule jumps or goes to. A comment before it may hold such words too, but not as the last ones.
func targetOf(rule string) string {
	words := strings.Fields(rule)
	for at, word := range slices.Backward(words) {
		if (word == "-j" || word == "-g") && at+1 < len(words) {
			return words[at+1]
		}
	}
	return ""
}
