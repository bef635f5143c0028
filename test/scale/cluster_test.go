package scale

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/gardenadm/gardenadm/internal/daemon/gardenlet"
	"github.com/gardenadm/gardenadm/internal/daemon/serving"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/nodeaccess"
	"github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// auditPolicy notes who asked for what, once per request.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`

// api is an API server with its etcd, and nobody else.
type api struct {
	env   *envtest.Environment
	admin *kube.Client
	audit string
}

// start starts both from .local/programs, or from the directory that GARDENADM_PROGRAMS names.
func start(t *testing.T) *api {
	t.Helper()
	programs := os.Getenv("GARDENADM_PROGRAMS")
	if programs == "" {
		programs = "../../.local/programs"
	}
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	check(t, os.WriteFile(policy, []byte(auditPolicy), 0o600))
	out := &api{audit: filepath.Join(dir, "audit.log")}
	out.env = &envtest.Environment{BinaryAssetsDirectory: programs, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute}
	out.env.ControlPlane.GetAPIServer().Configure().Set("authorization-mode", "Node,RBAC").Append("enable-admission-plugins", "NodeRestriction").
		Set("audit-policy-file", policy).Set("audit-log-path", out.audit).Set("audit-log-maxsize", "2000")
	_, err := out.env.Start()
	t.Cleanup(func() { check(t, out.env.Stop()) })
	check(t, err)
	out.admin, err = kube.New(out.kubeconfig(t, "admin", "system:masters"))
	check(t, err)
	return out
}

func (a *api) user(t *testing.T, name string, groups ...string) *envtest.AuthenticatedUser {
	t.Helper()
	added, err := a.env.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	check(t, err)
	return added
}

func (a *api) kubeconfig(t *testing.T, name string, groups ...string) []byte {
	t.Helper()
	out, err := a.user(t, name, groups...).KubeConfig()
	check(t, err)
	return out
}

// makeCluster puts into the API what init leaves there: rights, a control plane node, secrets, the definition.
func (a *api) makeCluster(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	objects, err := nodeaccess.New().Objects(component.Input{Cluster: c})
	check(t, err)
	for _, object := range objects {
		check(t, a.admin.ApplyObjects(t.Context(), object))
	}
	machine := cluster.Node{Name: "cp1", Pool: c.ControlPlane.Name, Addresses: []netip.Addr{netip.MustParseAddr("10.250.0.10")}}
	a.makeNode(t, machine, map[string]string{"node-role.kubernetes.io/control-plane": ""})
	specs, err := pool.Secrets(c, []cluster.Node{machine})
	check(t, err)
	_, err = secret.Issuer{Store: kube.SecretStore{Client: a.admin}}.Ensure(t.Context(), specs)
	check(t, err)
	images := image.Vector{}
	for _, name := range []string{
		image.KubeAPIServer, image.KubeControllerManager, image.KubeScheduler, image.KubeProxy, image.Etcd, image.CoreDNS, image.Flannel,
		image.Pause, image.Hyperkube, image.Containerd, image.Runc, image.CNIPlugins, image.MetricsServer,
	} {
		images[name] = "registry.test/" + name + ":v1"
	}
	check(t, definition.Save(t.Context(), a.admin, definition.Definition{UID: c.UID, Manifests: c.Manifests, Images: images}))
}

// makeNode is what kubelets do: a Node that is Ready.
func (a *api) makeNode(t *testing.T, node cluster.Node, labels map[string]string) {
	t.Helper()
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: map[string]string{
		"kubernetes.io/hostname": node.Name, "worker.gardener.cloud/pool": node.Pool,
	}}}
	for key, value := range labels {
		object.Labels[key] = value
	}
	check(t, a.admin.Create(t.Context(), object))
	before := object.DeepCopy()
	object.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: node.Addresses[0].String()}, {Type: corev1.NodeHostName, Address: node.Name}}
	object.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}}
	check(t, a.admin.Status().Patch(t.Context(), object, client.StrategicMergeFrom(before))) // the gardenlet may have written to it, too
}

// kubeconfigVariable tells the test's program that it is to be the gardenlet, so that its memory can be told from the agents'.
const kubeconfigVariable = "GARDENADM_SCALE_GARDENLET"

// TestGardenletProcess is the gardenlet's process.
func TestGardenletProcess(t *testing.T) {
	file := os.Getenv(kubeconfigVariable)
	if file == "" {
		t.Skip("TestScale starts it")
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	raw, err := os.ReadFile(file)
	check(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	log, files := slog.New(slog.NewTextHandler(os.Stderr, nil)), controlPlaneFiles(t)
	check(t, gardenlet.Run(ctx, gardenlet.Options{
		Kubeconfig: raw, Identity: "scale", Files: files, Listener: listener, TLS: serving.Config(files, log), Networks: []netip.Prefix{manifest.DefaultNodes()}, Log: log,
	}))
}

// controlPlaneFiles are those that a gardenlet reads.
func controlPlaneFiles(t *testing.T) host.Files {
	t.Helper()
	spec := secret.Spec{
		Name: "serving", Kind: secret.Server, Signer: secret.AuthorityClient, CommonName: "serving", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	}
	set, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(t.Context(), []secret.Spec{secret.Authority(secret.AuthorityClient), spec})
	check(t, err)
	files := hosttest.New().Host().Files
	for path, content := range map[string][]byte{
		layout.FileServingCert: set.Get("serving", "", secret.DataCert), layout.FileServingKey: set.Get("serving", "", secret.DataKey),
		layout.FileKubeletCA: set.Get(secret.AuthorityClient, "", secret.DataCACert),
	} {
		check(t, files.Write(t.Context(), path, bytes.NewReader(content), 0o600))
	}
	return files
}

// startGardenlet returns its process ID.
func (a *api) startGardenlet(t *testing.T) int {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gardenlet.kubeconfig")
	check(t, os.WriteFile(file, a.kubeconfig(t, secret.Gardenlet().CommonName), 0o600))
	var log strings.Builder
	command := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^TestGardenletProcess$", "-test.timeout=0")
	command.Env = append(os.Environ(), kubeconfigVariable+"="+file)
	command.Stdout, command.Stderr = &log, &log
	check(t, command.Start())
	t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("the gardenlet ended: %v\n%s", err, log.String())
		}
	})
	return command.Process.Pid
}

// residentMiB is what a process has in memory for itself.
func residentMiB(t *testing.T, pid int) float64 {
	t.Helper()
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	check(t, err)
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	check(t, err)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// processorTime is what a process has used so far, in the kernel's ticks of 10 ms.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	check(t, err)
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		check(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
