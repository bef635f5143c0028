package nodeagent

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// probeTimeout bounds one question about health.
const probeTimeout = 2 * time.Second

// kubeletHealth is where the kubelet says that it is well.
func kubeletHealth() string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(layout.PortKubeletHealthz)) + "/healthz"
}

// prober asks about health, as the kubelet does: any certificate will do.
type prober struct{ client *http.Client }

func newProber() prober {
	return prober{&http.Client{Timeout: probeTimeout, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // nothing is believed but that somebody is well
		DisableKeepAlives: true,
	}}}
}

func (p prober) ask(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("%s says %s", url, response.Status)
	}
	return nil
}

// probeURL is what a probe of a pod on the host network asks.
func probeURL(container corev1.Container, get *corev1.HTTPGetAction, nodeIP string) string {
	host, scheme := get.Host, strings.ToLower(string(get.Scheme))
	if host == "" {
		host = nodeIP
	}
	if scheme == "" {
		scheme = "http"
	}
	port := get.Port.IntValue()
	if get.Port.Type == intstr.String {
		for _, named := range container.Ports {
			if named.Name == get.Port.StrVal {
				port = int(named.ContainerPort)
			}
		}
	}
	path, query, _ := strings.Cut(get.Path, "?")
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(port)), Path: path, RawQuery: query}).String()
}
