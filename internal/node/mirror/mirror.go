// Package mirror turns what containerd stores into a read-only registry, and such registries into the files and images of another node.
// Used by `gardenadm run mirror` on control plane nodes, and by join and the node agent.
package mirror

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

const (
	// DefaultRegistry is whose images are meant by who does not name a registry (in the parameter ns of a request, as containerd does).
	DefaultRegistry = "bundle.gardenadm.dev"
	// DefaultTransfers is how many answers are sent at the same time; each takes about 1 MiB of memory.
	DefaultTransfers = 32
)

// Bounds of one answer.
const (
	// queueing is how long a request waits for its turn. containerd and Client wait longer for an answer.
	queueing = 10 * time.Second
	// sending is how long a reader may take for one piece.
	sending = time.Minute
)

// Options say what a mirror serves, and to whom. Images, Content and Networks are required.
type Options struct {
	Images  Images
	Content host.Content
	// Networks may read, as remote addresses of connections; nobody else. There is no other protection: images of a bundle are
	// the same on every node, and a joining machine has nothing to show yet. Pods of other nodes come with their node's address.
	Networks []netip.Prefix
	// Transfers bounds how many answers are sent at the same time, a quarter of them to one address; 0 stands for DefaultTransfers.
	Transfers int64
	// Log gets what keeps the mirror from answering; nil for none.
	Log *slog.Logger
}

// Images are what the mirror needs of host.Images.
type Images interface {
	List(ctx context.Context) ([]host.Image, error)
}

// Mirror is a registry that speaks the pull part of the OCI distribution API (and none other) for the pinned images of containerd.
//
// Unpinned images are left out on purpose: they are what users pulled, perhaps with credentials of their own that whoever
// reads here has not, and their tags may have moved on in the registry since.
type Mirror struct {
	options Options
	catalog *catalog
	turns   *turns
	log     *slog.Logger
}

// New returns a mirror. It asks containerd anew for each request, so that an image is served as soon as it is recorded.
func New(options Options) *Mirror {
	m := &Mirror{
		options: options, log: options.Log,
		catalog: newCatalog(options.Images, options.Content),
		turns:   newTurns(cmp.Or(options.Transfers, DefaultTransfers)),
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	return m
}

// ServeHTTP answers GET and HEAD, with ranges and conditions.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	err := m.serve(w, r)
	if err == nil || r.Context().Err() != nil {
		return
	}
	refused := (*refusal)(nil)
	if !errors.As(err, &refused) {
		m.log.Warn("image content cannot be served", "path", r.URL.Path, "error", err)
		refused = refuse(http.StatusServiceUnavailable, codeUnavailable, "the images of this node cannot be read")
	}
	refused.write(w)
}

func (m *Mirror) serve(w http.ResponseWriter, r *http.Request) error {
	reader, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !m.mayRead(clean(reader)) {
		return refuse(http.StatusForbidden, codeDenied, "this address may not read images")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return refuse(http.StatusMethodNotAllowed, codeUnsupported, "images can be read only")
	}
	if r.URL.Path == "/v2/" || r.URL.Path == "/v2" {
		w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(w, "{}")
		return err
	}
	asked, err := parse(r.URL.Path, cmp.Or(r.URL.Query().Get("ns"), DefaultRegistry))
	if err != nil {
		return err
	}
	end, err := m.waitForTurn(r.Context(), clean(reader))
	if err != nil {
		return err
	}
	defer end()
	found, err := m.catalog.find(r.Context(), asked)
	if err != nil {
		return err
	}
	return m.send(w, r, found)
}

// clean is a remote address as Networks have it.
func clean(remote netip.AddrPort) netip.Addr { return remote.Addr().Unmap().WithZone("") }

func (m *Mirror) mayRead(reader netip.Addr) bool {
	return slices.ContainsFunc(m.options.Networks, func(network netip.Prefix) bool { return network.Contains(reader) })
}

// waitForTurn waits for a free transfer and returns its end.
func (m *Mirror) waitForTurn(ctx context.Context, reader netip.Addr) (func(), error) {
	within, cancel := context.WithTimeout(ctx, queueing)
	defer cancel()
	end, err := m.turns.wait(within, reader)
	if err != nil {
		return nil, refuse(http.StatusServiceUnavailable, codeTooMany, "too many images are being read")
	}
	return end, nil
}

// send sends a blob, or the part of it that is asked for.
func (m *Mirror) send(w http.ResponseWriter, r *http.Request, found part) error {
	content, err := m.options.Content.Open(r.Context(), found.Digest)
	if err != nil {
		return unlessMissing(err, refuse(http.StatusNotFound, codeBlobUnknown, "this node does not have "+found.Digest))
	}
	defer content.Close()
	header := w.Header()
	header.Set("Content-Type", found.MediaType)
	header.Set("Docker-Content-Digest", found.Digest)
	header.Set("Etag", strconv.Quote(found.Digest))
	header.Set("X-Content-Type-Options", "nosniff")

	source := &source{SectionReader: io.NewSectionReader(content, 0, content.Size()), client: http.NewResponseController(w)}
	http.ServeContent(w, r, "", time.Time{}, newPieces(source))
	if source.failed != nil && r.Context().Err() == nil {
		// Some of it was sent already, so it is too late for a refusal: the connection ends before the rest.
		m.log.Warn("image content cannot be read to its end", "digest", found.Digest, "error", source.failed)
	}
	return nil
}
