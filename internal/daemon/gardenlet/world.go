package gardenlet

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// world is what controllers see of the cluster, and how they change it.
type world struct {
	api         *kube.Client
	log         *slog.Logger
	definitions *definitions

	nodes, requests, pods, daemonSets watched
	// definition is one Secret, and issued are those of the cluster's certificates; nothing of either but the metadata is kept.
	definition, issued watched
}

func newWorld(api *kube.Client, watching client.WithWatch, log *slog.Logger) (world, error) {
	out := world{api: api, log: log}
	for of, kind := range map[*watched]kind{
		&out.nodes: nodesKind(), &out.requests: requestsKind(), &out.pods: criticalPods(), &out.daemonSets: criticalDaemonSets(),
		&out.definition: secretsKind("the definition", client.MatchingFields{"metadata.name": definition.Key().Name}),
		&out.issued:     secretsKind("issued secrets", client.MatchingLabels(secret.Labels())),
	} {
		one, err := watchKind(watching, kind)
		if err != nil {
			return world{}, err
		}
		*of = one
	}
	out.definitions = newDefinitions(api, out.definition, log)
	return out, nil
}

// run watches until the context ends.
func (w world) run(ctx context.Context) {
	var group sync.WaitGroup
	for _, one := range []watched{w.nodes, w.requests, w.pods, w.daemonSets, w.definition, w.issued} {
		group.Go(func() { one.RunWithContext(ctx) })
	}
	group.Wait()
}

func nodesKind() kind {
	return kind{
		name: "nodes", object: &corev1.Node{}, list: func() client.ObjectList { return &corev1.NodeList{} }, trim: trimNode,
		index: func(object client.Object) string { return object.GetLabels()[constants.LabelWorkerPool] },
	}
}

// trimNode leaves out most of a Node, above all its list of images: there may be hundreds of them.
func trimNode(object client.Object) {
	node := object.(*corev1.Node)
	node.OwnerReferences = nil
	node.Spec = corev1.NodeSpec{Taints: node.Spec.Taints}
	status := corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{Architecture: node.Status.NodeInfo.Architecture, MachineID: node.Status.NodeInfo.MachineID}}
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			status.Addresses = append(status.Addresses, address)
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			status.Conditions = []corev1.NodeCondition{{Type: condition.Type, Status: condition.Status}}
		}
	}
	node.Status = status
}

func requestsKind() kind {
	return kind{
		name: "certificate requests", object: &certificatesv1.CertificateSigningRequest{},
		list: func() client.ObjectList { return &certificatesv1.CertificateSigningRequestList{} }, trim: trimRequest,
	}
}

// trimRequest keeps of a request what says whether it is decided; it is read anew for the decision.
func trimRequest(object client.Object) {
	request := object.(*certificatesv1.CertificateSigningRequest)
	request.Spec = certificatesv1.CertificateSigningRequestSpec{}
	if len(request.Status.Certificate) > 0 {
		request.Status.Certificate = []byte("issued")
	}
}

// critical selects what a node is of no use without (contract resource-manager §7).
func critical() []client.ListOption {
	return []client.ListOption{client.InNamespace(metav1.NamespaceSystem), client.MatchingLabels{constants.LabelNodeCriticalComponent: "true"}}
}

func criticalPods() kind {
	return kind{
		name: "critical pods", object: &corev1.Pod{}, list: func() client.ObjectList { return &corev1.PodList{} }, options: critical(),
		trim: trimPod, index: func(object client.Object) string { return object.(*corev1.Pod).Spec.NodeName },
	}
}

func trimPod(object client.Object) {
	pod := object.(*corev1.Pod)
	pod.Labels = nil
	for key := range pod.Annotations {
		if !strings.HasPrefix(key, constants.AnnotationPrefixWaitForCSINode) {
			delete(pod.Annotations, key)
		}
	}
	if len(pod.Annotations) == 0 {
		pod.Annotations = nil
	}
	pod.Spec = corev1.PodSpec{NodeName: pod.Spec.NodeName}
	ready := slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type != corev1.PodReady })
	pod.Status = corev1.PodStatus{}
	for _, condition := range ready {
		pod.Status.Conditions = []corev1.PodCondition{{Type: condition.Type, Status: condition.Status}}
	}
}

func criticalDaemonSets() kind {
	return kind{
		name: "critical daemon sets", object: &appsv1.DaemonSet{}, list: func() client.ObjectList { return &appsv1.DaemonSetList{} }, options: critical(),
		trim: func(object client.Object) {
			set := object.(*appsv1.DaemonSet)
			set.Annotations, set.Status = nil, appsv1.DaemonSetStatus{}
			of := set.Spec.Template
			set.Spec = appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: of.Labels},
				Spec:       corev1.PodSpec{NodeSelector: of.Spec.NodeSelector, Affinity: of.Spec.Affinity, Tolerations: of.Spec.Tolerations},
			}}
		},
	}
}

// secretsKind watches no more than the metadata of Secrets in kube-system.
func secretsKind(name string, which client.ListOption) kind {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return kind{
		name: name, object: object, options: []client.ListOption{client.InNamespace(metav1.NamespaceSystem), which},
		list: func() client.ObjectList {
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
			return list
		},
		trim: func(object client.Object) { object.SetAnnotations(nil) },
	}
}
