package cluster

import (
	"strings"
	"testing"

	gardencorev1 "github.com/gardener/gardener/pkg/apis/core/v1"
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	operatorv1alpha1 "github.com/gardener/gardener/pkg/apis/operator/v1alpha1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// registrations shows names with what they serve.
func registrations(set manifest.Set) map[string][]string {
	out := map[string][]string{}
	for _, one := range set.ControllerRegistrations {
		for _, resource := range one.Spec.Resources {
			out[one.Name] = append(out[one.Name], resource.Kind+"/"+resource.Type)
		}
	}
	return out
}

func TestForGarden(t *testing.T) {
	serves := func(name string, policy gardencore.ControllerDeploymentPolicy, resources ...gardencore.ControllerResource) *gardencore.ControllerRegistration {
		return &gardencore.ControllerRegistration{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: gardencore.ControllerRegistrationSpec{
				Resources:  resources,
				Deployment: &gardencore.ControllerRegistrationDeployment{Policy: &policy, DeploymentRefs: []gardencore.DeploymentRef{{Name: name}}},
			},
		}
	}
	resource := func(kind, of string) gardencore.ControllerResource {
		return gardencore.ControllerResource{Kind: kind, Type: of}
	}
	byGardenadm := []string{"ControlPlane/none", "Infrastructure/none", "Network/flannel", "OperatingSystemConfig/any", "Worker/none"}
	for name, c := range map[string]struct {
		change   func(*manifest.Set)
		want     map[string][]string
		unserved []string
	}{
		"the built-in cluster": {func(*manifest.Set) {}, map[string][]string{"gardenadm": byGardenadm}, nil},
		"what an extension serves is not ours": {func(set *manifest.Set) {
			set.ControllerRegistrations = append(set.ControllerRegistrations, serves("os", "OnDemand", resource("OperatingSystemConfig", "any")))
		}, map[string][]string{"os": {"OperatingSystemConfig/any"}, "gardenadm": {"ControlPlane/none", "Infrastructure/none", "Network/flannel", "Worker/none"}}, nil},
		"one that only helps is no owner": {func(set *manifest.Set) {
			helps := resource("Network", "flannel")
			helps.Primary = ptr.To(false)
			set.ControllerRegistrations = append(set.ControllerRegistrations, serves("helper", "OnDemand", helps))
		}, map[string][]string{"helper": {"Network/flannel"}, "gardenadm": byGardenadm}, nil},
		"what nobody needs is left out": {func(set *manifest.Set) {
			auto := resource("Extension", "for-all")
			auto.AutoEnable = []gardencore.ClusterType{gardencore.ClusterTypeShoot}
			off := resource("Extension", "for-others")
			off.AutoEnable = auto.AutoEnable
			set.Shoot.Spec.Extensions = []gardencore.Extension{{Type: "for-others", Disabled: ptr.To(true)}}
			set.ControllerRegistrations = append(set.ControllerRegistrations, serves("calico", "OnDemand", resource("Network", "calico")),
				serves("always", "Always", resource("Extension", "audit")), serves("for-all", "OnDemand", auto), serves("for-others", "OnDemand", off))
		}, map[string][]string{"always": {"Extension/audit"}, "for-all": {"Extension/for-all"}, "gardenadm": byGardenadm}, nil},
		"all that a Shoot can need": {func(set *manifest.Set) {
			spec := &set.Shoot.Spec
			//lint:ignore SA1019 a garden still wants what they name registered
			spec.DNS.Providers = []gardencore.DNSProvider{{Type: ptr.To("aws-route53")}, {Type: ptr.To("unmanaged")}}
			spec.Extensions = []gardencore.Extension{{Type: ExtensionRegistryAccess}, {Type: "shoot-cert"}}
			spec.Provider.Workers[0].ControlPlane = &gardencore.WorkerControlPlane{
				Backup: &gardencore.Backup{Provider: "gcp"}, Exposure: &gardencore.Exposure{Extension: &gardencore.ExtensionExposure{}},
			}
			spec.Provider.Workers[1].CRI = &gardencore.CRI{Name: "containerd", ContainerRuntimes: []gardencore.ContainerRuntime{{Type: "gvisor"}}}
		}, map[string][]string{"gardenadm": {"ControlPlane/none", "Extension/registry-access", "Infrastructure/none", "Network/flannel", "OperatingSystemConfig/any", "Worker/none"}},
			[]string{"BackupBucket of type gcp", "BackupEntry of type gcp", "ContainerRuntime of type gvisor", "DNSRecord of type aws-route53", "Extension of type shoot-cert", "SelfHostedShootExposure of type none"}},
		"no Shoot that could be made": {func(set *manifest.Set) { set.Shoot = &gardencore.Shoot{} }, map[string][]string{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			set := manifest.Builtin(manifest.DefaultNodes())
			c.change(&set)
			set.ControllerDeployments = []*gardencorev1.ControllerDeployment{{ObjectMeta: metav1.ObjectMeta{Name: "os"}}, {ObjectMeta: metav1.ObjectMeta{Name: "calico"}}}
			got, unserved := ForGarden(set)
			if diff := cmp.Diff(c.want, registrations(got)); diff != "" {
				t.Errorf("registrations (-want +got):\n%s", diff)
			}
			for i, line := range unserved {
				unserved[i], _, _ = strings.Cut(strings.TrimPrefix(line, "no ControllerRegistration or Extension among the manifests serves "), ":")
			}
			if diff := cmp.Diff(c.unserved, unserved); diff != "" {
				t.Errorf("unserved (-want +got):\n%s", diff)
			}
			if _, wanted := c.want["os"]; wanted != (len(got.ControllerDeployments) == 1) {
				t.Errorf("deployments are %v", got.ControllerDeployments)
			}
			if got.CloudProfile == nil || got.Shoot != nil || got.Project != nil || got.Extensions != nil {
				t.Errorf("a garden is given %+v", got)
			}
			again := got
			again.Shoot = set.Shoot
			if twice, unserved := ForGarden(again); len(unserved) != len(c.unserved) || !cmp.Equal(registrations(twice), registrations(got)) {
				t.Errorf("its own output becomes %v", registrations(twice))
			}
		})
	}
}

func TestForGardenSplitsExtensions(t *testing.T) {
	set := manifest.Builtin(manifest.DefaultNodes())
	set.Shoot.Spec.Networking.Type = ptr.To("calico")
	set.Extensions = []*operatorv1alpha1.Extension{{
		ObjectMeta: metav1.ObjectMeta{Name: "calico", Annotations: map[string]string{"security.gardener.cloud/pod-security-enforce": "baseline", "other": "dropped"}},
		Spec: operatorv1alpha1.ExtensionSpec{
			Resources: []gardencore.ControllerResource{{Kind: "Network", Type: "calico"}},
			Deployment: &operatorv1alpha1.Deployment{ExtensionDeployment: &operatorv1alpha1.ExtensionDeploymentSpec{
				DeploymentSpec:         operatorv1alpha1.DeploymentSpec{Helm: &operatorv1alpha1.ExtensionHelm{OCIRepository: &gardencorev1.OCIRepository{Ref: ptr.To("example.com/calico:1")}}},
				Policy:                 ptr.To(gardencore.ControllerDeploymentPolicyAlways),
				SeedSelector:           &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
				InjectGardenKubeconfig: ptr.To(true),
			}},
		},
	}}
	got, unserved := ForGarden(set)
	if len(unserved) > 0 || len(got.ControllerRegistrations) != 2 || len(got.ControllerDeployments) != 1 {
		t.Fatalf("got %v and %+v", unserved, got)
	}
	registration := got.ControllerRegistrations[0]
	want := gardencore.ControllerRegistrationSpec{
		Resources: set.Extensions[0].Spec.Resources,
		Deployment: &gardencore.ControllerRegistrationDeployment{
			Policy: ptr.To(gardencore.ControllerDeploymentPolicyAlways), SeedSelector: set.Extensions[0].Spec.Deployment.ExtensionDeployment.SeedSelector,
			DeploymentRefs: []gardencore.DeploymentRef{{Name: "calico"}},
		},
	}
	if diff := cmp.Diff(want, registration.Spec); diff != "" || len(registration.Annotations) != 1 {
		t.Errorf("annotations %v, spec (-want +got):\n%s", registration.Annotations, diff)
	}
	if d := got.ControllerDeployments[0]; d.Name != "calico" || *d.Helm.OCIRepository.Ref != "example.com/calico:1" || !*d.InjectGardenKubeconfig {
		t.Errorf("deployment %+v", d)
	}
}
