package cluster_test

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// server is a change of the API server's settings.
func server(do func(*gardencore.KubeAPIServerConfig)) change {
	return shoot(func(s *gardencore.Shoot) {
		s.Spec.Kubernetes.KubeAPIServer = &gardencore.KubeAPIServerConfig{}
		do(s.Spec.Kubernetes.KubeAPIServer)
	})
}

func plugins(plugins ...gardencore.AdmissionPlugin) change {
	return server(func(c *gardencore.KubeAPIServerConfig) { c.AdmissionPlugins = plugins })
}

func encrypt(resources ...string) change {
	return server(func(c *gardencore.KubeAPIServerConfig) {
		c.EncryptionConfig = &gardencore.EncryptionConfig{Resources: resources}
	})
}

func accounts(config gardencore.ServiceAccountConfig) change {
	return server(func(c *gardencore.KubeAPIServerConfig) { c.ServiceAccountConfig = &config })
}

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func apiServerRules() []rule {
	const path = "spec.kubernetes.kubeAPIServer."
	gates := func(gate string, value bool) change {
		return server(func(c *gardencore.KubeAPIServerConfig) { c.FeatureGates = map[string]bool{gate: value} })
	}
	runtime := func(key string) change {
		return server(func(c *gardencore.KubeAPIServerConfig) { c.RuntimeConfig = map[string]bool{key: true} })
	}
	requests := func(reading, writing int32) change {
		return server(func(c *gardencore.KubeAPIServerConfig) {
			c.Requests = &gardencore.APIServerRequests{MaxNonMutatingInflight: &reading, MaxMutatingInflight: &writing}
		})
	}
	out := []rule{
		{name: "own: feature gates exist", accept: gates("AllBeta", false), refuse: gates("Nope", true), path: path + "featureGates[Nope]"},
		{name: "own: locked gates stay", accept: gates("APIServerTracing", true), refuse: gates("APIServerTracing", false), path: path + "featureGates[APIServerTracing]"},
		{name: "own: admission plugins exist", accept: plugins(gardencore.AdmissionPlugin{Name: "AlwaysPullImages"}),
			refuse: plugins(gardencore.AdmissionPlugin{Name: "Nope"}), path: path + "admissionPlugins[0].name"},
		{name: "own: disabled admission plugins exist", accept: plugins(gardencore.AdmissionPlugin{Name: "PodSecurity", Disabled: ptr.To(true)}),
			refuse: plugins(gardencore.AdmissionPlugin{Name: "Nope", Disabled: ptr.To(true)}), path: path + "admissionPlugins[0].name"},
		{name: "own: an admission plugin is enabled or disabled",
			refuse: plugins(gardencore.AdmissionPlugin{Name: "PodSecurity"}, gardencore.AdmissionPlugin{Name: "PodSecurity", Disabled: ptr.To(true)}),
			path:   path + "admissionPlugins[1].name"},
		{name: "own: API groups exist", accept: runtime("resource.k8s.io/v1beta1"), refuse: runtime("nope/v1"), path: path + "runtimeConfig[nope/v1]"},
		{name: "own: API groups have a version", accept: runtime("v1"), refuse: runtime("batch"), path: path + "runtimeConfig[batch]"},
		{name: "own: API groups have another spelling than all of them", accept: runtime("api/all"), refuse: runtime("all"), path: path + "runtimeConfig[all]"},
		{name: "own: events stay for a while", accept: server(func(c *gardencore.KubeAPIServerConfig) { c.EventTTL = duration(time.Hour) }),
			refuse: server(func(c *gardencore.KubeAPIServerConfig) { c.EventTTL = duration(-time.Hour) }), path: path + "eventTTL"},
		{name: "own: requests are not negative", accept: requests(0, 1), refuse: requests(-1, 1), path: path + "requests.maxNonMutatingInflight"},
		{name: "own: writing requests are not negative", refuse: requests(1, -1), path: path + "requests.maxMutatingInflight"},
		{name: "own: some requests are served", refuse: requests(0, 0), path: path + "requests"},
		{name: "own: no negative toleration of nodes that are not ready",
			accept: server(func(c *gardencore.KubeAPIServerConfig) { c.DefaultNotReadyTolerationSeconds = ptr.To[int64](0) }),
			refuse: server(func(c *gardencore.KubeAPIServerConfig) { c.DefaultNotReadyTolerationSeconds = ptr.To[int64](-1) }),
			path:   path + "defaultNotReadyTolerationSeconds"},
		{name: "own: no negative toleration of nodes that are gone",
			refuse: server(func(c *gardencore.KubeAPIServerConfig) { c.DefaultUnreachableTolerationSeconds = ptr.To[int64](-1) }),
			path:   path + "defaultUnreachableTolerationSeconds"},
		{name: "own: no negative cache",
			refuse: server(func(c *gardencore.KubeAPIServerConfig) {
				c.WatchCacheSizes = &gardencore.WatchCacheSizes{Resources: []gardencore.ResourceWatchCacheSize{{Resource: "secrets", CacheSize: -1}}}
			}), path: path + "watchCacheSizes.resources[0].size"},

		{name: "own: Secrets are encrypted anyway", accept: encrypt("configmaps", "*.apps", "events"), refuse: encrypt("secrets"), path: path + "encryptionConfig.resources[0]"},
		{name: "own: a resource is encrypted once", refuse: encrypt("configmaps", "configmaps."), path: path + "encryptionConfig.resources[1]"},
		{name: "own: a resource is no part of a group that is encrypted", refuse: encrypt("*.apps", "deployments.apps"), path: path + "encryptionConfig.resources[1]"},
		{name: "own: no second service account issuer of the same name",
			accept: accounts(gardencore.ServiceAccountConfig{AcceptedIssuers: []string{"https://before.example.com"}}),
			refuse: accounts(gardencore.ServiceAccountConfig{AcceptedIssuers: []string{"https://api." + manifest.BuiltinDomain}}), path: path + "serviceAccountConfig.acceptedIssuers[0]"},
		{name: "own: tokens live for an hour", accept: accounts(gardencore.ServiceAccountConfig{MaxTokenExpiration: duration(720 * time.Hour)}),
			refuse: accounts(gardencore.ServiceAccountConfig{MaxTokenExpiration: duration(time.Minute)}), path: path + "serviceAccountConfig.maxTokenExpiration"},
	}
	for _, name := range []string{"*.*", "*.", "*", "Configmaps", "", "deployments.*", "events.events.k8s.io", "ingresses.extensions", "serviceipallocations"} {
		out = append(out, rule{name: fmt.Sprintf("own: %q cannot be encrypted", name), refuse: encrypt(name), path: path + "encryptionConfig.resources[0]"})
	}
	for _, issuer := range []string{"no url", "http://", "http://example.com", "https://", "https://me@example.com", "https://example.com?a", "https://example.com#a", ""} {
		out = append(out, rule{name: fmt.Sprintf("own: %q is no issuer", issuer), accept: accounts(gardencore.ServiceAccountConfig{Issuer: ptr.To("https://example.com/a")}),
			refuse: accounts(gardencore.ServiceAccountConfig{Issuer: &issuer}), path: path + "serviceAccountConfig.issuer"})
	}
	for name, set := range map[string]func(*gardencore.Kubernetes, map[string]bool){
		"kubeControllerManager": func(k *gardencore.Kubernetes, gates map[string]bool) {
			k.KubeControllerManager = &gardencore.KubeControllerManagerConfig{}
			k.KubeControllerManager.FeatureGates = gates
		},
		"kubeScheduler": func(k *gardencore.Kubernetes, gates map[string]bool) {
			k.KubeScheduler = &gardencore.KubeSchedulerConfig{}
			k.KubeScheduler.FeatureGates = gates
		},
		"kubeProxy": func(k *gardencore.Kubernetes, gates map[string]bool) { k.KubeProxy.FeatureGates = gates },
		"kubelet":   func(k *gardencore.Kubernetes, gates map[string]bool) { k.Kubelet.FeatureGates = gates },
	} {
		out = append(out, rule{name: "own: feature gates of " + name, path: "spec.kubernetes." + name + ".featureGates[Nope]",
			accept: shoot(func(s *gardencore.Shoot) { set(&s.Spec.Kubernetes, map[string]bool{"AllAlpha": false}) }),
			refuse: shoot(func(s *gardencore.Shoot) { set(&s.Spec.Kubernetes, map[string]bool{"Nope": false}) })})
	}
	return out
}

// kubelet is a change of the settings of a pool's kubelets.
func kubelet(do func(*gardencore.KubeletConfig)) change {
	return worker(func(w *gardencore.Worker) {
		w.Kubernetes = &gardencore.WorkerKubernetes{Kubelet: &gardencore.KubeletConfig{}}
		do(w.Kubernetes.Kubelet)
	})
}

func kubeletValueRules() []rule {
	row := func(path string, accept, refuse func(*gardencore.KubeletConfig)) rule {
		return rule{name: "own: kubelet starts with " + path, path: "spec.provider.workers[0].kubernetes.kubelet." + path, accept: kubelet(accept), refuse: kubelet(refuse)}
	}
	amount := func(text string) *resource.Quantity { return ptr.To(resource.MustParse(text)) }
	cpus := func(policy string, kept *resource.Quantity) func(*gardencore.KubeletConfig) {
		return func(k *gardencore.KubeletConfig) {
			k.CPUManagerPolicy, k.KubeReserved = &policy, &gardencore.KubeletConfigReserved{CPU: kept}
		}
	}
	pulls := func(most int32, one bool) func(*gardencore.KubeletConfig) {
		return func(k *gardencore.KubeletConfig) { k.MaxParallelImagePulls, k.SerializeImagePulls = &most, &one }
	}
	ages := func(least, most time.Duration) func(*gardencore.KubeletConfig) {
		return func(k *gardencore.KubeletConfig) {
			k.ImageMinimumGCAge, k.ImageMaximumGCAge = duration(least), duration(most)
		}
	}
	out := []rule{
		row("featureGates[Nope]", func(k *gardencore.KubeletConfig) { k.FeatureGates = map[string]bool{"AllAlpha": false} },
			func(k *gardencore.KubeletConfig) { k.FeatureGates = map[string]bool{"Nope": false} }),
		row("kubeReserved.cpu", cpus("static", nil), cpus("static", amount("0"))),
		row("kubeReserved.cpu", cpus("none", amount("0")), cpus("none", amount("-1"))),
		row("kubeReserved.memory", func(k *gardencore.KubeletConfig) {}, func(k *gardencore.KubeletConfig) {
			k.KubeReserved = &gardencore.KubeletConfigReserved{Memory: amount("-1Gi")}
		}),
		row("maxParallelImagePulls", pulls(5, false), pulls(5, true)),
		row("maxParallelImagePulls", pulls(1, true), pulls(0, true)),
		row("imageMaximumGCAge", ages(time.Minute, time.Hour), ages(time.Hour, time.Minute)),
		row("imageMinimumGCAge", ages(0, 0), ages(-1, 0)),
		row("evictionSoftGracePeriod.memoryAvailable", func(k *gardencore.KubeletConfig) {}, func(k *gardencore.KubeletConfig) {
			k.EvictionSoftGracePeriod = &gardencore.KubeletConfigEvictionSoftGracePeriod{MemoryAvailable: duration(-1)}
		}),
		row("evictionMinimumReclaim.nodeFSAvailable", func(k *gardencore.KubeletConfig) {}, func(k *gardencore.KubeletConfig) {
			k.EvictionMinimumReclaim = &gardencore.KubeletConfigEvictionMinimumReclaim{NodeFSAvailable: amount("-1Mi")}
		}),
		row("registryBurst", func(k *gardencore.KubeletConfig) { k.RegistryBurst = ptr.To[int32](0) },
			func(k *gardencore.KubeletConfig) { k.RegistryBurst = ptr.To[int32](-1) }),
		row("containerLogMaxFiles", func(k *gardencore.KubeletConfig) { k.ContainerLogMaxFiles = ptr.To[int32](2) },
			func(k *gardencore.KubeletConfig) { k.ContainerLogMaxFiles = ptr.To[int32](1) }),
		row("containerLogMaxSize", func(k *gardencore.KubeletConfig) { k.ContainerLogMaxSize = amount("1Mi") },
			func(k *gardencore.KubeletConfig) { k.ContainerLogMaxSize = amount("0") }),
		row("preloadedImagesVerificationAllowlist", func(k *gardencore.KubeletConfig) {
			k.PreloadedImagesVerificationAllowlist = []string{"example.com/a"}
			k.ImagePullCredentialsVerificationPolicy = ptr.To(gardencore.NeverVerifyAllowlistedImages)
		}, func(k *gardencore.KubeletConfig) { k.PreloadedImagesVerificationAllowlist = []string{"example.com/a"} }),
	}
	for _, wrong := range []string{"lots", "0", "-1Mi", "101%", "-1%", "NaN%", "%", ""} {
		for _, group := range []string{"evictionHard", "evictionSoft"} {
			set := func(text string) func(*gardencore.KubeletConfig) {
				return func(k *gardencore.KubeletConfig) {
					eviction := &gardencore.KubeletConfigEviction{MemoryAvailable: &text}
					if group == "evictionHard" {
						k.EvictionHard = eviction
					} else {
						k.EvictionSoft = eviction
					}
				}
			}
			one := row(group+".memoryAvailable", set("0.5%"), set(wrong))
			one.name += fmt.Sprintf(" and not %q", wrong)
			out = append(out, one)
		}
	}
	return out
}

// TestNamesAreOfOurVersions: there are names for every Kubernetes that a Shoot may have, of that very version.
func TestNamesAreOfOurVersions(t *testing.T) {
	entries, err := os.ReadDir("names")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		raw, err := os.ReadFile(path.Join("names", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(raw), "\n")
		got = append(got, strings.TrimPrefix(first, "version "))
	}
	if want := manifest.SupportedKubernetes(); !slices.Equal(got, want) {
		t.Errorf("there are names of %v, want %v: UPDATE_GOLDEN=1 go test . in upstream/kubernetes/* writes them", got, want)
	}
}

// TestStaticCPUsKeepSome: kubelet would not start with our own default.
func TestStaticCPUsKeepSome(t *testing.T) {
	set := onePool()
	set.Shoot.Spec.Kubernetes.Kubelet = &gardencore.KubeletConfig{CPUManagerPolicy: ptr.To("static")}
	c := create(t, set)
	if got := c.Kubelet(c.ControlPlane).KubeReserved.CPU.String(); got != "80m" {
		t.Errorf("got %s of CPU for kubelet, want Gardener's 80m", got)
	}
}
