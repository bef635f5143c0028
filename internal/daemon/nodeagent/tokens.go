package nodeagent

import (
	"bytes"
	"context"
	"fmt"
	"time"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// dataToken is the key of a token in its Secret.
const dataToken = "token"

// keepTokens writes the tokens that the configuration names to their files (contract node-agent-and-osc §3.2).
func (d *daemon) keepTokens(ctx context.Context) error {
	config := d.config.Controllers.Token
	if len(config.SyncConfigs) == 0 {
		return nil
	}
	tries := retry{first: time.Second, last: 5 * time.Minute}
	every(ctx, func(ctx context.Context) time.Duration {
		for _, one := range config.SyncConfigs {
			if err := d.writeToken(ctx, one); err != nil {
				return tries.failed(d.Log, "a token cannot be written", err)
			}
		}
		tries.succeeded()
		return jitter(config.SyncPeriod.Duration)
	})
	return nil
}

func (d *daemon) writeToken(ctx context.Context, config nodeagentv1alpha1.TokenSecretSyncConfig) error {
	object := &corev1.Secret{}
	err := ask(ctx, func(ctx context.Context) error {
		return d.api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: config.SecretName}, object)
	})
	if err != nil {
		return fmt.Errorf("get token of %s: %w", config.SecretName, err)
	}
	token := object.Data[dataToken]
	if len(token) == 0 {
		return fmt.Errorf("get token of %s: the Secret holds none", config.SecretName)
	}
	if have, err := d.Host.Files.Read(ctx, config.Path); err == nil && bytes.Equal(have, token) {
		return nil
	}
	return d.Host.Files.Write(ctx, config.Path, bytes.NewReader(token), 0o640)
}
