package diagnosis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

// machine is a node in memory with a control plane that runs.
type machine struct {
	*testing.T
	fake *hosttest.Fake
	pods map[string]host.Pod
}

func running() host.UnitState {
	return host.UnitState{Load: "loaded", Active: "active", Sub: "running"}
}

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{t, hosttest.New(), map[string]host.Pod{}}
	for _, unit := range []string{
		layout.UnitContainerd, layout.UnitKubelet, layout.UnitProxySocket, layout.UnitProxy, layout.UnitNodeAgent, layout.UnitMirror, layout.UnitGardenlet,
	} {
		m.fake.SetUnit(unit, running(), host.UnitRun{Since: time.Now().Add(-time.Hour)})
	}
	for _, name := range []string{"etcd-main", "kube-apiserver", "kube-scheduler"} {
		container := strings.TrimSuffix(name, "-main")
		m.write(layout.DirManifests+"/"+name+".yaml", fmt.Sprintf(
			"apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: kube-system}\nspec: {containers: [{name: %s}]}\n", name, container))
		m.set(name, host.Container{ID: name, Name: container, State: host.ContainerRunning, Started: time.Now().Add(-time.Hour)})
	}
	return m
}

func (m machine) write(path, text string) {
	m.Helper()
	if err := m.fake.Host().Files.Write(m.Context(), path, strings.NewReader(text), 0o640); err != nil {
		m.Fatal(err)
	}
}

// set replaces a static pod's containers; their log is at the path of the pod.
func (m machine) set(name string, containers ...host.Container) {
	for i := range containers {
		containers[i].LogPath = "/log/" + name
	}
	m.pods[name] = host.Pod{Namespace: "kube-system", Name: name + "-machine-0", UID: name, Ready: true, Containers: containers}
	var all []host.Pod
	for _, pod := range m.pods {
		all = append(all, pod)
	}
	m.fake.SetPods(all...)
}

func (m machine) log(name string, lines ...string) {
	var out strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&out, "%s stderr F %s\n", time.Now().UTC().Format(time.RFC3339Nano), line)
	}
	m.write("/log/"+name, out.String())
}

func (m machine) ended(name, id string, lines ...string) {
	m.log(name, lines...)
	m.set(name, host.Container{ID: id, Name: strings.TrimSuffix(name, "-main"), State: host.ContainerExited, ExitCode: 1, Reason: "Error", Finished: time.Now()})
}

func (m machine) expect(code fault.Code, evidence string) {
	m.Helper()
	found := diagnosis.ControlPlane(m.Context(), m.fake.Host())
	if found == nil || found.Code != code || !strings.Contains(strings.Join(found.Evidence, "\n"), evidence) {
		m.Errorf("got %v with evidence %q, want %s with %q", found, evidenceOf(found), code, evidence)
	}
}

func evidenceOf(found *fault.Error) []string {
	if found == nil {
		return nil
	}
	return found.Evidence
}

func TestHealthy(t *testing.T) {
	m := newMachine(t)
	m.log("kube-apiserver", "I1122 18:33:22.1 1 controller.go:667] quota admission added evaluator for: endpoints")
	if found := diagnosis.Workloads(t.Context(), m.fake.Host()); found != nil {
		t.Errorf("got %v: %q", found, found.Evidence)
	}
}

// Log lines are what the programs of the bundle print on a machine that was broken so, unless "source" is said.
func TestStaticPodThatEnds(t *testing.T) {
	for name, c := range map[string]struct {
		pod  string
		line string
		want fault.Code
	}{
		"flag":              {"kube-apiserver", `Error: unknown flag: --no-such-flag`, fault.RefusedFlag},
		"etcd's flag":       {"etcd-main", `{"level":"warn","msg":"failed to verify flags","error":"flag provided but not defined: -no-such-flag"}`, fault.RefusedFlag},
		"port":              {"kube-apiserver", `Error: failed to create listener: failed to listen on 0.0.0.0:6443: listen tcp 0.0.0.0:6443: bind: address already in use`, fault.PortInUse},
		"certificate file":  {"kube-apiserver", `E1122 18:50:01.1 1 run.go:72] "command failed" err="open /srv/kubernetes/apiserver/none.crt: no such file or directory"`, fault.FileMissing},
		"other authority":   {"kube-apiserver", `W1122 18:40:15.258507 1 logging.go:55] [core] grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:2379"}. Err: connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"`, fault.CertificateUnknown},
		"etcd away":         {"kube-apiserver", `W1122 18:38:52.004446 1 logging.go:55] [core] [Channel #7 SubChannel #8] grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:2399"}. Err: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:2399: connect: connection refused"`, fault.EtcdUnreachable},
		"expired":           {"kube-scheduler", `err="tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2036-01-01T00:00:00Z is after 2027-01-01T00:00:00Z"`, fault.CertificateExpired},
		"clock":             {"kube-apiserver", `err="tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2020-01-01T00:00:00Z is before 2026-11-22T18:33:00Z"`, fault.ClockOff},
		"architecture":      {"kube-apiserver", `exec /usr/local/bin/kube-apiserver: exec format error`, fault.WrongArchitecture},
		"disk":              {"etcd-main", `{"level":"fatal","msg":"failed to open WAL","error":"write /var/etcd/data/new.etcd/member/wal/0.tmp: no space left on device"}`, fault.DiskFull},
		"read-only":         {"etcd-main", `{"level":"fatal","msg":"discovery failed","error":"open /var/etcd/data/new.etcd/.touch: read-only file system"}`, fault.ReadOnlyDisk},
		"permission":        {"etcd-main", `{"level":"fatal","msg":"listing data directory failed","error":"open /var/etcd/data/new.etcd: permission denied"}`, fault.PermissionDenied},
		"WAL":               {"etcd-main", `{"level":"fatal","caller":"storage/storage.go:1","msg":"failed to read WAL, cannot be repaired","error":"walpb: crc mismatch"}`, fault.EtcdCorrupt},
		"foreign (source)":  {"etcd-main", `{"level":"fatal","msg":"discovery failed","error":"error validating peerURLs: member count is unequal"}`, fault.EtcdForeignData},
		"cluster (source)":  {"etcd-main", `{"level":"error","msg":"request sent was ignored due to cluster ID mismatch"}`, fault.EtcdForeignData},
		"unknown":           {"kube-apiserver", `panic: runtime error: index out of range`, fault.APIServerDown},
		"unknown of etcd":   {"etcd-main", `{"level":"fatal","msg":"boom"}`, fault.EtcdDown},
		"unknown of others": {"kube-scheduler", `F1122 1 x.go:1] boom`, fault.ComponentDown},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.ended(c.pod, "1", "I1122 18:34:23.1 1 options.go:1] begins", c.line, "I1122 18:34:23.1 1 x.go:1] ends")
			m.expect(c.want, c.line)
		})
	}
}

func TestUnits(t *testing.T) {
	crash := host.UnitState{Load: "loaded", Active: "activating", Sub: "auto-restart"}
	for name, c := range map[string]struct {
		unit  string
		state host.UnitState
		line  string
		want  fault.Code
	}{
		"stopped":        {layout.UnitKubelet, host.UnitState{Load: "loaded", Active: "inactive", Sub: "dead"}, "Stopped kubelet.service - kubelet daemon.", fault.KubeletDown},
		"configuration":  {layout.UnitKubelet, crash, `E1122 18:49:37.270524 939 run.go:72] "command failed" err="failed to load kubelet config file, path: /var/lib/kubelet/config/kubelet, error: failed to decode: yaml: line 89: could not find expected ':'"`, fault.RefusedConfiguration},
		"flag":           {layout.UnitKubelet, crash, `E1122 1 run.go:72] "command failed" err="failed to parse kubelet flag: unknown flag: --no-such-flag"`, fault.RefusedFlag},
		"CRI":            {layout.UnitKubelet, crash, `E1122 1 run.go:72] "command failed" err="failed to run Kubelet: validate service connection: validate CRI v1 runtime API for endpoint \"unix:///run/containerd/containerd.sock\": rpc error: code = Unimplemented desc = unknown service runtime.v1.RuntimeService"`, fault.CRIDisabled},
		"no runtime":     {layout.UnitKubelet, crash, `E1122 1 run.go:72] "command failed" err="failed to run Kubelet: validate service connection: validate CRI v1 runtime API for endpoint \"unix:///run/none.sock\": rpc error: code = Unavailable desc = connection error: dial unix /run/none.sock: connect: no such file or directory"`, fault.RuntimeUnreachable},
		"swap":           {layout.UnitKubelet, crash, `E1122 1 run.go:72] "command failed" err="failed to run Kubelet: running with swap on is not supported, please disable swap or set --fail-swap-on flag to false"`, fault.SwapRefused},
		"cgroup v1":      {layout.UnitKubelet, crash, `E1122 1 run.go:72] "command failed" err="kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported"`, fault.CgroupV1},
		"cgroup driver":  {layout.UnitKubelet, crash, `E1122 1 run.go:72] "command failed" err="failed to run Kubelet: misconfiguration: kubelet cgroup driver: \"systemd\" is different from docker cgroup driver: \"cgroupfs\""`, fault.CgroupDriver},
		"certificate":    {layout.UnitKubelet, crash, `E1122 1 bootstrap.go:266] part of the existing bootstrap client certificate in /var/lib/kubelet/kubeconfig-real is expired: 2026-01-01`, fault.KubeletCertificate},
		"no containerd":  {layout.UnitContainerd, host.UnitState{Load: "loaded", Active: "inactive", Sub: "dead"}, "Stopped", fault.ContainerdDown},
		"containerd's":   {layout.UnitContainerd, crash, `containerd: failed to load TOML: /etc/containerd/config.toml: toml: expected character ]`, fault.RefusedConfiguration},
		"unknown reason": {layout.UnitKubelet, crash, `boom`, fault.KubeletDown},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.fake.SetUnit(c.unit, c.state, host.UnitRun{Since: time.Now(), Result: "exit-code", ExitCode: 1, Restarts: 2},
				host.JournalLine{Time: time.Now().Add(-time.Second), Text: c.line})
			m.expect(c.want, c.line)
		})
	}
}

func TestOwnUnits(t *testing.T) {
	crash := host.UnitState{Load: "loaded", Active: "activating", Sub: "auto-restart"}
	stopped := host.UnitState{Load: "loaded", Active: "inactive", Sub: "dead"}
	for name, c := range map[string]struct {
		units map[string]host.UnitState
		line  string
		want  fault.Code // "" for nothing
		// control: it is also what an API server is waited for in vain because of.
		control bool
	}{
		"proxy stopped":        {map[string]host.UnitState{layout.UnitProxy: stopped, layout.UnitProxySocket: stopped}, "", fault.ProxyDown, true},
		"proxy not needed yet": {map[string]host.UnitState{layout.UnitProxy: stopped}, "", "", false},
		"proxy crashes":        {map[string]host.UnitState{layout.UnitProxy: crash}, "boom", fault.ProxyDown, true},
		"proxy's port":         {map[string]host.UnitState{layout.UnitProxy: crash}, "listen tcp 127.0.0.1:7443: bind: address already in use", fault.PortInUse, true},
		"agent crashes":        {map[string]host.UnitState{layout.UnitNodeAgent: crash}, "boom", fault.NodeAgentDown, false},
		"mirror stopped":       {map[string]host.UnitState{layout.UnitMirror: stopped}, "", fault.MirrorDown, false},
		"gardenlet crashes":    {map[string]host.UnitState{layout.UnitGardenlet: crash}, "panic: boom", fault.GardenletDown, false},
		"the proxy is first":   {map[string]host.UnitState{layout.UnitGardenlet: stopped, layout.UnitProxy: crash}, "", fault.ProxyDown, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			for unit, state := range c.units {
				m.fake.SetUnit(unit, state, host.UnitRun{Since: time.Now(), Result: "exit-code", ExitCode: 1, Restarts: 2},
					host.JournalLine{Time: time.Now().Add(-time.Second), Text: c.line})
			}
			for scope, look := range map[string]func(context.Context, *host.Host) *fault.Error{"node": diagnosis.Workloads, "control plane": diagnosis.ControlPlane} {
				want := c.want
				if scope == "control plane" && !c.control {
					want = ""
				}
				found := look(t.Context(), m.fake.Host())
				if found == nil && want != "" || found != nil && found.Code != want {
					t.Errorf("%s: got %v, want %q", scope, found, want)
				}
			}
		})
	}
}

// An agent that took a new configuration has just been started again: that is no failure until it happens again and again.
func TestRestartedAgentIsGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.fake.SetUnit(layout.UnitNodeAgent, running(), host.UnitRun{Since: time.Now(), Restarts: 1})
		watch := diagnosis.Watch{Scope: diagnosis.All}
		if found, definite := watch.Look(t.Context(), m.fake.Host()); found == nil || definite {
			t.Errorf("at once: %v, definite: %v", found, definite)
		}
		time.Sleep(30 * time.Second)
		if found, _ := watch.Look(t.Context(), m.fake.Host()); found != nil {
			t.Errorf("later: %v", found)
		}
	})
}

// While a node is being made, its units are laid one after the other.
func TestMissingUnitsAreToldOfAWholeNode(t *testing.T) {
	fake := hosttest.New()
	for _, unit := range []string{layout.UnitContainerd, layout.UnitKubelet} {
		fake.SetUnit(unit, running(), host.UnitRun{})
	}
	if found := diagnosis.ControlPlane(t.Context(), fake.Host()); found != nil {
		t.Errorf("got %v", found)
	}
	if found := diagnosis.Workloads(t.Context(), fake.Host()); found == nil || found.Code != fault.ProxyDown {
		t.Errorf("got %v, want the missing proxy", found)
	}
}

func TestSummaryOfAWorker(t *testing.T) {
	fake := hosttest.New()
	for _, unit := range []string{layout.UnitContainerd, layout.UnitKubelet, layout.UnitProxySocket, layout.UnitProxy, layout.UnitNodeAgent} {
		fake.SetUnit(unit, running(), host.UnitRun{})
	}
	for _, unit := range []string{layout.UnitMirror, layout.UnitGardenlet} {
		fake.SetUnit(unit, host.UnitState{Load: "not-found"}, host.UnitRun{})
	}
	summary := diagnosis.Summarize(t.Context(), fake.Host())
	if !summary.Good() || summary.ControlPlane || len(summary.Units) != 4 {
		t.Errorf("got %+v", summary)
	}
	if found := diagnosis.Workloads(t.Context(), fake.Host()); found != nil {
		t.Errorf("got %v", found)
	}
}

func TestPodWithoutContainer(t *testing.T) {
	m := newMachine(t)
	m.set("kube-apiserver")
	line := `E1122 18:41:54.7 206 pod_workers.go:1324] "Error syncing pod, skipping" err="failed to \"StartContainer\" for \"kube-apiserver\" with ImagePullBackOff: \"Back-off pulling image\"" pod="kube-system/kube-apiserver-machine-0"`
	m.fake.SetUnit(layout.UnitKubelet, running(), host.UnitRun{}, host.JournalLine{Time: time.Now(), Text: line})
	m.expect(fault.ImageMissing, "ImagePullBackOff")
}

func TestOutOfMemory(t *testing.T) {
	m := newMachine(t)
	m.set("etcd-main", host.Container{ID: "1", Name: "etcd", State: host.ContainerExited, ExitCode: 137, Reason: "OOMKilled"})
	m.expect(fault.OutOfMemory, "OOMKilled")
}

func TestPortNamesItsOwner(t *testing.T) {
	m := newMachine(t)
	m.ended("kube-apiserver", "1", "listen tcp 0.0.0.0:6443: bind: address already in use")
	m.write("/proc/net/tcp6", "  sl  local_address remote\n   0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n")
	m.write("/proc/812/comm", "haproxy\n")
	if err := m.fake.Host().Files.Symlink(t.Context(), "socket:[4711]", "/proc/812/fd/7"); err != nil {
		t.Fatal(err)
	}
	m.expect(fault.PortInUse, "6443 is held by haproxy (pid 812)")
}

// A cause stands before its consequences: the API server ends because etcd does.
func TestEtcdBeforeAPIServer(t *testing.T) {
	m := newMachine(t)
	m.ended("kube-apiserver", "1", "connection error: dial tcp 127.0.0.1:2379: connect: connection refused", "Error: context deadline exceeded")
	m.ended("etcd-main", "1", "walpb: crc mismatch")
	m.expect(fault.EtcdCorrupt, "crc mismatch")
}

func TestWatchIsDefiniteAfterThreeRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		watch := &diagnosis.Watch{Scope: diagnosis.Control}
		for run := 1; run <= 3; run++ {
			m.ended("kube-apiserver", fmt.Sprint(run), "Error: unknown flag: --no-such-flag")
			found, definite := watch.Look(t.Context(), m.fake.Host())
			if found == nil || found.Code != fault.RefusedFlag || definite != (run == 3) {
				t.Errorf("run %d: got %v, definite %v", run, found, definite)
			}
			time.Sleep(3 * time.Second)
		}
	})
}

func TestWatchIsDefiniteAfterAWhileAndForgetsWhatRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		watch := &diagnosis.Watch{Scope: diagnosis.Control}
		look := func(seconds int) (definite bool) {
			for range seconds {
				_, definite = watch.Look(t.Context(), m.fake.Host())
				time.Sleep(time.Second)
			}
			return definite
		}
		m.ended("kube-apiserver", "1", "Error: unknown flag: --no-such-flag")
		if look(15) {
			t.Error("definite after 15 s and one run")
		}
		m.log("kube-apiserver", "begins")
		m.set("kube-apiserver", host.Container{ID: "2", Name: "kube-apiserver", State: host.ContainerRunning, Started: time.Now()})
		if look(5) {
			t.Error("definite although it runs")
		}
		m.ended("kube-apiserver", "3", "Error: unknown flag: --no-such-flag")
		if look(15) {
			t.Error("what was before it recovered counts")
		}
		if !look(10) {
			t.Error("not definite after 25 s")
		}
	})
}

// An API server that waits for etcd is no failure for as long as a start takes.
func TestWatchIsPatientWithWhatHealthyOnesSayToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		watch := &diagnosis.Watch{Scope: diagnosis.Control}
		for at := 0; at < 60; at += 3 {
			m.log("kube-apiserver", `grpc: addrConn.createTransport failed to connect: dial tcp 127.0.0.1:2379: connect: connection refused`)
			found, definite := watch.Look(t.Context(), m.fake.Host())
			if found == nil || found.Code != fault.EtcdUnreachable || definite != (at >= 45) {
				t.Fatalf("after %d s: got %v, definite %v", at, found, definite)
			}
			time.Sleep(3 * time.Second)
		}
	})
}

// Without its API server the scheduler ends again and again: that is a consequence, and never definite.
func TestWatchBlamesNoConsequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		watch := &diagnosis.Watch{Scope: diagnosis.Control}
		for run := range 20 {
			m.ended("kube-scheduler", fmt.Sprint(run), "E1122 1 run.go:72] connect: connection refused")
			if found, definite := watch.Look(t.Context(), m.fake.Host()); found == nil || definite {
				t.Fatalf("run %d: got %v, definite %v", run, found, definite)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// What went down with the machine did not fail. The kubelet lets it wait as if it had, and on a slow machine that takes a while.
func TestWatchDoesNotBlameWhatWentDownWithTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		watch := &diagnosis.Watch{Scope: diagnosis.Control}
		before := host.Container{ID: "1", Name: "etcd", State: host.ContainerExited, ExitCode: 255, Reason: "Unknown"}
		m.set("etcd-main", before)
		for at := 0; at < 60; at += 3 {
			if found, definite := watch.Look(t.Context(), m.fake.Host()); found == nil || definite {
				t.Fatalf("after %d s: got %v, definite %v", at, found, definite)
			}
			time.Sleep(3 * time.Second)
		}
		m.set("etcd-main", before, host.Container{ID: "2", Name: "etcd", State: host.ContainerRunning, Started: time.Now()})
		if found, _ := watch.Look(t.Context(), m.fake.Host()); found != nil {
			t.Errorf("it runs again: got %v", found)
		}
	})
}

// A part that runs for longer than a moment each time before it ends is found by its runs.
func TestWatchCountsRunsWithGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		watch := &diagnosis.Watch{Scope: diagnosis.Control}
		for run := 1; run <= 3; run++ {
			m.ended("kube-apiserver", fmt.Sprint(run), "panic: boom")
			if _, definite := watch.Look(t.Context(), m.fake.Host()); definite != (run == 3) {
				t.Errorf("run %d: definite %v", run, definite)
			}
			m.log("kube-apiserver", "begins")
			m.set("kube-apiserver", host.Container{ID: fmt.Sprint("after ", run), Name: "kube-apiserver", State: host.ContainerRunning, Started: time.Now()})
			time.Sleep(12 * time.Second)
			watch.Look(t.Context(), m.fake.Host())
			time.Sleep(3 * time.Second)
		}
	})
}

// A static pod whose manifest changed is started when the old one ended, which takes half a minute.
func TestStaticPodThatIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.ended("kube-apiserver", "1", "I1122 1 x.go:1] shut down")
		pod := m.pods["kube-apiserver"]
		pod.Ready = false
		m.fake.SetPods(pod)
		m.write(layout.DirManifests+"/etcd-main.yaml", "")
		watch := &diagnosis.Watch{Scope: diagnosis.Control}
		for range 20 {
			if found, definite := watch.Look(t.Context(), m.fake.Host()); found == nil || definite {
				t.Fatalf("got %v, definite %v", found, definite)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

func TestManifestThatTheKubeletDoesNotTake(t *testing.T) {
	m := newMachine(t)
	m.ended("kube-apiserver", "1", "Error: unknown flag: --no-such-flag")
	line := `I1122 18:58:40.757128 5226 kubelet.go:3085] "Failed to delete pod" pod="kube-system/kube-apiserver-machine-0" err="skipping delete because sources aren't ready yet"`
	m.fake.SetUnit(layout.UnitKubelet, running(), host.UnitRun{Since: time.Now().Add(-time.Hour)}, host.JournalLine{Time: time.Now(), Text: line})
	m.expect(fault.ManifestIgnored, "sources aren't ready")
	taken := m.pods["kube-apiserver"]
	taken.Created = time.Now().Add(time.Minute) // it was replaced after that was said
	m.fake.SetPods(taken)
	m.expect(fault.RefusedFlag, "no-such-flag")
	m.fake.SetPods(m.pods["kube-apiserver"])
	m.fake.SetUnit(layout.UnitKubelet, running(), host.UnitRun{Since: time.Now()}, host.JournalLine{Time: time.Now().Add(-time.Minute), Text: line})
	m.expect(fault.RefusedFlag, "no-such-flag")
}

// The node agent restarts a kubelet that does not take a manifest: who waits gives it the time.
func TestManifestIsLeftToTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.ended("kube-apiserver", "1", "Error: unknown flag: --no-such-flag")
		line := `I1122 18:58:40.757128 5226 kubelet.go:3085] "Failed to delete pod" pod="kube-system/kube-apiserver-machine-0" err="skipping delete because sources aren't ready yet"`
		m.fake.SetUnit(layout.UnitKubelet, running(), host.UnitRun{Since: time.Now().Add(-time.Hour)}, host.JournalLine{Time: time.Now(), Text: line})
		watch := &diagnosis.Watch{Scope: diagnosis.Control}
		for at := 0; at <= 180; at += 20 {
			found, definite := watch.Look(t.Context(), m.fake.Host())
			if found == nil || found.Code != fault.ManifestIgnored || definite != (at >= 180) {
				t.Fatalf("after %d s: got %v, definite %v", at, found, definite)
			}
			time.Sleep(20 * time.Second)
		}
	})
}
