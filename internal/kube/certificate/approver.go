package certificate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// grace is how long a request may be ahead of the Node that it is for: a kubelet asks as soon as it knows its addresses.
const grace = time.Minute

// Answer is what becomes of a request.
type Answer string

const (
	// NoOpinion leaves the request to others, or to a decision that was made before.
	NoOpinion Answer = ""
	Approved  Answer = "approved"
	Denied    Answer = "denied"
	// NotYet: it is looked at again until it is a minute old, and denied then.
	NotYet Answer = "not yet"
)

// Decision is an answer and why.
type Decision struct {
	Answer Answer
	Why    string
}

func deny(format string, args ...any) Decision { return Decision{Denied, fmt.Sprintf(format, args...)} }

// Approver decides on requests of nodes.
type Approver struct {
	// API is not a cache: what was decided a moment ago counts.
	API client.Client
	// Pools are the cluster's worker pools; none while they are not known.
	Pools func(context.Context) ([]cluster.Pool, error)
	// Now is the clock; nil means the real one.
	Now func() time.Time
}

// Decide judges the request and writes an approval or a denial into it. An error says that this could not be done now.
func (a Approver) Decide(ctx context.Context, request *certificatesv1.CertificateSigningRequest) (Decision, error) {
	if !Open(request) {
		return Decision{}, nil
	}
	out, err := a.judge(ctx, request)
	if err != nil {
		return Decision{}, fmt.Errorf("judge request %s: %w", request.Name, err)
	}
	if out.Answer == NotYet && a.now().After(request.CreationTimestamp.Add(grace)) {
		out.Answer = Denied
	}
	condition := certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, LastUpdateTime: metav1.NewTime(a.now()), Reason: ReasonApproved, Message: out.Why,
	}
	switch out.Answer {
	case Denied:
		condition.Type, condition.Reason = certificatesv1.CertificateDenied, ReasonDenied
	case NoOpinion, NotYet:
		return out, nil
	}
	request.Status.Conditions = append(request.Status.Conditions, condition)
	if err := a.API.SubResource("approval").Update(ctx, request); err != nil {
		return Decision{}, fmt.Errorf("update approval of request %s: %w", request.Name, err)
	}
	return out, nil
}

func (a Approver) judge(ctx context.Context, request *certificatesv1.CertificateSigningRequest) (Decision, error) {
	switch request.Spec.SignerName {
	case certificatesv1.KubeletServingSignerName:
		return a.serving(ctx, request)
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return a.kubelet(ctx, request)
	case certificatesv1.KubeAPIServerClientSignerName:
		return a.nodeAgent(ctx, request)
	}
	return Decision{}, nil
}

func (a Approver) serving(ctx context.Context, request *certificatesv1.CertificateSigningRequest) (Decision, error) {
	name, ok := nodeOf(request.Spec.Username)
	if !ok {
		return deny("user %q is not a node", request.Spec.Username), nil
	}
	node, err := a.node(ctx, name)
	if err != nil {
		return Decision{}, err
	}
	if node == nil {
		return Decision{NotYet, fmt.Sprintf("there is no Node %s", name)}, nil
	}
	err = CheckServing(request, node)
	switch {
	case errors.Is(err, errOtherNames):
		return Decision{NotYet, err.Error()}, nil
	case err != nil:
		return deny("%s", err), nil
	}
	return Decision{Approved, "the request is for this node's serving certificate"}, nil
}

// kubelet decides for tokens. kube-controller-manager does it for nodes that renew theirs; it would do it for tokens, too, but for
// whichever name is asked for, so that every token could become every node.
func (a Approver) kubelet(ctx context.Context, request *certificatesv1.CertificateSigningRequest) (Decision, error) {
	id, ok := tokenOf(request)
	if !ok {
		return Decision{}, nil
	}
	node, err := CheckKubelet(request)
	if err != nil {
		return deny("%s", err), nil
	}
	// A kubelet's certificate says nothing of a pool: the token's is the one.
	return a.spend(ctx, request, id, node, func(t token.Token) string { return t.Binding.Pool })
}

func (a Approver) nodeAgent(ctx context.Context, request *certificatesv1.CertificateSigningRequest) (Decision, error) {
	node, pool, err := CheckNodeAgent(request)
	switch {
	case errors.Is(err, errForeign):
		return Decision{}, nil
	case err != nil:
		return deny("%s", err), nil
	}
	if request.Spec.Username == constants.NodeAgentUserNamePrefix+node {
		return a.renewal(ctx, request, node, pool)
	}
	id, ok := tokenOf(request)
	if !ok {
		return deny("user %q is neither a bootstrap token nor the agent of node %s", request.Spec.Username, node), nil
	}
	pools, err := a.Pools(ctx)
	if err != nil {
		return Decision{}, err
	}
	if len(pools) == 0 {
		return Decision{NotYet, "the pools of the cluster are not known: its definition is missing"}, nil
	}
	at := slices.IndexFunc(pools, func(p cluster.Pool) bool { return p.Name == pool })
	if at < 0 {
		return deny("the cluster has no pool %s", pool), nil
	}
	if pools[at].ControlPlane {
		// Its configuration holds the cluster's authorities.
		t, err := token.Store{API: a.API}.Get(ctx, id)
		if client.IgnoreNotFound(err) != nil {
			return Decision{}, err
		}
		if err != nil || t.Binding.Pool != pool {
			return deny("token %s is not bound to pool %s, which runs the control plane", id, pool), nil
		}
	}
	return a.spend(ctx, request, id, node, func(token.Token) string { return pool })
}

// renewal: an agent stays what it is, as long as its Node stays and is in its pool. The label of the pool is one that agents cannot write.
func (a Approver) renewal(ctx context.Context, request *certificatesv1.CertificateSigningRequest, name, pool string) (Decision, error) {
	for _, group := range []string{constants.NodeAgentsGroup, secret.NodeAgentPoolGroup(pool)} {
		if !slices.Contains(request.Spec.Groups, group) {
			return deny("user %q is not in the group %s", request.Spec.Username, group), nil
		}
	}
	node, err := a.node(ctx, name)
	switch {
	case err != nil:
		return Decision{}, err
	case node == nil:
		return deny("there is no Node %s any more", name), nil
	case Leaving(node):
		return deny("node %s is about to leave", name), nil
	case node.Labels[constants.LabelWorkerPool] != pool: // a Node that was just made may lack it
		return Decision{NotYet, fmt.Sprintf("the agent is of pool %s, Node %s is in pool %q", pool, name, node.Labels[constants.LabelWorkerPool])}, nil
	}
	return Decision{Approved, "the node agent renews its certificate"}, nil
}

// spend lets a node join with a token, and records it there before the approval: a token for one node is used up even when the
// approval fails, and the same node may go on with it.
func (a Approver) spend(ctx context.Context, request *certificatesv1.CertificateSigningRequest, id, name string, poolOf func(token.Token) string) (Decision, error) {
	store := token.Store{API: a.API}
	t, err := store.Get(ctx, id)
	switch {
	case apierrors.IsNotFound(err):
		return deny("token %s is not there any more", id), nil
	case err != nil:
		return Decision{}, err
	case t.Binding.Open() && !slices.Contains(request.Spec.Groups, secret.GroupOpenTokens):
		return Decision{}, nil // somebody else's token
	}
	pool := poolOf(t)
	if err := t.Admits(name, pool, a.now()); err != nil {
		return deny("%s", err), nil
	}
	node, err := a.node(ctx, name)
	if err != nil {
		return Decision{}, err
	}
	if refusal := mayBe(t, name, node); refusal != nil {
		return deny("%s", refusal), nil
	}
	if err := store.Use(ctx, id, name, pool, a.now()); err != nil {
		return Decision{}, err
	}
	return Decision{Approved, fmt.Sprintf("%s admits node %s", t, name)}, nil
}

// mayBe is nil when who has the token may get certificates of the name. With a token one does not become a node that is there (contract
// resource-manager §6), but for three: whoever proved that it is the node; a join that is run again, until the node's agent
// has taken over, which has all certificates then; and a machine that comes back as a dead node, with a token for it alone.
func mayBe(t token.Token, name string, node *corev1.Node) error {
	switch {
	case t.Binding.Renewal && (node == nil || Leaving(node)):
		return fmt.Errorf("%s is to renew certificates of node %s, which is gone", t, name)
	case node == nil, t.Binding.Renewal:
		return nil
	case slices.Contains(t.UsedBy, name) && node.Annotations[AnnotationApplied] == "":
		return nil
	case t.Binding.Node == name && !ready(node):
		return nil
	}
	return fault.New(fault.NodeNameTaken, "there is a Node %s already", name)
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// node returns the Node, nil when there is none.
func (a Approver) node(ctx context.Context, name string) (*corev1.Node, error) {
	node := &corev1.Node{}
	err := a.API.Get(ctx, client.ObjectKey{Name: name}, node)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get Node %s: %w", name, err)
	}
	return node, nil
}

// tokenOf is the bootstrap token that the request was made with.
func tokenOf(request *certificatesv1.CertificateSigningRequest) (id string, ok bool) {
	id, ok = strings.CutPrefix(request.Spec.Username, bootstrapapi.BootstrapUserPrefix)
	return id, ok && slices.Contains(request.Spec.Groups, bootstrapapi.BootstrapDefaultGroup)
}

func (a Approver) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}
