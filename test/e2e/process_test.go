package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"os"
	"path/filepath"
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

// compareFlags: the command line has exactly the golden's flags; values that hold the machine's address or identity are compared by name only.
func (h *host) compareFlags(t *testing.T, pid string, want corev1.Container) {
	running := strings.Split(strings.TrimSuffix(h.run("cat", "/proc/"+pid+"/cmdline"), "\x00"), "\x00")
	wanted := slices.Concat(want.Command, want.Args)
	if got, want := flagNames(running), flagNames(wanted); !slices.Equal(got, want) {
		t.Errorf("flags differ:\nrunning %q\ngolden  %q", got, want)
	}
	differ := 0
	for _, flag := range wanted[1:] {
		if !slices.Contains(running, flag) {
			differ++
			if !perMachine(flag) {
				t.Errorf("%s is in the golden and not on the command line", flag)
			}
		}
	}
	if differ > 8 {
		t.Errorf("%d flags differ from the golden: the comparison proves nothing", differ)
	}
}

// perMachine are the flags whose values name the machine, its address or the cluster's identity.
func perMachine(flag string) bool {
	name, _, _ := strings.Cut(flag, "=")
	return slices.Contains([]string{
		"--advertise-address", "--advertise-client-urls", "--initial-advertise-peer-urls", "--initial-cluster",
		"--initial-cluster-token", "--listen-client-urls", "--listen-peer-urls", "--name",
	}, name)
}

func flagNames(command []string) []string {
	var out []string
	for _, word := range command[1:] {
		name, _, _ := strings.Cut(word, "=")
		out = append(out, name)
	}
	slices.Sort(out)
	return out
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

// compareCertificates: what the servers present carries the node's address and the names that the golden list declares.
func (h *host) compareCertificates(t *testing.T) {
	for name, want := range map[string][]string{
		"/var/lib/static-pods/kube-apiserver": {"kubernetes.default.svc", "localhost", h.Addr().String()},
		"/var/lib/static-pods/etcd-main":      {"localhost", h.Addr().String()},
	} {
		files := strings.Fields(h.run("find", name, "-name", "*.crt"))
		var names []string
		for _, file := range files {
			names = append(names, certificateNames(t, h.run("cat", file))...)
		}
		for _, one := range want {
			if !slices.Contains(names, one) {
				t.Errorf("no certificate below %s is for %s; they are for %q", name, one, names)
			}
		}
	}
}

func certificateNames(t *testing.T, data string) []string {
	var out []string
	for rest := []byte(data); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		check(t, err)
		out = append(out, cert.DNSNames...)
		for _, ip := range cert.IPAddresses {
			out = append(out, ip.String())
		}
	}
}

// goldenContainer reads the only container of the workload in a component's golden files.
func goldenContainer(t *testing.T, dir string) corev1.Container {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "host.yaml"))
	check(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		check(t, err)
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			var workload appsv1.Deployment // a StatefulSet has the same template
			if yaml.Unmarshal([]byte(document), &workload) != nil || len(workload.Spec.Template.Spec.Containers) == 0 {
				continue
			}
			return workload.Spec.Template.Spec.Containers[0]
		}
	}
	t.Fatal(fmt.Errorf("no workload in the golden files of %s", dir))
	return corev1.Container{}
}
