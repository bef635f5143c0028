package cluster

import (
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

func TestAccessIsRefused(t *testing.T) {
	tests := map[string]struct{ config, path, message string }{
		"proxy without scheme":     {"httpsProxy: proxy.example:3128", "httpsProxy", "must be a URL"},
		"proxy by socks":           {"httpProxy: socks5://proxy.example", "httpProxy", "must be a URL"},
		"proxy with password":      {"httpProxy: http://user:s3cret@proxy.example", "httpProxy", "proxySecretRef"},
		"proxy that is no URL":     {"httpProxy: 'http://user:s3cret@proxy.example:x'", "httpProxy", "must be a URL"},
		"proxy with path":          {"httpProxy: http://proxy.example/path", "httpProxy", "nothing behind"},
		"no proxy, but exceptions": {"noProxy: [a.example]", "noProxy", "without httpProxy"},
		"no proxy, but a Secret":   {"proxySecretRef: {name: login}", "proxySecretRef", "without httpProxy"},
		"exception for all":        {"httpProxy: http://proxy.example\nnoProxy: ['*']", "noProxy[0]", "must be"},
		"exception as URL":         {"httpProxy: http://proxy.example\nnoProxy: [a.example, 'https://b.example']", "noProxy[1]", "must be"},
		"exception as list":        {"httpProxy: http://proxy.example\nnoProxy: ['a.example,b.example']", "noProxy[0]", "must be"},
		"CA that is not PEM":       {"caBundle: abc", "caBundle", "certificates in PEM"},
		"CA that is cut off":       {"caBundle: |\n  " + strings.ReplaceAll(authority+authority[:100], "\n", "\n  "), "caBundle", "certificates in PEM"},
		"CA that is a key":         {"caBundle: |\n  -----BEGIN PRIVATE KEY-----\n  s3cret=\n  -----END PRIVATE KEY-----", "caBundle", "certificates in PEM"},
		"CA in two ways":           {"caBundle: abc\ncaBundleSecretRef: {name: ca}", "caBundleSecretRef", "excludes caBundle"},
		"CA without key":           {"caBundleSecretRef: {name: login}", "caBundleSecretRef", "lacks the key bundle.crt"},
		"unknown Secret":           {"caBundleSecretRef: {name: nobody}", "caBundleSecretRef.name", "no Secret garden/nobody"},
		"Secret of a stranger":     {"caBundleSecretRef: {name: foreign}", "caBundleSecretRef.name", "no Secret garden/foreign"},
		"unknown resource":         {"caBundleSecretRef: {resourceName: login}", "caBundleSecretRef.resourceName", "no entry"},
		"Secret by no name":        {"caBundleSecretRef: {}", "caBundleSecretRef", "exactly one"},
		"Secret by two names":      {"caBundleSecretRef: {name: ca, resourceName: the-ca}", "caBundleSecretRef", "exactly one"},
		"upstream missing":         {"registries: [{mirrors: [{url: 'https://m.example'}]}]", "registries[0].upstream", "Required"},
		"upstream as URL":          {"registries: [{upstream: 'https://a.example', mirrors: [{url: 'https://m.example'}]}]", "registries[0].upstream", "host or host:port"},
		"upstream with path":       {"registries: [{upstream: a.example/library, mirrors: [{url: 'https://m.example'}]}]", "registries[0].upstream", "without https:// and path"},
		"upstream that climbs":     {"registries: [{upstream: .., mirrors: [{url: 'https://m.example'}]}]", "registries[0].upstream", "host or host:port"},
		"upstream with bad port":   {"registries: [{upstream: 'a.example:0', mirrors: [{url: 'https://m.example'}]}]", "registries[0].upstream", "host or host:port"},
		"upstream in capitals":     {"registries: [{upstream: A.example, mirrors: [{url: 'https://m.example'}]}]", "registries[0].upstream", "small letters"},
		"Docker Hub's server":      {"registries: [{upstream: index.docker.io, mirrors: [{url: 'https://m.example'}]}]", "registries[0].upstream", "begin with docker.io"},
		"upstream twice": {"registries: [{upstream: a.example, server: 'https://b.example'}, {upstream: a.example, server: 'https://c.example'}]",
			"registries[1].upstream", "Duplicate"},
		"nothing said":             {"strict: false\nregistries: [{upstream: a.example}]", "registries[0]", "says nothing"},
		"nothing said of all":      {"registries: [{upstream: _default}]", "registries[0]", "says nothing"},
		"mirror without scheme":    {"registries: [{upstream: a.example, mirrors: [{url: m.example}]}]", "registries[0].mirrors[0].url", "must be a URL"},
		"mirror without URL":       {"registries: [{upstream: a.example, mirrors: [{}]}]", "registries[0].mirrors[0].url", "Required"},
		"mirror with password":     {"registries: [{upstream: a.example, mirrors: [{url: 'https://u:s3cret@m.example'}]}]", "registries[0].mirrors[0].url", "put them into a Secret"},
		"mirror with query":        {"registries: [{upstream: a.example, mirrors: [{url: 'https://m.example?a=b'}]}]", "registries[0].mirrors[0].url", "query"},
		"mirror with quotes":       {`registries: [{upstream: a.example, mirrors: [{url: "https://m.example/'\""}]}]`, "registries[0].mirrors[0].url", "other characters"},
		"mirror twice":             {"registries: [{upstream: a.example, mirrors: [{url: 'https://m.example'}, {url: 'https://m.example/'}]}]", "registries[0]", "listed twice"},
		"mirror may push":          {"registries: [{upstream: a.example, mirrors: [{url: 'https://m.example', capabilities: [pull, push]}]}]", "registries[0].mirrors[0].capabilities[1]", "pull or resolve"},
		"CA without encryption":    {"registries: [{upstream: a.example, mirrors: [{url: 'http://m.example', caBundleSecretRef: {name: ca}}]}]", "registries[0].mirrors[0].url", "not encrypted"},
		"server with path":         {"registries: [{upstream: a.example, server: 'https://m.example/path'}]", "registries[0].server", "no path"},
		"credentials of no one":    {"registries: [{upstream: _default, credentialsSecretRef: {name: login}}]", "registries[0].upstream", "_default"},
		"credentials of a CA":      {"registries: [{upstream: a.example, credentialsSecretRef: {name: ca}}]", "registries[0].credentialsSecretRef", "lacks the key username"},
		"credentials of others":    {"registries: [{upstream: a.example, credentialsSecretRef: {name: docker}}]", "registries[0].credentialsSecretRef", "for a.example"},
		"credentials, broken":      {"registries: [{upstream: a.example, credentialsSecretRef: {name: broken}}]", "registries[0].credentialsSecretRef", "for a.example"},
		"user with colon":          {"registries: [{upstream: a.example, credentialsSecretRef: {name: colon}}]", "registries[0].credentialsSecretRef", "colon"},
		"password with line's end": {"registries: [{upstream: a.example, credentialsSecretRef: {name: line}}]", "registries[0].credentialsSecretRef", "line's end"},
		"mirrors only, but none":   {"registries: [{upstream: a.example, mirrorsOnly: true}]", "registries[0].mirrorsOnly", "resolve"},
		"mirrors only pull": {"registries: [{upstream: a.example, mirrorsOnly: true, mirrors: [{url: 'https://m.example', capabilities: [pull]}]}]",
			"registries[0].mirrorsOnly", "resolve"},
		"mirrors only and server": {"registries: [{upstream: a.example, mirrorsOnly: true, server: 'https://a.example', mirrors: [{url: 'https://m.example'}]}]",
			"registries[0].mirrorsOnly", "excludes server"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, problems := readAccess(t, withDocument(t, test.config))
			wantProblem(t, problems, "RegistryAccess access", test.path, test.message)
		})
	}
}

func TestAccessOfShootIsRefused(t *testing.T) {
	const config = "spec.extensions[0].providerConfig"
	mirror := "apiVersion: mirror.extensions.gardener.cloud/v1alpha1\nkind: MirrorConfig\n"
	tests := map[string]struct{ kind, config, path, message string }{
		"nothing":             {ExtensionRegistryAccess, "", config, "Required"},
		"unknown field":       {ExtensionRegistryAccess, document + "registries: [{upstream: a.example, mirror: x}]", config, `unknown field "registries[0].mirror"`},
		"set twice":           {ExtensionRegistryAccess, `{"apiVersion": "a", "apiVersion": "s3cret"}`, config, `duplicate field "apiVersion"`},
		"wrong type":          {ExtensionRegistryAccess, document + "registries: s3cret", config, "form of its kind"},
		"other kind":          {ExtensionRegistryAccess, mirror, config, "kind RegistryAccess"},
		"Secret by its name":  {ExtensionRegistryAccess, document + "caBundleSecretRef: {name: ca}", config + ".caBundleSecretRef.name", "use resourceName"},
		"deep":                {ExtensionRegistryAccess, document + "registries: [{upstream: a.example, mirrors: [{}]}]", config + ".registries[0].mirrors[0].url", "Required"},
		"mirrors: none":       {ExtensionRegistryMirror, mirror, config + ".mirrors", "at least one"},
		"mirrors: old":        {ExtensionRegistryMirror, "apiVersion: mirror.extensions.gardener.cloud/v1beta7\nkind: MirrorConfig", config, "v1alpha1"},
		"mirrors: unknown":    {ExtensionRegistryMirror, mirror + "mirrors: [{upstream: a.example, host: x}]", config, `unknown field "mirrors[0].host"`},
		"mirrors: no host":    {ExtensionRegistryMirror, mirror + "mirrors: [{upstream: a.example}]", config + ".mirrors[0].hosts", "at least one"},
		"mirrors: bad host":   {ExtensionRegistryMirror, mirror + "mirrors: [{upstream: a.example, hosts: [{host: m.example}]}]", config + ".mirrors[0].hosts[0].host", "must be a URL"},
		"mirrors: no Secret":  {ExtensionRegistryMirror, mirror + "mirrors: [{upstream: a.example, hosts: [{host: 'https://m.example', caBundleSecretReferenceName: ca}]}]", config + ".mirrors[0].hosts[0].caBundleSecretReferenceName", "no entry"},
		"mirrors: capability": {ExtensionRegistryMirror, mirror + "mirrors: [{upstream: a.example, hosts: [{host: 'https://m.example', capabilities: [all]}]}]", config + ".mirrors[0].hosts[0].capabilities[0]", "pull or resolve"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			set := withExtension(t, test.kind, test.config)
			if strings.HasPrefix(test.config, "{") {
				set.Shoot.Spec.Extensions[0].ProviderConfig.Raw = []byte(test.config) // YAML has no duplicates
			}
			if test.config == "" {
				set.Shoot.Spec.Extensions[0].ProviderConfig = nil
			}
			_, problems := readAccess(t, set)
			wantProblem(t, problems, "Shoot garden/local", test.path, test.message)
		})
	}
}

func TestAccessInTwoPlaces(t *testing.T) {
	set := withExtension(t, ExtensionRegistryAccess, document+"httpProxy: http://proxy.example")
	set.RegistryAccess = withDocument(t, "httpProxy: http://proxy.example").RegistryAccess
	_, problems := readAccess(t, set)
	wantProblem(t, problems, "RegistryAccess access", "", "one place must say it")
}

func TestBundlesAreChecked(t *testing.T) {
	set := withSecrets()
	set.CloudProfile.Spec.CABundle, set.Shoot.Spec.Provider.Workers[0].CABundle = new("x"), new("y")
	_, problems := readAccess(t, set)
	wantProblem(t, problems[:1], "CloudProfile local", "spec.caBundle", "certificates in PEM")
	wantProblem(t, problems[1:], "Shoot garden/local", "spec.provider.workers[0].caBundle", "certificates in PEM")
}

// wantProblem wants the problem to be among those that there are, and no other but of the same object.
func wantProblem(t *testing.T, problems manifest.Problems, object, path, message string) {
	t.Helper()
	found := false
	for _, problem := range problems {
		if problem.Object != object {
			t.Errorf("a problem of %s: %s", problem.Object, problem)
		}
		found = found || problem.Path == path && strings.Contains(problem.Message, message)
	}
	if !found {
		t.Errorf("want %s: %s, got %v", path, message, problems)
	}
}
