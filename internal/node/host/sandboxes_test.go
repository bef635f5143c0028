package host

import (
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestAnnotationsAreThoseOfTheNewestSandbox: a static pod keeps its UID over a restart of the machine, and each start has its sandbox.
func TestAnnotationsAreThoseOfTheNewestSandbox(t *testing.T) {
	sandbox := func(created int64, state cri.PodSandboxState, hash string) *cri.PodSandbox {
		return &cri.PodSandbox{
			Id: hash, CreatedAt: created, State: state, Annotations: map[string]string{"hash": hash},
			Metadata: &cri.PodSandboxMetadata{Namespace: "kube-system", Name: "etcd-cp1", Uid: "uid"},
		}
	}
	older, newer := sandbox(1, cri.PodSandboxState_SANDBOX_NOTREADY, "older"), sandbox(2, cri.PodSandboxState_SANDBOX_READY, "newer")
	for _, order := range [][]*cri.PodSandbox{{older, newer}, {newer, older}} {
		pods := mergeSandboxes(order, nil)
		if len(pods) != 1 || !pods[0].Ready || pods[0].Annotations["hash"] != "newer" {
			t.Errorf("got %+v", pods)
		}
	}
}
