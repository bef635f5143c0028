package nodeagent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"time"

	bootstraputil "k8s.io/cluster-bootstrap/token/util"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

const (
	renewalTimeout = 10 * time.Second
	renewalBytes   = 4 << 10
)

// askControlPlane asks one control plane node after the other for a token. It shows the certificate that has expired: who it was for
// is still true.
func (d *daemon) askControlPlane(ctx context.Context) (string, error) {
	servers, err := d.controlPlane(ctx)
	if err != nil {
		return "", err
	}
	door := d.renewalDoor()
	var problems []error
	for _, server := range servers {
		url := "https://" + netip.AddrPortFrom(server, layout.PortGardenlet).String() + "/renewal"
		token, err := askRenewal(ctx, door, url)
		if err == nil {
			return token, nil
		}
		if len(fault.Of(err)) > 0 {
			return "", err // the others would say the same
		}
		problems = append(problems, err)
	}
	return "", fault.New(fault.RenewalUnreachable, "ask for the renewal of this node's certificates: %w", errors.Join(problems...))
}

// renewalDoor shows the certificate whatever the server asks for.
func (d *daemon) renewalDoor() http.Client {
	certificate := d.identity.current()
	return http.Client{Timeout: renewalTimeout, Transport: &http.Transport{
		DisableKeepAlives: true, Proxy: noProxy,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: d.identity.roots,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil },
		},
	}}
}

// controlPlane are the addresses of control plane nodes, those of the newest list first, this node's own before all.
func (d *daemon) controlPlane(ctx context.Context) ([]netip.Addr, error) {
	known, err := d.knownServers(ctx)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	add := func(address netip.Addr) {
		if !slices.Contains(out, address) {
			out = append(out, address)
		}
	}
	for _, server := range known.List.Servers {
		if server.Node == d.node.Name {
			add(server.Addresses[0].Addr())
		}
	}
	for _, server := range known.List.Servers {
		add(server.Addresses[0].Addr())
	}
	for _, retired := range known.Retired {
		add(retired.Address.Addr())
	}
	return out, nil
}

func askRenewal(ctx context.Context, door http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return "", err
	}
	response, err := door.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, renewalBytes))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", url, err)
	case response.StatusCode == http.StatusForbidden:
		return "", fault.New(fault.RenewalRefused, "%s: %s", url, bytes.TrimSpace(body))
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s says %s: %s", url, response.Status, bytes.TrimSpace(body))
	}
	return decodeRenewal(body)
}

// decodeRenewal reads the answer, and never quotes it.
func decodeRenewal(body []byte) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || !bootstraputil.IsValidBootstrapToken(answer.Token) {
		return "", errors.New("the answer to the request for a renewal holds no token")
	}
	return answer.Token, nil
}
