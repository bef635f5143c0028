// Package control turns requests on a node's own socket into questions and lists for its endpoint proxy.
// Used by the proxy's daemon, which answers, and by the node agent and `gardenadm status`, which ask.
package control

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/gardenadm/gardenadm/internal/node/proxy"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// Paths of the requests.
const (
	pathState     = "/state"
	pathEndpoints = "/endpoints"
)

// maxList bounds a list that is read; endpoint.Decode refuses what is longer than 64 KiB.
const maxList = 1 << 20

// Handler answers GET /state with proxy.State as JSON, and takes a list of API servers with PUT /endpoints: 204 when it is used or an
// older one than what is known, 400 when it is none, 507 when it is used but could not be written to the disk yet.
// Whoever may connect may change the list.
func Handler(p *proxy.Proxy) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathState, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.State()) // fails only when nobody listens any more
	})
	mux.HandleFunc("PUT "+pathEndpoints, func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxList))
		var list endpoint.List
		if err == nil {
			list, err = endpoint.Decode(raw)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if _, err := p.Offer(r.Context(), list); err != nil {
			http.Error(w, errors.Join(errNotKept, err).Error(), http.StatusInsufficientStorage)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

var errNotKept = errors.New("the list is used, and not on disk yet")
