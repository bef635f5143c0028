// Package integration turns a real kube-apiserver and etcd into answers about what our objects allow and our controllers do.
// Used by nothing but its own tests; they are skipped where the programs are not built.
package integration

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
)

// api is a cluster without nodes and controllers.
type api struct {
	env   *envtest.Environment
	admin *kube.Client
}

// start starts etcd and an API server for the test. GARDENADM_PROGRAMS names the directory with both, else it is .local/programs:
// `go run ./hack/build program etcd -o .local/programs` puts etcd there.
func start(t *testing.T) *api {
	t.Helper()
	programs := os.Getenv("GARDENADM_PROGRAMS")
	if programs == "" {
		programs = "../../.local/programs"
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if _, err := os.Stat(filepath.Join(programs, name)); err != nil {
			t.Skipf("this test needs %s: %v", name, err)
		}
	}
	env := &envtest.Environment{BinaryAssetsDirectory: programs, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute}
	env.ControlPlane.GetAPIServer().Configure().Set("authorization-mode", "Node,RBAC").Append("enable-admission-plugins", "NodeRestriction")
	env.ControlPlane.GetAPIServer().Configure().Set("endpoint-reconciler-type", "none") // as the API servers of our clusters
	_, err := env.Start()
	t.Cleanup(func() { check(t, env.Stop()) })
	check(t, err)
	out := &api{env: env}
	out.admin, err = kube.New(out.user(t, "admin", "system:masters").kubeconfig)
	check(t, err)
	return out
}

// user is somebody with a client certificate.
type user struct {
	client.Client
	config     *rest.Config
	kubeconfig []byte
}

func (a *api) user(t *testing.T, name string, groups ...string) user {
	t.Helper()
	added, err := a.env.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	check(t, err)
	out := user{config: added.Config()}
	out.kubeconfig, err = added.KubeConfig()
	check(t, err)
	out.Client, err = client.New(out.config, client.Options{Scheme: scheme.Scheme})
	check(t, err)
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
