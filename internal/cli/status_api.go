package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// apiPatience bounds all questions to the API server together: status is quick also when it hangs.
const apiPatience = time.Second

// apiStatus is what the API server tells.
type apiStatus struct {
	Ready bool `json:"ready"`
	// Error says why it does not answer, or not fully.
	Error      string `json:"error,omitempty"`
	Nodes      int    `json:"nodes"`
	NodesReady int    `json:"nodesReady"`
	// NotReady are nodes and pods that are not Ready; SystemGood says that none of the system is among them.
	NotReady   []string `json:"notReady"`
	SystemGood bool     `json:"systemGood"`
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

// askAPI asks with the administrator's kubeconfig.
func askAPI(ctx context.Context, h *host.Host) apiStatus {
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	out := apiStatus{NotReady: []string{}}
	api, err := adminClient(ctx, h)
	if err == nil {
		err = api.Ready(ctx)
	}
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Ready = true
	if err := out.ask(ctx, api); err != nil {
		out.Error = err.Error()
	}
	return out
}

func adminClient(ctx context.Context, h *host.Host) (*kube.Client, error) {
	raw, err := h.Files.Read(ctx, layout.FileAdminKubeconfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there", layout.FileAdminKubeconfig)
	}
	if err != nil {
		return nil, err
	}
	return kube.New(raw)
}

func (s *apiStatus) ask(ctx context.Context, api *kube.Client) error {
	s.SystemGood = true
	nodes := &corev1.NodeList{}
	if err := api.List(ctx, nodes); err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	s.Nodes = len(nodes.Items)
	for i := range nodes.Items {
		if nodeReady(&nodes.Items[i]) {
			s.NodesReady++
			continue
		}
		s.NotReady = append(s.NotReady, "node "+nodes.Items[i].Name)
		s.SystemGood = false
	}
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

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
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
