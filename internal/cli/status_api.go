package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// How long the API server may take, for each question: status is quick when it does not answer, and patient with large clusters.
const (
	readyPatience = 2 * time.Second
	nodesPatience = 5 * time.Second
	podsPatience  = 10 * time.Second
)

// apiStatus is what the API server tells.
type apiStatus struct {
	Ready bool `json:"ready"`
	// Error says why it does not answer, or not fully.
	Error      string        `json:"error,omitempty"`
	Nodes      int           `json:"nodes"`
	NodesReady int           `json:"nodesReady"`
	NodeList   []clusterNode `json:"nodeList"`
	// NotReady are nodes and pods that are not Ready; SystemGood says that none of the system is among them.
	NotReady   []string `json:"notReady"`
	SystemGood bool     `json:"systemGood"`
	// Configuration is what this node has applied, and Published what is to be; "" when it is not known.
	Configuration string `json:"configuration,omitempty"`
	Published     string `json:"published,omitempty"`
	// Refused: this node went back from what is published (GA-2508).
	Refused bool `json:"refused,omitempty"`
}

// clusterNode is a node in a few words.
type clusterNode struct {
	Name  string `json:"name"`
	Pool  string `json:"pool,omitempty"`
	Ready bool   `json:"ready"`
	// Reason says why it is not Ready.
	Reason  string `json:"reason,omitempty"`
	Version string `json:"version"`
}

func (s apiStatus) good() bool { return s.Ready && s.Error == "" && s.SystemGood }

func (s apiStatus) String() string {
	if !s.Ready {
		return "does not answer: " + s.Error
	}
	if s.Error != "" {
		return "ready, but " + s.Error
	}
	return fmt.Sprintf("ready; %d of %d nodes Ready", s.NodesReady, s.Nodes)
}

// askAPI asks as the administrator; on a worker as the node agent, who sees nodes and its pool's configuration, and no pods.
func askAPI(ctx context.Context, h *host.Host, self string) apiStatus {
	out := apiStatus{NodeList: []clusterNode{}, NotReady: []string{}}
	api, admin, err := anyClient(ctx, h)
	if err == nil {
		err = within(ctx, readyPatience, api.Ready)
	}
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Ready, out.SystemGood = true, true
	if err := out.askObjects(ctx, api, self, admin); err != nil {
		out.Error = err.Error()
		return out
	}
	_ = within(ctx, readyPatience, func(ctx context.Context) error { out.askPublished(ctx, h, api); return nil })
	return out
}

// askObjects asks for nodes, and as the administrator for pods.
func (s *apiStatus) askObjects(ctx context.Context, api *kube.Client, self string, admin bool) error {
	err := within(ctx, nodesPatience, func(ctx context.Context) error { return s.askNodes(ctx, api, self) })
	if err != nil || !admin {
		return err
	}
	return within(ctx, podsPatience, func(ctx context.Context) error { return s.askPods(ctx, api) })
}

func within(ctx context.Context, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return ask(ctx)
}

// anyClient connects with the kubeconfig that has the most rights here.
func anyClient(ctx context.Context, h *host.Host) (api *kube.Client, admin bool, err error) {
	api, err = clientOf(ctx, h, layout.FileAdminKubeconfig)
	if err == nil {
		return api, true, nil
	}
	if agent, agentErr := clientOf(ctx, h, layout.FileAgentKubeconfig); agentErr == nil {
		return agent, false, nil
	}
	return nil, false, err
}

func clientOf(ctx context.Context, h *host.Host, path string) (*kube.Client, error) {
	raw, err := h.Files.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there", path)
	}
	if err != nil {
		return nil, err
	}
	return kube.New(raw)
}

func (s *apiStatus) askNodes(ctx context.Context, api *kube.Client, self string) error {
	nodes := &corev1.NodeList{}
	if err := api.List(ctx, nodes); err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	s.Nodes = len(nodes.Items)
	for i := range nodes.Items {
		node := &nodes.Items[i]
		one := clusterNode{Name: node.Name, Pool: node.Labels[constants.LabelWorkerPool], Version: node.Status.NodeInfo.KubeletVersion}
		one.Ready, one.Reason = nodeReady(node)
		s.NodeList = append(s.NodeList, one)
		if node.Name == self {
			s.Configuration = node.Annotations[nodeagentv1alpha1.AnnotationKeyChecksumAppliedOperatingSystemConfig]
		}
		if one.Ready {
			s.NodesReady++
			continue
		}
		s.NotReady = append(s.NotReady, "node "+node.Name)
		s.SystemGood = false
	}
	return nil
}

func (s *apiStatus) askPods(ctx context.Context, api *kube.Client) error {
	pods := &corev1.PodList{}
	if err := api.List(ctx, pods); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if podReady(pod) {
			continue
		}
		s.NotReady = append(s.NotReady, "pod "+pod.Namespace+"/"+pod.Name)
		s.SystemGood = s.SystemGood && pod.Namespace != metav1.NamespaceSystem
	}
	return nil
}

// askPublished looks for the configuration that this node's agent follows; a node that is being made has none.
func (s *apiStatus) askPublished(ctx context.Context, h *host.Host, api *kube.Client) {
	name, err := hoststep.AgentSecret(ctx, h)
	if err != nil {
		return
	}
	object := &corev1.Secret{}
	key := client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: name}
	if api.Get(ctx, key, object) == nil {
		s.Published = object.Annotations[osc.AnnotationChecksum]
	}
}

// nodeReady says why not, in the words of the node's condition.
func nodeReady(node *corev1.Node) (ready bool, reason string) {
	for _, condition := range node.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		if condition.Status == corev1.ConditionTrue {
			return true, ""
		}
		return false, strings.TrimSuffix(condition.Reason+": "+condition.Message, ".")
	}
	return false, "its kubelet has not said anything yet"
}

// podReady is also true of what ended well.
func podReady(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded {
		return true
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
