package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// watch is a kubectl on a node that is told of new ConfigMaps, over one connection.
type watch struct {
	node         *host
	unit         string
	pid, sockets string
}

// nothingIsCut: the endpoint proxy and the node agent are replaced, and connections of the node and of a pod go on.
func (c *cluster) nothingIsCut() {
	worker := c.workers[0]
	kubectl, err := filepath.EvalSymlinks(c.product("bin/kubectl"))
	check(c, err)
	check(c, worker.Copy(c.ctx, kubectl, "/root/kubectl"))
	check(c, worker.WriteFile(c.ctx, "/root/admin.conf", []byte(c.cp.run("cat", "/etc/kubernetes/admin.conf")), 0o600))
	service := c.cp.mustKubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
	pod := strings.TrimSpace(worker.run("pgrep", "-o", "-x", "echo"))

	watches := []watch{
		c.watch(worker, "watch-node", "/root/kubectl"),
		c.watch(worker, "watch-pod", "nsenter", "--net", "--target="+pod, "/root/kubectl", "--server=https://"+service, "--tls-server-name=kubernetes.default.svc"),
	}
	defer worker.run("rm", "-f", "/root/kubectl", "/root/admin.conf")
	defer c.cp.mustKubectl("delete", "configmap", "--ignore-not-found", "before", "after")
	c.cp.mustKubectl("create", "configmap", "before")
	for i := range watches {
		defer worker.run("bash", "-c", "systemctl stop $0 || true", watches[i].unit) // one that was cut has ended
		watches[i].hears("configmap/before")
		watches[i].pid, watches[i].sockets = watches[i].state()
	}
	for range 2 {
		for _, unit := range []string{"gardener-api-proxy.service", "gardener-node-agent.service"} {
			before := worker.mainPID(unit)
			worker.run("systemctl", "restart", unit)
			if after := worker.mainPID(unit); before == "0" || after == before {
				c.Fatalf("%s was not replaced: its process was %s and is %s", unit, before, after)
			}
		}
	}
	c.cp.mustKubectl("create", "configmap", "after")
	for _, w := range watches {
		w.hears("configmap/after")
		if pid, sockets := w.state(); pid != w.pid || sockets != w.sockets {
			c.Errorf("%s is process %s with %s, and was %s with %s", w.unit, pid, sockets, w.pid, w.sockets)
		}
	}
}

// watch starts a kubectl as a unit of the node, and returns when it has been told what there is.
func (c *cluster) watch(node *host, unit string, kubectl ...string) watch {
	c.Helper()
	node.run(slices.Concat([]string{"systemd-run", "--quiet", "--collect", "--unit=" + unit, "--property=StandardOutput=truncate:/run/" + unit}, kubectl,
		[]string{"--kubeconfig=/root/admin.conf", "get", "configmaps", "--namespace=default", "--watch", "--output=name"})...)
	w := watch{node: node, unit: unit}
	w.hears("configmap/kube-root-ca.crt")
	return w
}

// hears waits until the watch was told of the object. It ends with its connection, and never connects anew.
func (w watch) hears(object string) {
	s := w.node.story
	s.Helper()
	s.eventually(w.unit+" is told of "+object, 20*time.Second, func() error {
		_, err := w.node.Exec(s.ctx, "grep", "-qxF", object, "/run/"+w.unit)
		return err
	})
}

// state is the process and its sockets; a connection that replaces another one has another socket.
func (w watch) state() (pid, sockets string) {
	w.node.story.Helper()
	pid = w.node.mainPID(w.unit)
	found := strings.Fields(w.node.run("bash", "-c", `readlink /proc/"$0"/fd/* | grep ^socket:`, pid))
	slices.Sort(found)
	return pid, strings.Join(found, " ")
}

func (h *host) mainPID(unit string) string {
	h.story.Helper()
	return strings.TrimSpace(h.run("systemctl", "show", "--property=MainPID", "--value", unit))
}
