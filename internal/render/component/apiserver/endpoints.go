package apiserver

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/component"
)

// service is the Service that pods know the API server by. The API server makes it and keeps its ClusterIP; without an endpoint
// reconciler it leaves its endpoints alone.
const (
	service     = "kubernetes"
	servicePort = "https"
)

// objects lead the Service default/kubernetes to the endpoint proxy of whichever node a pod is on, so that pods are as little cut off
// by the end of an API server as the node itself. Both forms are there, because clients read the older one, too.
func objects(component.Input) ([]component.Object, error) {
	meta := metav1.ObjectMeta{Name: service, Namespace: metav1.NamespaceDefault}
	address := cluster.PodAPIServer().String()

	//lint:ignore SA1019 clients still read it, and API servers serve it for good
	endpoints := &corev1.Endpoints{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Endpoints"},
		ObjectMeta: *meta.DeepCopy(),
		//lint:ignore SA1019 as above
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: address}},
			Ports:     []corev1.EndpointPort{{Name: servicePort, Port: layout.PortProxy, Protocol: corev1.ProtocolTCP}},
		}},
	}
	// The slice is ours, so kube-controller-manager is to make none from the Endpoints.
	endpoints.Labels = map[string]string{discoveryv1.LabelSkipMirror: "true"}

	slice := &discoveryv1.EndpointSlice{
		TypeMeta:    metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta:  *meta.DeepCopy(),
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports: []discoveryv1.EndpointPort{{
			Name: ptr.To(servicePort), Port: ptr.To[int32](layout.PortProxy), Protocol: ptr.To(corev1.ProtocolTCP),
		}},
	}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "gardenadm"}
	return []component.Object{endpoints, slice}, nil
}
