package nodeagent

import (
	"context"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
)

const (
	// fileHostName is the kernel's.
	fileHostName = "/proc/sys/kernel/hostname"
	nameEvery    = 30 * time.Second
)

// renamed is a fault when the machine does not bear the node's name any more. Where the name cannot be read, it is believed.
func (d *daemon) renamed(ctx context.Context) error {
	raw, err := d.Host.Files.Read(ctx, fileHostName)
	name := strings.ToLower(strings.TrimSpace(string(raw)))
	if err != nil || name == "" || name == d.node.Name {
		return nil //nolint:nilerr // as said
	}
	return fault.New(fault.HostRenamed, "the machine is called %s, and it is the node %s", name, d.node.Name)
}

// waitForName is true as soon as the machine bears the node's name. An agent that ended instead would be started again and again.
func (d *daemon) waitForName(ctx context.Context) bool {
	for said := false; ; said = true {
		err := d.renamed(ctx)
		if err == nil {
			return true
		}
		if !said {
			d.Log.Error("nothing is done on this machine", "error", err)
		}
		if !sleep(ctx, nameEvery) {
			return false
		}
	}
}

// keepName ends the agent when the machine is renamed (contract node-agent-and-osc §6.4).
func (d *daemon) keepName(ctx context.Context) error {
	for sleep(ctx, nameEvery) {
		if err := d.renamed(ctx); err != nil {
			return err
		}
	}
	return nil
}
