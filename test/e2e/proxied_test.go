package e2e

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// plantProxy is an HTTP proxy with a password. It notes what it is asked for, and leads everybody to the plant's registry.
type plantProxy struct {
	listener net.Listener
	registry string
	mu       sync.Mutex
	asked    []string
}

// startProxy listens where all machines see this computer, until the story ends.
func (s *story) startProxy(registry string) *plantProxy {
	s.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(s.network.Gateway().String(), "0"))
	check(s, err)
	p := &plantProxy{listener: listener, registry: registry}
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	s.Cleanup(func() { server.Close() })
	go server.Serve(listener) //nolint:errcheck // ends with the story
	return p
}

func (p *plantProxy) address() string { return p.listener.Addr().String() }

// targets are those that somebody with the password asked for, each once.
func (p *plantProxy) targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(p.asked)))
}

func (p *plantProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte(registryUser+":"+registryPassword))
	if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != login {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Host)
	p.mu.Unlock()
	registry, err := net.Dial("tcp", p.registry)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer registry.Close() //nolint:errcheck // a tunnel
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close() //nolint:errcheck // a tunnel
	ended := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(registry, buffered); ended <- struct{}{} }()
	go func() { _, _ = io.Copy(client, registry); ended <- struct{}{} }()
	<-ended
}
