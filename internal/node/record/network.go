package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/iptables"
)

// DirNamespaces is where network namespaces have their names.
const DirNamespaces = "/run/netns"

func namespaces(ctx context.Context, h *host.Host) ([]items, error) {
	names, err := h.Files.List(ctx, DirNamespaces)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return []items{present(names)}, err
}

func present(names []string) items {
	out := items{}
	for _, name := range names {
		out[name] = "there"
	}
	return out
}

func links(ctx context.Context, h *host.Host) ([]items, error) {
	list, err := h.Links.List(ctx)
	out := items{}
	for _, link := range list {
		out[link.Name] = link.Kind
		if link.Master != "" {
			out[link.Name] = link.Kind + " in " + link.Master
		}
	}
	return []items{out}, err
}

// onCard is how an address of a network card is.
const onCard = "on a network card"

func addresses(ctx context.Context, h *host.Host) ([]items, error) {
	list, err := h.Network.Addresses(ctx)
	out := items{}
	for _, address := range list {
		text := "on a link of software"
		if address.Physical {
			text = onCard
		}
		out[address.Link+" "+address.Prefix.String()] = text
	}
	return []items{out}, err
}

func routes(ctx context.Context, h *host.Host) ([]items, error) {
	list, err := h.Links.Hops(ctx)
	out := items{}
	for _, hop := range list {
		out[hop.String()] = "made by " + hop.Protocol
	}
	return []items{out}, err
}

func rules(ctx context.Context, h *host.Host) ([]items, error) {
	list, err := h.Links.Rules(ctx)
	return []items{present(list)}, err
}

func tables(ctx context.Context, h *host.Host) ([]items, error) {
	found, chains := items{}, items{}
	list, err := h.Tables.List(ctx)
	for _, table := range list {
		name := table.Family + " " + table.Name
		found[name] = fmt.Sprintf("%d rules sha256:%s", table.Rules, table.SHA256)
		for _, chain := range table.Chains {
			chains[name+" "+chain] = "there"
		}
	}
	legacy, legacyErr := legacyChains(ctx, h)
	for _, chain := range legacy {
		chains[chain] = "there"
	}
	return []items{found, chains}, errors.Join(err, legacyErr)
}

// legacyChains are those of iptables before nftables, which only its own program shows. Where none of its tables was ever used there are
// none, and the program is not started: it would load them.
func legacyChains(ctx context.Context, h *host.Host) ([]string, error) {
	var out []string
	for _, family := range iptables.Legacy() {
		used, err := h.Files.Read(ctx, family.Used)
		if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(used)) == "" {
			continue
		}
		if err != nil {
			return out, err
		}
		output, err := h.Runner.Run(ctx, host.Command{Path: family.Save})
		if errors.Is(err, host.ErrNoProgram) {
			continue // a pod brought its own program, and none of ours does
		}
		if err != nil {
			return out, err
		}
		for _, chain := range iptables.Parse(output.Stdout) {
			out = append(out, "legacy "+family.Name+" "+chain.Table+" "+chain.Name)
		}
	}
	return out, nil
}

func settings(ctx context.Context, h *host.Host) ([]items, error) {
	all, err := h.Kernel.Settings(ctx)
	out := items{}
	for setting, value := range all {
		if !changesByItself(setting) {
			out[setting] = value
		}
	}
	return []items{out}, err
}

func modules(ctx context.Context, h *host.Host) ([]items, error) {
	list, err := h.Kernel.Modules(ctx)
	return []items{present(list)}, err
}
