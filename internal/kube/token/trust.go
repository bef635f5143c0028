package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/token/jws"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// maxSkew is how far the clocks of a machine and of the API server may be apart.
const maxSkew = 30 * time.Second

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

func (t Trust) ask(ctx context.Context, serverName, address string) (Cluster, error) {
	roots := t.CA
	if roots == nil {
		// What an unverified server says is believed only as far as a pin vouches for it.
		info, at, err := fetch(ctx, address, unverified())
		if err != nil {
			return Cluster{}, err
		}
		if roots, err = t.pinnedIn(info, at); err != nil {
			return Cluster{}, err
		}
	}
	now := t.now()
	info, at, err := t.verified(ctx, serverName, address, roots)
	if err != nil {
		return Cluster{}, err
	}
	if err := checkClock(now, at); err != nil {
		return Cluster{}, err
	}
	authority := t.CA
	if authority == nil {
		if authority, err = t.signed(info, at); err != nil {
			return Cluster{}, err
		}
	}
	return Cluster{CA: authority, Address: address, Time: at}, nil
}

// Refused says why the API server of the cluster does not take the token, by what it publishes of its tokens. Where that tells nothing
// it is the cause, with the server's time.
func (t Trust) Refused(ctx context.Context, serverName string, in Cluster, cause error) error {
	info, at, err := t.verified(ctx, serverName, in.Address, in.CA)
	if err != nil {
		return cause
	}
	if err := t.over(info, at); err != nil { // it may be signed with for a moment longer
		return err
	}
	_, err = t.signed(info, at)
	for _, of := range fault.Of(err) {
		if of.Code == fault.UnknownToken || of.Code == fault.ForeignToken {
			return err
		}
	}
	return fault.New(fault.TokenRefused, "ask with %s%s: %w", t.Token, clock(at), cause)
}

// verified asks a server that has to show a certificate of the authorities.
func (t Trust) verified(ctx context.Context, serverName, address string, authorities []byte) (*corev1.ConfigMap, time.Time, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, time.Time{}, fault.New(fault.BadFlag, "read the cluster's authority: no certificate in it")
	}
	info, at, err := fetch(ctx, address, &tls.Config{RootCAs: roots, ServerName: serverName, Time: t.now})
	if verification := (*tls.CertificateVerificationError)(nil); errors.As(err, &verification) {
		return nil, time.Time{}, t.unproven(ctx, address, err)
	}
	return info, at, err
}

// unproven words what is wrong with an API server's certificate. When it is its time, this machine's clock may be the reason.
func (t Trust) unproven(ctx context.Context, address string, cause error) error {
	_, at, err := fetch(ctx, address, unverified()) // only for the words of the refusal
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(cause, &invalid) && invalid.Reason == x509.Expired:
		if err == nil {
			if err := checkClock(t.now(), at); err != nil {
				return err
			}
		}
		return fault.New(fault.ExpiredServer, "%w%s", cause, clock(at))
	case errors.As(cause, &unknown):
		return fault.New(fault.WrongPin, "%w%s", cause, clock(at))
	}
	return fault.New(fault.OtherServer, "%w%s", cause, clock(at))
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

// pinnedIn returns those of the authorities that cluster-info names that are pinned. The others are nobody's word yet: whoever has the
// token can add his own.
func (t Trust) pinnedIn(info *corev1.ConfigMap, at time.Time) ([]byte, error) {
	authority, err := authorityOf(info.Data[bootstrapapi.KubeConfigKey])
	if err != nil {
		return nil, fault.New(fault.NotForJoining, "read cluster-info: %w", err)
	}
	pins, err := PinOf(authority)
	if err != nil {
		return nil, fault.New(fault.NotForJoining, "read cluster-info: %w", err)
	}
	out := t.pinned(authority)
	if len(out) == 0 {
		return nil, fault.New(fault.WrongPin, "verify cluster-info: the cluster's authority has the pin %s, wanted was %s%s", pins[0], words(t.Pins), clock(at))
	}
	return out, nil
}

// signed returns all authorities that cluster-info of a verified server names, when it is signed with the token: while they are
// replaced there are two.
func (t Trust) signed(info *corev1.ConfigMap, at time.Time) ([]byte, error) {
	content := info.Data[bootstrapapi.KubeConfigKey]
	authority, err := authorityOf(content)
	if err != nil {
		return nil, fault.New(fault.NotForJoining, "read cluster-info: %w", err)
	}
	signature, ok := info.Data[bootstrapapi.JWSSignatureKeyPrefix+t.Token.ID]
	if !ok {
		return nil, t.unsigned(info, at)
	}
	if !jws.DetachedTokenIsValid(signature, content, t.Token.ID, t.Token.Secret) {
		return nil, fault.New(fault.ForeignToken, "verify cluster-info: its signature with %s does not fit%s", t.Token, clock(at))
	}
	return authority, nil
}

// Pinned says that one of the authorities of a PEM bundle is pinned.
func (t Trust) Pinned(bundle []byte) bool { return len(t.pinned(bundle)) > 0 }

// pinned returns those of the authorities of a PEM bundle that are pinned.
func (t Trust) pinned(bundle []byte) []byte {
	var out []byte
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})
		if pins, err := PinOf(one); err == nil && slices.Contains(t.Pins, pins[0]) {
			out = append(out, one...)
		}
	}
	return out
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
	if err := t.over(info, at); err != nil {
		return err
	}
	if slices.ContainsFunc(readHistory(info.Data[keyHistory]), func(line past) bool { return line.ID == t.Token.ID }) {
		return fault.New(fault.UnknownToken, "verify cluster-info: %s was made in this cluster, but was deleted or is not signed with yet%s", t.Token, clock(at)).
			Mend("try again in twenty seconds; else on a control plane node: gardenadm token create --print-join-command")
	}
	return fault.New(fault.UnknownToken, "verify cluster-info: the cluster knows no %s%s", t.Token, clock(at))
}

// over is nil when nothing says that the token has expired.
func (t Trust) over(info *corev1.ConfigMap, at time.Time) error {
	for _, line := range readHistory(info.Data[keyHistory]) {
		if line.ID == t.Token.ID && !at.IsZero() && !at.Before(line.Expires) {
			return fault.New(fault.ExpiredToken, "verify cluster-info: %s expired at %s%s", t.Token, line.Expires.UTC().Format(time.RFC3339), clock(at))
		}
	}
	return nil
}

// clock adds the API server's time to a refusal, when it told it.
func clock(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return "; it is " + at.UTC().Format(time.RFC3339) + " at the API server"
}

func authorityOf(content string) ([]byte, error) {
	if content == "" {
		return nil, errors.New("it holds no kubeconfig")
	}
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
