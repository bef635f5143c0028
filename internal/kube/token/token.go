// Package token turns wishes for bootstrap tokens into Secrets of the API, and a pasted join line into trust in a cluster.
// Used by the commands token and join, and by the controller that decides on the requests of joining machines.
package token

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// How long a token may be valid (contract control-plane §8, token create --validity).
const (
	MinValidity     = 10 * time.Minute
	MaxValidity     = 24 * time.Hour
	DefaultValidity = time.Hour
)

// DefaultDescription is Gardener's (contract control-plane §8).
const DefaultDescription = "Used for joining nodes to a self-hosted shoot cluster via 'gardenadm join'"

// GroupOpen is the group of tokens that are bound to nothing. It tells ours from tokens that others made; on the requests of all of
// ours, bound or not, the approver decides.
const GroupOpen = secret.GroupOpenTokens

// Annotations of a token's Secret.
const (
	annotationNode      = "token.gardenadm.dev/node"
	annotationPool      = "token.gardenadm.dev/pool"
	annotationSingleUse = "token.gardenadm.dev/single-use"
	annotationRenewal   = "token.gardenadm.dev/renewal"
	annotationUsedBy    = "token.gardenadm.dev/used-by"
	annotationUsedAt    = "token.gardenadm.dev/used-at"
)

// Token is a bootstrap token: a password for joining that expires.
type Token struct {
	// ID is public, six characters of [a-z0-9].
	ID string
	// Secret is sixteen characters of [a-z0-9]; empty where it is not known.
	Secret      string
	Description string
	Expires     time.Time
	Binding     Binding
	// UsedBy are the names of the nodes that joined with it, sorted; UsedAt is when the last of them did.
	UsedBy []string
	UsedAt time.Time
}

// Binding says for whom a token is; the zero value is for everybody, as often as they like.
type Binding struct {
	// Node is the only node, and Pool the only worker pool, that may join with the token.
	Node, Pool string
	// SingleUse: the first node that joins with the token is the only one.
	SingleUse bool
	// Renewal: the token is for the node, which is there and proved who it is, to replace certificates that have expired.
	Renewal bool
}

// Open says that the token is bound to nothing.
func (b Binding) Open() bool { return b == Binding{} }

// Generate returns a new random token.
func Generate() (Token, error) {
	text, err := bootstraputil.GenerateBootstrapToken()
	if err != nil {
		return Token{}, fmt.Errorf("generate token: %w", err)
	}
	return Parse(text)
}

// Parse reads ID.SECRET. Its error never holds the text.
func Parse(text string) (Token, error) {
	text = strings.TrimSpace(text)
	if !bootstraputil.IsValidBootstrapToken(text) {
		return Token{}, fault.New(fault.BadFlag, "read token: it is not of the form abcdef.0123456789abcdef (six and sixteen of a-z and 0-9)")
	}
	id, secret, _ := strings.Cut(text, ".")
	return Token{ID: id, Secret: secret}, nil
}

// Text is the token as a joining machine presents it. It is a secret.
func (t Token) Text() string { return bootstraputil.TokenFromIDAndSecret(t.ID, t.Secret) }

// String shows the public part only, so that a token in a log or an error gives nothing away.
func (t Token) String() string { return "token " + t.ID }

// CheckValidity refuses what is shorter or longer than a token may live.
func CheckValidity(validity time.Duration) error {
	if validity < MinValidity || validity > MaxValidity {
		return fault.New(fault.BadFlag, "validity %s is not between %s and %s", validity, MinValidity, MaxValidity)
	}
	return nil
}

// object is the token's Secret (contract control-plane §8; Kubernetes' bootstrap tokens).
func (t Token) object() *corev1.Secret {
	out := &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceSystem, Name: bootstraputil.BootstrapTokenSecretName(t.ID), Annotations: map[string]string{},
		},
		Type: bootstrapapi.SecretTypeBootstrapToken,
		Data: map[string][]byte{
			bootstrapapi.BootstrapTokenIDKey:               []byte(t.ID),
			bootstrapapi.BootstrapTokenSecretKey:           []byte(t.Secret),
			bootstrapapi.BootstrapTokenDescriptionKey:      []byte(t.Description),
			bootstrapapi.BootstrapTokenExpirationKey:       []byte(t.Expires.UTC().Format(time.RFC3339)),
			bootstrapapi.BootstrapTokenUsageAuthentication: []byte("true"),
		},
	}
	if !t.Binding.Renewal { // whoever renews knows whom to trust
		out.Data[bootstrapapi.BootstrapTokenUsageSigningKey] = []byte("true")
	}
	if t.Binding.Open() {
		out.Data[bootstrapapi.BootstrapTokenExtraGroupsKey] = []byte(GroupOpen)
	}
	for key, value := range map[string]string{annotationNode: t.Binding.Node, annotationPool: t.Binding.Pool, annotationUsedBy: strings.Join(t.UsedBy, ",")} {
		if value != "" {
			out.Annotations[key] = value
		}
	}
	for key, is := range map[string]bool{annotationSingleUse: t.Binding.SingleUse, annotationRenewal: t.Binding.Renewal} {
		if is {
			out.Annotations[key] = "true"
		}
	}
	if !t.UsedAt.IsZero() {
		out.Annotations[annotationUsedAt] = t.UsedAt.UTC().Format(time.RFC3339)
	}
	return out
}

// fromObject reads a token's Secret; what others wrote wrongly is left out.
func fromObject(object *corev1.Secret) Token {
	data := func(key string) string { return string(object.Data[key]) }
	out := Token{
		ID: data(bootstrapapi.BootstrapTokenIDKey), Secret: data(bootstrapapi.BootstrapTokenSecretKey),
		Description: data(bootstrapapi.BootstrapTokenDescriptionKey),
		Binding: Binding{
			Node: object.Annotations[annotationNode], Pool: object.Annotations[annotationPool],
			SingleUse: object.Annotations[annotationSingleUse] == "true",
			Renewal:   object.Annotations[annotationRenewal] == "true",
		},
	}
	// No or an unreadable expiration is Kubernetes' "never" and "expired at once": the zero time shows both as they are not ours.
	out.Expires, _ = time.Parse(time.RFC3339, data(bootstrapapi.BootstrapTokenExpirationKey))
	out.UsedAt, _ = time.Parse(time.RFC3339, object.Annotations[annotationUsedAt])
	if nodes := object.Annotations[annotationUsedBy]; nodes != "" {
		out.UsedBy = slices.Sorted(maps.Keys(set(strings.Split(nodes, ","))))
	}
	return out
}

func set(items []string) map[string]bool {
	out := map[string]bool{}
	for _, item := range items {
		out[item] = true
	}
	return out
}
