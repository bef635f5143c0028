package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/proxy"
)

func execute(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Execute(t.Context(), args, Streams{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestExplain(t *testing.T) {
	code, all, _ := execute(t, "explain")
	if code != 0 || strings.Count(all, "\n") != len(fault.Entries()) {
		t.Errorf("without a code: exit code %d and\n%s", code, all)
	}
	for _, entry := range fault.Entries() {
		if _, out, _ := execute(t, "explain", strings.ToLower(string(entry.Code))); !strings.Contains(out, entry.Text) || !strings.Contains(out, entry.Fix) {
			t.Errorf("%s: got\n%s", entry.Code, out)
		}
	}
	var parsed explanation
	if _, out, _ := execute(t, "explain", "3012", "-o", "json"); json.Unmarshal([]byte(out), &parsed) != nil || parsed.Code != fault.PortInUse {
		t.Errorf("got %+v", parsed)
	}
	code, _, said := execute(t, "explain", "GA-3999")
	if code != exitUsage || !strings.Contains(said, "GA-3001") {
		t.Errorf("unknown code: exit code %d and %s", code, said)
	}
	if code, _, _ := execute(t, "explain", "-o", "xml"); code != exitUsage {
		t.Errorf("unknown output: exit code %d", code)
	}
}

func write(t *testing.T, h *host.Host, path, text string) {
	t.Helper()
	if err := h.Files.Write(t.Context(), path, strings.NewReader(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLogs(t *testing.T) {
	fake := hosttest.New()
	h := fake.Host()
	for path, text := range map[string]string{
		"kube-system_etcd-main-m_1/etcd/0.log":                "2026-11-22T18:00:00Z stderr F before\n",
		"kube-system_etcd-main-m_1/etcd/1.log":                "2026-11-22T18:10:00Z stderr F old pod\n",
		"kube-system_etcd-main-m_0/etcd/0.log":                "2026-11-22T18:19:00Z stderr F first run\n",
		"kube-system_etcd-main-m_0/etcd/1.log":                "2026-11-22T18:20:00Z stderr P new \n2026-11-22T18:20:00Z stderr F pod\n",
		"kube-system_etcd-main-m_0/etcd/2.log":                "", // has only begun
		"kube-system_coredns-f97b58586-msd5f_7/coredns/0.log": "2026-11-22T18:20:00Z stdout F dns\n",
	} {
		write(t, h, layout.DirPodLogs+"/"+path, text)
	}
	fake.SetUnit(layout.UnitKubelet, host.UnitState{}, host.UnitRun{}, host.JournalLine{Time: time.Unix(0, 1), Text: "one"}, host.JournalLine{Time: time.Unix(1, 0), Text: "two"})
	get := func(component string, options logOptions) string {
		t.Helper()
		var out strings.Builder
		if err := printLogs(t.Context(), h, &out, component, options); err != nil {
			return err.Error()
		}
		return out.String()
	}
	for component, want := range map[string]string{
		"etcd": "new pod\n", "etcd-main": "new pod\n", "etcd-main-m": "new pod\n", "coredns": "dns\n",
		"kubelet": "1970-01-01T00:00:01Z two\n", "kubelet.service": "1970-01-01T00:00:01Z two\n",
	} {
		if got := get(component, logOptions{tail: 1}); got != want {
			t.Errorf("%s: got %q, want %q", component, got, want)
		}
	}
	if got := get("etcd", logOptions{tail: 10, previous: true}); got != "first run\n" {
		t.Errorf("the run before: %q", got)
	}
	for _, unknown := range []string{"", "nothing"} {
		if got := get(unknown, logOptions{tail: 1}); !strings.Contains(got, "containerd, kubelet") || !strings.Contains(got, "coredns, etcd") {
			t.Errorf("%q: got %q, want those that are known", unknown, got)
		}
	}
}

func TestStatusWithAllStopped(t *testing.T) {
	fake := hosttest.New()
	h := fake.Host()
	if _, err := gatherStatus(t.Context(), h); err == nil || !strings.Contains(err.Error(), "not a node") {
		t.Errorf("on a bare machine: %v", err)
	}
	write(t, h, layout.FileShootUID, "the-uid\n")
	write(t, h, layout.FileNode, `{"name": "machine-0", "addresses": ["192.0.2.10"]}`)
	write(t, h, layout.DirManifests+"/etcd-main.yaml", "metadata: {name: etcd-main, namespace: kube-system}")
	write(t, h, layout.FileJournal, `{"time":"2026-11-22T18:33:25.7Z","flow":"boot","task":"import images","event":"started"}`+"\n")
	fake.SetDisk(host.DiskUse{Size: 100 << 30, Free: 25 << 30})
	status, err := gatherStatus(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	text := status.text(time.Now())
	for _, want := range []string{"the-uid", "machine-0 192.0.2.10", "containerd", "not there", "does not answer", "25 %", `"import images" in boot`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	verdict := status.verdict()
	if status.Healthy || ExitCode(verdict) != exitOther || !strings.Contains(fault.Report(verdict), string(fault.ContainerdDown)) {
		t.Errorf("the verdict is %v", verdict)
	}
}

func TestStatusOfAWorker(t *testing.T) {
	fake := hosttest.New()
	h := fake.Host()
	write(t, h, layout.FileNode, `{"name": "worker-1", "addresses": ["192.0.2.11"], "pool": "workers", "architecture": "amd64"}`)
	for _, unit := range []string{layout.UnitContainerd, layout.UnitKubelet, layout.UnitProxySocket, layout.UnitProxy, layout.UnitNodeAgent} {
		fake.SetUnit(unit, host.UnitState{Load: "loaded", Active: "active", Sub: "running"}, host.UnitRun{})
	}
	status, err := gatherStatus(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if !status.Good() || status.Healthy || status.Node != "worker-1" {
		t.Errorf("got %+v, want that only the API does not answer", status)
	}
	if status.API.Error == "" || status.verdict() == nil {
		t.Errorf("the API answers: %+v", status.API)
	}
}

func TestStatusText(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	status := nodeStatus{
		Cluster: "the-uid", Node: "machine-0", Addresses: []string{"192.0.2.10"}, Pool: "control-plane",
		Summary: diagnosis.Summary{
			ControlPlane: true,
			Units:        []diagnosis.Part{{Name: "gardener-api-proxy", State: "waits for a connection", Good: true}, {Name: "kubelet", State: "active (running)", Since: now.Add(-time.Hour), Restarts: 2, Good: true}},
			StaticPods:   []diagnosis.Part{{Name: "etcd", State: "running", Good: true}},
		},
		Proxy: &proxy.State{Connections: 7, Servers: []proxy.ServerState{
			{Address: netip.MustParseAddrPort("192.0.2.10:6443"), Health: proxy.Ready, Reason: "of before"},
			{Address: netip.MustParseAddrPort("192.0.2.20:6443"), Health: proxy.Dead, Reason: "no route"},
		}},
		API: apiStatus{
			Ready: true, Nodes: 2, NodesReady: 1, NotReady: []string{"node worker-1", "pod kube-system/coredns-1"},
			NodeList: []clusterNode{
				{Name: "machine-0", Pool: "control-plane", Ready: true, Version: "v1.36.3"},
				{Name: "worker-1", Reason: "NodeStatusUnknown: Kubelet stopped posting node status", Version: "v1.36.3"},
			},
			Configuration: "0123456789abcdef", Published: "fedcba9876543210",
		},
		Certificates: []diagnosis.Certificate{{Path: "/x/tls.crt", Subject: "etcd", Expires: now.Add(72 * time.Hour)}},
		Disk:         diskStatus{Path: "/var/lib", Size: 100 << 30, Free: 25 << 30},
		LastRun:      "done at 2026-11-22 11:00:00",
	}
	golden.Equal(t, "testdata/status.txt", []byte(status.text(now)))
	raw, err := json.MarshalIndent(status, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/status.json", append(raw, '\n'))
}

func TestLastRun(t *testing.T) {
	line := func(flow, event string) string {
		return fmt.Sprintf(`{"time":"2026-11-22T18:33:25.7Z","flow":%q,"event":%q,"error":"boom"}`+"\n", flow, event)
	}
	for journal, want := range map[string]string{
		"":                                   "",
		line("finish", "flow-done"):          "done at 2026-11-22 18:33:25",
		line("join", "flow-done"):            "done at 2026-11-22 18:33:25",
		line("boot", "flow-failed"):          "failed at 2026-11-22 18:33:25 in boot: boom",
		line("boot", "flow-done") + "{\"tim": `not finished: the last event is "flow-done" of "" in boot at 2026-11-22 18:33:25`,
	} {
		if got := lastRun([]byte(journal)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
