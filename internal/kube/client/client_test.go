package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// inMemory is a client of an API in memory that holds the objects.
func inMemory(objects ...client.Object) *Client {
	return &Client{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).Build()}
}

// wantError compares an error with its text, "" for none.
func wantError(t *testing.T, name string, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("%s:\n got  %q\n want %q", name, got, want)
	}
}

func TestNodeReadySaysWhyNot(t *testing.T) {
	for name, c := range map[string]struct {
		conditions []corev1.NodeCondition
		want       string
	}{
		"ready":            {[]corev1.NodeCondition{{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue}}, ""},
		"not ready":        {[]corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady", Message: "cni plugin not initialized"}}, "node n is not Ready: KubeletNotReady: cni plugin not initialized"},
		"lost":             {[]corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown", Message: "Kubelet stopped posting"}}, "node n is not Ready: NodeStatusUnknown: Kubelet stopped posting"},
		"nothing reported": {nil, "node n has not reported its state yet"},
	} {
		api := inMemory(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{Conditions: c.conditions}})
		wantError(t, name, api.NodeReady(t.Context(), "n"), c.want)
	}
	wantError(t, "missing", inMemory().NodeReady(t.Context(), "n"), `get Node n: nodes "n" not found`)
}

// pod is a pod of the workload "web".
func pod(name string, status corev1.PodStatus) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kube-system", Labels: map[string]string{"app": "web"}}, Status: status}
}

func ready() corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
}

func TestPodsReadySaysWhyNot(t *testing.T) {
	unready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, Message: "containers with unready status: [web]"}
	waiting := func(reason, message string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: "web", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
	}
	ended := corev1.ContainerStatus{
		Name: "web", RestartCount: 3, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}},
	}
	recovered := ended
	recovered.Ready = true
	for name, c := range map[string]struct {
		status corev1.PodStatus
		want   string
	}{
		"ready":                           {ready(), ""},
		"ready after a restart":           {corev1.PodStatus{Conditions: ready().Conditions, ContainerStatuses: []corev1.ContainerStatus{recovered}}, ""},
		"no node for it":                  {corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available"}}}, "0/1 nodes are available"},
		"no image":                        {corev1.PodStatus{Conditions: []corev1.PodCondition{unready}, ContainerStatuses: []corev1.ContainerStatus{waiting("ErrImageNeverPull", "image is not present")}}, "container web is waiting: ErrImageNeverPull: image is not present"},
		"a reason without message":        {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("CrashLoopBackOff", "")}}, "container web is waiting: CrashLoopBackOff"},
		"an init container":               {corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{waiting("CreateContainerError", "no")}, ContainerStatuses: []corev1.ContainerStatus{waiting("PodInitializing", "")}}, "container web is waiting: CreateContainerError: no"},
		"just being created":              {corev1.PodStatus{Conditions: []corev1.PodCondition{unready}, ContainerStatuses: []corev1.ContainerStatus{waiting("ContainerCreating", "")}}, "containers with unready status: [web]"},
		"started again after it ended":    {corev1.PodStatus{Conditions: []corev1.PodCondition{unready}, ContainerStatuses: []corev1.ContainerStatus{ended}}, "container web ended with exit code 137 (OOMKilled) and was restarted 3 times"},
		"nothing but a phase":             {corev1.PodStatus{Phase: corev1.PodPending}, "phase Pending"},
		"another container has recovered": {corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{recovered}}, "phase Running"},
	} {
		want := ""
		if c.want != "" {
			want = "pod kube-system/a: " + c.want
		}
		wantError(t, name, inMemory(pod("a", c.status)).PodsReady(t.Context(), "kube-system", "a"), want)
	}
}

func TestPodsReadyWantsEveryName(t *testing.T) {
	api := inMemory(pod("a", ready()), pod("b", corev1.PodStatus{Phase: corev1.PodPending}))
	for want, names := range map[string][]string{
		"":                                 {"a"},
		"pod kube-system/b: phase Pending": {"a", "b"},
		`get Pod kube-system/c: pods "c" not found`: {"a", "c"},
	} {
		wantError(t, fmt.Sprint(names), api.PodsReady(t.Context(), "kube-system", names...), want)
	}
	wantError(t, "another namespace", api.PodsReady(t.Context(), "default", "a"), `get Pod default/a: pods "a" not found`)
}

func deployment(change func(*appsv1.Deployment)) *appsv1.Deployment {
	two := int32(2)
	out := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "kube-system", Generation: 3},
		Spec:       appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 3, UpdatedReplicas: 2, AvailableReplicas: 2},
	}
	change(out)
	return out
}

func daemonSet(change func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	out := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "kube-system", Generation: 3},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		Status:     appsv1.DaemonSetStatus{ObservedGeneration: 3, DesiredNumberScheduled: 1, UpdatedNumberScheduled: 1, NumberAvailable: 1},
	}
	change(out)
	return out
}

func TestWorkloadsReadyWaitsForTheWholeRollout(t *testing.T) {
	const deploymentOld, setOld = "deployment kube-system/web has 2 of 2 pods available", "daemon set kube-system/web has 1 of 1 pods available"
	for name, c := range map[string]struct {
		object client.Object
		want   string
	}{
		"deployment":                      {deployment(func(*appsv1.Deployment) {}), ""},
		"deployment not observed":         {deployment(func(d *appsv1.Deployment) { d.Status.ObservedGeneration = 2 }), deploymentOld},
		"deployment not updated":          {deployment(func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 1 }), deploymentOld},
		"deployment not available":        {deployment(func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 1 }), "deployment kube-system/web has 1 of 2 pods available"},
		"deployment with default count":   {deployment(func(d *appsv1.Deployment) { d.Spec.Replicas, d.Status.AvailableReplicas = nil, 0 }), "deployment kube-system/web has 0 of 1 pods available"},
		"daemon set":                      {daemonSet(func(*appsv1.DaemonSet) {}), ""},
		"daemon set not observed":         {daemonSet(func(d *appsv1.DaemonSet) { d.Status.ObservedGeneration = 2 }), setOld},
		"daemon set not updated":          {daemonSet(func(d *appsv1.DaemonSet) { d.Status.UpdatedNumberScheduled = 0 }), setOld},
		"daemon set not available":        {daemonSet(func(d *appsv1.DaemonSet) { d.Status.NumberAvailable = 0 }), "daemon set kube-system/web has 0 of 1 pods available"},
		"daemon set that has no node yet": {daemonSet(func(d *appsv1.DaemonSet) { d.Status = appsv1.DaemonSetStatus{ObservedGeneration: 3} }), "daemon set kube-system/web has 0 of 0 pods available"},
		"what has no pods":                {&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "kube-system"}}, ""},
	} {
		wantError(t, name, inMemory(c.object).WorkloadsReady(t.Context(), c.object), c.want)
	}
	wantError(t, "missing", inMemory().WorkloadsReady(t.Context(), deployment(func(*appsv1.Deployment) {})), `get Deployment kube-system/web: deployments.apps "web" not found`)
	wantError(t, "missing", inMemory().WorkloadsReady(t.Context(), daemonSet(func(*appsv1.DaemonSet) {})), `get DaemonSet kube-system/web: daemonsets.apps "web" not found`)
}

func TestWorkloadsReadyNamesWhatPodsWaitFor(t *testing.T) {
	of := deployment(func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 0 })
	other := pod("other", corev1.PodStatus{Phase: corev1.PodFailed})
	other.Labels["app"] = "other"
	elsewhere := pod("elsewhere", corev1.PodStatus{Phase: corev1.PodFailed})
	elsewhere.Namespace = "default"
	objects := []client.Object{of, other, elsewhere, pod("b", corev1.PodStatus{Phase: corev1.PodPending}), pod("a", corev1.PodStatus{Phase: corev1.PodFailed}), pod("c", ready())}
	wantError(t, "reasons", inMemory(objects...).WorkloadsReady(t.Context(), of),
		"deployment kube-system/web has 0 of 2 pods available (a: phase Failed; b: phase Pending)")

	// What stands behind it cannot always be asked for; that must not hide what is known.
	mute := &Client{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("forbidden")
		},
	}).Build()}
	wantError(t, "no reasons", mute.WorkloadsReady(t.Context(), of), "deployment kube-system/web has 0 of 2 pods available")
}

// serving returns a client of a real server that answers as it is told, and which authority the client trusts.
func serving(t *testing.T, answer http.HandlerFunc, authority func(*httptest.Server) []byte) *Client {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{}
	server.StartTLS()
	t.Cleanup(server.Close)
	c, err := New(kubeconfig.Render(kubeconfig.Config{Server: server.URL, TLSServerName: "example.com", CA: authority(server)}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func own(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestReadyAsksThisClustersServer(t *testing.T) {
	var path string
	c := serving(t, func(w http.ResponseWriter, r *http.Request) { path = r.URL.Path }, own)
	if err := c.Ready(t.Context()); err != nil || path != "/readyz" {
		t.Errorf("got %v, asked for %q", err, path)
	}
	c = serving(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, own)
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "/readyz says 500") {
		t.Errorf("an unready server: got %v", err)
	}
	c = serving(t, func(http.ResponseWriter, *http.Request) {}, own)
	c.host = "https://127.0.0.1:1"
	if err := c.Ready(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "ask API server: ") {
		t.Errorf("nobody listens: got %v", err)
	}
}

// A server that another authority vouches for is not this cluster's, whatever it answers.
func TestReadyRefusesAnotherAuthority(t *testing.T) {
	set, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(t.Context(), secret.Authorities())
	if err != nil {
		t.Fatal(err)
	}
	asked := false
	c := serving(t, func(http.ResponseWriter, *http.Request) { asked = true }, func(*httptest.Server) []byte {
		return set.Get(secret.AuthorityCluster, "", secret.DataCACert)
	})
	if err := c.Ready(t.Context()); err == nil || asked {
		t.Errorf("got %v, asked %v", err, asked)
	}
}

// Each look is at a new connection: a server that goes on may show another certificate than before.
func TestServerCertificate(t *testing.T) {
	var shown []byte
	c := serving(t, func(http.ResponseWriter, *http.Request) {}, func(server *httptest.Server) []byte {
		shown = server.Certificate().Raw
		return own(server)
	})
	if got, err := c.ServerCertificate(t.Context()); err != nil || !bytes.Equal(got.Raw, shown) {
		t.Errorf("got %v, %v", got, err)
	}
	other := serving(t, func(http.ResponseWriter, *http.Request) {}, own)
	set, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(t.Context(), secret.Authorities())
	if err != nil {
		t.Fatal(err)
	}
	other.tls.RootCAs = x509.NewCertPool()
	other.tls.RootCAs.AppendCertsFromPEM(set.Get(secret.AuthorityCluster, "", secret.DataCACert))
	if got, err := other.ServerCertificate(t.Context()); err == nil {
		t.Errorf("a certificate of another authority is believed: %v", got.Subject)
	}
}

func TestNewRefusesWhatIsNoKubeconfig(t *testing.T) {
	if _, err := New([]byte("{")); err == nil || !strings.HasPrefix(err.Error(), "read kubeconfig: ") {
		t.Errorf("got %v", err)
	}
}

func TestApplyObjectsOwnsFieldsAndSendsNoStatus(t *testing.T) {
	var owner string
	var forced bool
	var sent []byte
	api := &Client{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
		Apply: applied(func(object []byte, options *client.ApplyOptions) error {
			sent, owner, forced = object, options.FieldManager, options.Force != nil && *options.Force
			return nil
		}),
	}).Build()}
	object := deployment(func(d *appsv1.Deployment) { d.TypeMeta = metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"} })
	if err := api.ApplyObjects(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if owner != FieldManager || !forced {
		t.Errorf("applied as %q, forced %v; want %q, true", owner, forced, FieldManager)
	}
	for _, foreign := range []string{"creationTimestamp", `"status"`} {
		if strings.Contains(string(sent), foreign) {
			t.Errorf("sent %s, which others own: %s", foreign, sent)
		}
	}
}

func TestApplyObjectsStopsAtTheFirstFailureAndNamesIt(t *testing.T) {
	var names []string
	api := &Client{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
		Apply: applied(func(object []byte, _ *client.ApplyOptions) error {
			for _, name := range []string{"one", "two", "three"} {
				if strings.Contains(string(object), `"name":"`+name+`"`) {
					names = append(names, name)
				}
			}
			if len(names) == 2 {
				return errors.New("too large")
			}
			return nil
		}),
	}).Build()}
	var objects []client.Object
	for _, name := range []string{"one", "two", "three"} {
		objects = append(objects, &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kube-system"}})
	}
	wantError(t, "apply", api.ApplyObjects(t.Context(), objects...), "apply ConfigMap kube-system/two: too large")
	if got := strings.Join(names, " "); got != "one two" {
		t.Errorf("applied %q", got)
	}
}

func TestChanged(t *testing.T) {
	object := func(version string, generation int64, label string) *unstructured.Unstructured {
		out := &unstructured.Unstructured{Object: map[string]any{}}
		out.SetResourceVersion(version)
		out.SetGeneration(generation)
		out.SetLabels(map[string]string{"a": label})
		return out
	}
	before := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1", Generation: 1, Labels: map[string]string{"a": "b"}}}
	uncounted := before.DeepCopy()
	uncounted.Generation = 0
	for name, test := range map[string]struct {
		before *metav1.PartialObjectMetadata
		after  *unstructured.Unstructured
		want   bool
	}{
		"nothing":                       {before, object("1", 1, "b"), false},
		"who owns a field":              {before, object("2", 1, "b"), false},
		"the wish":                      {before, object("2", 2, "b"), true},
		"a label":                       {before, object("2", 1, "c"), true},
		"one whose wish is not counted": {uncounted, object("2", 0, "b"), true},
		"a new one":                     {&metav1.PartialObjectMetadata{}, object("2", 1, "b"), true},
	} {
		if got := changed(test.before, test.after); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
