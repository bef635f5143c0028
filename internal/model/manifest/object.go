package manifest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gardener/gardener/pkg/apis/core"
	gardencorev1 "github.com/gardener/gardener/pkg/apis/core/v1"
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	sigsjson "sigs.k8s.io/json"
)

// object checks and decodes one manifest of a known kind and, when nothing is wrong with it, lays it into the set.
func (r *reader) object(origin Origin, k kind, fields map[string]any, at *field.Path) {
	r.present[k.name]++
	before := len(r.problems)
	report := func(path *field.Path, message string) {
		r.problems = append(r.problems, Problem{Origin: origin, Object: label(fields), Path: pathString(path), Message: message})
	}
	check := strict{report}
	check.value(reflect.TypeOf(k.empty()), fields, at)
	if k.convert != nil {
		checkLegacyDeployment(check, fields, at)
	}
	k.checkNames(fields, at, report)
	r.checkCount(origin, k, label(fields), func(message string) { report(at, message) })
	if len(r.problems) > before {
		return
	}
	out, err := k.decode(fields)
	switch {
	case err != nil:
		report(at, "cannot be decoded")
	case k.put != nil:
		k.put(&r.set, out)
		r.set.Origins[out] = origin
	}
}

func (k kind) checkNames(fields map[string]any, at *field.Path, report func(*field.Path, string)) {
	metadata, _ := fields["metadata"].(map[string]any)
	nameAt, namespaceAt := at.Child("metadata", "name"), at.Child("metadata", "namespace")
	switch name, _ := metadata["name"].(string); {
	case name == "":
		report(nameAt, "must be set")
	default:
		for _, message := range validation.IsDNS1123Subdomain(name) {
			report(nameAt, message)
		}
	}
	switch namespace, _ := metadata["namespace"].(string); {
	case k.namespaced && namespace == "" && k.name == "Shoot":
		report(namespaceAt, "must be set: an autonomous cluster's Shoot is in namespace "+namespaceGarden)
	case k.namespaced && namespace == "":
		report(namespaceAt, "must be set")
	case !k.namespaced && namespace != "":
		report(namespaceAt, fmt.Sprintf("must not be set: a %s belongs to no namespace", k.name))
	case namespace != "":
		for _, message := range validation.IsDNS1123Label(namespace) {
			report(namespaceAt, message)
		}
	}
}

// decode makes the object of what was checked before.
func (k kind) decode(fields map[string]any) (object, error) {
	raw, err := marshal(fields)
	if err != nil {
		return nil, err
	}
	out := k.empty()
	if err := sigsjson.UnmarshalCaseSensitivePreserveInts(raw, out); err != nil {
		return nil, err
	}
	if k.convert != nil {
		if out, err = k.convert(out); err != nil {
			return nil, err
		}
	}
	if secret, ok := out.(*corev1.Secret); ok {
		mergeStringData(secret)
	}
	normalize(out)
	return out, nil
}

// checkCount reports an object that is there already, and one too many where only one may be.
func (r *reader) checkCount(origin Origin, k kind, label string, report func(string)) {
	if label != k.name { // it has a name
		if other, ok := r.first[label]; ok {
			report("is there twice, first in " + other.String())
			return
		}
		r.first[label] = origin
	}
	if k.count == anyNumber {
		return
	}
	if other, ok := r.first[k.name]; ok {
		report(fmt.Sprintf("only one %s is allowed, the first is in %s", k.name, other))
		return
	}
	r.first[k.name] = origin
}

// finish reports what is missing, unless a document that could not be read may be it.
func (r *reader) finish() (Set, error) {
	for _, k := range kinds() {
		if k.count == exactlyOne && r.present[k.name] == 0 && !r.unclear {
			r.problems = append(r.problems, Problem{Message: fmt.Sprintf("no %s: exactly one is needed", k.name)})
		}
	}
	r.checkInstallers()
	if err := r.err(); err != nil {
		return Set{}, err
	}
	r.set.sort()
	return r.set, nil
}

// checkInstallers reports what would install no extension, or one name's twice.
func (r *reader) checkInstallers() {
	for _, registration := range r.set.ControllerRegistrations {
		report := func(path, format string, args ...any) {
			r.problems = append(r.problems, Problem{
				Origin: r.set.Origins[registration], Object: "ControllerRegistration " + registration.Name,
				Path: path, Message: fmt.Sprintf(format, args...),
			})
		}
		if other, ok := r.first["Extension "+registration.Name]; ok {
			report("metadata.name", "is the name of the Extension in %s, too, which stands for a ControllerRegistration of its name", other)
		}
		if registration.Spec.Deployment == nil {
			continue
		}
		for i, ref := range registration.Spec.Deployment.DeploymentRefs {
			// A document that cannot be read may be it.
			if _, ok := r.first["ControllerDeployment "+ref.Name]; !ok && !r.unclear {
				report(fmt.Sprintf("spec.deployment.deploymentRefs[%d].name", i), "there is no ControllerDeployment %q", ref.Name)
			}
		}
	}
	for _, deployment := range r.set.ControllerDeployments {
		if other, ok := r.first["Extension "+deployment.Name]; ok {
			r.problems = append(r.problems, Problem{
				Origin: r.set.Origins[deployment], Object: "ControllerDeployment " + deployment.Name, Path: "metadata.name",
				Message: fmt.Sprintf("is the name of the Extension in %s, too, which stands for a ControllerDeployment of its name", other),
			})
		}
	}
}

// sort orders the lists by namespace and name.
func (s *Set) sort() {
	sortObjects(s.ControllerRegistrations)
	sortObjects(s.ControllerDeployments)
	sortObjects(s.Extensions)
	sortObjects(s.Secrets)
	sortObjects(s.ConfigMaps)
	sortObjects(s.WorkloadIdentities)
}

func sortObjects[O object](objects []O) {
	slices.SortStableFunc(objects, func(a, b O) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
}

// checkLegacyDeployment looks into what the type itself leaves open.
func checkLegacyDeployment(check strict, fields map[string]any, at *field.Path) {
	if of, _ := fields["type"].(string); of != gardencore.ControllerDeploymentTypeHelm {
		check.report(at.Child("type"), "must be "+gardencore.ControllerDeploymentTypeHelm)
		return
	}
	check.value(reflect.TypeFor[gardencore.HelmControllerDeployment](), fields["providerConfig"], at.Child("providerConfig"))
}

// convertDeployment makes a ControllerDeployment v1 of a v1beta1.
func convertDeployment(o object) (object, error) {
	in, ok := o.(*gardencore.ControllerDeployment)
	if !ok {
		return nil, errors.New("not a ControllerDeployment")
	}
	var internal core.ControllerDeployment
	if err := gardencore.Convert_v1beta1_ControllerDeployment_To_core_ControllerDeployment(in, &internal, nil); err != nil {
		return nil, err
	}
	var out gardencorev1.ControllerDeployment
	if err := gardencorev1.Convert_core_ControllerDeployment_To_v1_ControllerDeployment(&internal, &out, nil); err != nil {
		return nil, err
	}
	out.SetGroupVersionKind(gardencorev1.SchemeGroupVersion.WithKind("ControllerDeployment"))
	return &out, nil
}

// mergeStringData writes stringData into data, as the API server does.
func mergeStringData(secret *corev1.Secret) {
	for key, value := range secret.StringData {
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		secret.Data[key] = []byte(value)
	}
	secret.StringData = nil
}

// marshal is JSON with <, > and & as they are: raw fields keep the text of the user.
func marshal(v any) ([]byte, error) {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return []byte(out.String()), nil
}
