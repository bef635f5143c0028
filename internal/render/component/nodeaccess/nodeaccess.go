// Package nodeaccess turns a cluster into what joining machines, node agents and the gardenlet may do with its API.
// Used by render/catalog.
package nodeaccess

import (
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	roleBootstrap = "system:node-bootstrapper"
	// groupTokens is the group of all bootstrap tokens.
	groupTokens = "system:bootstrappers"
)

// New returns the component.
func New() component.Component {
	return component.Component{Name: "node-access", Objects: objects}
}

func objects(in component.Input) ([]component.Object, error) {
	out := append(gardenlet(), // first: it waits for its rights
		// Bindings are named like roles (contract node-agent-and-osc §5). There is none by which kube-controller-manager would approve
		// what is asked for with a token: it would do so for every name, also for one that another node has.
		addon.Bind(roleBootstrap, roleBootstrap, addon.Group(groupTokens)),
	)
	out = append(out, agents()...)
	turns, secrets := map[string]string{}, map[string]string{}
	for _, pool := range in.Cluster.Pools {
		objects, key, err := poolAgents(in.Cluster, pool)
		if err != nil {
			return nil, err
		}
		turns[secret.NodeAgentPoolGroup(pool.Name)], secrets[pool.Name] = osc.TurnLease(key), key
		out = append(out, objects...)
	}
	offered, err := poolList(in.Cluster, secrets)
	if err != nil {
		return nil, err
	}
	out = append(out, offered...)
	out = append(out, nodePolicy(secret.NodeAgentPoolGroup(in.Cluster.ControlPlane.Name))...)
	out = append(out, kubeletPolicy()...)
	return append(out, leasePolicy(turns)...), nil
}

// gardenlet may decide on certificates, publish configurations and the list of API servers, keep Nodes as their pools have them, and elect
// a leader. Who reads the Secrets of kube-system holds the cluster's authorities and can become anybody: the roles keep it from
// changing by mistake what is not its work. The last binding is the one that it waits for.
func gardenlet() []component.Object {
	name := secret.Gardenlet().CommonName
	signers := []string{"kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"}
	return []component.Object{
		addon.ClusterRole(name,
			rule("certificates.k8s.io", "certificatesigningrequests", "get", "list", "watch", "delete"),
			rule("certificates.k8s.io", "certificatesigningrequests/approval", "update"),
			named(rule("certificates.k8s.io", "signers", "approve"), signers...),
			rule("", "nodes", "get", "list", "watch", "patch", "delete"),
			rule("storage.k8s.io", "csinodes", "get"),
		),
		addon.Bind(name, name, addon.User(name)),
		within(metav1.NamespaceDefault, role(name,
			// Names do not count where something is created.
			rule("", "endpoints", "create"), named(rule("", "endpoints", "get", "patch"), serviceAPI),
			rule("discovery.k8s.io", "endpointslices", "create"), named(rule("discovery.k8s.io", "endpointslices", "get", "patch"), serviceAPI),
		)),
		within(metav1.NamespaceDefault, bind(name, addon.User(name))),
		role(name,
			rule("", "secrets", "get", "list", "watch", "create", "update", "patch", "delete"),
			rule("", "configmaps", "create"), named(rule("", "configmaps", "get", "update"), mapEndpoints),
			rule("", "pods", "list", "watch"),
			rule("apps", "daemonsets", "list", "watch"),
			rule("apps", "deployments", "create"), named(rule("apps", "deployments", "get", "patch"), deploymentMetrics),
			rule("coordination.k8s.io", "leases", "create", "delete"),
			named(rule("coordination.k8s.io", "leases", "get", "update"), leaseGardenlet),
			rule("", "events", "create", "patch"),
			rule("events.k8s.io", "events", "create", "patch"),
		),
		bind(name, addon.User(name)),
	}
}

const (
	// leaseGardenlet is the Lease by which gardenlets elect their leader, and mapEndpoints the ConfigMap with the list of API servers.
	leaseGardenlet = "gardenlet"
	mapEndpoints   = "gardenadm-endpoints"
	// serviceAPI is the Service of the API in the namespace default, and deploymentMetrics mounts a certificate that is renewed.
	serviceAPI        = "kubernetes"
	deploymentMetrics = "metrics-server"
)

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
		role(name,
			rule("coordination.k8s.io", "leases", "get", "list", "watch", "create", "patch", "update"),
			named(rule("", "configmaps", "get", "list", "watch"), mapEndpoints),
		),
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
