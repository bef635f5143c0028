package nodeaccess

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// poolAgents lets the node agents of a pool read the pool's OperatingSystemConfig and no other Secret, and returns the Secret's name.
// That of the control plane holds the cluster's authorities.
func poolAgents(c *cluster.Cluster, pool cluster.Pool) (objects []component.Object, key string, err error) {
	key, err = osc.Key(c, pool)
	if err != nil {
		return nil, "", err
	}
	group := secret.NodeAgentPoolGroup(pool.Name)
	return []component.Object{
		role(group, named(rule("", "secrets", "get", "list", "watch"), key)),
		bind(group, addon.Group(group)),
	}, key, nil
}

// within puts what role or bind made into another namespace.
func within(namespace string, object component.Object) component.Object {
	object.SetNamespace(namespace)
	return object
}

// role makes a Role in kube-system.
func role(name string, rules ...rbacv1.PolicyRule) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
		ObjectMeta: addon.Meta(name, nil), Rules: rules,
	}
}

// bind gives the Role of the name in kube-system to a subject.
func bind(name string, subject rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: addon.Meta(name, nil),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{subject},
	}
}
