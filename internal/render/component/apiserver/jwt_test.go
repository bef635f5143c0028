package apiserver

import (
	"strings"
	"testing"

	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

// TestAuthenticators: kube-apiserver ends with each of these; without objection it starts.
func TestAuthenticators(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*apiserverv1.JWTAuthenticator)
		want   string
	}{
		"fine":              {func(*apiserverv1.JWTAuthenticator) {}, ""},
		"no host":           {func(a *apiserverv1.JWTAuthenticator) { a.Issuer.URL = "http://" }, `issuer.url "http://" must be`},
		"no URL":            {func(a *apiserverv1.JWTAuthenticator) { a.Issuer.URL = "no url" }, `issuer.url "no url" must be`},
		"no audience":       {func(a *apiserverv1.JWTAuthenticator) { a.Issuer.Audiences = nil }, "issuer.audiences needs"},
		"an empty audience": {func(a *apiserverv1.JWTAuthenticator) { a.Issuer.Audiences = []string{"a", ""} }, "issuer.audiences needs"},
		"an audience twice": {func(a *apiserverv1.JWTAuthenticator) { a.Issuer.Audiences = []string{"a", "a"} }, "one twice"},
		"which of two":      {func(a *apiserverv1.JWTAuthenticator) { a.Issuer.Audiences = []string{"a", "b"} }, "audienceMatchPolicy must be MatchAny"},
		"any of two": {func(a *apiserverv1.JWTAuthenticator) {
			a.Issuer.Audiences, a.Issuer.AudienceMatchPolicy = []string{"a", "b"}, "MatchAny"
		}, ""},
		"discovery in clear":  {func(a *apiserverv1.JWTAuthenticator) { a.Issuer.DiscoveryURL = ptr.To("http://example.com") }, "issuer.discoveryURL"},
		"discovery of itself": {func(a *apiserverv1.JWTAuthenticator) { a.Issuer.DiscoveryURL = ptr.To(a.Issuer.URL + "/") }, "must be another"},
		"no certificate":      {func(a *apiserverv1.JWTAuthenticator) { a.Issuer.CertificateAuthority = "secret" }, "has no certificate"},
		"nobody": {func(a *apiserverv1.JWTAuthenticator) {
			a.ClaimMappings.Username = apiserverv1.PrefixedClaimOrExpression{}
		}, "username needs"},
		"two names":            {func(a *apiserverv1.JWTAuthenticator) { a.ClaimMappings.Username.Expression = "claims.sub" }, "username has both"},
		"groups and no prefix": {func(a *apiserverv1.JWTAuthenticator) { a.ClaimMappings.Groups.Claim = "groups" }, "groups.claim needs a prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			one := apiserverv1.JWTAuthenticator{Issuer: apiserverv1.Issuer{URL: "https://example.com", Audiences: []string{"a"}}}
			one.ClaimMappings.Username = apiserverv1.PrefixedClaimOrExpression{Claim: "sub", Prefix: ptr.To("")}
			test.change(&one)
			err := checkAuthenticators([]apiserverv1.JWTAuthenticator{one}, nil)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if test.want == "" && checkAuthenticators([]apiserverv1.JWTAuthenticator{one, one}, nil) == nil {
				t.Error("the same issuer passes twice")
			}
		})
	}
}

func TestAuthenticatorsAreCheckedBeforehand(t *testing.T) {
	c := componenttest.MostFields(t)
	config := c.ConfigMap("authentication").Data
	config[cluster.KeyStructuredConfig] = strings.Replace(config[cluster.KeyStructuredConfig], "https://login.example.com", "http://", 1)
	if err := New().Check(c); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "jwt[0]: issuer.url") {
		t.Errorf("got %v, want a fault of usage about the issuer", err)
	}
}
