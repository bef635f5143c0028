package definition

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// annotationRenew on the definition is a time (RFC 3339): certificates that were issued before it are issued anew.
const annotationRenew = "secret.gardenadm.dev/renew-issued-before"

// AskRenewal makes the gardenlet issue anew what was issued before the time, but authorities and keys. It only asks.
func AskRenewal(ctx context.Context, api client.Client, issuedBefore time.Time) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{annotationRenew: issuedBefore.UTC().Format(time.RFC3339)},
	}})
	if err != nil {
		return fmt.Errorf("ask for new certificates: %w", err)
	}
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: Key().Namespace, Name: Key().Name}}
	if err := api.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("ask for new certificates: %w", err)
	}
	return nil
}
