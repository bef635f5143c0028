package nodeagent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"
	"k8s.io/client-go/util/connrotation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// requestTimeout bounds one request, so that a hung API server is noticed and the request is tried again.
const requestTimeout = 15 * time.Second

// identity is who the agent is to the API, and where that is. Its certificate may be replaced at any time.
type identity struct {
	server, serverName string
	authority          []byte // PEM
	roots              *x509.CertPool
	dialer             *connrotation.Dialer

	mu          sync.Mutex
	certificate *tls.Certificate
}

// readIdentity reads the kubeconfig and the certificate. An expired certificate is one, too.
func readIdentity(ctx context.Context, o Options) (*identity, error) {
	raw, err := o.Host.Files.Read(ctx, layout.FileAgentKubeconfig)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.Load(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", layout.FileAgentKubeconfig, err)
	}
	current := config.Contexts[config.CurrentContext]
	if current == nil || config.Clusters[current.Cluster] == nil {
		return nil, fmt.Errorf("%s: there is no current context with a cluster", layout.FileAgentKubeconfig)
	}
	cluster := config.Clusters[current.Cluster]
	out := &identity{
		server: cluster.Server, serverName: cluster.TLSServerName, authority: cluster.CertificateAuthorityData, roots: x509.NewCertPool(),
		dialer: connrotation.NewDialer((&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext),
	}
	if !out.roots.AppendCertsFromPEM(out.authority) {
		return nil, fmt.Errorf("%s: the cluster's authority holds no certificate", layout.FileAgentKubeconfig)
	}
	pair, err := readPair(ctx, o, layout.FileAgentCert)
	if err != nil {
		return nil, err
	}
	out.certificate = pair
	return out, nil
}

// readPair reads a file with a certificate and its key.
func readPair(ctx context.Context, o Options, path string) (*tls.Certificate, error) {
	raw, err := o.Host.Files.Read(ctx, path)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(raw, raw)
	if err == nil && pair.Leaf == nil {
		err = errors.New("there is no certificate")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &pair, nil
}

func (i *identity) current() *tls.Certificate {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.certificate
}

// replace takes another certificate for all connections from now on; those that are open are closed.
func (i *identity) replace(certificate *tls.Certificate) {
	i.mu.Lock()
	same := i.certificate.Leaf.Equal(certificate.Leaf)
	i.certificate = certificate
	i.mu.Unlock()
	if !same {
		i.dialer.CloseAll()
	}
}

// client asks the API with the certificate. It asks nothing to learn which kinds there are.
func (i *identity) client(wrap func(http.RoundTripper) http.RoundTripper) (client.WithWatch, error) {
	present := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.current(), nil }
	return i.connect(i.dialer.DialContext, &tls.Config{GetClientCertificate: present}, wrap)
}

// clientOf asks the API with a bootstrap token.
func (i *identity) clientOf(token string) (client.WithWatch, error) {
	return i.connect((&net.Dialer{Timeout: 10 * time.Second}).DialContext, &tls.Config{}, func(inner http.RoundTripper) http.RoundTripper {
		return transport.NewBearerAuthRoundTripper(token, inner)
	})
}

func (i *identity) connect(dial func(context.Context, string, string) (net.Conn, error), secured *tls.Config, wrap func(http.RoundTripper) http.RoundTripper) (client.WithWatch, error) {
	secured.MinVersion, secured.RootCAs, secured.ServerName = tls.VersionTLS12, i.roots, i.serverName
	var tripper http.RoundTripper = utilnet.SetTransportDefaults(&http.Transport{
		DialContext: dial, TLSClientConfig: secured, TLSHandshakeTimeout: 10 * time.Second, Proxy: noProxy,
	})
	if wrap != nil {
		tripper = wrap(tripper)
	}
	out, err := client.NewWithWatch(&rest.Config{Host: i.server, QPS: -1}, client.Options{
		HTTPClient: &http.Client{Transport: tripper}, Scheme: scheme.Scheme, Mapper: mapper(),
	})
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", i.server, err)
	}
	return out, nil
}

// noProxy: the API is on this machine, whatever the environment says.
func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

func mapper() meta.RESTMapper {
	out := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Secret", "ConfigMap", "Event"} {
		out.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	out.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	out.Add(coordinationv1.SchemeGroupVersion.WithKind("Lease"), meta.RESTScopeNamespace)
	out.Add(certificatesv1.SchemeGroupVersion.WithKind("CertificateSigningRequest"), meta.RESTScopeRoot)
	return out
}
