package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// tokensWork: a token is made, known, signs whom to trust, and ends; its secret part is nowhere but where it was printed.
func (h *host) tokensWork(t *testing.T) {
	open := strings.TrimSpace(h.run("gardenadm", "token", "create", "--description", "for the tests"))
	h.run("bash", "-c", "gardenadm token generate >/root/token; gardenadm token create --token-file - --single-use --node machine-7 --validity 10m </root/token")
	bound := strings.TrimSpace(h.run("cat", "/root/token"))

	var listed []struct{ ID, Node string }
	out := h.run("gardenadm", "token", "list", "-o", "json")
	check(t, json.Unmarshal([]byte(out), &listed))
	if len(listed) != 2 || listed[0].ID != bound[:6] || listed[0].Node != "machine-7" || listed[1].ID != open[:6] {
		t.Errorf("listed are %s", out)
	}
	if strings.Contains(out, open[7:]) || !strings.Contains(h.run("gardenadm", "token", "list"), "for the tests") {
		t.Error("the list shows a secret part, or no description")
	}

	h.story.eventually("cluster-info is signed with the token", time.Minute, func() error {
		status, body := h.ask("/api/v1/namespaces/kube-public/configmaps/cluster-info", "")
		if status != http.StatusOK || !strings.Contains(body, "jws-kubeconfig-"+open[:6]) {
			return fmt.Errorf("the anonymous get %d: %s", status, body)
		}
		return nil
	})
	for token, want := range map[string]int{open: http.StatusForbidden, "abcdef.0123456789abcdef": http.StatusUnauthorized} {
		if status, _ := h.ask("/api/v1/secrets", token); status != want {
			t.Errorf("with a token, Secrets give %d, want %d", status, want)
		}
	}
	h.run("gardenadm", "token", "delete", open[:6], bound[:6])
	h.story.eventually("a deleted token is refused", time.Minute, func() error {
		if status, _ := h.ask("/api/v1/secrets", open); status != http.StatusUnauthorized {
			return fmt.Errorf("it gives %d", status)
		}
		return nil
	})
	for where, command := range map[string]string{"the journal": "journalctl --no-pager", "the audit log": "cat /var/log/kube-apiserver/audit.log"} {
		if log := h.run("bash", "-c", command); strings.Contains(log, open[7:]) || strings.Contains(log, bound[7:]) {
			t.Errorf("a token is in %s", where)
		}
	}
}

// ask asks the API server as somebody from outside does.
func (h *host) ask(path, token string) (int, string) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	request, err := http.NewRequestWithContext(h.story.ctx, http.MethodGet, "https://"+net.JoinHostPort(h.Addr().String(), "6443")+path, nil)
	check(h.story, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(h.story, err)
	return response.StatusCode, string(body)
}
