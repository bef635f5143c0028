package client

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
)

// Go reads the proxy from the environment once per process: each case is a process of its own, which runs TestAskThroughEnvironment.
func TestProxyOfEnvironment(t *testing.T) {
	for connect, want := range map[string][]string{
		"New":              nil,
		"NewFromElsewhere": {"CONNECT 192.0.2.1:6443"},
	} {
		t.Run(connect, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, r.Method+" "+r.Host)
				w.WriteHeader(http.StatusForbidden)
			}))
			defer proxy.Close()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAskThroughEnvironment$")
			child.Env = append(os.Environ(), "ASK_WITH="+connect, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=")
			if out, err := child.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(asked, want) {
				t.Errorf("the proxy was asked %q, want %q", asked, want)
			}
		})
	}
}

// TestAskThroughEnvironment asks a server that is nowhere: what counts is who hears of it.
func TestAskThroughEnvironment(t *testing.T) {
	connect := map[string]func([]byte) (*Client, error){"New": New, "NewFromElsewhere": NewFromElsewhere}[os.Getenv("ASK_WITH")]
	if connect == nil {
		t.Skip("is run by TestProxyOfEnvironment")
	}
	api, err := connect(kubeconfig.Render(kubeconfig.Config{Server: "https://192.0.2.1:6443", Token: "abc"}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if err := api.Ready(ctx); err == nil {
		t.Error("nobody is ready there")
	}
}

// A kubeconfig that names a proxy means it.
func TestProxyOfKubeconfig(t *testing.T) {
	config, err := Config([]byte(`{"clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1", "proxy-url": "http://192.0.2.2:3128"}}],
		"contexts": [{"name": "c", "context": {"cluster": "c"}}], "current-context": "c"}`))
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://192.0.2.1/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	if proxy, err := config.Proxy(request); err != nil || proxy == nil || proxy.Host != "192.0.2.2:3128" {
		t.Errorf("got proxy %v, error %v", proxy, err)
	}
}
