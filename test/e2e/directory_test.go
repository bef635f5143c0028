package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"
)

// TestDirectory: init from a directory of manifests that sets most fields, and their effect read from what runs.
func TestDirectory(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	node := s.boot("machine-0")
	node.layManifests(s.shoots("most-fields"), "/root/shoot")

	node.run("gardenadm", "preflight", "-d", "/root/shoot")
	shown := node.run("gardenadm", "init", "-d", "/root/shoot", "--zone", "zone-a", "--bundle", "/root/bundle", "--dry-run")
	if strings.Contains(shown, "not-a-real-token") || !strings.Contains(shown, "<kubeconfig of Secret garden/authorizer>") {
		t.Error("the dry run shows a Secret of the user, or not where it goes")
	}
	node.run("gardenadm", "init", "-d", "/root/shoot", "--zone", "zone-a", "--bundle", "/root/bundle")
	check(t, node.allPodsReady(systemPods))

	t.Run("flags", node.flagsAreAsWished)
	t.Run("kubelet", node.kubeletIsAsWished)
	t.Run("node", node.nodeIsAsWished)
	t.Run("API", node.apiIsAsWished)
	t.Run("cluster", node.clusterIsAsWished)

	t.Run("fatal settings", node.fatalSettingsAreTakenBack)
	t.Run("again", func(t *testing.T) {
		for _, args := range [][]string{{"-d", "/root/shoot", "--zone", "zone-a"}, {}} {
			out := node.run(append([]string{"gardenadm", "init", "--bundle", "/root/bundle"}, args...)...)
			if !strings.Contains(out, "Nothing had to be changed") {
				t.Errorf("init %v: %s", args, out)
			}
		}
		node.run("sed", "-i", "s/services: 100.64.0.0/services: 100.72.0.0/", "/root/shoot/shoot.yaml")
		node.initFails(t, "an impossible change", "-d /root/shoot --zone zone-a", "GA-1002", "spec.networking.services")
	})
}

// fatalSettingsAreTakenBack: nothing that can be checked beforehand is wrong with the expression, and the API server dies of it. The node
// goes back by itself, init says why, and the corrected manifests are taken.
func (h *host) fatalSettingsAreTakenBack(t *testing.T) {
	const file, good, fatal = "/root/shoot/api-server.yaml", "in request.groups", "in request.nothing"
	h.run("sed", "-i", "s/"+good+"/"+fatal+"/", file)
	began := time.Now()
	h.initFails(t, "settings that the API server dies of", "-d /root/shoot --zone zone-a", "GA-2508", "request.nothing")
	t.Logf("init says so after %s", time.Since(began).Round(time.Second))
	h.story.eventually("the API answers again", 2*time.Minute, func() error {
		_, err := h.kubectl("get", "--raw=/readyz")
		return err
	})
	t.Logf("the API answers %s after init was run", time.Since(began).Round(time.Second))
	if out, err := h.Exec(h.story.ctx, "gardenadm", "status"); err == nil || !strings.Contains(out.Stdout, "went back") || !strings.Contains(out.Stderr, "GA-2508") {
		t.Errorf("status: %v\n%s%s", err, out.Stdout, out.Stderr)
	}
	h.run("sed", "-i", "s/"+fatal+"/"+good+"/", file)
	h.run("sed", "-i", "s/eventTTL: 2h/eventTTL: 3h/", "/root/shoot/shoot.yaml")
	h.run("gardenadm", "init", "-d", "/root/shoot", "--zone", "zone-a", "--bundle", "/root/bundle")
	if !slices.Contains(h.commandLine("kube-apiserver"), "--event-ttl=3h0m0s") {
		t.Error("the corrected settings are not taken")
	}
	h.story.eventually("the node is well", time.Minute, func() error {
		out, err := h.Exec(h.story.ctx, "gardenadm", "status")
		if err != nil {
			return fmt.Errorf("%w\n%s%s", err, out.Stdout, out.Stderr)
		}
		return nil
	})
}

// shoots is a directory of manifests that unit tests and docs share.
func (s *story) shoots(name string) string {
	return filepath.Join(s.root, "test/testdata/shoots", name)
}

// layManifests copies a directory of manifests to the node, with the node network of this story.
func (h *host) layManifests(from, to string) {
	h.story.Helper()
	local := h.story.TempDir()
	entries, err := os.ReadDir(from)
	check(h.story, err)
	for _, entry := range entries {
		raw, err := os.ReadFile(filepath.Join(from, entry.Name()))
		check(h.story, err)
		text := strings.ReplaceAll(string(raw), "10.89.0.0/16", h.story.network.Subnet().String())
		check(h.story, os.WriteFile(filepath.Join(local, entry.Name()), []byte(text), 0o600))
	}
	check(h.story, h.Copy(h.story.ctx, local, to))
}

// commandLine is that of a running program, and its environment.
func (h *host) commandLine(program string) []string {
	h.story.Helper()
	pid := strings.TrimSpace(h.run("pgrep", "-o", "-x", program[:min(15, len(program))]))
	return strings.Split(h.run("cat", "/proc/"+pid+"/cmdline", "/proc/"+pid+"/environ"), "\x00")
}

func (h *host) flagsAreAsWished(t *testing.T) {
	for program, wanted := range map[string]string{
		"kube-apiserver": `--feature-gates=APIResponseCompression=false --runtime-config=admissionregistration.k8s.io/v1beta1=true
			--api-audiences=kubernetes,vault,gardener --tls-min-version=VersionTLS13 --event-ttl=2h0m0s --max-requests-inflight=500
			--max-mutating-requests-inflight=250 --v=3 --vmodule=httplog=3 --default-not-ready-toleration-seconds=60
			--default-unreachable-toleration-seconds=90 --watch-cache-sizes=controllerrevisions.apps#0,podtemplates#0
			--service-account-issuer=https://issuer.local.gardenadm.internal --service-account-extend-token-expiration=false
			--service-account-max-token-expiration=720h0m0s --disable-admission-plugins=DefaultIngressClass
			--enable-admission-plugins=NodeRestriction,LimitPodHardAntiAffinityTopology,PodSecurity,ValidatingAdmissionWebhook`,
		"kube-controller-manager": `--feature-gates=HPAConfigurableTolerance=false --node-cidr-mask-size=25 --node-monitor-grace-period=44s
			--horizontal-pod-autoscaler-cpu-initialization-period=4m0s --horizontal-pod-autoscaler-downscale-stabilization=10m0s
			--horizontal-pod-autoscaler-initial-readiness-delay=20s --horizontal-pod-autoscaler-sync-period=20s
			--horizontal-pod-autoscaler-tolerance=0.2`,
		"kube-scheduler": `--feature-gates=OpportunisticBatching=false`,
		"kubelet":        `HTTP2_READ_IDLE_TIMEOUT_SECONDS=28 HTTP2_PING_TIMEOUT_SECONDS=14`,
	} {
		running := h.commandLine(program)
		for _, word := range strings.Fields(wanted) {
			if !slices.Contains(running, word) {
				t.Errorf("%s runs without %s", program, word)
			}
		}
	}
	if config := h.run("bash", "-c", "cat $(find /var/lib/static-pods/kube-scheduler -name config.yaml)"); !strings.Contains(config, "MostAllocated") {
		t.Errorf("the scheduler does not pack:\n%s", config)
	}
}

// kubeletIsAsWished compares what the kubelet says of itself with the golden file of its renderer.
func (h *host) kubeletIsAsWished(t *testing.T) {
	var says struct {
		KubeletConfig kubeletv1beta1.KubeletConfiguration `json:"kubeletconfig"`
	}
	check(t, json.Unmarshal([]byte(h.mustKubectl("get", "--raw", "/api/v1/nodes/machine-0/proxy/configz")), &says))
	raw, err := os.ReadFile(filepath.Join(h.story.root, "internal/render/osc/testdata/most-fields-kubelet.yaml"))
	check(t, err)
	var golden map[string]any
	check(t, yaml.Unmarshal(raw, &golden))
	want, running := fieldsOf(t, golden), fieldsOf(t, says.KubeletConfig)
	compared := 0
	for name, value := range want {
		// What depends on the host is its drop-ins' or found out by the kubelet; a zero stands for the kubelet's own default.
		if slices.Contains([]string{"apiVersion", "kind", "resolvConf", "failCgroupV1", "cgroupDriver", "logging"}, name) || value == `"0s"` {
			continue
		}
		compared++
		if running[name] != value {
			t.Errorf("kubelet's %s is %s, want %s", name, running[name], value)
		}
	}
	if compared < 40 {
		t.Errorf("only %d settings were compared", compared)
	}
}

// fieldsOf is an object's fields as JSON texts.
func fieldsOf(t *testing.T, object any) map[string]string {
	t.Helper()
	raw, err := json.Marshal(object)
	check(t, err)
	fields := map[string]any{}
	check(t, json.Unmarshal(raw, &fields))
	out := map[string]string{}
	for name, value := range fields {
		sorted, err := json.Marshal(value) // a map's keys come out sorted, a struct's do not
		check(t, err)
		out[name] = string(sorted)
	}
	return out
}

func (h *host) nodeIsAsWished(t *testing.T) {
	for path, want := range map[string]string{
		`{.metadata.labels.example\.com/team}`:                                         "blue",
		`{.metadata.labels.node\.kubernetes\.io/exclude-from-external-load-balancers}`: "true",
		`{.metadata.labels.topology\.kubernetes\.io/zone}`:                             "zone-a",
		`{.metadata.labels.topology\.kubernetes\.io/region}`:                           "local",
		`{.metadata.labels.worker\.gardener\.cloud/gardener-node-agent-secret-name}`:   "gardener-node-agent-machine",
		`{.metadata.annotations.example\.com/owner}`:                                   "somebody",
		`{range .spec.taints[*]}{.key}={.value}:{.effect}{end}`:                        "example.com/dedicated=most-fields:NoSchedule",
		`{.status.capacity.pods}`:                                                      "60",
	} {
		if got := h.mustKubectl("get", "node", "machine-0", "-o", "jsonpath="+path); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if cidr := h.mustKubectl("get", "node", "machine-0", "-o", "jsonpath={.spec.podCIDR}"); !strings.HasSuffix(cidr, "/25") {
		t.Errorf("the node's pod network is %s, want a /25", cidr)
	}
	for key, want := range map[string]string{"net.core.somaxconn": "4096", "net.ipv4.tcp_keepalive_time": "600"} {
		if got := strings.TrimSpace(h.run("sysctl", "-n", key)); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
}

func (h *host) apiIsAsWished(t *testing.T) {
	ask := func(path string, most uint16) (int, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MaxVersion: most}}}
		response, err := client.Get("https://" + net.JoinHostPort(h.Addr().String(), "6443") + path)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	for path, want := range map[string]int{"/version": http.StatusOK, "/api/v1/secrets": http.StatusUnauthorized, "/readyz": http.StatusOK} {
		if got, err := ask(path, 0); got != want || err != nil {
			t.Errorf("the anonymous get %d for %s, want %d: %v", got, path, want, err)
		}
	}
	if _, err := ask("/version", tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 is accepted")
	}
	stored := h.run("bash", "-c", `grep -oah 'k8s:enc:[a-z]*:v1:key' /var/lib/etcd-main/data/new.etcd/member/wal/*.wal | sort | uniq -c`)
	if !strings.Contains(stored, "k8s:enc:secretbox:v1:key") || strings.Contains(stored, "aescbc") {
		t.Errorf("what is encrypted in etcd: %s", stored)
	}
	audited := h.run("bash", "-c", `grep -o '"resource":"[a-z]*"' /var/log/kube-apiserver/audit.log | sort -u`)
	if strings.TrimSpace(audited) != "\"resource\":\"configmaps\"\n\"resource\":\"secrets\"" {
		t.Errorf("the audit log has %s", audited)
	}
}

func (h *host) clusterIsAsWished(t *testing.T) {
	requests := `jsonpath={.spec.containers[0].resources.requests.cpu} {.spec.containers[0].resources.requests.memory}`
	for pod, want := range map[string]string{"kube-apiserver": "200m 320Mi", "etcd-main": "60m 96Mi"} {
		if got := h.mustKubectl("get", "pod", "-n", "kube-system", pod+"-machine-0", "-o", requests); got != want {
			t.Errorf("%s requests %s, want %s", pod, got, want)
		}
	}
	maps := h.mustKubectl("get", "configmaps", "-n", "kube-system", "-o", "yaml")
	for _, want := range []string{"mode: nftables", "ContextualLogging: false", "host-gw", "rewrite", "030000+0100"} {
		if !strings.Contains(maps, want) {
			t.Errorf("no ConfigMap has %q", want)
		}
	}
	if links := h.run("ip", "-br", "link"); strings.Contains(links, "flannel.1") {
		t.Errorf("host-gw needs no tunnel: %s", links)
	}
	h.importTestImage()
	h.apply(fmt.Sprintf(tolerating, "echo"))
	h.story.eventually("the pod is Ready", 2*time.Minute, func() error { return h.allPodsReady(systemPods + 1) })
	h.story.eventually("a Service answers by name", 2*time.Minute, func() error {
		out, err := h.kubectl("exec", "echo", "--", "/echo", "get", "http://echo.default.svc.cluster.local/")
		if err == nil && !strings.Contains(out, "echo") {
			err = fmt.Errorf("it says %q", out)
		}
		return err
	})
}

// tolerating is a pod of the test workload that may run on dedicated nodes, with its Service.
const tolerating = `
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: default, labels: {app: %[1]s}}
spec:
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  containers:
  - {name: echo, image: "bundle.gardenadm.dev/test/echo:v1", imagePullPolicy: Never, ports: [{containerPort: 8080}],
     readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec:
  selector: {app: %[1]s}
  ports: [{port: 80, targetPort: 8080}]
`
