package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
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
	out := present(names)
	others, othersErr := NamespacesOfOthers(ctx, h)
	for _, name := range others {
		if out[name] != "" {
			out[name] = ofOthers
		}
	}
	return []items{out}, errors.Join(err, othersErr)
}

// ofOthers is how a network namespace of others is.
const ofOthers = "in a network of others"

// dirResults is where CNI remembers what it put into which network, whoever uses it.
const dirResults = "/var/lib/cni/results"

// NamespacesOfOthers are those that CNI put into another network than that of the pods. Podman, for one, names them as containerd does.
func NamespacesOfOthers(ctx context.Context, h *host.Host) ([]string, error) {
	names, err := h.Files.List(ctx, dirResults)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	errs := []error{err}
	ofPod := map[string]bool{} // a pod may be in other networks, too
	for _, name := range names {
		raw, err := h.Files.Read(ctx, path.Join(dirResults, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it went away meanwhile
			errs = append(errs, err)
		}
		for _, namespace := range namespacesIn(raw) {
			ofPod[namespace] = ofPod[namespace] || OfPodNetwork(name)
		}
	}
	maps.DeleteFunc(ofPod, func(_ string, pods bool) bool { return pods })
	return slices.Sorted(maps.Keys(ofPod)), errors.Join(errs...)
}

// OfPodNetwork knows the names of CNI's files about the network of the pods, and about the one by which the container runtime gives each
// pod its loopback.
func OfPodNetwork(name string) bool {
	return strings.HasPrefix(name, "flannel-") || strings.HasPrefix(name, "cni-loopback-")
}

// namespacesIn are those that a file of CNI's tells, which can have none.
func namespacesIn(raw []byte) []string {
	var cached struct {
		Result struct {
			Interfaces []struct{ Sandbox string }
		}
	}
	if json.Unmarshal(raw, &cached) != nil {
		return nil
	}
	var out []string
	for _, one := range cached.Result.Interfaces {
		if one.Sandbox != "" {
			out = append(out, path.Base(one.Sandbox))
		}
	}
	return out
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
