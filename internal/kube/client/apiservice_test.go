package client

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// apiService returns v1.example.com with the given conditions.
func apiService(conditions ...any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": "v1.example.com"},
		"status": map[string]any{"conditions": conditions},
	}}
}

func TestAPIServicesAvailableSaysWhyNot(t *testing.T) {
	available := func(status, reason, message string) map[string]any {
		return map[string]any{"type": "Available", "status": status, "reason": reason, "message": message}
	}
	other := map[string]any{"type": "Other", "status": "True"}
	for name, c := range map[string]struct {
		have []client.Object
		want string
	}{
		"available":      {[]client.Object{apiService(other, available("True", "Passed", "all checks passed"))}, ""},
		"not reached":    {[]client.Object{apiService(available("False", "FailedDiscoveryCheck", "no route to host"))}, "API v1.example.com is not available: FailedDiscoveryCheck: no route to host"},
		"unknown":        {[]client.Object{apiService(available("Unknown", "Soon", "not yet"))}, "API v1.example.com is not available: Soon: not yet"},
		"not tried":      {[]client.Object{apiService(other)}, "API v1.example.com is not available: the API server has not tried it yet"},
		"conditions odd": {[]client.Object{apiService("odd")}, "API v1.example.com is not available: the API server has not tried it yet"},
		"does not exist": {nil, `get APIService v1.example.com: apiservices.apiregistration.k8s.io "v1.example.com" not found`},
	} {
		t.Run(name, func(t *testing.T) {
			types := runtime.NewScheme()
			if err := scheme.AddToScheme(types); err != nil {
				t.Fatal(err)
			}
			api := &Client{Client: fake.NewClientBuilder().WithScheme(types).WithObjects(c.have...).Build()}
			wantError(t, name, api.APIServicesAvailable(t.Context(), pod("a", ready()), apiService()), c.want)
		})
	}
}
