package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// systemPods: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, flannel, coredns, metrics-server.
const systemPods = 8

const workload = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - {name: echo, image: "bundle.gardenadm.dev/test/echo:v1", imagePullPolicy: Never, ports: [{containerPort: 8080}],
         readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: default}
spec:
  selector: {app: echo}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: default}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: client, image: "bundle.gardenadm.dev/test/echo:v1", imagePullPolicy: Never, args: [sleep]}
`

// TestInit is the first walk: one bare machine in an air gap becomes a cluster, is used, loses power and comes back by itself.
func TestInit(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	node := s.boot("machine-0") // the name in the golden files
	s.cutIsReal(node)

	out := node.run("gardenadm", "init", "--bundle", "/root/bundle")
	if !strings.Contains(out, "kubectl get nodes,pods -A") {
		t.Errorf("init does not say what to do next:\n%s", out)
	}
	check(t, node.allPodsReady(systemPods))
	if shell := node.run("bash", "-ic", "kubectl get nodes --no-headers"); !strings.Contains(shell, "machine-0") {
		t.Errorf("kubectl does not work in root's shell:\n%s", shell)
	}
	t.Run("processes", func(t *testing.T) { node.processesAreAsRendered(t) })
	t.Run("defaults", func(t *testing.T) { node.defaultsAreSafe(t) })
	t.Run("documented commands", node.documentedCommandsRun)
	t.Run("tokens", node.tokensWork)
	t.Run("gardenlet and metrics", node.gardenletAndMetrics)
	t.Run("second init", func(t *testing.T) { node.secondInitChangesNothing(t) })

	// A process of the host reaches a Service although there is no default route.
	node.run("timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/100.64.0.1/443")

	node.importTestImage()
	node.apply(workload)
	s.eventually("workload is Ready", 2*time.Minute, func() error { return node.allPodsReady(systemPods + 3) })
	node.clusterIsUsable()

	check(t, node.Kill(s.ctx))
	check(t, node.Start(s.ctx))
	s.eventually("all comes back after a power cut", 4*time.Minute, func() error { return node.allPodsReady(systemPods + 3) })
	s.eventually("the cluster is usable after a power cut", 2*time.Minute, node.serviceAnswers)
	node.clusterIsUsable()

	s.nothingLeft()
}

// cutIsReal proves that a machine cannot dial an outside address, before anything is claimed about an air gap.
func (s *story) cutIsReal(node *host) {
	s.Helper()
	for _, address := range []string{"1.1.1.1/443", "192.0.2.1/80"} {
		if _, err := node.Exec(s.ctx, "timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/"+address); err == nil {
			s.Fatalf("the machine reaches %s: its network is not cut off", address)
		}
	}
	if routes := node.run("ip", "route", "show", "default"); strings.TrimSpace(routes) != "" {
		s.Fatalf("the machine has a default route: %s", routes)
	}
}

// clusterIsUsable: a Service by name from another pod, logs and exec through the API.
func (h *host) clusterIsUsable() {
	h.story.Helper()
	h.story.eventually("the Service answers by name", time.Minute, h.serviceAnswers)
	h.story.eventually("logs come through the API", time.Minute, func() error {
		logs, err := h.kubectl("logs", "deployment/echo")
		if err == nil && !strings.Contains(logs, "listening") {
			err = fmt.Errorf("logs are %q", logs)
		}
		return err
	})
}

func (h *host) serviceAnswers() error {
	out, err := h.kubectl("exec", "client", "--", "/echo", "get", "http://echo.default.svc.cluster.local/")
	if err == nil && !strings.Contains(out, "echo-") {
		err = fmt.Errorf("the Service says %q", out)
	}
	return err
}

// documentedCommandsRun runs what the README shows beside init.
func (h *host) documentedCommandsRun(t *testing.T) {
	for command, want := range map[string]string{
		"gardenadm preflight":                     "0 failed",
		"gardenadm status":                        "kube-apiserver",
		"gardenadm logs kube-apiserver --tail 20": " ",
		"gardenadm certs check":                   "kube-apiserver",
		"gardenadm explain GA-2101":               "another gardenadm works on this machine",
		"gardenadm manifests":                     "kind: Shoot",
		"gardenadm version -o yaml":               "gardener: v1",
	} {
		if out := h.run(strings.Fields(command)...); !strings.Contains(out, want) {
			t.Errorf("%s does not print %q:\n%s", command, want, out)
		}
	}
}

// secondInitChangesNothing: what is finished is left alone. Every container keeps running and every file keeps its content.
func (h *host) secondInitChangesNothing(t *testing.T) {
	state := func() string {
		files := h.run("bash", "-c", "find /etc/kubernetes /etc/containerd /etc/systemd/system /var/lib/static-pods /opt /root/.bashrc -type f | sort | xargs sha256sum")
		pods := h.mustKubectl("get", "pods", "-n", "kube-system", "-o",
			`jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}`)
		return files + pods
	}
	before := state()
	if out := h.run("gardenadm", "init", "--bundle", "/root/bundle"); !strings.Contains(out, "Nothing had to be changed") {
		t.Errorf("a second init does not say that nothing had to be changed:\n%s", out)
	}
	if after := state(); after != before {
		t.Errorf("a second init changed the machine; before:\n%s\nafter:\n%s", before, after)
	}
}

// gardenletAndMetrics: the gardenlet leads and publishes the configuration of the pool, and metrics come through the API server.
func (h *host) gardenletAndMetrics(t *testing.T) {
	if state := strings.TrimSpace(h.run("systemctl", "is-active", "gardenlet.service")); state != "active" {
		t.Errorf("the gardenlet is %s", state)
	}
	h.story.eventually("the pool's configuration is published", time.Minute, func() error {
		out, err := h.kubectl("get", "secrets", "-n", "kube-system", "-l", "gardener.cloud/role=operating-system-config", "-o", "name")
		if err == nil && strings.TrimSpace(out) == "" {
			err = fmt.Errorf("no Secret has the label")
		}
		return err
	})
	h.story.eventually("kubectl top knows the node", 90*time.Second, func() error {
		out, err := h.kubectl("top", "nodes", "--no-headers")
		if err == nil && !strings.Contains(out, "machine-0") {
			err = fmt.Errorf("it says %q", out)
		}
		return err
	})
}
