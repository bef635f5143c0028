package client

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// APIServicesAvailable is nil when the API server reaches what is behind every APIService among the objects;
// otherwise it says why not, in the API server's words.
func (c *Client) APIServicesAvailable(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		if gvk := object.GetObjectKind().GroupVersionKind(); gvk.Group != "apiregistration.k8s.io" || gvk.Kind != "APIService" {
			continue
		}
		found := &unstructured.Unstructured{}
		found.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
		if err := c.Get(ctx, client.ObjectKeyFromObject(object), found); err != nil {
			return fmt.Errorf("get APIService %s: %w", object.GetName(), err)
		}
		if reason := apiServiceTrouble(found); reason != "" {
			return fmt.Errorf("API %s is not available: %s", object.GetName(), reason)
		}
	}
	return nil
}

// apiServiceTrouble says why an APIService is not available, "" when it is.
func apiServiceTrouble(found *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(found.Object, "status", "conditions")
	for _, one := range conditions {
		condition, _ := one.(map[string]any)
		if condition["type"] != "Available" {
			continue
		}
		if condition["status"] == "True" {
			return ""
		}
		return fmt.Sprintf("%v: %v", condition["reason"], condition["message"])
	}
	return "the API server has not tried it yet"
}
