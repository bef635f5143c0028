package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// defaultsAreSafe reads what the defaults promise from the disk, from /proc and from the running servers.
func (h *host) defaultsAreSafe(t *testing.T) {
	t.Run("modes", h.modesAreClosed)
	t.Run("anonymous", h.anonymousSeesHealthOnly)
	t.Run("encryption at rest", h.secretsAreEncrypted)
	t.Run("audit", h.auditIsOnAndBounded)
	t.Run("kubelet", h.kubeletIsClosed)
	t.Run("admin", h.adminIsNoMaster)
	t.Run("pod security", h.podSecurityIsEnforced)
}

// modesAreClosed: what holds state or secrets is closed to others.
func (h *host) modesAreClosed(t *testing.T) {
	for path, want := range map[string]string{
		"/var/lib/gardenadm":                       "700 root:root",
		"/var/lib/gardenadm/shoot-uid":             "600 root:root",
		"/var/lib/gardenadm/journal.jsonl":         "600 root:root",
		"/var/lib/etcd-main":                       "700 root:root",
		"/var/lib/etcd-main/data":                  "700 UNKNOWN:UNKNOWN",
		"/var/lib/etcd-main/data/new.etcd":         "700 UNKNOWN:UNKNOWN",
		"/var/lib/kubelet":                         "700 root:root",
		"/var/lib/kubelet/config/kubelet":          "600 root:root",
		"/etc/kubernetes/admin.conf":               "600 root:root",
		"/var/log/kube-apiserver":                  "700 UNKNOWN:UNKNOWN",
		"/etc/kubernetes/manifests/etcd-main.yaml": "640 root:root",
	} {
		if got := strings.TrimSpace(h.run("stat", "-c", "%a %U:%G", path)); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	open := h.run("find", "/var/lib/static-pods", "/var/lib/kubelet/pki", "/etc/kubernetes", "-type", "f", "-perm", "/o=rwx")
	if open != "" {
		t.Errorf("files are open to others:\n%s", open)
	}
	if out := h.run("find", "/var/lib/static-pods", "-type", "f", "-not", "(", "-perm", "640", "-user", "root", "-group", "root", ")"); out != "" {
		t.Errorf("files of static pods are not root:root 0640:\n%s", out)
	}
	if out := h.run("bash", "-c", "ls /var/lib/gardenadm/secrets 2>/dev/null || true"); out != "" {
		t.Errorf("secrets are left on disk after the API has them:\n%s", out)
	}
}

// anonymousSeesHealthOnly: the health paths answer anybody, nothing else does.
func (h *host) anonymousSeesHealthOnly(t *testing.T) {
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{
		"/healthz": http.StatusOK, "/livez": http.StatusOK, "/readyz": http.StatusOK,
		"/version": http.StatusUnauthorized, "/api": http.StatusUnauthorized, "/apis": http.StatusUnauthorized,
		"/metrics": http.StatusUnauthorized, "/api/v1/namespaces": http.StatusUnauthorized,
		"/api/v1/namespaces/kube-system/secrets": http.StatusUnauthorized,
	} {
		request, err := http.NewRequestWithContext(h.story.ctx, http.MethodGet, "https://"+h.Addr().String()+":6443"+path, nil)
		check(t, err)
		response, err := client.Do(request)
		check(t, err)
		response.Body.Close() //nolint:errcheck // only the status matters
		if response.StatusCode != want {
			t.Errorf("anonymous %s: %s, want %d", path, response.Status, want)
		}
	}
}

// secretsAreEncrypted: the value of a Secret is nowhere in etcd's files.
func (h *host) secretsAreEncrypted(t *testing.T) {
	const value = "plain-text-that-must-not-be-found"
	h.mustKubectl("create", "secret", "generic", "probe", "-n", "default", "--from-literal=key="+value)
	h.mustKubectl("create", "configmap", "probe", "-n", "default", "--from-literal=key=control-"+value)
	h.story.eventually("etcd has written both", 30*time.Second, func() error {
		if out := h.run("bash", "-c", "grep -rlF control-"+value+" /var/lib/etcd-main/data || true"); out == "" {
			return fmt.Errorf("the ConfigMap is not in etcd's files yet")
		}
		return nil
	})
	if out := h.run("bash", "-c", "grep -rhoaE '(control-)?"+value+"' /var/lib/etcd-main/data | grep -v control- || true"); out != "" {
		t.Errorf("the Secret is readable in etcd's files:\n%s", out)
	}
	h.mustKubectl("delete", "secret/probe", "configmap/probe", "-n", "default")
}

// auditIsOnAndBounded: writes are in the log, reads are not, and neither are contents.
func (h *host) auditIsOnAndBounded(t *testing.T) {
	log := h.run("cat", "/var/log/kube-apiserver/audit.log")
	if !strings.Contains(log, `"verb":"create"`) {
		t.Error("the audit log has no writes")
	}
	for _, read := range []string{`"verb":"get"`, `"verb":"list"`, `"verb":"watch"`, `"requestObject"`} {
		if strings.Contains(log, read) {
			t.Errorf("the audit log has %s", read)
		}
	}
}

// kubeletIsClosed: its serving certificate comes from the cluster's authority, and the read-only port is off.
func (h *host) kubeletIsClosed(t *testing.T) {
	if _, err := h.Exec(h.story.ctx, "timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/10255"); err == nil {
		t.Error("the kubelet's read-only port is open")
	}
	want := []string{h.Addr().String(), h.Name()}
	if got := h.presents(t, 10250); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("the kubelet's certificate is for %q, want %q", got, want)
	}
}

// adminIsNoMaster: the kubeconfig's rights come from a binding; there is no static token.
func (h *host) adminIsNoMaster(t *testing.T) {
	if out := h.mustKubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.groups}"); strings.Contains(out, "system:masters") || !strings.Contains(out, "gardenadm:cluster-admins") {
		t.Errorf("the administrator's groups are %s", out)
	}
	if out := h.run("bash", "-c", "tr '\\0' '\\n' < /proc/$(pgrep -o -x kube-apiserver)/cmdline | grep -c token-auth-file || true"); strings.TrimSpace(out) != "0" {
		t.Error("the API server has a static token file")
	}
}

// podSecurityIsEnforced: a privileged pod is refused in namespace garden and would be let into kube-system.
func (h *host) podSecurityIsEnforced(t *testing.T) {
	run := func(namespace string) error {
		_, err := h.kubectl("run", "probe", "-n", namespace, "--image=none.invalid/none", "--privileged", "--dry-run=server")
		return err
	}
	if err := run("garden"); err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
		t.Errorf("a privileged pod in namespace garden: %v, want to be refused", err)
	}
	if err := run("kube-system"); err != nil {
		t.Errorf("a privileged pod in namespace kube-system: %v", err)
	}
}
