package cleanup_test

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/record"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/render/pool"
)

// machine is a machine in memory that becomes a node and stops being one.
type machine struct {
	*hosttest.Fake
	*host.Host
	t *testing.T
}

const bashrc = "alias ll='ls -l'"

// bare returns a machine as its operating system makes it.
func bare(t *testing.T) machine {
	t.Helper()
	fake := hosttest.New()
	m := machine{fake, fake.Host(), t}
	for _, dir := range []string{"/etc/systemd/system", "/etc/sysctl.d", "/opt", "/root", "/run", "/var/lib/dpkg", "/var/log"} {
		m.must(m.Files.MakeDir(t.Context(), dir, host.Owner{}, 0o755))
	}
	m.write("/root/.bashrc", bashrc)
	for _, unit := range []string{layout.UnitSysctl, layout.UnitJournald} {
		m.write("/usr/lib/systemd/system/"+unit, "[Service]\nExecStart=/bin/x\n")
		m.must(m.Units.Reload(t.Context()))
		m.must(m.Units.Start(t.Context(), unit))
	}
	return m
}

func (m machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) write(file, content string) {
	m.t.Helper()
	m.must(m.Files.Write(m.t.Context(), file, strings.NewReader(content), 0o644))
}

func (m machine) there(file string) bool {
	m.t.Helper()
	_, err := m.Files.Stat(m.t.Context(), file)
	return err == nil
}

// source gives any file of any image.
type source struct{}

func (source) Digest(context.Context, string) (string, error) { return "sha256:0", nil }

func (source) Extract(_ context.Context, _ string, paths []string, to func(string, io.Reader) error) error {
	for _, path := range paths {
		if err := to(path, strings.NewReader(path)); err != nil {
			return err
		}
	}
	return nil
}

// configuration is what the OperatingSystemConfig of a control plane says, with what this host adds.
func (m machine) configuration() agent.Want {
	m.t.Helper()
	c, node := componenttest.Cluster(m.t), componenttest.Node()
	specs, err := pool.Secrets(c, []cluster.Node{node})
	m.must(err)
	in := componenttest.Input(c, specs)
	for _, name := range []string{image.CNIPlugins, image.Containerd, image.Hyperkube, image.Runc, image.Pause} {
		in.Images[name] = "registry.test/" + name + ":v0"
	}
	config, err := pool.Config(in, []cluster.Node{node}, c.ControlPlane)
	m.must(err)
	facts, err := m.Prober.Probe(m.t.Context())
	m.must(err)
	local, err := dropin.Compute(facts, node)
	m.must(err)
	want, err := agent.NewWant(config, local, node.Name)
	m.must(err)
	return want
}

// few is a configuration with a little of everything, for tests that make a machine a node a hundred times.
func few(t *testing.T) agent.Want {
	t.Helper()
	file := func(path, content string) extensionsv1alpha1.File {
		return extensionsv1alpha1.File{Path: path, Content: extensionsv1alpha1.FileContent{Inline: &extensionsv1alpha1.FileContentInline{Data: content}}}
	}
	dropIns := []extensionsv1alpha1.DropIn{{Name: "50-own.conf", Content: "[Service]\nNice=1\n"}}
	want, err := agent.NewWant(&extensionsv1alpha1.OperatingSystemConfig{Spec: extensionsv1alpha1.OperatingSystemConfigSpec{
		Units: []extensionsv1alpha1.Unit{
			{Name: layout.UnitJournald, FilePaths: []string{layout.FileJournaldConf}, DropIns: dropIns},
			{Name: layout.UnitContainerd, Content: new("[Service]\nExecStart=/opt/bin/containerd\n[Install]\n")},
			{Name: layout.UnitNetwork, Content: new("[Service]\nExecStart=/opt/bin/gardenadm run node-network --services 100.64.0.0/13\n[Install]\n")},
			{Name: layout.UnitKubelet, Content: new("[Service]\nExecStart=/opt/bin/kubelet\n[Install]\n"), DropIns: dropIns},
		},
		Files: []extensionsv1alpha1.File{
			file(layout.FileKubeletBinary, "kubelet"), file(layout.DirBin+"/containerd", "containerd"), file(layout.DirCNIBin+"/bridge", "bridge"),
			file(layout.FileJournaldConf, "[Journal]\n"), file(layout.FileSysctl, "net.ipv4.ip_forward = 1\n"),
			file(layout.DirManifests+"/etcd-main.yaml", "kind: Pod\n"), file(layout.DirRegistryHosts+"/registry.test/hosts.toml", ""),
		},
	}}, agent.Local{}, "machine-0")
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// become makes the machine a control plane node that runs, as init does.
func (m machine) become() {
	m.t.Helper()
	m.becomeSo(m.configuration())
}

func (m machine) becomeSo(want agent.Want) {
	m.t.Helper()
	ctx := m.t.Context()
	m.must(record.Keep(ctx, m.Host))
	m.write(layout.FileShootUID, "uid")
	m.write(layout.DirSecrets+"/ca.yaml", "secret")
	m.write(layout.FileGardenadm, "gardenadm")
	m.must(m.Files.Symlink(ctx, "kubelet-client-init.pem", layout.FileKubeletCert))
	m.must(m.Files.MakeDir(ctx, layout.DirEtcdData, host.Owner{UID: layout.UID}, 0o700))
	_, err := agent.New(*m.Host, source{}).Reconcile(ctx, want)
	m.must(err)
	for _, setting := range []string{"net/ipv4/ip_forward", "vm/overcommit_memory"} { // systemd-sysctl's work
		m.must(m.Kernel.Set(ctx, setting, "1"))
	}
	m.must(m.Network.EnsureRoute(ctx, host.Route{Destination: netip.MustParsePrefix("100.64.0.0/13"), Link: "eth0", Source: netip.MustParseAddr("192.0.2.10")}))
	m.write("/root/.bashrc", bashrc+"\n# gardenadm: begin (kubectl for root)\nexport X=y\n# gardenadm: end\n")
	m.LeaveNode()
	m.write("/etc/systemd/system/"+host.TempPrefix+"123", "half a unit")
	m.ClearLog()
}

func options() cleanup.Options { return cleanup.Options{EtcdData: cleanup.Remove} }

// leftovers are what the machine has more or less than before.
func (m machine) leftovers() []string {
	m.t.Helper()
	differences, known, err := record.Verify(m.t.Context(), m.Host)
	m.must(err)
	if !known {
		m.t.Fatal("there is no record")
	}
	var out []string
	for _, one := range record.Leftovers(differences) {
		out = append(out, one.String())
	}
	return out
}

func (m machine) wantNothingLeft() {
	m.t.Helper()
	if left := m.leftovers(); len(left) > 0 {
		m.t.Errorf("left:\n%s", strings.Join(left, "\n"))
	}
}

// first returns the index of the first change whose line begins so, -1 when there is none.
func first(log []string, begin string) int {
	return slices.IndexFunc(log, func(line string) bool { return strings.HasPrefix(line+"\n", begin) })
}
