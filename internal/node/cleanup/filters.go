package cleanup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/iptables"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// removeFilters removes tables of nftables that are ours as a whole, and our chains from the tables of iptables.
func (c *Cleanup) removeFilters(ctx context.Context) error {
	tables, err := c.Tables.List(ctx)
	errs := []error{err}
	for _, table := range tables {
		if ownTable(table.Name) && !c.found.before.Had(record.Table, table.Family+" "+table.Name) {
			errs = append(errs, c.Tables.Delete(ctx, table.Family, table.Name))
		}
	}
	for _, family := range iptables.Legacy() {
		errs = append(errs, c.legacyChains(ctx, family))
	}
	for _, family := range iptables.NFT() {
		errs = append(errs, c.nftChains(ctx, family, tables))
	}
	return errors.Join(append(errs, c.removeEmptied(ctx))...)
}

// legacyChains starts no program where no table was ever used: it would load them.
func (c *Cleanup) legacyChains(ctx context.Context, family iptables.Family) error {
	used, err := c.Files.Read(ctx, family.Used)
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(used)) == "" {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.removeChains(ctx, family, "legacy "); !errors.Is(err, host.ErrNoProgram) {
		return err
	}
	return nil // a pod brought its own program, and none of ours does
}

// nftChains starts the program only where there are such chains: most machines have neither.
func (c *Cleanup) nftChains(ctx context.Context, family iptables.Family, tables []host.Table) error {
	there := slices.ContainsFunc(tables, func(table host.Table) bool {
		return table.Family == family.Name && !ownTable(table.Name) && slices.ContainsFunc(table.Chains, ownChain)
	})
	if !there {
		return nil
	}
	return c.removeChains(ctx, family, "")
}

// removeChains changes the tables in one go each. The prefix is that of the chains in the record.
func (c *Cleanup) removeChains(ctx context.Context, family iptables.Family, prefix string) error {
	saved, err := c.Runner.Run(ctx, host.Command{Path: family.Save})
	if err != nil {
		return fmt.Errorf("list chains of iptables: %w", err)
	}
	input := iptables.Without(iptables.Parse(saved.Stdout), func(chain iptables.Chain) bool {
		return ownChain(chain.Name) && !c.found.before.Had(record.Chain, prefix+family.Name+" "+chain.Table+" "+chain.Name)
	})
	if input == "" {
		return nil
	}
	if _, err := c.Runner.Run(ctx, host.Command{Path: family.Restore, Args: []string{"--noflush"}, Stdin: strings.NewReader(input)}); err != nil {
		return fmt.Errorf("remove chains of iptables: %w", err)
	}
	return nil
}

// removeEmptied removes tables that iptables made for our chains and in which nothing is left. Only a record tells that they were not there.
func (c *Cleanup) removeEmptied(ctx context.Context) error {
	if c.found.before == nil || c.found.before.Unread[record.Table] != "" {
		return nil
	}
	tables, err := c.Tables.List(ctx)
	errs := []error{err}
	for _, table := range tables {
		ofProgram := (table.Family == "ip" || table.Family == "ip6") && slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, table.Name)
		builtin := !slices.ContainsFunc(table.Chains, func(chain string) bool { return chain != strings.ToUpper(chain) || strings.Contains(chain, "-") })
		if ofProgram && builtin && table.Rules == 0 && !c.found.before.Had(record.Table, table.Family+" "+table.Name) {
			errs = append(errs, c.Tables.Delete(ctx, table.Family, table.Name))
		}
	}
	return errors.Join(errs...)
}
