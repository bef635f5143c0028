package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	"sigs.k8s.io/yaml"
)

const lastKnown = "/var/lib/gardener-node-agent/last-known-osc.yaml"

// TestRenewal: a machine that is to join finds out what keeps it and the control plane apart; the cluster's certificates are renewed on
// demand, and by themselves when all of them ended while the only control plane node was off.
func TestRenewal(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	c := s.newCluster()
	worker := s.bootJoiners("worker-1")[0]
	c.part(t, "preflight", func(c *cluster) { c.waysAreChecked(&host{worker.Machine, c.story}) })
	c.join(worker, c.joinLine())
	c.ready()
	c.part(t, "status", (*cluster).statusTells)
	c.part(t, "renew", (*cluster).certificatesAreRenewed)
	c.part(t, "off for too long", (*cluster).controlPlaneWasOff)
	s.nothingLeft()
}

// waysAreChecked: each obstacle between machine and control plane is a finding of its own.
func (c *cluster) waysAreChecked(worker *host) {
	address := c.cp.Addr().String()
	look := func() (statuses map[string]string, text string) {
		out, _ := worker.Exec(c.ctx, "gardenadm", "preflight", "--control-plane", address, "-o", "json") // findings are an exit code
		var report struct {
			Checks []struct{ Name, Status string }
		}
		if err := json.Unmarshal([]byte(out.Stdout), &report); err != nil {
			c.Fatalf("preflight: %v\n%s%s", err, out.Stdout, out.Stderr)
		}
		statuses = map[string]string{}
		for _, check := range report.Checks {
			statuses[check.Name] = check.Status
		}
		return statuses, out.Stdout
	}
	expect := func(when string, want map[string]string, codes ...string) {
		c.Helper()
		got, text := look()
		for _, name := range []string{"peer-ports", "peer-clock", "peer-back", "peer-overlay"} {
			wanted := "ok"
			if status, ok := want[name]; ok {
				wanted = status
			}
			if got[name] != wanted {
				c.Errorf("%s: %s is %q, want %q\n%s", when, name, got[name], wanted, text)
			}
		}
		for _, code := range codes {
			if !strings.Contains(text, code) {
				c.Errorf("%s: no %s in\n%s", when, code, text)
			}
		}
	}
	rule := func(h *host, hook, what string) {
		h.nft("add table inet story; add chain inet story c { type filter hook " + hook + " priority 0; }; add rule inet story c " + what)
	}

	before := worker.run("bash", "-c", machineState)
	expect("nothing is in the way", nil)
	worker.unchanged(c.TB.(*testing.T), "preflight", before, "/run/gardenadm.lock")
	for _, one := range []struct {
		when, hook, rule string
		at               *host
		want             map[string]string
		codes            []string
	}{
		{"the kubelet's port is closed", "input", "tcp dport 10250 drop", worker, map[string]string{"peer-back": "fail"}, []string{"GA-2422"}},
		{"pods' packets do not come in", "input", "udp dport 8472 drop", worker, map[string]string{"peer-overlay": "fail"}, []string{"GA-2424", "from " + address}},
		{"pods' packets do not get out", "output", "udp dport 8472 drop", worker, map[string]string{"peer-overlay": "fail"}, []string{"GA-2424", "to " + address}},
		{"large packets are lost", "input", "udp dport 8472 meta length > 1450 drop", worker, map[string]string{"peer-overlay": "fail"}, []string{"GA-2425", "1450"}},
		{"the mirror is behind a firewall", "output", "tcp dport 7444 drop", worker, map[string]string{"peer-ports": "fail"}, []string{"GA-2420", ":7444"}},
	} {
		rule(one.at, one.hook, one.rule)
		expect(one.when, one.want, one.codes...)
		one.at.nft("delete table inet story")
	}
}

// nft runs the host's own, for the machines have none, in the machine's network namespace, which bears the same name on the host.
func (h *host) nft(commands string) {
	h.story.Helper()
	namespace := strings.TrimSpace(h.run("readlink", "/proc/1/ns/net"))
	processes, err := filepath.Glob("/proc/[0-9]*/ns/net")
	check(h.story, err)
	for _, one := range processes {
		if name, err := os.Readlink(one); err == nil && name == namespace {
			out, err := exec.Command("nsenter", "--net="+one, "nft", commands).CombinedOutput()
			if err != nil {
				h.story.Fatalf("nft %s: %v: %s", commands, err, out)
			}
			return
		}
	}
	h.story.Fatalf("no process is in the namespace %s of %s", namespace, h.Name())
}

// statusTells: both nodes say in a few lines how they and the cluster are.
func (c *cluster) statusTells() {
	for _, node := range []*host{c.cp, c.workers[0]} {
		out, err := node.Exec(c.ctx, "gardenadm", "status")
		for _, part := range []string{"gardener-api-proxy", "gardener-node-agent", "kubelet", ":6443 ready", "2 of 2 nodes Ready", "node worker-1", "as published"} {
			if !strings.Contains(out.Stdout, part) {
				c.Errorf("status of %s does not say %q", node.Name(), part)
			}
		}
		if err != nil || c.Failed() {
			c.Errorf("status of %s: %v\n%s%s", node.Name(), err, out.Stdout, out.Stderr)
		}
	}
}

// certificate is what certs check tells.
type certificate struct {
	Path      string
	Begins    time.Time
	Expires   time.Time
	Authority bool
}

func (h *host) certificates() []certificate {
	h.story.Helper()
	var out []certificate
	text, _ := h.Exec(h.story.ctx, "gardenadm", "certs", "check", "-o", "json") // ended ones are an exit code
	check(h.story, json.Unmarshal([]byte(text.Stdout), &out))
	return out
}

// sameAs says which file still has the certificate that it had. The kubelet sees to its serving certificate by itself.
func sameAs(before, after []certificate) error {
	had := map[string]certificate{}
	for _, one := range before {
		had[one.Path] = one
	}
	for _, one := range after {
		if !one.Authority && one.Begins.Equal(had[one.Path].Begins) && !strings.HasSuffix(one.Path, "kubelet-server-current.pem") {
			return fmt.Errorf("%s is still of %s", one.Path, one.Begins)
		}
	}
	return nil
}

// certificatesAreRenewed: nothing of the control plane is restarted for it, and the API answers all the while.
func (c *cluster) certificatesAreRenewed() {
	processes := c.cp.controlPlaneProcesses()
	stop := c.watchAPI()
	defer func() {
		if failures := stop(); len(failures) > 0 {
			c.Errorf("the API failed %d times meanwhile, first with: %s", len(failures), failures[0])
		}
		if after := c.cp.controlPlaneProcesses(); after != processes {
			c.Errorf("the control plane was restarted: processes were\n%s and are\n%s", processes, after)
		}
	}()
	for _, node := range []*host{c.cp, c.workers[0]} {
		before, began := node.certificates(), time.Now()
		c.Logf("%s\n%s", node.Name(), node.run("gardenadm", "certs", "renew"))
		c.Logf("certs renew on %s takes %s", node.Name(), time.Since(began).Round(time.Second))
		if err := sameAs(before, node.certificates()); err != nil {
			c.Errorf("on %s after certs renew: %v", node.Name(), err)
		}
		c.ready()
	}
}

func (h *host) controlPlaneProcesses() string {
	h.story.Helper()
	var out strings.Builder
	for _, one := range controlPlane {
		fmt.Fprintf(&out, "%s %s\n", one.program, strings.TrimSpace(h.run("pgrep", "-x", one.program[:min(15, len(one.program))])))
	}
	return out.String()
}

// watchAPI asks the API server about once a second until it is stopped; what it returns then are the failures.
func (c *cluster) watchAPI() (stop func() []string) {
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan []string)
	go func() {
		var failures []string
		for ctx.Err() == nil {
			if out, err := c.cp.Exec(ctx, "/opt/bin/kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get", "--raw=/readyz", "--request-timeout=2s"); err != nil && ctx.Err() == nil {
				failures = append(failures, fmt.Sprintf("%v: %s", err, out.Stderr))
			}
			time.Sleep(500 * time.Millisecond)
		}
		done <- failures
	}()
	return func() []string { cancel(); return <-done }
}

// controlPlaneWasOff: all certificates but authorities end while the machine is off.
func (c *cluster) controlPlaneWasOff() {
	const kubelet, agent = "/var/lib/kubelet/pki/kubelet-client-current.pem", "/var/lib/gardener-node-agent/credentials/client-current.pem"
	now := time.Now()
	files := map[string][]byte{}
	for _, file := range []string{kubelet, agent} {
		data, err := c.cp.ReadFile(c.ctx, file)
		check(c, err)
		files[strings.TrimSpace(c.cp.run("readlink", "-f", file))] = issue(c, c.cp, firstCertificate(c, data).Subject, now.AddDate(0, 0, -60), now.AddDate(0, 0, -30))
	}
	c.cp.run("systemctl", "stop", "gardener-node-agent.service", "gardenlet.service")
	raw, err := c.cp.ReadFile(c.ctx, lastKnown)
	check(c, err)
	config := &extensionsv1alpha1.OperatingSystemConfig{}
	check(c, yaml.Unmarshal(raw, config))
	ended := endAll(c, config, c.cp.Name(), files)
	files[lastKnown], err = yaml.Marshal(config)
	check(c, err)
	c.Logf("%d files have certificates that ended", ended)
	for file, data := range files {
		check(c, c.cp.WriteFile(c.ctx, "/root/ended", data, 0o600))
		c.cp.run("bash", "-c", "cat /root/ended >"+file)
	}
	check(c, c.cp.Kill(c.ctx))
	check(c, c.cp.Start(c.ctx))
	began := time.Now()
	c.eventually("the API server is there again", 6*time.Minute, func() error {
		_, err := c.cp.kubectl("get", "--raw=/readyz")
		return err
	})
	c.Logf("the API server answers %s after the start", time.Since(began).Round(time.Second))
	c.eventually("the node's own certificates are new", 4*time.Minute, func() error {
		for _, one := range c.cp.certificates() {
			if time.Now().After(one.Expires) {
				return fmt.Errorf("%s ended at %s", one.Path, one.Expires)
			}
		}
		return nil
	})
	c.eventually("all is Ready again", 4*time.Minute, c.tryReady)
}

// endAll puts ended certificates in the place of all in the configuration, and adds the host's files with them.
func endAll(t testing.TB, config *extensionsv1alpha1.OperatingSystemConfig, host string, files map[string][]byte) int {
	t.Helper()
	const dirAuthorities = "/var/lib/gardenadm/authorities"
	contents := map[string]string{}
	for _, file := range config.Spec.Files {
		if inline := file.Content.Inline; inline != nil && inline.Encoding == "b64" {
			contents[file.Path] = string(plain(t, inline.Data))
		}
	}
	authorities := map[*x509.Certificate]*ecdsa.PrivateKey{}
	for file, content := range contents {
		if path.Dir(file) == dirAuthorities && strings.HasSuffix(file, ".crt") {
			block, _ := pem.Decode([]byte(contents[strings.TrimSuffix(file, "crt")+"key"]))
			key, err := x509.ParseECPrivateKey(block.Bytes)
			check(t, err)
			authorities[firstCertificate(t, []byte(content))] = key
		}
	}
	pemBlock := regexp.MustCompile(`-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n`)
	embedded := regexp.MustCompile(`client-certificate-data: (\S+)`)
	end := func(block string) string { return endOne(t, block, authorities) }
	count := 0
	for i := range config.Spec.Files {
		file := &config.Spec.Files[i]
		if file.Content.Inline == nil || file.Content.Inline.Encoding != "b64" {
			continue
		}
		old := string(plain(t, file.Content.Inline.Data))
		text := embedded.ReplaceAllStringFunc(pemBlock.ReplaceAllStringFunc(old, end), func(line string) string {
			return "client-certificate-data: " + base64.StdEncoding.EncodeToString([]byte(end(string(plain(t, embedded.FindStringSubmatch(line)[1])))))
		})
		if text == old {
			continue
		}
		count++
		file.Content.Inline.Data = base64.StdEncoding.EncodeToString([]byte(text))
		if file.HostName == nil || *file.HostName == host {
			files[file.Path] = []byte(text)
		}
	}
	return count
}

func plain(t testing.TB, text string) []byte {
	t.Helper()
	out, err := base64.StdEncoding.DecodeString(text)
	check(t, err)
	return out
}

// endOne returns the certificate as it would have been issued a year and some days ago; authorities stay.
func endOne(t testing.TB, block string, authorities map[*x509.Certificate]*ecdsa.PrivateKey) string {
	t.Helper()
	template := firstCertificate(t, []byte(block))
	for authority, key := range authorities {
		if template.IsCA || template.CheckSignatureFrom(authority) != nil {
			continue
		}
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
		template.NotBefore, template.NotAfter = time.Now().AddDate(0, 0, -400), time.Now().AddDate(0, 0, -35)
		raw, err := x509.CreateCertificate(rand.Reader, template, authority, template.PublicKey, key)
		check(t, err)
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	}
	return block
}
