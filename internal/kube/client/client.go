// Package client turns rendered objects into objects of the API, and questions about the cluster into described waits.
// Used by the API steps.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldManager owns every field that gardenadm applies.
const FieldManager = "gardenadm"

// requestTimeout bounds one request, so that a hung API server is noticed and the request is tried again.
const requestTimeout = 15 * time.Second

// Client talks to one cluster's API. It is safe for concurrent use.
type Client struct {
	client.Client
	http    *http.Client
	host    string
	tls     *tls.Config
	changes atomic.Int64
}

// Changes is how many objects ApplyObjects has created or changed so far.
func (c *Client) Changes() int64 { return c.changes.Load() }

// New connects with the given kubeconfig, past any proxy that the environment names: nodes reach each other without one. No request is
// made yet.
func New(kubeconfig []byte) (*Client, error) {
	config, err := Config(kubeconfig)
	if err != nil {
		return nil, err
	}
	return connect(config)
}

// NewFromElsewhere connects as New, for a command that may not run on a node: through the proxy that the environment names, if it
// does so for the API server.
func NewFromElsewhere(kubeconfig []byte) (*Client, error) {
	config, err := read(kubeconfig)
	if err != nil {
		return nil, err
	}
	return connect(config)
}

// Config is the kubeconfig for clients that New does not make. Only a proxy that the kubeconfig names itself is used.
func Config(kubeconfig []byte) (*rest.Config, error) {
	config, err := read(kubeconfig)
	if err == nil && config.Proxy == nil {
		config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	return config, err
}

func read(kubeconfig []byte) (*rest.Config, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	return config, nil
}

func connect(config *rest.Config) (*Client, error) {
	config.Timeout = requestTimeout
	config.QPS, config.Burst = -1, -1 // the API server's own fairness decides
	// We know which old kinds we write for clients that read them: the API server would say so with every request.
	config.WarningHandlerWithContext = rest.NoWarnings{}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", config.Host, err)
	}
	// A scheme of our own keeps client-go's global one untouched; discovery is made at the first request.
	types := runtime.NewScheme()
	if err := scheme.AddToScheme(types); err != nil {
		return nil, err
	}
	inner, err := client.New(config, client.Options{HTTPClient: httpClient, Scheme: types})
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", config.Host, err)
	}
	verify, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", config.Host, err)
	}
	return &Client{Client: inner, http: httpClient, host: config.Host, tls: verify}, nil
}

// Ready is nil when the API server answers its readiness check. The connection is verified with the kubeconfig's authority,
// so nil also says that it is this cluster's server.
func (c *Client) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.host+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("ask API server: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask API server: /readyz says %s", response.Status)
	}
	return nil
}

// ServerCertificate is what the API server shows on a new connection.
func (c *Client) ServerCertificate(ctx context.Context) (*x509.Certificate, error) {
	server, err := url.Parse(c.host)
	if err != nil {
		return nil, fmt.Errorf("look at the API server's certificate: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: c.tls}).DialContext(ctx, "tcp", server.Host)
	if err != nil {
		return nil, fmt.Errorf("look at the API server's certificate: %w", err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// ApplyObjects makes the objects exist as given, server-side, in the given order. Fields that others own stay theirs unless they are in conflict.
func (c *Client) ApplyObjects(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		if err := c.applyOne(ctx, object); err != nil {
			gvk := object.GetObjectKind().GroupVersionKind()
			return fmt.Errorf("apply %s %s: %w", gvk.Kind, client.ObjectKeyFromObject(object), err)
		}
	}
	return nil
}

func (c *Client) applyOne(ctx context.Context, object client.Object) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: content}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata", "creationTimestamp")
	before := &metav1.PartialObjectMetadata{}
	before.SetGroupVersionKind(u.GroupVersionKind())
	if err := c.Get(ctx, client.ObjectKeyFromObject(u), before); client.IgnoreNotFound(err) != nil {
		return err
	}
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldManager), client.ForceOwnership); err != nil {
		return err
	}
	if changed(before, u) {
		c.changes.Add(1)
	}
	return nil
}

// changed leaves out what only the server's book of who owns which field says: of an object whose wish is counted, the count decides.
func changed(before *metav1.PartialObjectMetadata, after *unstructured.Unstructured) bool {
	if before.ResourceVersion == after.GetResourceVersion() {
		return false
	}
	return before.Generation == 0 || before.Generation != after.GetGeneration() ||
		!maps.Equal(before.Labels, after.GetLabels()) || !maps.Equal(before.Annotations, after.GetAnnotations())
}
