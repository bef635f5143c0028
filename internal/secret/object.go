package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ManagerIdentity is the label value under which a gardenlet finds and adopts the secrets (contract control-plane §2).
const ManagerIdentity = "self-hosted-shoot"

// Namespace is where the API keeps the secrets.
const Namespace = metav1.NamespaceSystem

// annotationSpec keeps the Spec with the secret: Gardener's labels carry hashes only, which cannot be compared with ours.
const annotationSpec = "secret.gardenadm.dev/spec"

// Labels returns the labels that every secret in the API carries.
func Labels() map[string]string {
	return map[string]string{"managed-by": "secrets-manager", "manager-identity": ManagerIdentity}
}

// Object renders an issued secret as the Secret that is kept in the API, and as a file until the API is there.
// Names and labels are those of Gardener's secrets manager, so that a gardenlet adopts them.
func Object(s Secret) (*corev1.Secret, error) {
	spec, err := json.Marshal(s.Spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec of %s: %w", s.Spec.Key(), err)
	}
	labels := Labels()
	labels["name"] = s.Spec.Name
	labels["checksum-of-config"] = s.Spec.Checksum()
	labels["last-rotation-initiation-time"] = ""
	if s.persisted() {
		labels["persist"] = "true"
	}
	s.labelValidity(labels)
	immutable := true
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name: s.ObjectName(), Namespace: Namespace, Labels: labels,
			Annotations: map[string]string{annotationSpec: string(spec)},
		},
		Immutable: &immutable,
		Type:      s.objectType(),
		Data:      s.Data,
	}, nil
}

// FromObject reads back what Object rendered.
func FromObject(o *corev1.Secret) (Secret, error) {
	out := Secret{Data: o.Data}
	if err := json.Unmarshal([]byte(o.Annotations[annotationSpec]), &out.Spec); err != nil {
		return Secret{}, fmt.Errorf("read spec of Secret %s: %w", o.Name, err)
	}
	return out, nil
}

// persisted: what cannot be issued again without breaking the cluster goes into a ShootState.
func (s Secret) persisted() bool {
	return s.Spec.Kind == CA || s.Spec.Kind == SigningKey || s.Spec.Kind == SymmetricKey
}

// ObjectName is the name of the Secret in the API, for pods that mount it. An authority keeps its plain name until its first
// rotation; the rest is named after its content, so that what is issued anew rolls the pods.
func (s Secret) ObjectName() string {
	if s.Spec.Kind == CA && s.Spec.Name != AuthorityClient {
		return s.Spec.Name
	}
	hash := sha256.New()
	hash.Write([]byte(s.Spec.Checksum()))
	hash.Write(s.Data[DataCert])
	hash.Write(s.Data[DataCACert])
	hash.Write(s.Data[DataSigningPub])
	return s.Spec.Key() + "-" + hex.EncodeToString(hash.Sum(nil)[:4])
}

func (s Secret) objectType() corev1.SecretType {
	if len(s.Data[DataCert]) > 0 && len(s.Data[DataKey]) > 0 {
		return corev1.SecretTypeTLS
	}
	return corev1.SecretTypeOpaque
}

func (s Secret) labelValidity(labels map[string]string) {
	data := s.Data[DataCert]
	if s.Spec.Kind == CA {
		data = s.Data[DataCACert]
	}
	cert, err := parseCertificate(data)
	if err != nil {
		return // a key has no life
	}
	labels["issued-at-time"] = strconv.FormatInt(cert.NotBefore.Unix(), 10)
	labels["valid-until-time"] = strconv.FormatInt(cert.NotAfter.Unix(), 10)
	labels["renew-after-validity-percentage"] = strconv.Itoa(int(renewBefore * 100))
}
