// Package record turns a machine into a record of what matters on it, and two records into what differs between them.
// Used by init and join before they change anything, and by reset to give back what was and to prove it.
package record

import (
	"context"
	"fmt"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Kind is a kind of things on a machine. Its text is in records on disk and stays as it is.
type Kind string

// The kinds, in the order in which a difference is told.
const (
	File      Kind = "file"
	Mount     Kind = "mount"
	Unit      Kind = "unit" // that is active or failed
	Process   Kind = "process"
	Cgroup    Kind = "cgroup"
	Container Kind = "container"
	Image     Kind = "image"
	Namespace Kind = "network namespace"
	Link      Kind = "link"
	Address   Kind = "address"
	Route     Kind = "route"
	Rule      Kind = "routing rule"
	Table     Kind = "nftables table"
	Chain     Kind = "packet filter chain"
	Setting   Kind = "kernel setting"
	Module    Kind = "kernel module"
)

// Record is what matters on a machine at one time. It holds no content of files.
type Record struct {
	// Version of the format is 1.
	Version int       `json:"version"`
	Machine string    `json:"machine"` // its host name
	Taken   time.Time `json:"taken"`
	// Items tell for each kind what there is and how it is, in words for a person: "/etc/x": "file 0644 0:0 sha256:…".
	Items map[Kind]map[string]string `json:"items"`
	// Unread tells of which kinds not all could be read, and why.
	Unread map[Kind]string `json:"unread,omitempty"`
}

// items are those of one kind.
type items map[string]string

// look is how the items of one kind, or of two that are found together, are found.
type look struct {
	kinds []Kind
	find  func(context.Context, *host.Host) ([]items, error) // as many as kinds; what was found also with an error
}

func looks() []look {
	return []look{
		{[]Kind{File}, files},
		{[]Kind{Mount}, mounts},
		{[]Kind{Unit}, units},
		{[]Kind{Process}, processes},
		{[]Kind{Cgroup}, cgroups},
		{[]Kind{Container, Image}, holdings},
		{[]Kind{Namespace}, namespaces},
		{[]Kind{Link}, links},
		{[]Kind{Address}, addresses},
		{[]Kind{Route}, routes},
		{[]Kind{Rule}, rules},
		{[]Kind{Table, Chain}, tables},
		{[]Kind{Setting}, settings},
		{[]Kind{Module}, modules},
	}
}

// Take looks at the machine. What cannot be read is part of the record; the only error is that of ctx.
func Take(ctx context.Context, h *host.Host) (*Record, error) {
	out := &Record{Version: 1, Items: map[Kind]map[string]string{}, Unread: map[Kind]string{}}
	// Who the machine is and when this was is for people alone.
	if facts, err := h.Prober.Probe(ctx); err == nil {
		out.Machine, out.Taken = facts.HostName, facts.Now.UTC().Truncate(time.Second)
	}
	for _, look := range looks() {
		found, err := look.find(ctx, h)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("record this machine: %w", context.Cause(ctx))
		}
		for at, kind := range look.kinds {
			if at < len(found) && len(found[at]) > 0 {
				out.Items[kind] = found[at]
			}
			if err != nil {
				out.Unread[kind] = err.Error()
			}
		}
	}
	return out, nil
}

// Had says that the machine had it then. Nobody knows of a record that is nil, or of a kind that was not read: then it had nothing.
func (r *Record) Had(kind Kind, item string) bool {
	_, had := r.Value(kind, item)
	return had
}

// Value says how it was then.
func (r *Record) Value(kind Kind, item string) (value string, had bool) {
	if r == nil {
		return "", false
	}
	value, had = r.Items[kind][item]
	return value, had
}
