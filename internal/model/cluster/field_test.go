package cluster

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// TestTableIsComplete: each field of Gardener's type is heeded by exactly one entry, and each entry is about a field.
func TestTableIsComplete(t *testing.T) {
	table := map[string]Field{}
	for _, section := range FieldSections() {
		for _, f := range section.Fields {
			if _, twice := table[f.Path]; twice {
				t.Errorf("%s is in the table twice", f.Path)
			}
			table[f.Path] = f
		}
	}
	fields := map[string]bool{} // path → it is a value, not a group
	collect(reflect.TypeFor[gardencore.ShootSpec](), "spec", fields)
	for path, leaf := range fields {
		if leaf && !heeded(table, path) {
			t.Errorf("%s is not in the table", path)
		}
	}
	for path, f := range table {
		leaf, exists := fields[path]
		switch {
		case strings.HasPrefix(path, "metadata.annotations["):
		case !exists:
			t.Errorf("%s is in the table and not in Gardener's types", path)
		case !leaf && !f.wide() && f.Path != "spec.provider.workers[].controlPlane":
			t.Errorf("%s is a group: what its fields do must be said for each, or a new one would be ignored silently", path)
		}
	}
}

// collect lists the paths of a type and says whether they are values.
func collect(t reflect.Type, path string, out map[string]bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	out[path] = !hasFields(t) && !hasElements(t)
	switch {
	case hasFields(t):
		for i := range t.NumField() {
			name, inlined := jsonName(t.Field(i))
			switch {
			case inlined && hasFields(t.Field(i).Type):
				collect(t.Field(i).Type, path, out)
			case !inlined:
				collect(t.Field(i).Type, path+"."+name, out)
			}
		}
		out[path] = false
	case hasElements(t):
		collect(t.Elem(), path+"[]", out)
		delete(out, path+"[]") // a list is its elements
	}
}

func heeded(table map[string]Field, path string) bool {
	if _, ok := table[path]; ok {
		return true
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			if f, ok := table[path[:i]]; ok && f.wide() {
				return true
			}
		}
	}
	return false
}

func TestEntriesSayWhatComesOfAField(t *testing.T) {
	for _, section := range FieldSections() {
		for _, f := range section.Fields {
			if refused := f.Heed == Refused; refused == (f.Text != "") {
				t.Errorf("%s: heed %s with the text %q", f.Path, f.Heed, f.Text)
			}
			if mustReason := f.Heed == Refused || len(f.Only) > 0; mustReason == (f.Reason == "") {
				t.Errorf("%s: heed %s, only %v, and the reason %q", f.Path, f.Heed, f.Only, f.Reason)
			}
		}
	}
}

func TestFieldsOfTheBuiltinShootPass(t *testing.T) {
	if errs := checkFields(defaulted(builtin().Shoot)); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
}

// TestHarmlessWishesPass: what is refused may be named when it is not wished for.
func TestHarmlessWishesPass(t *testing.T) {
	shoot := changed(t, "", `
metadata:
  annotations: {gardener.cloud/operation: reconcile, example.com/mine: whatever}
spec:
  purpose: production
  addons: {kubernetesDashboard: {enabled: false}, nginxIngress: {enabled: false}}
  dns: {providers: [{type: unmanaged, primary: true}]}
  extensions: [{type: shoot-dns-service, disabled: true}, {type: registry-mirror}]
  kubernetes: {verticalPodAutoscaler: {enabled: false}}
  systemComponents: {nodeLocalDNS: {enabled: false, forceTCPToClusterDNS: true}}
`)
	shoot.Spec.Provider.Workers[0].UpdateStrategy = ptr.To(gardencore.AutoInPlaceUpdate)
	if errs := checkFields(defaulted(shoot)); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
}

func TestFieldsAreRefused(t *testing.T) {
	for path, text := range map[string]string{
		"metadata.annotations[node.gardenadm.dev/shared]": `metadata: {annotations: {node.gardenadm.dev/shared: "yes"}}`,
		"metadata.annotations[gardener.cloud/operation]":  `metadata: {annotations: {gardener.cloud/operation: rotate-ca-start}}`,

		"spec.cloudProfile.kind":                                      `spec: {cloudProfile: {kind: NamespacedCloudProfile}}`,
		"spec.cloudProfileName":                                       `spec: {cloudProfileName: local}`,
		"spec.hibernation":                                            `spec: {hibernation: {enabled: false}}`,
		"spec.addons.nginxIngress.enabled":                            `spec: {addons: {nginxIngress: {enabled: true}}}`,
		"spec.dns.providers[0].type":                                  `spec: {dns: {providers: [{type: aws-route53}]}}`,
		"spec.provider.workersSettings.sshAccess.enabled":             `spec: {provider: {workersSettings: {sshAccess: {enabled: false}}}}`,
		"spec.provider.infrastructureConfig":                          `spec: {provider: {infrastructureConfig: {}}}`,
		"spec.systemComponents.nodeLocalDNS.enabled":                  `spec: {systemComponents: {nodeLocalDNS: {enabled: true}}}`,
		"spec.systemComponents.coreDNS.autoscaling.mode":              `spec: {systemComponents: {coreDNS: {autoscaling: {mode: cluster-proportional}}}}`,
		"spec.kubernetes.clusterAutoscaler":                           `spec: {kubernetes: {clusterAutoscaler: {}}}`,
		"spec.kubernetes.verticalPodAutoscaler.enabled":               `spec: {kubernetes: {verticalPodAutoscaler: {enabled: true}}}`,
		"spec.kubernetes.etcd.events":                                 `spec: {kubernetes: {etcd: {events: {}}}}`,
		"spec.kubernetes.kubeProxy.mode":                              `spec: {kubernetes: {kubeProxy: {mode: IPTables}}}`,
		"spec.kubernetes.kubeScheduler.kubeMaxPDVols":                 `spec: {kubernetes: {kubeScheduler: {kubeMaxPDVols: "30"}}}`,
		"spec.kubernetes.kubeControllerManager.podEvictionTimeout":    `spec: {kubernetes: {kubeControllerManager: {podEvictionTimeout: 1m}}}`,
		"spec.kubernetes.kubeAPIServer.enableAnonymousAuthentication": `spec: {kubernetes: {kubeAPIServer: {enableAnonymousAuthentication: false}}}`,

		worker + ".kubernetes.kubelet.cpuManagerPolicy": `kubernetes: {kubelet: {cpuManagerPolicy: x}}`,
		worker + ".volume":                                        `volume: {size: 1Gi}`,
		worker + ".controlPlane.exposure":                         `controlPlane: {exposure: {dns: {}}}`,
		worker + ".machineControllerManager.maxEvictRetries":      `machineControllerManager: {maxEvictRetries: 0}`,
		worker + ".machineControllerManager.disableHealthTimeout": `machineControllerManager: {disableHealthTimeout: false}`,
		worker + ".updateStrategy":                                `updateStrategy: ManualInPlaceUpdate`,
		worker + ".priority":                                      `priority: 0`,
	} {
		t.Run(path, func(t *testing.T) { wantRefused(t, path, text, field.ErrorTypeForbidden) })
	}
}

func TestConditions(t *testing.T) {
	for path, text := range map[string]string{
		"spec.extensions[0].type":                                                      `spec: {extensions: [{type: shoot-dns-service}]}`,
		"spec.kubernetes.kubeAPIServer.admissionPlugins[0].disabled":                   `spec: {kubernetes: {kubeAPIServer: {admissionPlugins: [{name: NodeRestriction, disabled: true}]}}}`,
		"spec.kubernetes.kubeAPIServer.admissionPlugins[0].kubeconfigSecretName":       `spec: {kubernetes: {kubeAPIServer: {admissionPlugins: [{name: PodSecurity, kubeconfigSecretName: x}]}}}`,
		"spec.kubernetes.kubeAPIServer.autoscaling.minAllowed[nvidia.com/gpu]":         `spec: {kubernetes: {kubeAPIServer: {autoscaling: {minAllowed: {nvidia.com/gpu: 1, cpu: 1}}}}}`,
		"spec.kubernetes.etcd.main.autoscaling.minAllowed[nvidia.com/gpu]":             `spec: {kubernetes: {etcd: {main: {autoscaling: {minAllowed: {nvidia.com/gpu: 1, cpu: 1}}}}}}`,
		"spec.kubernetes.kubeAPIServer.auditConfig.auditPolicy.configMapRef.namespace": `spec: {kubernetes: {kubeAPIServer: {auditConfig: {auditPolicy: {configMapRef: {name: audit, namespace: other}}}}}}`,
		"spec.kubernetes.kubeProxy.enabled":                                            `spec: {kubernetes: {kubeProxy: {enabled: false}}}`,
		worker + ".kubernetes.version":                                                 `kubernetes: {version: 1.35.0}`,
	} {
		t.Run(path, func(t *testing.T) { wantRefused(t, path, text, field.ErrorTypeForbidden) })
	}
	for _, plugin := range []string{"ServiceAccount", "ValidatingAdmissionPolicy"} {
		wantRefused(t, "spec.kubernetes.kubeAPIServer.admissionPlugins[0].disabled",
			"spec: {kubernetes: {kubeAPIServer: {admissionPlugins: [{name: "+plugin+", disabled: true}]}}}", field.ErrorTypeForbidden)
	}
	for _, api := range []string{"v1", "api/all", "admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1/validatingadmissionpolicies"} {
		wantRefused(t, "spec.kubernetes.kubeAPIServer.runtimeConfig["+api+"]",
			"spec: {kubernetes: {kubeAPIServer: {runtimeConfig: {batch/v1: false, "+api+": false}}}}", field.ErrorTypeForbidden)
	}
	for _, suffix := range []string{"com", "a b.example.com", `"example.com\n evil"`} {
		wantRefused(t, "spec.systemComponents.coreDNS.rewriting.commonSuffixes[0]",
			"spec: {systemComponents: {coreDNS: {rewriting: {commonSuffixes: ["+suffix+"]}}}}", field.ErrorTypeInvalid)
	}
}

// TestUnknownFieldsAreRefused: an entry less is as a field more in Gardener's types.
func TestUnknownFieldsAreRefused(t *testing.T) {
	shoot := changed(t, "", "spec: {kubernetes: {kubeAPIServer: {eventTTL: 1h}}}")
	walk := fieldWalk{table: map[string]Field{"spec.provider": kept("spec.provider", "x"), "spec.networking": refused("spec.networking", "y")}}
	walk.spec(shoot.Spec)
	got := map[string]string{}
	for _, err := range walk.errs {
		got[err.Field] = err.Detail
	}
	if got["spec.kubernetes.kubeAPIServer.eventTTL"] != unknownField {
		t.Errorf("a field without an entry passed: %v", got)
	}
	if got["spec.networking"] != "y" || got["spec.networking.pods"] != "" {
		t.Errorf("a refused group is not refused once: %v", got)
	}
	for path := range got {
		if strings.HasPrefix(path, "spec.provider") {
			t.Errorf("%s is refused, but its group is kept", path)
		}
	}
}

// worker is the path of the built-in Shoot's only pool. What stands below it is given without it.
const worker = "spec.provider.workers[0]"

func wantRefused(t *testing.T, path, text string, kind field.ErrorType) {
	t.Helper()
	errs := checkFields(defaulted(changed(t, path, text)))
	if len(errs) != 1 || errs[0].Field != path || errs[0].Type != kind || errs[0].Detail == "" {
		t.Errorf("got %v, want one error at %s", errs, path)
	}
}

// changed is the built-in Shoot with what the YAML says.
func changed(t *testing.T, path, text string) *gardencore.Shoot {
	t.Helper()
	shoot := builtin().Shoot
	var target any = shoot
	if strings.HasPrefix(path, worker) {
		target = &shoot.Spec.Provider.Workers[0]
	}
	if err := yaml.Unmarshal([]byte(text), target); err != nil {
		t.Fatal(err)
	}
	return shoot
}

func builtin() manifest.Set { return manifest.Builtin(netip.MustParsePrefix("10.250.0.0/16")) }
