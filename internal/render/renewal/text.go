package renewal

import (
	"encoding/base64"
	"regexp"
	"time"

	"github.com/gardenadm/gardenadm/internal/secret"
)

// Text puts new certificates in the place of those in the text that have ended or are about to: in PEM, and in kubeconfigs. All else, and
// what none of the authorities has signed, stays as it is.
func Text(text string, authorities []secret.Signer, now time.Time) (string, error) {
	var problem error
	pem := func(block string) string {
		fresh, err := renewPEM(block, authorities, now)
		if err != nil {
			problem = err
			return block
		}
		return fresh
	}
	text = regexp.MustCompile(`-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\n?`).ReplaceAllStringFunc(text, pem)
	embedded := regexp.MustCompile(`(client-certificate-data:\s*)([A-Za-z0-9+/=]+)`)
	text = embedded.ReplaceAllStringFunc(text, func(line string) string {
		parts := embedded.FindStringSubmatch(line)
		raw, err := base64.StdEncoding.DecodeString(parts[2])
		if err != nil {
			return line // whoever reads it will say so
		}
		fresh := pem(string(raw))
		if fresh == string(raw) {
			return line
		}
		return parts[1] + base64.StdEncoding.EncodeToString([]byte(fresh))
	})
	return text, problem
}

// renewPEM returns the block of the certificate that is valid now in the place of this one: itself, if it lasts, or is of no authority here.
func renewPEM(block string, authorities []secret.Signer, now time.Time) (string, error) {
	for _, authority := range authorities {
		fresh, err := authority.Renew([]byte(block), now)
		if err != nil {
			return "", err
		}
		if fresh != nil {
			return string(fresh), nil
		}
	}
	return block, nil
}
