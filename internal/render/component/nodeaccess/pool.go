package nodeaccess

import (
	"slices"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// poolAgents lets the node agents of a pool read the Secrets that their configuration names and no other, and returns the name of that with
// the pool's OperatingSystemConfig. That of the control plane holds the cluster's authorities.
func poolAgents(c *cluster.Cluster, pool cluster.Pool) (objects []component.Object, key string, err error) {
	config, err := osc.NodeAgentConfiguration(c, pool)
	if err != nil {
		return nil, "", err
	}
	group := secret.NodeAgentPoolGroup(pool.Name)
	return []component.Object{
		role(group, readable(config.Controllers)...),
		bind(group, addon.Group(group)),
	}, config.Controllers.OperatingSystemConfig.SecretName, nil
}

// readable are the Secrets that node agents read: they watch their configuration, and get tokens.
func readable(of nodeagentv1alpha1.ControllerConfiguration) []rbacv1.PolicyRule {
	out := []rbacv1.PolicyRule{named(rule("", "secrets", "get", "list", "watch"), of.OperatingSystemConfig.SecretName)}
	var tokens []string
	for _, one := range of.Token.SyncConfigs {
		tokens = append(tokens, one.SecretName)
	}
	if slices.Sort(tokens); len(tokens) > 0 {
		out = append(out, named(rule("", "secrets", "get"), slices.Compact(tokens)...))
	}
	return out
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
