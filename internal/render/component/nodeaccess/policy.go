package nodeaccess

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// What a node agent may change of its Node (contract node-agent-and-osc §6.3 and §6.4).
const (
	ownLabels      = `["node-role.kubernetes.io/worker", "topology.kubernetes.io/zone", "worker.gardener.cloud/kubernetes-version"]`
	ownAnnotations = `["checksum/cloud-config-data", "worker.gardener.cloud/restart-systemd-services", "node.gardenadm.dev/leaving", "` + secret.AnnotationPool + `"]`
	ownConditions  = `["SystemdUnitsReady"]`
	// labelControlPlane is for the agents of the control plane's pool.
	labelControlPlane = `["node-role.kubernetes.io/control-plane"]`
)

// othersStatus are the fields of a Node's status that belong to the kubelet and to controllers: all but the conditions.
func othersStatus() []string {
	return []string{
		"addresses", "allocatable", "capacity", "config", "daemonEndpoints", "declaredFeatures", "features", "images", "nodeInfo", "phase",
		"runtimeHandlers", "volumesAttached", "volumesInUse",
	}
}

// nodePolicy keeps a node agent from writing to other Nodes than its own, and to what it has no business with there.
func nodePolicy(controlPlane string) []component.Object {
	const mine = "variables.%[1]s.all(k, k in variables.own%[2]s || (k in variables.old%[2]s && variables.old%[2]s[k] == variables.%[1]s[k])) && " +
		"variables.old%[2]s.all(k, k in variables.own%[2]s || k in variables.%[1]s)"
	return agentPolicy("gardenadm-node-agent-nodes", resources("", "nodes", "nodes/status"),
		[]admissionv1.Variable{
			{Name: "labels", Expression: "object.metadata.?labels.orValue({})"},
			{Name: "oldLabels", Expression: "oldObject.metadata.?labels.orValue({})"},
			{Name: "ownLabels", Expression: fmt.Sprintf("%s + (%q in request.userInfo.groups ? %s : [])", ownLabels, controlPlane, labelControlPlane)},
			{Name: "annotations", Expression: "object.metadata.?annotations.orValue({})"},
			{Name: "oldAnnotations", Expression: "oldObject.metadata.?annotations.orValue({})"},
			{Name: "ownAnnotations", Expression: ownAnnotations},
			{Name: "conditions", Expression: "object.?status.?conditions.orValue([])"},
			{Name: "oldConditions", Expression: "oldObject.?status.?conditions.orValue([])"},
		},
		validation("object.metadata.name == variables.node", "a node agent writes to its own Node only"),
		validation(unchanged("", "spec"), "a node agent does not change the spec of a Node"),
		validation(unchanged(".metadata", "finalizers", "ownerReferences"), "a node agent does not change finalizers and owners of a Node"),
		validation(fmt.Sprintf(mine, "labels", "Labels"), "a node agent changes only the labels of a Node that are its own"),
		validation(fmt.Sprintf(mine, "annotations", "Annotations"), "a node agent changes only the annotations of a Node that are its own"),
		validation(unchanged(".?status", othersStatus()...), "a node agent changes nothing but conditions in the status of a Node"),
		validation(fmt.Sprintf("variables.conditions.filter(c, !(c.type in %[1]s)) == variables.oldConditions.filter(c, !(c.type in %[1]s))", ownConditions),
			"a node agent changes only the conditions of a Node that are its own"),
		validation(fmt.Sprintf("!(%[1]q in variables.annotations) || (%[1]q in variables.oldAnnotations && variables.oldAnnotations[%[1]q] == variables.annotations[%[1]q]) || "+
			"(%[2]q + variables.annotations[%[1]q]) in request.userInfo.groups", secret.AnnotationPool, secret.NodeAgentPoolGroup("")),
			"a node agent names its own pool only"),
	)
}

// kubeletPolicy keeps kubelets from what the gardenlet goes by: the pool of a Node decides on labels that kubelets may not set, and on
// taints. When it registers, a kubelet names any pool; what counts is the annotation.
func kubeletPolicy() []component.Object {
	const ours = `node.gardenadm.dev/`
	return policy("gardenadm-kubelet-nodes", user.NodesGroup, resources("", "nodes", "nodes/status"),
		[]admissionv1.Variable{
			{Name: "annotations", Expression: "object.metadata.?annotations.orValue({})"},
			{Name: "oldAnnotations", Expression: "oldObject == null ? {} : oldObject.metadata.?annotations.orValue({})"},
		},
		validation(fmt.Sprintf("oldObject == null || object.metadata.?labels[?%[1]q] == oldObject.metadata.?labels[?%[1]q]", constants.LabelWorkerPool),
			"a kubelet does not change the pool of its Node"),
		validation(fmt.Sprintf("variables.annotations.all(k, !k.startsWith(%[1]q) || k == %[2]q || (k in variables.oldAnnotations && variables.oldAnnotations[k] == variables.annotations[k])) && "+
			"variables.oldAnnotations.all(k, !k.startsWith(%[1]q) || k in variables.annotations)", ours, ours+"leaving"),
			"of the annotations "+ours+"… a kubelet writes only that its Node is leaving"),
	)
}

// leasePolicy lets a node agent write its own Lease, and the one by which the nodes of its pool take turns: turns maps the group of the
// pool's agents to its name.
func leasePolicy(turns map[string]string) []component.Object {
	names, err := json.Marshal(turns) // a map of strings in JSON is one in CEL, too; its keys are sorted
	if err != nil {
		return nil
	}
	return agentPolicy("gardenadm-node-agent-leases", resources("coordination.k8s.io", "leases"),
		[]admissionv1.Variable{{Name: "turns", Expression: string(names)}},
		validation(`(variables.node != "" && object.metadata.name == "gardener-node-agent-" + variables.node) || `+
			"request.userInfo.groups.exists(g, g in variables.turns && variables.turns[g] == object.metadata.name)",
			"a node agent writes its own Lease and that of its pool only"),
	)
}

// unchanged says that none of the fields differs; optional ones may be missing in both.
func unchanged(at string, fields ...string) string {
	parts := make([]string, 0, len(fields))
	for _, field := range fields {
		parts = append(parts, fmt.Sprintf("object%[1]s.?%[2]s == oldObject%[1]s.?%[2]s", at, field))
	}
	return strings.Join(parts, " && ")
}

func validation(expression, message string) admissionv1.Validation {
	return admissionv1.Validation{Expression: expression, Message: message, Reason: new(metav1.StatusReasonForbidden)}
}

func resources(group string, names ...string) admissionv1.NamedRuleWithOperations {
	return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: names},
	}}
}

// agentPolicy is one for node agents. The variable node is the name of the agent's node, "" when its user name has not the form of one.
func agentPolicy(name string, rules admissionv1.NamedRuleWithOperations, variables []admissionv1.Variable, validations ...admissionv1.Validation) []component.Object {
	prefix := constants.NodeAgentUserNamePrefix
	node := fmt.Sprintf(`request.userInfo.username.startsWith(%q) ? request.userInfo.username.substring(%d) : ""`, prefix, len(prefix))
	variables = append([]admissionv1.Variable{{Name: "node", Expression: node}}, variables...)
	return policy(name, constants.NodeAgentsGroup, rules, variables, validations...)
}

// policy applies to users of the group alone: whatever becomes of it, nobody else's request fails.
func policy(name, group string, rules admissionv1.NamedRuleWithOperations, variables []admissionv1.Variable, validations ...admissionv1.Validation) []component.Object {
	fail := admissionv1.Fail
	return []component.Object{
		&admissionv1.ValidatingAdmissionPolicy{
			TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				FailurePolicy:    &fail,
				MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{rules}},
				MatchConditions:  []admissionv1.MatchCondition{{Name: "group", Expression: fmt.Sprintf("%q in request.userInfo.groups", group)}},
				Variables:        variables,
				Validations:      validations,
			},
		},
		&admissionv1.ValidatingAdmissionPolicyBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			},
		},
	}
}
