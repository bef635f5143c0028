package hoststep

import (
	"crypto/tls"
	"slices"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func agentSet(t *testing.T) secret.Set {
	t.Helper()
	specs := append(AgentSecrets(componenttest.Node()), secret.Authority(secret.AuthorityClient), secret.Authority(secret.AuthorityCluster))
	set, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(t.Context(), specs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestIdentifyAgent(t *testing.T) {
	m, set, node := newMachine(t), agentSet(t), componenttest.Node()
	m.must(IdentifyAgent(t.Context(), m.Host, componenttest.Cluster(t), node, set))

	raw := []byte(m.read(layout.FileAgentCert))
	pair, err := tls.X509KeyPair(raw, raw)
	m.must(err)
	subject, life := pair.Leaf.Subject, time.Until(pair.Leaf.NotAfter)
	organization := []string{"gardener.cloud:node-agents", "gardener.cloud:node-agents:pool:" + node.Pool}
	if subject.CommonName != "gardener.cloud:node-agent:machine:"+node.Name || !slices.Equal(subject.Organization, organization) || life > 31*24*time.Hour {
		t.Errorf("the certificate is for %s, and for %s", subject, life)
	}
	if m.mode(layout.FileAgentCert) != 0o600 || m.mode(layout.FileAgentKubeconfig) != 0o600 || m.mode(layout.DirAgentCredentials).Perm() != 0o700 {
		t.Error("others can read the credentials")
	}
	config, err := clientcmd.Load([]byte(m.read(layout.FileAgentKubeconfig)))
	m.must(err)
	for _, user := range config.AuthInfos {
		if user.ClientCertificate != layout.FileAgentCert || len(user.ClientKeyData) > 0 {
			t.Errorf("the kubeconfig does not refer to %s", layout.FileAgentCert)
		}
	}

	// A certificate that was renewed stays; so does one that was not.
	m.write(layout.FileAgentCert, "renewed", 0o600)
	m.must(IdentifyAgent(t.Context(), m.Host, componenttest.Cluster(t), node, agentSet(t)))
	if m.read(layout.FileAgentCert) != "renewed" {
		t.Error("the renewed certificate was replaced")
	}
}
