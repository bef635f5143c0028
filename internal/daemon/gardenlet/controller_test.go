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
	api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(
		request("there"), request("decided", certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateDenied}),
	).Build()
	calls := make(chan string)
	tries := map[string]int{}
	c := certificates(api, slog.New(slog.DiscardHandler))
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
	running.Go(func() { runAll(ctx, api, slog.New(slog.NewTextHandler(&log, nil)), c) })

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

func TestForgetContent(t *testing.T) {
	one := request("issued", certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved})
	one.Status.Certificate = bytes.Repeat([]byte("x"), 1000)
	forgetContent(one)
	if len(one.Spec.Request) > 0 || len(one.Status.Certificate) > 10 || certificates(nil, nil).wanted(one) {
		t.Errorf("kept: %+v", one)
	}
	open := request("open")
	forgetContent(open)
	if !certificates(nil, nil).wanted(client.Object(open)) {
		t.Error("an open request is not wanted any more")
	}
}
