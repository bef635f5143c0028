package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"--node-name=n", "--node-ip=10.0.0.1,fd00::1"})
	if err != nil || len(o.NodeIPs) != 2 || o.CNIConf != "/etc/cni/net.d/10-flannel.conflist" {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, args := range [][]string{{}, {"--node-name=n"}, {"--node-name=n", "--node-ip=host"}, {"--node-name=n", "--node-ip=10.0.0.1", "x"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%v: want an error", args)
		}
	}
}

func TestFindLink(t *testing.T) {
	link, err := findLink([]net.IP{net.ParseIP("127.0.0.1")})
	if err != nil || link.IfaceName != "lo" || !link.ExtAddr.Equal(link.IfaceAddr) {
		t.Errorf("got %+v, %v", link, err)
	}
	if _, err := findLink([]net.IP{net.ParseIP("192.0.2.77")}); err == nil || !strings.Contains(err.Error(), "192.0.2.77") {
		t.Errorf("want an error that names the address, got %v", err)
	}
}

func TestHealth(t *testing.T) {
	var ready atomic.Bool
	handler := healthHandler(&ready)
	status := func(path string) int {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		return answer.Code
	}
	if status("/healthz") != 200 || status("/readyz") != 503 {
		t.Error("before: want /healthz 200 and /readyz 503")
	}
	ready.Store(true)
	if status("/readyz") != 200 {
		t.Error("after: want /readyz 200")
	}
}
