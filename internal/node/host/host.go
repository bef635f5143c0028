// Package host turns intentions (write this file, start this unit) into changes of the machine it runs on; the only door to the OS.
// Used by the node agent and the host steps.
package host

import (
	"context"
	"io"
	"io/fs"
	"net/netip"
	"time"
)

// Host is one machine. New gives the real one, hosttest.New a recording fake; both pass the same conformance suite.
type Host struct {
	Files    Files
	Units    Units
	Images   Images
	Content  Content
	Network  Network
	Runner   Runner
	Prober   Prober
	Locks    Locks
	Observer Observer
	// Inspector tries and measures; Prober only looks.
	Inspector Inspector
	Service   Service

	// The parts below look at and take away what programs leave on a machine.
	Links     Links
	Tables    Tables
	Mounts    Mounts
	Processes Processes
	Kernel    Kernel
	UnitTable UnitTable
	Runtime   Runtime
	Trees     Trees

	// close ends connections; nil where there are none.
	close func() error
}

// Owner is a numeric user and group; the zero value is root:root.
type Owner struct{ UID, GID int }

// FileInfo is what a path holds.
type FileInfo struct {
	Path  string
	Mode  fs.FileMode // permission bits and type
	Owner Owner
	Size  int64
	// SHA256 is the hex digest of a regular file's content, "" otherwise.
	SHA256 string
	// Target is a symbolic link's target, "" otherwise.
	Target string
}

// Files changes the file system. Writes are atomic and durable: content is written beside the path, synced and renamed,
// and the directory is synced; missing parent directories are made root:root 0755. Nothing is ever half-written.
type Files interface {
	// Read returns a file's content; a missing one is fs.ErrNotExist.
	Read(ctx context.Context, path string) ([]byte, error)
	// Write replaces the file, root:root with exactly the given permission bits (no umask).
	// The content is read to its end before the path changes.
	Write(ctx context.Context, path string, content io.Reader, mode fs.FileMode) error
	// Symlink makes path a symbolic link to target, replacing a file or link that is there.
	Symlink(ctx context.Context, target, path string) error
	// MakeDir makes the directory (and missing parents, root:root 0755) with exactly this owner and mode; an existing one is set to them.
	MakeDir(ctx context.Context, path string, owner Owner, mode fs.FileMode) error
	// Remove removes path and all below it; a missing path is fine. It refuses relative paths and "/", and what has
	// something mounted at or below it, so that a volume's data never goes with its mount point.
	Remove(ctx context.Context, path string) error
	// Stat describes path without following a last symbolic link; a missing one is fs.ErrNotExist.
	Stat(ctx context.Context, path string) (FileInfo, error)
	// Resolve returns path without symbolic links, as the kernel lists mounts; a missing one is fs.ErrNotExist.
	Resolve(ctx context.Context, path string) (string, error)
	// List returns the names in a directory in order; a missing directory is fs.ErrNotExist.
	List(ctx context.Context, path string) ([]string, error)
}

// UnitState is a systemd unit's state in systemd's own words.
type UnitState struct {
	Load   string // loaded, not-found, masked …
	Active string // active, inactive, failed, activating …
	Sub    string // running, exited, dead …
	// Enabled says that it starts at boot.
	Enabled bool
	// NeedsReload says that the unit's file or its own drop-ins changed since systemd read them.
	NeedsReload bool
}

// Units drives systemd over D-Bus. Start, Restart and Stop wait for the job's end; a job that does not end in "done"
// is a *UnitError with the unit's state and the last lines of its journal.
type Units interface {
	// Reload makes systemd read its unit files again.
	Reload(ctx context.Context) error
	// Enable makes the units start at boot, as their [Install] sections say; a unit without one is left as it is.
	// An unknown unit is an error, and keeps none of the others back. Enable and Disable reload when they change something, Enable once
	// for all of the units.
	Enable(ctx context.Context, names ...string) error
	// Disable undoes Enable; an unknown unit is fine.
	Disable(ctx context.Context, name string) error
	// Start and Restart also clear the unit's count of failures, so that a rate limit does not stand in the way of a wish.
	Start(ctx context.Context, name string) error
	Restart(ctx context.Context, name string) error
	// Stop stops the unit; an unknown unit is fine.
	Stop(ctx context.Context, name string) error
	// State of an unknown unit is Load "not-found" and no error.
	State(ctx context.Context, name string) (UnitState, error)
}

// Image is an image in containerd's store, in the namespace of Kubernetes (k8s.io).
type Image struct {
	Name   string // full reference
	Digest string // of the manifest or index, sha256:…
	// Pinned images are never garbage-collected by kubelet or containerd.
	Pinned bool
	// User: a person imported it, not gardenadm by itself.
	User bool
}

// Blobs gives the content of an image that is to be imported, by digest (sha256:…); a digest it has not is fs.ErrNotExist.
type Blobs interface {
	Blob(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Images is containerd's image store.
type Images interface {
	// Ready is nil once containerd answers and its CRI plugin and snapshotter are ready.
	Ready(ctx context.Context) error
	// Import takes the manifest with the image's digest and all that it refers to from blobs, verifies every digest,
	// unpacks it and records it under the image's name (under the names of ImageNames, to be exact), pinned if wanted.
	// What is there already is not read again. Of an index, the manifest for this machine must be there; those of other
	// platforms are taken when blobs has them. The record comes last: an image that is listed is whole and unpacked.
	Import(ctx context.Context, image Image, blobs Blobs) error
	// Store is Import without unpacking: the image is there for whoever reads Content. A container that is made of it waits
	// until it is unpacked.
	Store(ctx context.Context, image Image, blobs Blobs) error
	// Release takes the pin from each image that Import or Store made, but for those to keep, by name and digest as they were
	// imported. It removes none: that is up to kubelet's garbage collection. Pins of others stay.
	Release(ctx context.Context, keep []Image) error
	// List returns all images in order of name.
	List(ctx context.Context) ([]Image, error)
}

// Address is an address on one of the machine's links.
type Address struct {
	Link   string
	Prefix netip.Prefix // address and network length
	// Physical: the link is a network card (or what a machine container has for one: a veth to the outside),
	// not a bridge, tunnel or another link that software made for its own use.
	Physical bool
	// Up: the link is up.
	Up bool
}

// Route leads to a destination over a link.
type Route struct {
	Destination netip.Prefix
	Link        string
	Source      netip.Addr // preferred source; the zero Addr for none
}

// Network is the machine's links and routes.
type Network interface {
	// Addresses returns all addresses, ordered by link index, then as the kernel lists them.
	Addresses(ctx context.Context) ([]Address, error)
	// DefaultSource returns the source address of the default route; the zero Addr when there is none.
	DefaultSource(ctx context.Context) (netip.Addr, error)
	// Routes returns the IPv4 and IPv6 unicast routes of the main table that carry a destination (so no default route),
	// sorted by destination, then link. A route over several links has no Link.
	Routes(ctx context.Context) ([]Route, error)
	// EnsureRoute makes the route exist exactly so (link scope).
	EnsureRoute(ctx context.Context, route Route) error
	// EnsureAddress gives the link the address; one that is there stays as it is.
	EnsureAddress(ctx context.Context, link string, prefix netip.Prefix) error
}

// Command is a program to be run to its end; there is no shell.
type Command struct {
	Path  string // absolute, or a name that is looked up in the standard directories
	Args  []string
	Env   []string // in addition to PATH; nothing of the caller's environment is passed on
	Stdin io.Reader
}

// Output is what a program printed.
type Output struct{ Stdout, Stderr []byte }

// Runner runs programs. A failing one is a *RunError that carries the exit code and the end of its stderr, never its arguments' secrets:
// secrets are not to be passed as arguments at all. When ctx ends, the program and its children are killed. The output is
// returned also with an error.
type Runner interface {
	Run(ctx context.Context, command Command) (Output, error)
}

// Facts are what a host is and allows. They become local drop-ins, never part of an OperatingSystemConfig.
type Facts struct {
	// HostName is the kernel's host name, as it is.
	HostName string
	// Architecture as in GOARCH.
	Architecture string
	Kernel       string // release, for example 6.1.0-35-amd64
	// CgroupVersion is 1 (also for hybrid) or 2.
	CgroupVersion int
	// Systemd: systemd is the init system and answers on D-Bus.
	Systemd bool
	// LowersOOMScore: a process may be given a negative oom_score_adj (found by trying).
	LowersOOMScore bool
	// Nameservers in /etc/resolv.conf, in order.
	Nameservers []netip.Addr
	// SystemdResolvConf: /run/systemd/resolve/resolv.conf names nameservers, those behind a local stub.
	SystemdResolvConf bool
	Root              bool
	Memory            uint64 // bytes
	CPUs              int
	Now               time.Time
	// ClockSynchronised: the kernel has been told that its clock is right (by an NTP daemon).
	ClockSynchronised bool
}

// Prober finds the facts. It changes nothing that outlives the call.
type Prober interface {
	Probe(ctx context.Context) (Facts, error)
}
