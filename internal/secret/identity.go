package secret

import "github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"

// Groups of those who join, and of those who have joined.

// GroupOpenTokens is the group of bootstrap tokens of this tool that are bound to nothing; bound ones have the group
// system:bootstrappers alone. The gardenlet decides on the requests of both.
const GroupOpenTokens = "system:bootstrappers:gardenadm:open"

// NodeAgentPoolGroup is the group of the node agents of a pool. It is an organization in their client certificates beside
// constants.NodeAgentsGroup, and gives them their pool's OperatingSystemConfig. A label of the Node could not:
// a kubelet may set it itself.
func NodeAgentPoolGroup(pool string) string { return constants.NodeAgentsGroup + ":pool:" + pool }

// AnnotationPool on a Node names its pool. Its node agent alone may write it, and no other pool than that of its group: it says what
// the label of the pool cannot.
const AnnotationPool = "node.gardenadm.dev/pool"
