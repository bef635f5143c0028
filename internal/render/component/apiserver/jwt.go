package apiserver

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

// checkAuthenticators refuses what kube-apiserver would not start with, as far as it can be said without compiling expressions.
func checkAuthenticators(authenticators []apiserverv1.JWTAuthenticator, own []string) error {
	var issuers, discoveries []string
	for i, one := range authenticators {
		discovery := ptr.Deref(one.Issuer.DiscoveryURL, "")
		err := checkAuthenticator(one)
		switch {
		case err != nil:
		case slices.Contains(own, one.Issuer.URL):
			err = fmt.Errorf("the issuer %s is the cluster's own", one.Issuer.URL)
		case slices.Contains(issuers, one.Issuer.URL):
			err = fmt.Errorf("the issuer %s is there twice", one.Issuer.URL)
		case discovery != "" && slices.Contains(discoveries, discovery):
			err = fmt.Errorf("the discoveryURL %s is there twice", discovery)
		}
		if err != nil {
			return fmt.Errorf("jwt[%d]: %w", i, err)
		}
		issuers, discoveries = append(issuers, one.Issuer.URL), append(discoveries, discovery)
	}
	return nil
}

func checkAuthenticator(one apiserverv1.JWTAuthenticator) error {
	if err := cluster.CheckIssuer(one.Issuer.URL); err != nil {
		return fmt.Errorf("issuer.url %q %w", one.Issuer.URL, err)
	}
	if discovery := one.Issuer.DiscoveryURL; discovery != nil && *discovery != "" {
		if err := cluster.CheckIssuer(*discovery); err != nil {
			return fmt.Errorf("issuer.discoveryURL %q %w", *discovery, err)
		}
		if strings.TrimRight(*discovery, "/") == strings.TrimRight(one.Issuer.URL, "/") {
			return errors.New("issuer.discoveryURL must be another than issuer.url")
		}
	}
	if authority := one.Issuer.CertificateAuthority; authority != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(authority)) {
		return errors.New("issuer.certificateAuthority has no certificate")
	}
	if err := checkAudiences(one.Issuer); err != nil {
		return err
	}
	username, groups := one.ClaimMappings.Username, one.ClaimMappings.Groups
	if username.Claim == "" && username.Expression == "" {
		return errors.New("claimMappings.username needs a claim or an expression")
	}
	return errors.Join(checkMapping("username", username), checkMapping("groups", groups))
}

func checkMapping(name string, mapping apiserverv1.PrefixedClaimOrExpression) error {
	switch {
	case mapping.Claim != "" && mapping.Expression != "":
		return fmt.Errorf("claimMappings.%s has both a claim and an expression", name)
	case mapping.Claim != "" && mapping.Prefix == nil:
		return fmt.Errorf(`claimMappings.%s.claim needs a prefix, which may be ""`, name)
	case mapping.Expression != "" && mapping.Prefix != nil:
		return fmt.Errorf("claimMappings.%s.expression takes no prefix", name)
	}
	return nil
}

func checkAudiences(issuer apiserverv1.Issuer) error {
	sorted := slices.Sorted(slices.Values(issuer.Audiences))
	policy := issuer.AudienceMatchPolicy
	switch {
	case len(sorted) == 0 || sorted[0] == "":
		return errors.New("issuer.audiences needs at least one, and none that is empty")
	case len(slices.Compact(sorted)) < len(issuer.Audiences):
		return errors.New("issuer.audiences has one twice")
	case policy != apiserverv1.AudienceMatchPolicyMatchAny && (policy != "" || len(sorted) > 1):
		return fmt.Errorf("issuer.audienceMatchPolicy must be %s", apiserverv1.AudienceMatchPolicyMatchAny)
	}
	return nil
}
