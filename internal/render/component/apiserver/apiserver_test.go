package apiserver

import (
	"slices"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/render/workload"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

func TestFirstIssuerSigns(t *testing.T) {
	c := componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
		shoot.Spec.Kubernetes.KubeAPIServer = &gardencore.KubeAPIServerConfig{ServiceAccountConfig: &gardencore.ServiceAccountConfig{
			Issuer: ptr.To("https://z.example.com"), AcceptedIssuers: []string{"https://b.example.com", "https://a.example.com"},
		}}
	})
	var got []string
	for _, flag := range workload.Command(name, flags(c, componenttest.Node())) {
		if issuer, ok := strings.CutPrefix(flag, "--service-account-issuer="); ok {
			got = append(got, issuer)
		}
	}
	if want := []string{"https://z.example.com", "https://b.example.com", "https://a.example.com"}; !slices.Equal(got, want) {
		t.Errorf("got issuers %v, want %v", got, want)
	}
}

func TestSeveralAPIServersWaitBeforeTheyEnd(t *testing.T) {
	c := componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
		shoot.Spec.Provider.Workers[0].Minimum, shoot.Spec.Provider.Workers[0].Maximum = 3, 3
	})
	for _, flag := range []string{"--shutdown-delay-duration=10s", "--goaway-chance=0.001"} {
		if !slices.Contains(flags(c, componenttest.Node()), flag) {
			t.Errorf("an API server among three lacks %s: clients do not move in time", flag)
		}
	}
}

// TestReferencesAreChecked: what is wrong with an object that the Shoot refers to is told without secrets, as a fault of usage.
func TestReferencesAreChecked(t *testing.T) {
	type objects struct {
		config map[string]string
		server *gardencore.KubeAPIServerConfig
	}
	for name, test := range map[string]struct {
		change func(o objects)
		want   string
	}{
		"audit policy without rules": {func(o objects) {
			o.config["audit"] = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Some\n"
		},
			"auditConfig.auditPolicy.configMapRef: check audit policy: rules[0].level"},
		"audit policy with a typo": {func(o objects) { o.config["audit"] = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrule: []\n" },
			`unknown field "rule"`},
		"audit policy of another version": {func(o objects) { o.config["audit"] = "apiVersion: audit.k8s.io/v1beta1\nkind: Policy\n" },
			`has the kind "Policy" of "audit.k8s.io/v1beta1"`},
		"no YAML": {func(o objects) { o.config["audit"] = "a: b: c" }, "read key policy of ConfigMap audit"},
		"missing ConfigMap": {func(o objects) { o.server.StructuredAuthentication.ConfigMapName = "other" },
			"structuredAuthentication.configMapName: ConfigMap garden/other with the key config.yaml is not among the manifests"},
		"nobody is anonymous": {func(o objects) {
			o.config["authentication"] = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous:\n  enabled: false\n"
		}, "anonymous.enabled must be true"},
		"own issuer": {func(o objects) { o.server.ServiceAccountConfig.Issuer = ptr.To("https://login.example.com") },
			"the issuer https://login.example.com is the cluster's own"},
		"an authorizer that is no webhook": {func(o objects) {
			o.config["authorization"] = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n- type: AlwaysAllow\n  name: all\n"
		}, `authorizer "all" is of the type "AlwaysAllow"`},
		"a connection of its own": {func(o objects) {
			o.config["authorization"] = strings.Replace(o.config["authorization"], "webhook:", "webhook:\n    connectionInfo: {type: InClusterConfig}", 1)
		},
			`authorizer "guests" has connectionInfo`},
		"no kubeconfig for an authorizer": {func(o objects) { o.server.StructuredAuthorization.Kubeconfigs = nil },
			`authorizer "guests" has no entry`},
		"a kubeconfig for no authorizer": {func(o objects) {
			o.server.StructuredAuthorization.Kubeconfigs = append(o.server.StructuredAuthorization.Kubeconfigs,
				gardencore.AuthorizerKubeconfigReference{AuthorizerName: "nobody", SecretName: "authorizer"})
		}, `there is no authorizer "nobody"`},
		"missing Secret": {func(o objects) { o.server.StructuredAuthorization.Kubeconfigs[0].SecretName = "other" },
			"structuredAuthorization.kubeconfigs: Secret garden/other is not among the manifests"},
		"kubeconfig with a file": {func(o objects) {
			o.config["authorizer"] = "clusters: [{name: a, cluster: {certificate-authority: /ca.crt}}]"
		},
			"certificate-authority names a file"},
		"kubeconfig with credentials in files": {func(o objects) { o.config["authorizer"] = "users: [{name: a, user: {tokenFile: /token}}]" },
			"credentials in files"},
		"kubeconfig with a program": {func(o objects) { o.config["authorizer"] = "users: [{name: a, user: {exec: {command: login}}}]" },
			"credentials from a program"},
		"no kubeconfig": {func(o objects) { o.config["authorizer"] = "password" }, "key kubeconfig of Secret authorizer (api-server.yaml, document 4) is not a kubeconfig"},
		"file of the user's": {func(o objects) {
			o.server.AdmissionPlugins = []gardencore.AdmissionPlugin{{Name: "ImagePolicyWebhook", Config: raw(`{"imagePolicy":{"kubeConfigFile":"/mine"}}`)}}
		}, "admissionPlugins[ImagePolicyWebhook].config: kubeConfigFile is not a file of the user's"},
		"no image policy": {func(o objects) {
			o.server.AdmissionPlugins = []gardencore.AdmissionPlugin{{Name: "ImagePolicyWebhook", Config: raw(`{}`)}}
		}, "imagePolicy is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			c := componenttest.MostFields(t)
			texts := map[string]string{}
			for _, object := range c.Manifests.ConfigMaps {
				texts[object.Name] = object.Data[keyOf(object.Name)]
			}
			test.change(objects{config: texts, server: c.Shoot.Spec.Kubernetes.KubeAPIServer})
			for _, object := range c.Manifests.ConfigMaps {
				object.Data[keyOf(object.Name)] = texts[object.Name]
			}
			if text, ok := texts["authorizer"]; ok {
				c.Secret("authorizer").StringData = map[string]string{cluster.KeyKubeconfig: text}
			}
			err := New().Check(c)
			if err == nil || !strings.Contains(err.Error(), test.want) || fault.ClassOf(err) != fault.Usage {
				t.Errorf("got %v, want a fault of usage with %q", err, test.want)
			}
		})
	}
}

// TestSecretsAreNotRepeated: a broken kubeconfig may hold a password at the wrong place.
func TestSecretsAreNotRepeated(t *testing.T) {
	c := componenttest.MostFields(t)
	c.Secret("authorizer").StringData = map[string]string{cluster.KeyKubeconfig: "users: hunter2: hunter2"}
	if err := New().Check(c); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestAnonymousWithoutConditionsStaysSo(t *testing.T) {
	c := componenttest.MostFields(t)
	c.ConfigMap("authentication").Data[cluster.KeyStructuredConfig] =
		"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous:\n  enabled: true\n"
	got, err := authenticationConfiguration(c)
	if err != nil || !got.Anonymous.Enabled || len(got.Anonymous.Conditions) > 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestPluginsAreToldTheirKubeconfig(t *testing.T) {
	for name, test := range map[string]struct{ plugin, config, want string }{
		"no configuration": {"MutatingAdmissionWebhook", "",
			`{"apiVersion":"apiserver.config.k8s.io/v1","kind":"WebhookAdmissionConfiguration","kubeConfigFile":"/etc/kubernetes/admission-kubeconfigs/MutatingAdmissionWebhook-kubeconfig.yaml"}`},
		"nothing of an image policy": {"ImagePolicyWebhook", `null`,
			`{"imagePolicy":{"kubeConfigFile":"/etc/kubernetes/admission-kubeconfigs/ImagePolicyWebhook-kubeconfig.yaml"}}`},
		"own configuration": {"ImagePolicyWebhook", `{"imagePolicy":{"allowTTL":50,"defaultAllow":true}}`,
			`{"imagePolicy":{"allowTTL":50,"defaultAllow":true,"kubeConfigFile":"/etc/kubernetes/admission-kubeconfigs/ImagePolicyWebhook-kubeconfig.yaml"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			plugin := gardencore.AdmissionPlugin{Name: test.plugin, KubeconfigSecretName: ptr.To("some")}
			if test.config != "" {
				plugin.Config = raw(test.config)
			}
			got, err := pluginConfiguration(plugin, "here")
			if err != nil || string(got) != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func raw(text string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(text)} }

func keyOf(config string) string {
	if config == "audit" {
		return cluster.KeyAuditPolicy
	}
	return cluster.KeyStructuredConfig
}
