package gardenlet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func request(name string, conditions ...certificatesv1.CertificateSigningRequestCondition) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.CertificateSigningRequestSpec{Request: []byte("large")},
		Status: certificatesv1.CertificateSigningRequestStatus{Conditions: conditions},
	}
}

// TestController: what was there and what comes is worked on, what is decided is not; a failure is tried again, a wish to come again is granted.
func TestController(t *testing.T) {
	api := fakeAPI{fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(
		request("there"), request("decided", certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateDenied}),
	).Build()}
	requests, err := watchKind(api, requestsKind())
	must(t, err)
	calls := make(chan string)
	tries := map[string]int{}
	c := controller{name: "test", triggers: []trigger{{requests, itself(open)}}}
	c.reconcile = func(ctx context.Context, name string) (time.Duration, error) {
		select {
		case calls <- name:
		case <-ctx.Done():
		}
		tries[name]++
		switch {
		case name == "fails" && tries[name] == 1:
			return 0, errors.New("no luck")
		case name == "again" && tries[name] == 1:
			return time.Millisecond, nil
		}
		return 0, nil
	}
	var log bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { requests.RunWithContext(ctx) })
	running.Go(func() { runAll(ctx, slog.New(slog.NewTextHandler(&log, nil)), c) })

	if got := <-calls; got != "there" {
		t.Fatalf("worked on %s", got)
	}
	for _, name := range []string{"fails", "again"} {
		must(t, api.Create(t.Context(), request(name)))
		for range 2 {
			if got := <-calls; got != name {
				t.Errorf("worked on %s, want %s", got, name)
			}
		}
	}
	must(t, api.Create(t.Context(), request("last")))
	if got := <-calls; got != "last" {
		t.Errorf("worked on %s, want nothing more but the last", got)
	}
	stop()
	running.Wait()
	if text := log.String(); strings.Count(text, "no luck") != 1 || !strings.Contains(text, "name=fails") {
		t.Errorf("the log does not tell of the failure once:\n%s", text)
	}
}

func TestTrimRequest(t *testing.T) {
	one := request("issued", certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved})
	one.Status.Certificate = bytes.Repeat([]byte("x"), 1000)
	trimRequest(one)
	if len(one.Spec.Request) > 0 || len(one.Status.Certificate) > 10 || open(one) {
		t.Errorf("kept: %+v", one)
	}
	undecided := request("open")
	trimRequest(undecided)
	if !open(client.Object(undecided)) {
		t.Error("an open request is not wanted any more")
	}
}

// TestChanged: a heartbeat of a node's kubelet is no change, and anything else is; where content is not watched, every version is one.
func TestChanged(t *testing.T) {
	node := func(version string, change func(*corev1.Node)) *corev1.Node {
		out := controlPlaneNode("n")
		out.ResourceVersion = version
		out.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		change(out)
		trimNode(out)
		return out
	}
	before := node("1", func(*corev1.Node) {})
	for name, c := range map[string]struct {
		change func(*corev1.Node)
		want   bool
	}{
		"nothing":   {func(*corev1.Node) {}, false},
		"heartbeat": {func(n *corev1.Node) { n.Status.Conditions[0].LastHeartbeatTime = metav1.Now() }, false},
		"images":    {func(n *corev1.Node) { n.Status.Images = []corev1.ContainerImage{{SizeBytes: 1}} }, false},
		"not ready": {func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }, true},
		"label":     {func(n *corev1.Node) { n.Labels["x"] = "y" }, true},
		"taint":     {func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "x"}} }, true},
		"address":   {func(n *corev1.Node) { n.Status.Addresses[1].Address = "10.250.0.11" }, true},
	} {
		if got := changed(before, node("2", c.change)); got != c.want {
			t.Errorf("%s: changed is %t", name, got)
		}
	}
	metadata := func(version string) client.Object {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}
	}
	if changed(metadata("1"), metadata("1")) || !changed(metadata("1"), metadata("2")) {
		t.Error("of metadata the version does not decide")
	}
}
