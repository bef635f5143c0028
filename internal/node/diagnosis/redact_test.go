package diagnosis

import (
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	canary := "c4n4ryc4n4ryc4n4ry"
	lines := []string{
		"Authorization: Bearer " + canary,
		`token="` + canary + `" and more`,
		"password=" + canary,
		"jwt eyJhbGciOiJSUzI1NiIs." + canary + ".c2ln",
		"key -----BEGIN RSA PRIVATE KEY-----",
		canary,
		"-----END RSA PRIVATE KEY-----",
		"bootstrap abcdef.0123456789abcdef is wrong",
		strings.Repeat("QUJD", 40),
		`open /srv/kubernetes/service-account-key/id_rsa: no such file or directory`,
	}
	got := strings.Join(Redact(lines), "\n")
	for _, secret := range []string{canary, "0123456789abcdef", "QUJDQUJD"} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is left in\n%s", secret, got)
		}
	}
	for _, kept := range []string{"and more", "is wrong", lines[len(lines)-1]} {
		if !strings.Contains(got, kept) {
			t.Errorf("%q is lost in\n%s", kept, got)
		}
	}
}

func TestBoundPort(t *testing.T) {
	for line, want := range map[string]int{
		`failed to create listener: failed to listen on 0.0.0.0:6443: listen tcp 0.0.0.0:6443: bind: address already in use`: 6443,
		`{"level":"fatal","error":"listen tcp 10.0.0.1:2380: bind: address already in use"}`:                                 2380,
		`listen tcp [::1]:2381: bind: address already in use`:                                                                2381,
		`address already in use`: 0,
	} {
		if got := boundPort(line); got != want {
			t.Errorf("%s: got %d", line, got)
		}
	}
}

func TestComponentOf(t *testing.T) {
	for pod, want := range map[string]string{
		"kube-proxy-4fr5f": "kube-proxy", "coredns-f97b58586-msd5f": "coredns", "flannel-6k6kp": "flannel", "kube-scheduler-machine-0": "kube-scheduler-machine-0",
	} {
		if got := componentOf(pod); got != want {
			t.Errorf("%s: got %s, want %s", pod, got, want)
		}
	}
}
