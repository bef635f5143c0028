package nodeagent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

const (
	// endpointsName and endpointsKey are where the cluster publishes its API servers.
	endpointsName = "gardenadm-endpoints"
	endpointsKey  = "endpoints.json"
)

// endpoints hands the list of API servers to the node's proxy, which decides whether it is newer than its own.
type endpoints struct {
	*daemon
	mu   sync.Mutex
	list *endpoint.List // not yet handed over
	wake chan struct{}
}

func newEndpoints(d *daemon) *endpoints { return &endpoints{daemon: d, wake: make(chan struct{}, 1)} }

func (e *endpoints) run(ctx context.Context) error {
	var group sync.WaitGroup
	group.Go(func() {
		key := client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: endpointsName}
		follow(ctx, e.daemon, &corev1.ConfigMapList{}, key, e.hear, nil)
	})
	e.tell(ctx)
	group.Wait()
	return nil
}

func (e *endpoints) hear(object *corev1.ConfigMap) {
	list, err := endpoint.Decode([]byte(object.Data[endpointsKey]))
	if err != nil {
		e.Log.Warn("the list of API servers cannot be read", "error", err)
		return
	}
	e.mu.Lock()
	e.list = &list
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *endpoints) tell(ctx context.Context) {
	tries := retry{first: time.Second, last: time.Minute}
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		for {
			e.mu.Lock()
			list := e.list
			e.mu.Unlock()
			err := e.Proxy(ctx, *list)
			if err == nil {
				break
			}
			if !sleep(ctx, tries.failed(e.Log, "the endpoint proxy does not take the list of API servers", err)) {
				return
			}
		}
		tries.succeeded()
	}
}

// tellProxy puts the list into the endpoint proxy of this node.
func tellProxy(ctx context.Context, list endpoint.List) error {
	raw, err := list.Encode()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://proxy/endpoints", bytes.NewReader(raw))
	if err != nil {
		return err
	}
	door := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", layout.SocketProxy)
	}}}
	response, err := door.Do(request)
	if err != nil {
		return fmt.Errorf("tell the endpoint proxy: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("tell the endpoint proxy: %s: %s", response.Status, bytes.TrimSpace(text))
	}
	return nil
}
