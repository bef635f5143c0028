package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// wishes are laid over the Shoot: a label, kubelet settings and a sysctl of the workers, and flags of the API server.
const wishes = `
spec:
  kubernetes:
    kubeAPIServer: {eventTTL: 2h0m0s, requests: {maxNonMutatingInflight: 399, maxMutatingInflight: 199}}
    kubelet: {maxPods: 77}
`

// plantMirror is a registry whose images come from elsewhere.
const plantMirror = `
---
apiVersion: config.gardenadm.dev/v1alpha1
kind: RegistryAccess
metadata: {name: access}
httpsProxy: http://192.0.2.7:3128
registries:
- upstream: registry.example.com
  mirrors: [{url: "https://registry.plant.example:5000"}]
`

// shootChangeRolls: what changes in the Shoot reaches every node by itself; workloads go on, and control plane nodes take turns.
func (c *cluster) shootChangeRolls() {
	before, had := c.containers(), map[string]string{}
	for _, node := range c.nodes() {
		checksum, _, err := c.applied(node)
		check(c, err)
		had[node.Name()] = checksum
	}
	manifests := c.cp.run("cat", "/var/lib/gardenadm/manifests.yaml")
	check(c, c.cp.WriteFile(c.ctx, "/root/shoot/cluster.yaml", []byte(c.withWishes(manifests)+plantMirror), 0o600))
	c.cp.run("gardenadm", "init", "-d", "/root/shoot", "--bundle", "/root/bundle")

	for _, node := range c.nodes() {
		c.eventually(node.Name()+" has the new configuration", 4*time.Minute, func() error { return c.tookUp(node, had[node.Name()]) })
		c.eventually("the kubelet of "+node.Name()+" is as wished", time.Minute, func() error {
			says, err := c.cp.kubectl("get", "--raw", "/api/v1/nodes/"+node.Name()+"/proxy/configz")
			if err == nil && !strings.Contains(says, `"maxPods":77,`) {
				err = fmt.Errorf("it says %s", says)
			}
			return err
		})
		node.run("grep", "-q", "registry.plant.example:5000", "/etc/containerd/certs.d/registry.example.com/hosts.toml")
		node.run("bash", "-ec", `tr '\0' '\n' </proc/$(systemctl show -P MainPID containerd)/environ | grep -x HTTPS_PROXY=http://192.0.2.7:3128`)
	}
	for _, worker := range c.workers {
		c.nodeSays(worker, `{.metadata.labels.example\.com/team}`, "blue", time.Minute)
		if got := strings.TrimSpace(worker.run("sysctl", "-n", "net.core.somaxconn")); got != "4321" {
			c.Errorf("net.core.somaxconn of %s is %s", worker.Name(), got)
		}
	}
	running := c.cp.commandLine("kube-apiserver")
	for _, flag := range []string{"--event-ttl=2h0m0s", "--max-requests-inflight=399", "--max-mutating-requests-inflight=199"} {
		if !slices.Contains(running, flag) {
			c.Errorf("the API server runs without %s", flag)
		}
	}
	c.ready()
	if after := c.containers(); after != before {
		c.Errorf("containers of the workload were restarted; before:\n%s\nafter:\n%s", before, after)
	}
}

// containers are those of the test workload.
func (c *cluster) containers() string {
	c.Helper()
	return c.cp.mustKubectl("get", "pods", "-l", "app=echo", "-o", `jsonpath={range .items[*]}{.spec.nodeName} {.status.containerStatuses[0].containerID}{"\n"}{end}`)
}

// applied is what the node says that it has: the checksum of a configuration, and the Secret that it came with.
func (c *cluster) applied(node *host) (checksum, secret string, err error) {
	out, err := c.cp.kubectl("get", "node", node.Name(), "-o", `jsonpath={.metadata.annotations.checksum/cloud-config-data} {.metadata.labels.worker\.gardener\.cloud/gardener-node-agent-secret-name}`)
	checksum, secret, _ = strings.Cut(out, " ")
	return checksum, secret, err
}

// tookUp is nil when the node has applied what is published for its pool, and that is not what it had before.
func (c *cluster) tookUp(node *host, before string) error {
	now, secret, err := c.applied(node)
	if err != nil {
		return err
	}
	published, err := c.cp.kubectl("get", "secret", "-n", "kube-system", secret, "-o", `jsonpath={.metadata.annotations.checksum/data-script}`)
	if err == nil && (now == before || now != published) {
		err = fmt.Errorf("%s has %q of %s, published is %q", node.Name(), now, secret, published)
	}
	return err
}

// withWishes changes the Shoot among the manifests.
func (c *cluster) withWishes(manifests string) string {
	c.Helper()
	var out []string
	changed := 0
	for document := range strings.SplitSeq(manifests, "\n---\n") {
		var object map[string]any
		check(c, yaml.Unmarshal([]byte(document), &object))
		if object["kind"] == "Shoot" {
			var over map[string]any
			check(c, yaml.Unmarshal([]byte(wishes), &over))
			lay(object, over)
			changed += c.changeWorkers(object)
		}
		raw, err := yaml.Marshal(object)
		check(c, err)
		out = append(out, string(raw))
	}
	if changed != 1 {
		c.Fatalf("the manifests have %d pools of workers, want 1:\n%s", changed, manifests)
	}
	return strings.Join(out, "---\n")
}

// changeWorkers gives each pool that is not the control plane's a label and a sysctl, and says how many there are.
func (c *cluster) changeWorkers(shoot map[string]any) (changed int) {
	c.Helper()
	raw, err := json.Marshal(shoot["spec"].(map[string]any)["provider"].(map[string]any)["workers"])
	check(c, err)
	var pools []map[string]any
	check(c, json.Unmarshal(raw, &pools))
	for _, pool := range pools {
		if _, ok := pool["controlPlane"]; !ok {
			lay(pool, map[string]any{"labels": map[string]any{"example.com/team": "blue"}, "sysctls": map[string]any{"net.core.somaxconn": "4321"}})
			changed++
		}
	}
	shoot["spec"].(map[string]any)["provider"].(map[string]any)["workers"] = pools
	return changed
}

// lay lays one tree of settings over another.
func lay(under, over map[string]any) {
	for key, value := range over {
		branch, isBranch := value.(map[string]any)
		below, isThere := under[key].(map[string]any)
		if isBranch && isThere {
			lay(below, branch)
		} else {
			under[key] = value
		}
	}
}
