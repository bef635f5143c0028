package token

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/token/jws"

	"github.com/gardenadm/gardenadm/internal/fault"
)

const (
	// maxInfo bounds what is read from somebody who is not trusted yet.
	maxInfo = 1 << 20
	// maxSkew is how far the clocks of a machine and of the API server may be apart.
	maxSkew = 30 * time.Second
	// askTimeout bounds the question to one address.
	askTimeout = 5 * time.Second
)

// Trust is how a joining machine decides whom to believe: by a token that both know and by the pin of the authority, or by
// the authority itself. The zero value of Now is the machine's clock.
type Trust struct {
	Token Token
	// Pins are the authorities that are accepted; any of them suffices.
	Pins []Pin
	// CA is a PEM bundle; with it no pin is needed and the signature is not asked for.
	CA  []byte
	Now func() time.Time
}

// Cluster is what the machine then knows.
type Cluster struct {
	// CA is the PEM bundle that API servers are verified with.
	CA []byte
	// Address is the host:port that answered.
	Address string
	// Time is the API server's clock.
	Time time.Time
}

// Establish asks the addresses (host:port) one after the other until one can be trusted. The first that answers and is wrong ends it:
// to go on would turn a warning about somebody in between into a delay.
func (t Trust) Establish(ctx context.Context, serverName string, addresses []string) (Cluster, error) {
	var unreachable []error
	for _, address := range addresses {
		cluster, err := t.ask(ctx, serverName, address)
		if err == nil {
			return cluster, nil
		}
		if silent := (*silence)(nil); !errors.As(err, &silent) {
			return Cluster{}, err
		}
		unreachable = append(unreachable, err)
	}
	return Cluster{}, fault.New(fault.NoAPIServer, "ask for the cluster's authority: %w", errors.Join(unreachable...))
}

// silence is an address that gave no answer at all.
type silence struct {
	address string
	cause   error
}

func (s *silence) Error() string { return fmt.Sprintf("%s: %v", s.address, s.cause) }
func (s *silence) Unwrap() error { return s.cause }

func (t Trust) ask(ctx context.Context, serverName, address string) (Cluster, error) {
	authority := t.CA
	if authority == nil {
		// What an unverified server says is believed only as far as token and pin vouch for it.
		info, at, err := fetch(ctx, address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
		if err != nil {
			return Cluster{}, err
		}
		if authority, err = t.verify(info, at); err != nil {
			return Cluster{}, err
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return Cluster{}, fault.New(fault.BadFlag, "read the cluster's authority: no certificate in it")
	}
	// The clock is checked before the certificates are: a wrong one would be told as an expired certificate.
	now := t.now()
	_, at, err := fetch(ctx, address, &tls.Config{RootCAs: roots, ServerName: serverName, Time: t.now})
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Cluster{}, t.expired(ctx, address, err)
	case errors.As(err, &unknown):
		return Cluster{}, fault.New(fault.WrongPin, "verify the API server at %s: %w", address, err)
	case err != nil:
		return Cluster{}, err
	}
	if err := checkClock(now, at); err != nil {
		return Cluster{}, err
	}
	return Cluster{CA: authority, Address: address, Time: at}, nil
}

// expired finds out which of the two is wrong: this machine's clock or the API server's certificate.
func (t Trust) expired(ctx context.Context, address string, cause error) error {
	_, at, err := fetch(ctx, address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // only for the words of the refusal
	if err == nil {
		if err := checkClock(t.now(), at); err != nil {
			return err
		}
	}
	return fmt.Errorf("verify the API server at %s: %w", address, cause)
}

func (t Trust) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

func checkClock(here, there time.Time) error {
	if there.IsZero() || here.Sub(there).Abs() <= maxSkew {
		return nil
	}
	return fault.New(fault.SkewedClock, "compare clocks: it is %s here and %s at the API server",
		here.UTC().Format(time.RFC3339), there.UTC().Format(time.RFC3339))
}

// verify returns the authority that cluster-info names, when the token's signature and the pin agree with it.
func (t Trust) verify(info *corev1.ConfigMap, at time.Time) ([]byte, error) {
	content := info.Data[bootstrapapi.KubeConfigKey]
	if content == "" {
		return nil, fault.New(fault.NotForJoining, "read cluster-info: it holds no kubeconfig")
	}
	signature, ok := info.Data[bootstrapapi.JWSSignatureKeyPrefix+t.Token.ID]
	if !ok {
		return nil, t.unsigned(info, at)
	}
	if !jws.DetachedTokenIsValid(signature, content, t.Token.ID, t.Token.Secret) {
		return nil, fault.New(fault.ForeignToken, "verify cluster-info: its signature with %s does not fit", t.Token)
	}
	authority, err := authorityOf(content)
	if err != nil {
		return nil, fault.New(fault.NotForJoining, "read cluster-info: %w", err)
	}
	pins, err := PinOf(authority)
	if err != nil {
		return nil, fault.New(fault.NotForJoining, "read cluster-info: %w", err)
	}
	if !t.Pinned(authority) {
		return nil, fault.New(fault.WrongPin, "verify cluster-info: the cluster's authority has the pin %s, wanted was %s", pins[0], words(t.Pins))
	}
	return authority, nil
}

// Pinned says that one of the authorities of a PEM bundle is pinned.
func (t Trust) Pinned(bundle []byte) bool {
	pins, err := PinOf(bundle)
	return err == nil && slices.ContainsFunc(pins, func(pin Pin) bool { return slices.Contains(t.Pins, pin) })
}

// Authority returns the PEM bundle that cluster-info names.
func Authority(info *corev1.ConfigMap) ([]byte, error) {
	authority, err := authorityOf(info.Data[bootstrapapi.KubeConfigKey])
	if err != nil {
		return nil, fmt.Errorf("read cluster-info: %w", err)
	}
	return authority, nil
}

// unsigned says why there is no signature with the token.
func (t Trust) unsigned(info *corev1.ConfigMap, at time.Time) error {
	for _, line := range readHistory(info.Data[keyHistory]) {
		if line.ID == t.Token.ID && !at.IsZero() && !at.Before(line.Expires) {
			return fault.New(fault.ExpiredToken, "verify cluster-info: %s expired at %s; it is %s at the API server",
				t.Token, line.Expires.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
		}
	}
	return fault.New(fault.UnknownToken, "verify cluster-info: the cluster knows no %s; it is %s at the API server", t.Token, at.UTC().Format(time.RFC3339))
}

func authorityOf(content string) ([]byte, error) {
	config, err := clientcmd.Load([]byte(content))
	if err != nil {
		return nil, errors.New("its kubeconfig cannot be read")
	}
	for _, cluster := range config.Clusters {
		if len(cluster.CertificateAuthorityData) > 0 {
			return cluster.CertificateAuthorityData, nil
		}
	}
	return nil, errors.New("its kubeconfig names no authority")
}

func words(pins []Pin) string {
	out := make([]string, 0, len(pins))
	for _, pin := range pins {
		out = append(out, pin.String())
	}
	return strings.Join(out, " or ")
}

// fetch reads cluster-info as anybody may, and the API server's time.
func fetch(ctx context.Context, address string, config *tls.Config) (*corev1.ConfigMap, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}
	url := "https://" + address + "/api/v1/namespaces/" + metav1.NamespacePublic + "/configmaps/" + bootstrapapi.ConfigMapClusterInfo
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, time.Time{}, fault.New(fault.BadFlag, "address %q: %w", address, err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, time.Time{}, classify(address, err)
	}
	defer response.Body.Close()
	at, _ := http.ParseTime(response.Header.Get("Date")) // without one the clocks are not compared
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxInfo))
	if err != nil {
		return nil, at, &silence{address, err}
	}
	if response.StatusCode != http.StatusOK {
		return nil, at, fault.New(fault.NotForJoining, "read cluster-info at %s: the server says %s", address, response.Status)
	}
	info := &corev1.ConfigMap{}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(info); err != nil {
		return nil, at, fault.New(fault.NotForJoining, "read cluster-info at %s: it is not a ConfigMap", address)
	}
	return info, at, nil
}

// classify tells an address that is silent from a server that is not believed.
func classify(address string, err error) error {
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		return fmt.Errorf("verify the API server at %s: %w", address, err)
	}
	return &silence{address, err}
}
