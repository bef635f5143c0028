package e2e

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// everywhere is the test workload with a pod on each node. The image is on cp-1 alone: the other nodes take it from its mirror.
const everywhere = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: echo, namespace: default}
spec:
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]
      containers:
      - {name: echo, image: "bundle.gardenadm.dev/test/echo:v1", imagePullPolicy: IfNotPresent,
         ports: [{containerPort: 8080}, {containerPort: 8081}, {containerPort: 8081, protocol: UDP}],
         env: [{name: SSL_CERT_FILE, value: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt}],
         readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: default}
spec:
  selector: {app: echo}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: tcp, port: 8081}
  - {name: udp, port: 8081, protocol: UDP}
`

// TestNodes: one control plane node from a bundle and two workers from the program alone, in an air gap; pods on different nodes
// talk, the API reaches pods on every node, and what is wrong on a node is put right.
func TestNodes(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	c := s.newCluster("worker-1")
	c.joinSecretly(s.bootJoiners("worker-2")[0])
	c.ready()
	c.workersAreSmall(t)
	c.part(t, "second join", (*cluster).secondJoinChangesNothing)

	c.cp.importTestImage()
	c.cp.apply(everywhere)
	c.pods += len(c.nodes())
	c.ready()
	c.part(t, "pods talk", (*cluster).podsTalk)
	c.part(t, "services", (*cluster).servicesAnswer)
	c.part(t, "the API reaches pods", (*cluster).apiReachesPods)
	c.part(t, "nothing is cut", (*cluster).nothingIsCut)
	c.part(t, "metrics", (*cluster).metricsOfAllNodes)
	c.part(t, "image comes back", (*cluster).imageComesBack)
	c.part(t, "drift is healed", (*cluster).driftIsHealed)
	c.part(t, "shoot change", (*cluster).shootChangeRolls)
	s.nothingLeft()
}

// watchArguments runs the command $1 and says SEEN when a process of the machine has the token among its arguments meanwhile.
const watchArguments = `
bash -c "$1" & while kill -0 $! 2>/dev/null; do
  for p in /proc/[0-9]*/cmdline; do tr '\0' '\n' <$p; done 2>/dev/null | grep -qFf /root/token && echo SEEN
  sleep 0.2
done
wait $!`

// joinSecretly joins with a token that comes from a file and an authority instead of a pin: nobody on the machine sees the token.
func (c *cluster) joinSecretly(worker *host) {
	c.Helper()
	token := strings.TrimSpace(c.cp.run("gardenadm", "token", "create", "--single-use", "--node", worker.Name()))
	authority := c.cp.run("bash", "-c", "sed -n 's/.*certificate-authority-data: *//p' /etc/kubernetes/admin.conf")
	if pem, err := base64.StdEncoding.DecodeString(strings.TrimSpace(authority)); err != nil || !strings.Contains(string(pem), "BEGIN CERTIFICATE") {
		c.Fatalf("the administrator's kubeconfig has the authority %q: %v", authority, err)
	}
	check(c, worker.WriteFile(c.ctx, "/root/token", []byte(token+"\n"), 0o600))
	line := fmt.Sprintf("gardenadm join %s --token-file - --ca-certificate %s </root/token", c.cp.Addr(), strings.TrimSpace(authority))
	out := worker.run("bash", "-c", watchArguments, "watch-arguments", line)
	if strings.Contains(out, "SEEN") {
		c.Errorf("a process shows the token:\n%s", out)
	}
	for where, command := range map[string]string{"journal": "journalctl --no-pager", "files": "grep -rF " + token[7:] + " /etc /var/lib/gardenadm /var/lib/gardener-node-agent /var/lib/kubelet /run 2>/dev/null | cat"} {
		if strings.Contains(worker.run("bash", "-c", command), token[7:]) {
			c.Errorf("the token is in the machine's %s", where)
		}
	}
	c.workers = append(c.workers, worker)
}

// workersAreSmall: a worker has no control plane, no bundle and no administrator.
func (c *cluster) workersAreSmall(t *testing.T) {
	for _, worker := range c.workers {
		if left := worker.run("bash", "-c", "ls -d /etc/kubernetes/admin.conf /etc/kubernetes/manifests/* /var/lib/etcd-main /var/lib/gardenadm/bundle /var/lib/gardenadm/secrets /var/lib/kubelet/kubeconfig-bootstrap 2>/dev/null | cat"); left != "" {
			t.Errorf("%s has %s", worker.Name(), left)
		}
		if state := strings.Fields(worker.run("bash", "-c", "systemctl is-active gardener-node-agent.service gardener-api-proxy.socket kubelet.service containerd.service")); strings.Join(state, " ") != "active active active active" {
			t.Errorf("the units of %s are %s", worker.Name(), state)
		}
	}
}

// secondJoinChangesNothing: what is finished is left alone.
func (c *cluster) secondJoinChangesNothing() {
	worker := c.workers[0]
	state := func() string {
		files := worker.run("bash", "-c", "find /etc/kubernetes /etc/containerd /etc/systemd/system /opt /var/lib/gardener-node-agent -type f | sort | xargs sha256sum")
		return files + c.cp.mustKubectl("get", "pods", "-A", "--field-selector=spec.nodeName="+worker.Name(), "-o",
			`jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}`)
	}
	before := state()
	if out := worker.run("bash", "-c", c.joinLine()); !strings.Contains(out, "Nothing had to be changed") {
		c.Errorf("a second join does not say that nothing had to be changed:\n%s", out)
	}
	if after := state(); after != before {
		c.Errorf("a second join changed the machine; before:\n%s\nafter:\n%s", before, after)
	}
}

// pod is one of the test workload: where it runs, and its address.
type pod struct{ node, name, address string }

func (c *cluster) echoes() []pod {
	c.Helper()
	var out []pod
	for line := range strings.Lines(c.cp.mustKubectl("get", "pods", "-l", "app=echo", "--no-headers", "-o",
		"custom-columns=NODE:.spec.nodeName,NAME:.metadata.name,IP:.status.podIP")) {
		if fields := strings.Fields(line); len(fields) == 3 {
			out = append(out, pod{fields[0], fields[1], fields[2]})
		}
	}
	if len(out) != len(c.nodes()) {
		c.Fatalf("the pods of the test workload are %v, want one on each of %d nodes", out, len(c.nodes()))
	}
	return out
}

// in runs the test workload's program in a pod.
func (c *cluster) in(p pod, args ...string) (string, error) {
	return c.cp.kubectl(append([]string{"exec", p.name, "--", "/echo"}, args...)...)
}

// podsTalk: from each node to each other, by TCP and UDP, in packets as large as the pods' links take.
func (c *cluster) podsTalk() {
	const link, vxlanHeader, udpHeader = 1500, 50, 28
	const mtu = link - vxlanHeader
	for _, node := range c.nodes() {
		if got := strings.TrimSpace(node.run("cat", "/sys/class/net/cni0/mtu")); got != fmt.Sprint(mtu) {
			c.Errorf("pods on %s do not use the whole link: their packets have %s bytes, the link's %d", node.Name(), got, link)
		}
	}
	pods := c.echoes()
	for _, from := range pods {
		for _, to := range pods {
			if from == to {
				continue
			}
			if out, err := c.in(from, "get", "http://"+to.address+":8080/"); err != nil || strings.TrimSpace(out) != to.name {
				c.Errorf("%s → %s: HTTP says %q: %v", from.node, to.node, out, err)
			}
			if _, err := c.in(from, "exchange", "tcp", to.address+":8081", "1000000"); err != nil {
				c.Errorf("%s → %s: TCP: %v", from.node, to.node, err)
			}
			if _, err := c.in(from, "exchange", "udp", to.address+":8081", fmt.Sprint(mtu-udpHeader)); err != nil {
				c.Errorf("%s → %s: the largest packet: %v", from.node, to.node, err)
			}
		}
	}
	if _, err := c.in(pods[0], "exchange", "udp", pods[1].address+":8081", fmt.Sprint(mtu-udpHeader+1)); err == nil || !strings.Contains(err.Error(), "message too long") {
		c.Errorf("a packet that is too large: %v; the ones before may have been cut", err)
	}
}

// servicesAnswer: by name, by TCP and UDP, from each node, and with pods of all nodes behind them; pods reach the API.
func (c *cluster) servicesAnswer() {
	for _, from := range c.echoes() {
		answered := map[string]bool{}
		c.eventually("pods of all nodes answer a pod on "+from.node, time.Minute, func() error {
			for range 3 * len(c.nodes()) { // each request goes to any of them
				out, err := c.in(from, "get", "http://echo.default.svc.cluster.local/")
				if err != nil {
					return err
				}
				if answered[strings.TrimSpace(out)] = true; len(answered) == len(c.nodes()) {
					return nil
				}
			}
			return fmt.Errorf("only %v", answered)
		})
		for _, args := range [][]string{
			{"exchange", "tcp", "echo.default.svc.cluster.local:8081", "100000"},
			{"exchange", "udp", "echo.default.svc.cluster.local:8081", "1000"},
			{"lookup", "kubernetes.default.svc.cluster.local"},
			{"get", "https://kubernetes.default.svc.cluster.local/healthz"},
		} {
			if _, err := c.in(from, args...); err != nil {
				c.Errorf("in a pod on %s: %s: %v", from.node, strings.Join(args, " "), err)
			}
		}
	}
	for _, node := range c.nodes() { // also a process of the host, without a default route
		node.run("timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/100.64.0.1/443")
	}
}

// portForward is `kubectl port-forward` to the pod $1, with a request through it.
const portForward = `
exec 3< <(/opt/bin/kubectl --kubeconfig=/etc/kubernetes/admin.conf port-forward pod/$1 :8080 & echo "pid $!"; wait)
while read -r line <&3; do
  case "$line" in
  "pid "*) pid=${line#pid } ;;
  "Forwarding from 127.0.0.1:"*)
    port=${line#*127.0.0.1:}
    exec 4<>/dev/tcp/127.0.0.1/${port%% *}
    printf 'GET / HTTP/1.0\r\n\r\n' >&4
    timeout 5 cat <&4
    kill "$pid"
    exit 0 ;;
  esac
done
exit 1`

// apiReachesPods: logs, exec and port-forward on each node.
func (c *cluster) apiReachesPods() {
	for _, p := range c.echoes() {
		if logs := c.cp.mustKubectl("logs", p.name); !strings.Contains(logs, "listening") {
			c.Errorf("logs of the pod on %s are %q", p.node, logs)
		}
		if out, err := c.in(p, "lookup", "localhost"); err != nil || !strings.Contains(out, "127.0.0.1") {
			c.Errorf("exec in the pod on %s says %q: %v", p.node, out, err)
		}
		if out := c.cp.run("bash", "-c", portForward, "port-forward", p.name); !strings.Contains(out, p.name) {
			c.Errorf("through port-forward the pod on %s says %q", p.node, out)
		}
	}
}

func (c *cluster) metricsOfAllNodes() {
	c.eventually("kubectl top knows all nodes and pods", 2*time.Minute, func() error {
		nodes, err := c.cp.kubectl("top", "nodes", "--no-headers")
		for _, node := range c.nodes() {
			if err == nil && (!strings.Contains(nodes, node.Name()) || strings.Contains(nodes, "<unknown>")) {
				err = fmt.Errorf("nodes are\n%s", nodes)
			}
		}
		pods, podsErr := c.cp.kubectl("top", "pods", "--no-headers")
		if err == nil && podsErr == nil && strings.Count(pods, "echo-") != len(c.nodes()) {
			err = fmt.Errorf("pods are\n%s", pods)
		}
		if err == nil {
			err = podsErr
		}
		return err
	})
}
