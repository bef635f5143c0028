package cluster

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
)

// KeyCABundle holds certificates in the Secrets that registries refer to, as in Gardener's extension registry-mirror.
const KeyCABundle = "bundle.crt"

// secret returns the Secret that is referred to, nil when there is none.
func (r *accessReader) secret(path *field.Path, ref *configv1alpha1.SecretRef) *corev1.Secret {
	switch {
	case (ref.Name == "") == (ref.ResourceName == ""):
		r.fail(path, "must have exactly one of name and resourceName")
		return nil
	case ref.ResourceName != "":
		return r.resource(path.Child("resourceName"), ref.ResourceName)
	case !r.document:
		r.fail(path.Child("name"), "a garden hands over no Secret by its name: list it in spec.resources and use resourceName")
		return nil
	}
	secret := r.cluster.Secret(ref.Name)
	if secret == nil {
		r.fail(path.Child("name"), "there is no Secret %s/%s among the manifests", r.cluster.Shoot.Namespace, ref.Name)
	}
	return secret
}

// resource returns the Secret that the Shoot's spec.resources calls by that name, nil when there is none.
func (r *accessReader) resource(path *field.Path, name string) *corev1.Secret {
	secret, ok := r.cluster.Resource(name).(*corev1.Secret)
	if !ok {
		r.fail(path, "there is no entry %q in the Shoot's spec.resources that refers to a Secret among the manifests", name)
		return nil
	}
	return secret
}

// value returns a key of a Secret as the API would: stringData wins.
func value(secret *corev1.Secret, key string) string {
	if text, ok := secret.StringData[key]; ok {
		return text
	}
	return string(secret.Data[key])
}

// bundle reads caBundle or caBundleSecretRef below path.
func (r *accessReader) bundle(path *field.Path, inline string, ref *configv1alpha1.SecretRef) string {
	if ref == nil {
		r.checkBundle(path.Child("caBundle"), inline)
		return strings.Join(certificates(inline), "")
	}
	path = path.Child("caBundleSecretRef")
	if inline != "" {
		r.fail(path, "excludes caBundle")
	}
	return r.bundleOf(path, r.secret(path, ref))
}

// bundleOf reads the certificates in a Secret, which may be nil.
func (r *accessReader) bundleOf(path *field.Path, secret *corev1.Secret) string {
	if secret == nil {
		return ""
	}
	text := value(secret, KeyCABundle)
	if text == "" {
		r.fail(path, "the Secret %s lacks the key %s", secret.Name, KeyCABundle)
	}
	r.checkBundle(path, text)
	return strings.Join(certificates(text), "")
}

// checkBundle refuses what is not certificates alone. Programs would skip what they cannot read, and fail only where it is missed.
func (r *accessReader) checkBundle(path *field.Path, text string) {
	if text != "" && (len(certificates(text)) == 0 || len(certificates(text)) != strings.Count(text, "-----BEGIN ")) {
		r.fail(path, "must be certificates in PEM, and nothing else")
	}
}

// certificates are those of a PEM bundle, each in PEM again and without comments.
func certificates(text string) []string {
	var out []string
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			out = append(out, string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})))
		}
	}
	return out
}

// credentials reads user and password for a server; both are empty for none.
func (r *accessReader) credentials(path *field.Path, ref *configv1alpha1.SecretRef, server string) (username, password string) {
	if ref == nil {
		return "", ""
	}
	secret := r.secret(path, ref)
	if secret == nil || value(secret, corev1.DockerConfigJsonKey) == "" {
		return r.login(path, secret)
	}
	parsed, err := url.Parse(server)
	if err != nil || parsed.Host == "" {
		return "", "" // the URL has its own error
	}
	username, password, ok := dockerLogin(value(secret, corev1.DockerConfigJsonKey), parsed.Host)
	if !ok {
		r.fail(path, "the key %s of Secret %s has no user and password for %s", corev1.DockerConfigJsonKey, secret.Name, parsed.Host)
		return "", ""
	}
	return r.checkLogin(path, secret.Name, username, password)
}

// login reads the keys username and password of a Secret, which may be nil.
func (r *accessReader) login(path *field.Path, secret *corev1.Secret) (username, password string) {
	if secret == nil {
		return "", ""
	}
	username, password = value(secret, corev1.BasicAuthUsernameKey), value(secret, corev1.BasicAuthPasswordKey)
	if username == "" || password == "" {
		r.fail(path, "the Secret %s lacks the key %s or %s", secret.Name, corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)
		return "", ""
	}
	return r.checkLogin(path, secret.Name, username, password)
}

// checkLogin: basic authentication can say neither a colon in a user's name nor control characters, such as a line's end.
func (r *accessReader) checkLogin(path *field.Path, secret, username, password string) (string, string) {
	if strings.Contains(username, ":") || strings.ContainsFunc(username+password, unicode.IsControl) {
		r.fail(path, "the Secret %s has a colon in the user's name, or a line's end or another control character in it or in the password", secret)
		return "", ""
	}
	return username, password
}

// dockerLogin finds the entry of a host in a file as `docker login` writes it.
func dockerLogin(config, host string) (username, password string, ok bool) {
	type login struct{ Username, Password, Auth string }
	var file struct{ Auths map[string]login }
	if json.Unmarshal([]byte(config), &file) != nil {
		return "", "", false
	}
	hosts := []string{host}
	if host == dockerHubServer {
		hosts = append(hosts, dockerHub, "index."+dockerHub)
	}
	for _, name := range slices.Sorted(maps.Keys(file.Auths)) {
		entry := file.Auths[name]
		if _, rest, found := strings.Cut(name, "://"); found {
			name = rest
		}
		if name, _, _ = strings.Cut(name, "/"); !slices.Contains(hosts, name) {
			continue
		}
		if entry.Auth != "" {
			decoded, err := base64.StdEncoding.DecodeString(entry.Auth)
			if err != nil {
				return "", "", false
			}
			entry.Username, entry.Password, _ = strings.Cut(string(decoded), ":")
		}
		return entry.Username, entry.Password, entry.Username != "" && entry.Password != ""
	}
	return "", "", false
}
