// Package nodeaccess turns a cluster into what joining machines, node agents and the gardenlet may do with its API.
// Used by render/catalog.
package nodeaccess

import (
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	roleBootstrap  = "system:node-bootstrapper"
	roleNodeClient = "system:certificates.k8s.io:certificatesigningrequests:nodeclient"
	// groupTokens is the group of all bootstrap tokens.
	groupTokens = "system:bootstrappers"
)

// New returns the component.
func New() component.Component {
	return component.Component{Name: "node-access", Objects: objects}
}

func objects(in component.Input) ([]component.Object, error) {
	out := append(gardenlet(), // first: it waits for its rights
		// Bindings are named like roles (contract node-agent-and-osc §5), but automatic approval is for open tokens alone.
		addon.Bind(roleBootstrap, roleBootstrap, addon.Group(groupTokens)),
		addon.Bind(roleNodeClient, roleNodeClient, addon.Group(secret.GroupOpenTokens)),
	)
	out = append(out, agents()...)
	serial := map[string]string{}
	for _, pool := range in.Cluster.Pools {
		objects, key, err := poolAgents(in.Cluster, pool)
		if err != nil {
			return nil, err
		}
		serial[secret.NodeAgentPoolGroup(pool.Name)] = key
		out = append(out, objects...)
	}
	out = append(out, nodePolicy(secret.NodeAgentPoolGroup(in.Cluster.ControlPlane.Name))...)
	return append(out, leasePolicy(serial)...), nil
}

// gardenlet may decide on certificates, publish configurations, and elect a leader. Who reads the Secrets of kube-system holds the
// cluster's authorities and can become anybody: the role keeps it from changing by mistake what is not its work.
func gardenlet() []component.Object {
	name := secret.Gardenlet().CommonName
	signers := []string{"kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"}
	return []component.Object{
		addon.ClusterRole(name,
			rule("certificates.k8s.io", "certificatesigningrequests", "get", "list", "watch"),
			rule("certificates.k8s.io", "certificatesigningrequests/approval", "update"),
			named(rule("certificates.k8s.io", "signers", "approve"), signers...),
			rule("", "nodes", "get", "list"),
		),
		addon.Bind(name, name, addon.User(name)),
		role(name,
			rule("", "secrets", "get", "list", "watch", "create", "update", "patch"),
			rule("coordination.k8s.io", "leases", "create"),
			named(rule("coordination.k8s.io", "leases", "get", "update"), leaseGardenlet),
			rule("", "events", "create", "patch"),
			rule("events.k8s.io", "events", "create", "patch"),
		),
		bind(name, addon.User(name)),
	}
}

// leaseGardenlet is the Lease by which gardenlets elect their leader.
const leaseGardenlet = "gardenlet"

// agents is what all node agents may do (contract node-agent-and-osc §6.2); the policies narrow the writes down. They see their pods
// through the container runtime.
func agents() []component.Object {
	name := constants.NodeAgentsGroup
	return []component.Object{
		addon.ClusterRole(name,
			rule("", "nodes", "get", "list", "watch", "patch", "update"),
			rule("", "nodes/status", "patch", "update"),
			rule("", "events", "create", "patch"),
			rule("events.k8s.io", "events", "create", "patch"),
			rule("certificates.k8s.io", "certificatesigningrequests", "create", "get"),
		),
		addon.Bind(name, name, addon.Group(name)),
		role(name, rule("coordination.k8s.io", "leases", "get", "list", "watch", "create", "patch", "update")),
		bind(name, addon.Group(name)),
	}
}

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

func named(rule rbacv1.PolicyRule, names ...string) rbacv1.PolicyRule {
	rule.ResourceNames = names
	return rule
}
