package apiserver

import (
	"slices"
	"strings"
	"testing"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

// withSettings is a cluster whose Shoot says something about everything that has a flag.
func withSettings(t *testing.T) *cluster.Cluster {
	return componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
		shoot.Spec.Provider.Workers[0].Maximum = 3
		shoot.Spec.Kubernetes.KubeAPIServer = &gardencore.KubeAPIServerConfig{
			KubernetesConfig: gardencore.KubernetesConfig{FeatureGates: map[string]bool{"B": false, "A": true}},
			AdmissionPlugins: []gardencore.AdmissionPlugin{
				{Name: "PodSecurity", Config: &runtime.RawExtension{Raw: []byte(`{"kind":"PodSecurityConfiguration"}`)}},
				{Name: "DefaultStorageClass", Disabled: ptr.To(true)},
			},
			APIAudiences:  []string{"kubernetes", "vault"},
			RuntimeConfig: map[string]bool{"batch/v2alpha1": true},
			ServiceAccountConfig: &gardencore.ServiceAccountConfig{
				Issuer: ptr.To("https://z.example.com"), AcceptedIssuers: []string{"https://b.example.com", "https://a.example.com"},
				MaxTokenExpiration: &metav1.Duration{Duration: 720 * time.Hour}, ExtendTokenExpiration: ptr.To(false),
			},
			WatchCacheSizes: &gardencore.WatchCacheSizes{Resources: []gardencore.ResourceWatchCacheSize{
				{Resource: "secrets", CacheSize: 0}, {APIGroup: ptr.To("apps"), Resource: "deployments", CacheSize: 10},
			}},
			EventTTL: &metav1.Duration{Duration: 2 * time.Hour},
			Logging:  &gardencore.APIServerLogging{Verbosity: ptr.To[int32](4), HTTPAccessVerbosity: ptr.To[int32](3)},
			EncryptionConfig: &gardencore.EncryptionConfig{
				Resources: []string{"configmaps"},
				Provider:  gardencore.EncryptionProvider{Type: ptr.To(gardencore.EncryptionProviderTypeSecretbox)},
			},
			TLSMinVersion: ptr.To("VersionTLS13"),
		}
	})
}

func TestShootSettings(t *testing.T) {
	c := withSettings(t)
	in := componenttest.Input(c, secrets(c, []cluster.Node{componenttest.Node()}))
	objects := componenttest.Host(t, New(), in)
	// The workload, and after it the ConfigMaps and the encryption configuration.
	golden.Equal(t, "testdata/host-settings.yaml", golden.YAML(t, objects[:5]...))
}

func TestFirstIssuerSigns(t *testing.T) {
	c := withSettings(t)
	in := componenttest.Input(c, secrets(c, []cluster.Node{componenttest.Node()}))
	workload, err := New().Host(in, componenttest.Node())
	if err != nil {
		t.Fatal(err)
	}
	var issuers []string
	for _, flag := range workload.Deployment.Spec.Template.Spec.Containers[0].Command {
		if issuer, ok := strings.CutPrefix(flag, "--service-account-issuer="); ok {
			issuers = append(issuers, issuer)
		}
	}
	if want := []string{"https://z.example.com", "https://b.example.com", "https://a.example.com"}; !slices.Equal(issuers, want) {
		t.Errorf("got issuers %v, want %v", issuers, want)
	}
}

func TestReferencesToAGardenAreRefused(t *testing.T) {
	err := check(gardencore.KubeAPIServerConfig{
		AuditConfig:              &gardencore.AuditConfig{AuditPolicy: &gardencore.AuditPolicy{ConfigMapRef: &corev1.ObjectReference{}}},
		StructuredAuthentication: &gardencore.StructuredAuthentication{},
		StructuredAuthorization:  &gardencore.StructuredAuthorization{},
		AdmissionPlugins:         []gardencore.AdmissionPlugin{{Name: "Some", KubeconfigSecretName: ptr.To("some")}},
	})
	for _, want := range []string{"auditPolicy.configMapRef", "structuredAuthentication", "structuredAuthorization", "[Some].kubeconfigSecretName"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
}
