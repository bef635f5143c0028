package e2e

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// golden is where the components keep what they render for the built-in cluster.
const golden = "internal/render/component"

// controlPlane names each static pod's program, its component folder and its container.
var controlPlane = []struct{ program, folder string }{
	{"etcd", "etcd"},
	{"kube-apiserver", "apiserver"},
	{"kube-controller-manager", "controllermanager"},
	{"kube-scheduler", "scheduler"},
}

// processesAreAsRendered compares the running control plane with the golden files: flags, user, mounts, certificate names.
func (h *host) processesAreAsRendered(t *testing.T) {
	for _, one := range controlPlane {
		t.Run(one.program, func(t *testing.T) {
			pid := strings.TrimSpace(h.run("pgrep", "-o", "-x", one.program[:min(15, len(one.program))]))
			want := goldenContainer(t, filepath.Join(h.story.root, golden, one.folder, "testdata"))
			h.compareFlags(t, pid, want)
			h.compareUser(t, pid)
			h.compareMounts(t, pid, want)
		})
	}
	t.Run("certificates", h.compareCertificates)
}

// compareFlags: the command line is exactly the golden's, with this machine's address and this cluster's identity in it.
func (h *host) compareFlags(t *testing.T, pid string, want corev1.Container) {
	running := strings.Split(strings.TrimSuffix(h.run("cat", "/proc/"+pid+"/cmdline"), "\x00"), "\x00")
	identity := strings.TrimSpace(h.run("cat", "/var/lib/gardenadm/shoot-uid"))
	var wanted []string
	for _, word := range slices.Concat(want.Command, want.Args) {
		if strings.HasPrefix(word, "--initial-cluster-token=") {
			word = "--initial-cluster-token=" + identity + ".1"
		}
		wanted = append(wanted, h.onThisMachine(word))
	}
	if len(wanted) < 5 {
		t.Fatalf("the golden has only %q: the comparison proves nothing", wanted)
	}
	if !slices.Equal(running[1:], wanted[1:]) {
		t.Errorf("the command line differs:\nrunning %q\ngolden  %q", running, wanted)
	}
}

// goldenAddress is the address of machine-0 in the golden files.
const goldenAddress = "10.250.0.10"

func (h *host) onThisMachine(golden string) string {
	return strings.ReplaceAll(golden, goldenAddress, h.Addr().String())
}

// compareUser: uid 65532, and no capabilities left.
func (h *host) compareUser(t *testing.T, pid string) {
	status := h.run("cat", "/proc/"+pid+"/status")
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("/proc/%s/status lacks %q:\n%s", pid, want, status)
		}
	}
}

// compareMounts: every mount of the golden is there, read-only where it says so.
func (h *host) compareMounts(t *testing.T, pid string, want corev1.Container) {
	mounts := map[string]string{}
	for line := range strings.Lines(h.run("cat", "/proc/"+pid+"/mountinfo")) {
		fields := strings.Fields(line)
		mounts[fields[4]] = fields[5]
	}
	if len(want.VolumeMounts) == 0 {
		t.Fatal("the golden has no mounts: the comparison proves nothing")
	}
	for _, mount := range want.VolumeMounts {
		options, ok := mounts[mount.MountPath]
		if !ok {
			t.Errorf("nothing is mounted at %s", mount.MountPath)
			continue
		}
		if readOnly := slices.Contains(strings.Split(options, ","), "ro"); readOnly != mount.ReadOnly {
			t.Errorf("%s is mounted %s, want read-only %v", mount.MountPath, options, mount.ReadOnly)
		}
	}
}

// compareCertificates: what the running servers present carries exactly the names and addresses of the golden list.
func (h *host) compareCertificates(t *testing.T) {
	for _, server := range []struct {
		folder, secret string
		port           int
	}{
		{"apiserver", "kube-apiserver", 6443},
		{"etcd", "etcd-server", 2379},
		{"etcd", "etcd-peer-server", 2380},
	} {
		want := goldenSecret(t, filepath.Join(h.story.root, golden, server.folder, "testdata/secrets.yaml"), server.secret)
		var names []string
		for _, name := range slices.Concat(want.DNSNames, want.IPs) {
			names = append(names, h.onThisMachine(name))
		}
		got := h.presents(t, server.port)
		slices.Sort(names)
		if !slices.Equal(got, names) {
			t.Errorf("port %d presents a certificate for %q, the golden %s is for %q", server.port, got, server.secret, names)
		}
	}
}

// presents returns the sorted names in the certificate that the machine presents on a port.
func (h *host) presents(t *testing.T, port int) []string {
	t.Helper()
	address := net.JoinHostPort(h.Addr().String(), strconv.Itoa(port))
	var out []string
	config := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
		cert := state.PeerCertificates[0]
		out = append(out, cert.DNSNames...)
		for _, ip := range cert.IPAddresses {
			out = append(out, ip.String())
		}
		return nil
	}}
	dialer := tls.Dialer{Config: config}
	conn, err := dialer.DialContext(h.story.ctx, "tcp", address)
	if err == nil {
		conn.Close() //nolint:errcheck // only the handshake matters
	}
	if len(out) == 0 {
		t.Fatalf("no certificate on %s: %v", address, err)
	}
	slices.Sort(out)
	return out
}

// goldenSpec is a wanted secret as the golden lists show it.
type goldenSpec struct {
	Name          string
	DNSNames, IPs []string
}

func goldenSecret(t *testing.T, file, name string) goldenSpec {
	t.Helper()
	raw, err := os.ReadFile(file)
	check(t, err)
	var specs []goldenSpec
	check(t, yaml.Unmarshal(raw, &specs))
	for _, spec := range specs {
		if spec.Name == name {
			return spec
		}
	}
	t.Fatalf("%s has no %s", file, name)
	return goldenSpec{}
}

// goldenContainer reads the only container of the workload in a component's golden files.
func goldenContainer(t *testing.T, dir string) corev1.Container {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "host.yaml"))
	check(t, err)
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		var workload appsv1.Deployment // a StatefulSet has the same template
		if yaml.Unmarshal([]byte(document), &workload) != nil || len(workload.Spec.Template.Spec.Containers) == 0 {
			continue
		}
		return workload.Spec.Template.Spec.Containers[0]
	}
	t.Fatalf("no workload in the golden file of %s", dir)
	return corev1.Container{}
}
