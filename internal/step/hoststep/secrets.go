package hoststep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// ErrControlPlaneWithoutSecrets says that this machine holds a cluster whose secrets are in its API, which does not answer.
var ErrControlPlaneWithoutSecrets = errors.New("this machine already holds a cluster whose API server does not answer; its secrets are in the API")

// IssueSecrets issues what is wanted and not in the store yet. It refuses to make new authorities and keys beside the data of a
// cluster: they would lock out everything that trusts the old ones, and make what is encrypted unreadable.
func IssueSecrets(ctx context.Context, h *host.Host, store secret.Store, specs []secret.Spec) (secret.Set, error) {
	have, err := store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load secrets: %w", err)
	}
	if !HasIrreplaceable(have, specs) {
		_, err := h.Files.Stat(ctx, layout.DirEtcdData)
		if err == nil {
			return nil, fault.New(fault.SecretsInAPI, "issue certificates: %w", ErrControlPlaneWithoutSecrets)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for etcd's data: %w", err)
		}
	}
	return secret.Issuer{Store: store}.Ensure(ctx, specs)
}

// SecretsOfCluster returns the secrets of a cluster that runs. Certificates that are near their end, and those that only a changed
// cluster wants, are issued; an authority or key that is missing is an error, for a new one would lock out all that runs.
func SecretsOfCluster(ctx context.Context, store secret.Store, specs []secret.Spec) (secret.Set, error) {
	have, err := store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load secrets: %w", err)
	}
	for _, spec := range specs {
		if spec.Irreplaceable() && len(have[spec.Key()].Data) == 0 {
			return nil, fmt.Errorf("load secrets: %s is missing in the API", spec.Key())
		}
	}
	return secret.Issuer{Store: store}.Ensure(ctx, specs)
}

// HasIrreplaceable says that the set holds every wanted authority and key. etcd's data is made after all of them are kept,
// so one that is missing beside it was there once.
func HasIrreplaceable(have secret.Set, specs []secret.Spec) bool {
	return !slices.ContainsFunc(specs, func(spec secret.Spec) bool {
		_, ok := have[spec.Key()]
		return !ok && spec.Irreplaceable()
	})
}

// ForgetSecrets removes the secrets from the disk; the API has them now.
func ForgetSecrets(ctx context.Context, h *host.Host) error {
	return h.Files.Remove(ctx, layout.DirSecrets)
}

// BootstrapKubeconfig returns a kubeconfig with all rights that lives one day and only in memory:
// before the API has roles, nothing else may create them.
func BootstrapKubeconfig(ctx context.Context, c *cluster.Cluster, set secret.Set) ([]byte, error) {
	store := &secret.Memory{}
	client := secret.Authority(secret.AuthorityClient)
	authority, ok := set[client.Key()]
	if !ok {
		return nil, fmt.Errorf("issue bootstrap certificate: authority %s is not among the issued secrets", client.Name)
	}
	if err := store.Save(ctx, authority); err != nil {
		return nil, err
	}
	admin := secret.Spec{
		Name: "bootstrap-admin", Kind: secret.Client, Signer: client.Name,
		CommonName: "gardenadm:bootstrap", Organization: []string{"system:masters"}, ValidDays: 1,
	}
	issued, err := secret.Issuer{Store: store}.Ensure(ctx, []secret.Spec{client, admin})
	if err != nil {
		return nil, fmt.Errorf("issue bootstrap certificate: %w", err)
	}
	return kubeconfig.Render(kubeconfig.Config{
		Server: c.NodeServer(), TLSServerName: cluster.TLSServerName,
		CA:   set.Get(secret.AuthorityCluster, "", secret.DataCACert),
		Cert: issued.Get(admin.Name, "", secret.DataCert), Key: issued.Get(admin.Name, "", secret.DataKey),
	}), nil
}
