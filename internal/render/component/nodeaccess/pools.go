package nodeaccess

import (
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/offer"
	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component"
)

// poolList tells machines with a token which pools there are, so that a wish that cannot be fulfilled is refused before anything is
// changed. secrets names the Secret of each pool. A join that is run again asks with its node agent's certificate.
func poolList(c *cluster.Cluster, secrets map[string]string) ([]component.Object, error) {
	raw, err := offer.New(c, secrets).Encode()
	if err != nil {
		return nil, err
	}
	const name = "gardenadm:joining"
	readers := bind(name, addon.Group(groupTokens))
	readers.Subjects = append(readers.Subjects, addon.Group(constants.NodeAgentsGroup))
	return []component.Object{
		&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: addon.Meta(offer.Name, nil),
			Data:       map[string]string{offer.DataKey: string(raw)},
		},
		role(name, named(rule("", "configmaps", "get"), offer.Name)),
		readers,
	}, nil
}
