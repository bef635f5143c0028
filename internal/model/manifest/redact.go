package manifest

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
)

// Redacted stands in the place of every secret value.
const Redacted = "<redacted>"

// Redact returns a copy that shows no values of Secrets and of the ShootState; secret says whether there are any.
func Redact(set Set) (out Set, secret bool) {
	out = set
	out.Secrets = nil
	for _, one := range set.Secrets {
		one = one.DeepCopy()
		mergeStringData(one)
		secret = secret || len(one.Data) > 0
		hideSecret(one)
		out.Secrets = append(out.Secrets, one)
	}
	if set.ShootState != nil {
		out.ShootState = set.ShootState.DeepCopy()
		hideState(&out.ShootState.Spec)
		secret = true
	}
	return out, secret
}

// hideSecret keeps the keys. They move to stringData, where a person can read what stands in place of the values.
func hideSecret(secret *corev1.Secret) {
	shown := map[string]string{}
	for key := range secret.Data {
		shown[key] = Redacted
	}
	secret.Data, secret.StringData = nil, shown
}

func hideState(state *gardencore.ShootStateSpec) {
	hidden := runtime.RawExtension{Raw: []byte(`"` + Redacted + `"`)}
	for i := range state.Gardener {
		state.Gardener[i].Data = hidden
	}
	for i := range state.Extensions {
		if state.Extensions[i].State != nil {
			state.Extensions[i].State = hidden.DeepCopy()
		}
	}
	for i := range state.Resources {
		state.Resources[i].Data = hidden
	}
}
