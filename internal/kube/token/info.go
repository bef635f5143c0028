package token

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// keyHistory is our key of cluster-info: which tokens there were, so that a machine that comes too late is told so.
// It is not signed and only chooses the words of a refusal. IDs are public.
const keyHistory = "gardenadm-tokens"

// maxHistory bounds it; the tokens that end last are kept.
const maxHistory = 50

// past is a line of the history.
type past struct {
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
}

// Remember adds the token to the history, from which a machine that comes too late is told so; it can join without.
// Without cluster-info there is nothing to join yet, and that is told when joining.
func (s Store) Remember(ctx context.Context, t Token) error {
	info := &corev1.ConfigMap{}
	at := client.ObjectKey{Namespace: metav1.NamespacePublic, Name: bootstrapapi.ConfigMapClusterInfo}
	if err := s.API.Get(ctx, at, info); err != nil {
		return client.IgnoreNotFound(err)
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]string{keyHistory: addHistory(info.Data[keyHistory], t)}})
	if err != nil {
		return fmt.Errorf("remember %s: %w", t, err)
	}
	if err := s.API.Patch(ctx, info, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("remember %s: %w", t, err)
	}
	return nil
}

func addHistory(text string, t Token) string {
	lines := slices.DeleteFunc(readHistory(text), func(p past) bool { return p.ID == t.ID })
	lines = append(lines, past{ID: t.ID, Expires: t.Expires.UTC().Truncate(time.Second)})
	slices.SortFunc(lines, func(a, b past) int { return cmp.Or(b.Expires.Compare(a.Expires), cmp.Compare(a.ID, b.ID)) })
	raw, _ := json.Marshal(lines[:min(len(lines), maxHistory)]) // strings and times always encode
	return string(raw)
}

// readHistory is empty for what cannot be read: it is foreign input that decides nothing.
func readHistory(text string) []past {
	var out []past
	if json.Unmarshal([]byte(text), &out) != nil {
		return nil
	}
	return out
}

// InfoObjects are cluster-info, from which a joining machine learns whom to trust, and the right to read it for everybody.
// The API's controllers add a signature for each token. kubeconfig holds the authority and an address, no user.
func InfoObjects(kubeconfig []byte) []client.Object {
	name := metav1.ObjectMeta{Namespace: metav1.NamespacePublic, Name: "gardenadm:cluster-info"}
	return []client.Object{
		&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespacePublic, Name: bootstrapapi.ConfigMapClusterInfo},
			Data:       map[string]string{bootstrapapi.KubeConfigKey: string(kubeconfig)},
		},
		&rbacv1.Role{
			TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"}, ObjectMeta: name,
			Rules: []rbacv1.PolicyRule{{
				APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{bootstrapapi.ConfigMapClusterInfo}, Verbs: []string{"get"},
			}},
		},
		&rbacv1.RoleBinding{
			TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"}, ObjectMeta: name,
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name.Name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "system:anonymous"}},
		},
	}
}
