package certificate_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	agents     = "gardener.cloud:node-agents"
	agentUser  = "gardener.cloud:node-agent:machine:machine-1"
	tokens     = "system:bootstrappers"
	workers    = agents + ":pool:workers"
	controller = agents + ":pool:control-plane"
)

// clock is that of the tests, to the second as annotations keep it.
func clock() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// api is an API that remembers which requests were decided, and by which subresource.
type api struct {
	client.Client
	updates []string
	refuse  error
}

func newAPI(t *testing.T, objects ...client.Object) *api {
	t.Helper()
	out := &api{}
	refuse := func() error { return out.refuse }
	out.Client = fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).
		WithStatusSubresource(&certificatesv1.CertificateSigningRequest{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				if err := refuse(); err != nil {
					return err
				}
				return c.Update(ctx, o, opts...)
			},
			SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
				out.updates = append(out.updates, sub+" of "+o.GetName())
				if err := refuse(); err != nil {
					return err
				}
				return c.SubResource(sub).Update(ctx, o, opts...)
			},
		}).Build()
	return out
}

func (a *api) approver() certificate.Approver {
	return certificate.Approver{API: a, Now: clock, Pools: func(context.Context) ([]cluster.Pool, error) {
		return []cluster.Pool{{Name: "control-plane", ControlPlane: true, Worker: gardencore.Worker{}}, {Name: "workers"}}, nil
	}}
}

// bootstrap are the tokens of the cluster by ID: open, bound in each way, expired, and somebody else's.
func bootstrap(t *testing.T, out *api) {
	t.Helper()
	for id, binding := range map[string]token.Binding{
		"open00": {}, "node01": {Node: "machine-1"}, "pool01": {Pool: "workers"}, "single": {SingleUse: true}, "contro": {Pool: "control-plane"}, "expire": {Pool: "workers"},
		"usedup": {}, "renew0": {Node: "machine-1", Pool: "workers", Renewal: true}, "renewc": {Node: "machine-1", Pool: "control-plane", Renewal: true},
	} {
		one := token.Token{ID: id, Secret: "0123456789abcdef", Expires: clock().Add(time.Hour), Binding: binding}
		if id == "expire" {
			one.Expires = clock().Add(-time.Second)
		}
		if id == "usedup" {
			one.UsedBy = []string{"machine-1", "machine-2"}
		}
		if err := (token.Store{API: out.Client}).Create(t.Context(), one); err != nil && !strings.Contains(err.Error(), "cluster-info") {
			t.Fatal(err)
		}
	}
}

// kubelet is the honest request of machine-1's kubelet for its first client certificate, with a token.
func kubelet(id string) *asked {
	a := &asked{user: "system:bootstrap:" + id, groups: []string{tokens, "system:authenticated"}, signer: certificatesv1.KubeAPIServerClientKubeletSignerName}
	a.usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	a.csr.Subject.CommonName, a.csr.Subject.Organization = "system:node:machine-1", []string{"system:nodes"}
	if id == "open00" || id == "usedup" {
		a.groups = append(a.groups, secret.GroupOpenTokens)
	}
	return a
}

// agent is the honest request of machine-1's node agent in pool workers.
func agent(id string) *asked {
	a := kubelet(id)
	a.signer = certificatesv1.KubeAPIServerClientSignerName
	a.usages = append(a.usages, certificatesv1.UsageKeyEncipherment)
	a.csr.Subject.CommonName, a.csr.Subject.Organization = agentUser, []string{agents, workers}
	return a
}

// renewal is what machine-1's node agent asks for later, as itself.
func renewal() *asked {
	a := agent("")
	a.user, a.groups = agentUser, []string{agents, workers, "system:authenticated"}
	return a
}

func node1() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-1", Labels: map[string]string{"worker.gardener.cloud/pool": "workers"}}}
}

// moved is another machine of machine-1's name, in another pool.
func moved() *corev1.Node {
	out := live()
	out.Labels = map[string]string{"worker.gardener.cloud/pool": "other"}
	return out
}

// joining is machine-1 before its agent has taken over, live is what it is then, and leaves is what becomes of it.
func joining() *corev1.Node {
	out := node1()
	out.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return out
}

func live() *corev1.Node {
	out := joining()
	out.Annotations = map[string]string{certificate.AnnotationApplied: "x"}
	return out
}

func leaves() *corev1.Node {
	out := live()
	out.Annotations[certificate.AnnotationLeaving] = "true"
	return out
}

func TestDecide(t *testing.T) {
	age := func(of *asked, age time.Duration) *asked { of.created = clock().Add(-age); return of }
	change := func(of *asked, change func(*asked)) *asked { change(of); return of }
	pool := func(group string) func(*asked) {
		return func(a *asked) { a.csr.Subject.Organization = []string{agents, group} }
	}
	tests := map[string]struct {
		asked   *asked
		objects []client.Object
		want    certificate.Answer
		why     string
	}{
		// Serving certificates; what is asked for is told by the tests of CheckServing.
		"serving":                              {honest(), []client.Object{plain()}, certificate.Approved, "serving certificate"},
		"serving, by no node":                  {change(honest(), func(a *asked) { a.user = "admin" }), []client.Object{plain()}, certificate.Denied, `user "admin" is not a node`},
		"serving, by a user of an empty name":  {change(honest(), func(a *asked) { a.user = "system:node:" }), []client.Object{plain()}, certificate.Denied, "is not a node"},
		"serving, greedy":                      {change(honest(), func(a *asked) { a.csr.URIs = []*url.URL{{Scheme: "x"}} }), []client.Object{plain()}, certificate.Denied, "neither"},
		"serving, before the Node":             {age(honest(), time.Second), nil, certificate.NotYet, "no Node machine-0"},
		"serving, without a Node":              {age(honest(), 2*time.Minute), nil, certificate.Denied, "no Node machine-0"},
		"serving, before the address":          {age(honest(), time.Second), []client.Object{node(address(corev1.NodeHostName, "machine-0"))}, certificate.NotYet, "are not the node's"},
		"serving, with another node's address": {age(honest(), 2*time.Minute), []client.Object{node(address(corev1.NodeHostName, "machine-0"))}, certificate.Denied, "are not the node's"},

		// Client certificates of kubelets.
		"kubelet, token for the node":            {kubelet("node01"), nil, certificate.Approved, "token node01 admits node machine-1"},
		"kubelet, token for the node, again":     {kubelet("node01"), []client.Object{node1()}, certificate.Approved, "admits"},
		"kubelet, token for a pool":              {kubelet("pool01"), nil, certificate.Approved, "admits"},
		"kubelet, single use":                    {kubelet("single"), nil, certificate.Approved, "admits"},
		"kubelet, open token":                    {kubelet("open00"), nil, certificate.Approved, "token open00 admits node machine-1"},
		"kubelet, open token, Node is there":     {kubelet("open00"), []client.Object{node1()}, certificate.Denied, "there is a Node machine-1 already (GA-2402)"},
		"kubelet, its token, Node is there":      {kubelet("node01"), []client.Object{live()}, certificate.Denied, "there is a Node machine-1 already (GA-2402)"},
		"node agent, its token, Node is there":   {agent("node01"), []client.Object{live()}, certificate.Denied, "there is a Node machine-1 already (GA-2402)"},
		"kubelet, renewal":                       {kubelet("renew0"), []client.Object{live()}, certificate.Approved, "token renew0 admits node machine-1"},
		"node agent, renewal":                    {agent("renew0"), []client.Object{live()}, certificate.Approved, "admits"},
		"renewal, of a node that is gone":        {agent("renew0"), nil, certificate.Denied, "machine-1, which is gone"},
		"renewal, of a node that leaves":         {agent("renew0"), []client.Object{leaves()}, certificate.Denied, "machine-1, which is gone"},
		"kubelet, renewal by another node":       {change(kubelet("renew0"), func(a *asked) { a.csr.Subject.CommonName = "system:node:machine-2" }), []client.Object{live()}, certificate.Denied, "token renew0 is for node machine-1"},
		"node agent, renewal for another pool":   {change(agent("renew0"), pool(controller)), []client.Object{live()}, certificate.Denied, "token renew0 is not bound to pool control-plane"},
		"node agent, renewal, control plane":     {change(agent("renewc"), pool(controller)), []client.Object{live()}, certificate.Approved, "admits"},
		"join that is run again, kubelet":        {kubelet("usedup"), []client.Object{joining()}, certificate.Approved, "admits"},
		"join that is run again, agent":          {agent("usedup"), []client.Object{joining()}, certificate.Approved, "admits"},
		"join that was over, kubelet":            {kubelet("usedup"), []client.Object{live()}, certificate.Denied, "there is a Node machine-1 already (GA-2402)"},
		"join that was over, agent":              {agent("usedup"), []client.Object{live()}, certificate.Denied, "there is a Node machine-1 already (GA-2402)"},
		"kubelet that renews":                    {change(kubelet(""), func(a *asked) { a.user = "system:node:machine-1" }), []client.Object{node1()}, certificate.NoOpinion, ""},
		"kubelet, token's user without group":    {change(kubelet("node01"), func(a *asked) { a.groups = nil }), nil, certificate.NoOpinion, ""},
		"kubelet, token for another node":        {change(kubelet("node01"), func(a *asked) { a.csr.Subject.CommonName = "system:node:machine-2" }), nil, certificate.Denied, "token node01 is for node machine-1, not for machine-2"},
		"kubelet, expired token":                 {kubelet("expire"), nil, certificate.Denied, "token expire expired"},
		"kubelet, token that is gone":            {kubelet("gone00"), nil, certificate.Denied, "token gone00 is not there any more"},
		"kubelet, Node that is there":            {kubelet("pool01"), []client.Object{node1()}, certificate.Denied, "there is a Node machine-1 already (GA-2402)"},
		"kubelet, another organization":          {change(kubelet("node01"), func(a *asked) { a.csr.Subject.Organization = []string{"system:masters"} }), nil, certificate.Denied, `organization ["system:masters"]`},
		"kubelet, one organization more":         {change(kubelet("node01"), func(a *asked) { a.csr.Subject.Organization = append(a.csr.Subject.Organization, "system:masters") }), nil, certificate.Denied, "organization"},
		"kubelet, no node's name":                {change(kubelet("node01"), func(a *asked) { a.csr.Subject.CommonName = "admin" }), nil, certificate.Denied, `common name "admin"`},
		"kubelet, an empty name":                 {change(kubelet("pool01"), func(a *asked) { a.csr.Subject.CommonName = "system:node:" }), nil, certificate.Denied, "common name"},
		"kubelet, a name that no Node can have":  {change(kubelet("pool01"), func(a *asked) { a.csr.Subject.CommonName = "system:node:a,b" }), nil, certificate.Denied, "common name"},
		"kubelet, with a host name":              {change(kubelet("node01"), func(a *asked) { a.csr.DNSNames = []string{"machine-1"} }), nil, certificate.Denied, "no subject alternative names"},
		"kubelet, with an address":               {change(kubelet("node01"), func(a *asked) { a.csr.IPAddresses = []net.IP{net.ParseIP(ip)} }), nil, certificate.Denied, "no subject alternative names"},
		"kubelet, for serving":                   {change(kubelet("node01"), func(a *asked) { a.usages = append(a.usages, certificatesv1.UsageServerAuth) }), nil, certificate.Denied, `usage "server auth"`},
		"kubelet, without usage client auth":     {change(kubelet("node01"), func(a *asked) { a.usages = nil }), nil, certificate.Denied, "usage client auth is missing"},
		"kubelet, unreadable":                    {change(kubelet("node01"), func(a *asked) { a.raw = func([]byte) []byte { return nil } }), nil, certificate.Denied, "PEM"},
		"kubelet, another signer for its name":   {change(kubelet("node01"), func(a *asked) { a.signer = certificatesv1.KubeAPIServerClientSignerName }), nil, certificate.NoOpinion, ""},
		"kubelet, a signer that is not ours":     {change(kubelet("node01"), func(a *asked) { a.signer = "example.com/mine" }), nil, certificate.NoOpinion, ""},
		"kubelet, somebody else's token":         {kubelet("foreig"), []client.Object{foreignToken()}, certificate.NoOpinion, ""},
		"node agent, somebody else's token":      {agent("foreig"), []client.Object{foreignToken()}, certificate.NoOpinion, ""},
		"node agent, open token":                 {agent("open00"), nil, certificate.Approved, "token open00 admits node machine-1"},
		"node agent, organizations turned round": {change(agent("open00"), func(a *asked) { slices.Reverse(a.csr.Subject.Organization) }), nil, certificate.Approved, "admits"},
		"node agent, token for the pool":         {agent("pool01"), nil, certificate.Approved, "admits"},
		"node agent, token for the node":         {agent("node01"), nil, certificate.Approved, "admits"},
		"node agent, token for another node":     {change(agent("node01"), func(a *asked) { a.csr.Subject.CommonName = agentUser + "0" }), nil, certificate.Denied, "token node01 is for node machine-1"},
		"node agent, Node that is there":         {agent("open00"), []client.Object{node1()}, certificate.Denied, "there is a Node machine-1 already (GA-2402)"},
		"node agent, a pool that is not there":   {change(agent("open00"), pool(agents+":pool:other")), nil, certificate.Denied, "the cluster has no pool other"},
		"node agent, control plane, open token":  {change(agent("open00"), pool(controller)), nil, certificate.Denied, "token open00 is not bound to pool control-plane"},
		"node agent, control plane, for node":    {change(agent("node01"), pool(controller)), nil, certificate.Denied, "token node01 is not bound to pool control-plane"},
		"node agent, control plane, workers'":    {change(agent("pool01"), pool(controller)), nil, certificate.Denied, "token pool01 is not bound to pool control-plane"},
		"node agent, control plane, its token":   {change(agent("contro"), pool(controller)), nil, certificate.Approved, "admits"},
		"node agent, workers, other token":       {agent("contro"), nil, certificate.Denied, "token contro is for pool control-plane, not for workers"},
		"node agent, two pools":                  {change(agent("contro"), func(a *asked) { a.csr.Subject.Organization = []string{agents, workers, controller} }), nil, certificate.Denied, "organization"},
		"node agent, no pool":                    {change(agent("open00"), func(a *asked) { a.csr.Subject.Organization = []string{agents} }), nil, certificate.Denied, "organization"},
		"node agent, an empty pool":              {change(agent("open00"), pool(agents+":pool:")), nil, certificate.Denied, "organization"},
		"node agent, administrators too":         {change(agent("open00"), func(a *asked) { a.csr.Subject.Organization = append(a.csr.Subject.Organization, "system:masters") }), nil, certificate.Denied, "organization"},
		"node agent, administrators instead":     {change(agent("open00"), func(a *asked) { a.csr.Subject.Organization = []string{"system:masters", workers} }), nil, certificate.Denied, "organization"},
		"node agent, a name no Node can have":    {change(agent("open00"), func(a *asked) { a.csr.Subject.CommonName = "gardener.cloud:node-agent:machine:A b" }), nil, certificate.Denied, "common name"},
		"node agent, with a URI":                 {change(agent("open00"), func(a *asked) { a.csr.URIs = []*url.URL{{Scheme: "x"}} }), nil, certificate.Denied, "no subject alternative names"},
		"node agent, for serving":                {change(agent("open00"), func(a *asked) { a.usages = []certificatesv1.KeyUsage{certificatesv1.UsageServerAuth} }), nil, certificate.Denied, "usage"},
		"node agent, by an administrator":        {change(agent(""), func(a *asked) { a.user, a.groups = "admin", []string{"system:masters"} }), nil, certificate.Denied, `user "admin" is neither`},
		"node agent, by the node's kubelet":      {change(agent(""), func(a *asked) { a.user, a.groups = "system:node:machine-1", []string{"system:nodes"} }), nil, certificate.Denied, "is neither"},
		"node agent, by another node agent":      {change(renewal(), func(a *asked) { a.user = agentUser + "0" }), []client.Object{node1()}, certificate.Denied, "is neither"},
		"renewal":                                {renewal(), []client.Object{node1()}, certificate.Approved, "renews"},
		"renewal, by a node that leaves":         {renewal(), []client.Object{leaves()}, certificate.Denied, "about to leave"},
		"renewal, of a node that was removed":    {renewal(), nil, certificate.Denied, "there is no Node machine-1 any more"},
		"renewal, for another pool":              {change(renewal(), pool(controller)), []client.Object{node1()}, certificate.Denied, "is not in the group " + controller},
		"renewal, of a Node of another pool":     {renewal(), []client.Object{moved()}, certificate.Denied, `in pool "other"`},
		"renewal, before the Node has its pool":  {age(renewal(), time.Second), []client.Object{moved()}, certificate.NotYet, `in pool "other"`},
		"renewal, by a user who is no agent":     {change(renewal(), func(a *asked) { a.groups = []string{workers} }), []client.Object{node1()}, certificate.Denied, "is not in the group " + agents},
		"another client's certificate":           {change(agent("open00"), func(a *asked) { a.csr.Subject.CommonName = "jane" }), nil, certificate.NoOpinion, ""},
		"another client's, unreadable":           {change(agent("open00"), func(a *asked) { a.raw = func([]byte) []byte { return nil } }), nil, certificate.NoOpinion, ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			request := c.asked.request(t, "csr-1")
			on := newAPI(t, append(c.objects, request)...)
			bootstrap(t, on)
			got, err := on.approver().Decide(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if got.Answer != c.want || !strings.Contains(got.Why, c.why) {
				t.Errorf("got %q: %s\nwant %q: %s", got.Answer, got.Why, c.want, c.why)
			}
			on.hasDecision(t, "csr-1", got)
		})
	}
}

// TestDecideWithoutPools: as long as nobody knows the pools, nobody is told that his is not among them.
func TestDecideWithoutPools(t *testing.T) {
	on := newAPI(t)
	bootstrap(t, on)
	approver := on.approver()
	approver.Pools = func(context.Context) ([]cluster.Pool, error) { return nil, nil }
	young := agent("open00")
	young.created = clock().Add(-time.Second)
	got, err := approver.Decide(t.Context(), young.request(t, "csr-1"))
	if err != nil || got.Answer != certificate.NotYet || !strings.Contains(got.Why, "definition is missing") {
		t.Errorf("got %q: %s (%v)", got.Answer, got.Why, err)
	}
}

// foreignToken was not made by gardenadm: it is bound to nothing, and its group is not that of open tokens.
func foreignToken() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-foreig"}, Type: corev1.SecretTypeBootstrapToken,
		Data: map[string][]byte{"token-id": []byte("foreig"), "token-secret": []byte("0123456789abcdef")},
	}
}

// hasDecision: what was decided is in the API, once and by the right subresource; what was not is untouched.
func (a *api) hasDecision(t *testing.T, name string, want certificate.Decision) {
	t.Helper()
	request := &certificatesv1.CertificateSigningRequest{}
	if err := a.Get(t.Context(), client.ObjectKey{Name: name}, request); err != nil {
		t.Fatal(err)
	}
	conditions := request.Status.Conditions
	if want.Answer != certificate.Approved && want.Answer != certificate.Denied {
		if len(a.updates)+len(conditions) > 0 {
			t.Errorf("without a decision: updates %q, conditions %v", a.updates, conditions)
		}
		return
	}
	if !slices.Equal(a.updates, []string{"approval of " + name}) || len(conditions) != 1 {
		t.Fatalf("updates %q, conditions %v", a.updates, conditions)
	}
	kind, reason := certificatesv1.CertificateApproved, certificate.ReasonApproved
	if want.Answer == certificate.Denied {
		kind, reason = certificatesv1.CertificateDenied, certificate.ReasonDenied
	}
	got := conditions[0]
	if got.Type != kind || got.Reason != reason || got.Message != want.Why || got.Status != corev1.ConditionTrue || got.LastUpdateTime.IsZero() {
		t.Errorf("condition %+v does not say %+v", got, want)
	}
}

func TestDecideOnlyOnce(t *testing.T) {
	for name, request := range map[string]*certificatesv1.CertificateSigningRequest{
		"denied": decided(honest().request(t, "csr-1"), certificatesv1.CertificateDenied, ""), "issued": issued(honest().request(t, "csr-1")),
	} {
		on := newAPI(t, plain(), request)
		if got, err := on.approver().Decide(t.Context(), request); err != nil || got.Answer != certificate.NoOpinion || len(on.updates) > 0 {
			t.Errorf("%s: got %v, %v and updates %q", name, got, err, on.updates)
		}
	}
}

// TestSingleUse: the node that joins with the token may go on with it, its agent and its kubelet too, and even when it is there already.
func TestSingleUse(t *testing.T) {
	on := newAPI(t)
	bootstrap(t, on)
	answer := func(a *asked, name string) certificate.Answer {
		request := a.request(t, name)
		if err := on.Create(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		got, err := on.approver().Decide(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		return got.Answer
	}
	for i, name := range []string{"agent", "kubelet"} {
		if got := answer([]*asked{agent("single"), kubelet("single")}[i], "csr-"+name); got != certificate.Approved {
			t.Errorf("the %s of the first node: %s", name, got)
		}
	}
	if err := on.Create(t.Context(), node1()); err != nil {
		t.Fatal(err)
	}
	if got := answer(agent("single"), "csr-again"); got != certificate.Approved {
		t.Errorf("the agent of the first node, once more: %s", got)
	}
	other := agent("single")
	other.csr.Subject.CommonName = agentUser + "0"
	if got := answer(other, "csr-other"); got != certificate.Denied {
		t.Errorf("the agent of a second node: %s", got)
	}
	used, err := token.Store{API: on}.Get(t.Context(), "single")
	if err != nil || !slices.Equal(used.UsedBy, []string{"machine-1"}) || !used.UsedAt.Equal(clock()) {
		t.Errorf("the token was used by %q at %s: %v", used.UsedBy, used.UsedAt, err)
	}
}

// TestRefusalIsTriedAgain: nothing is approved when the token's use could not be recorded, and an API's refusal is an error.
func TestRefusalIsTriedAgain(t *testing.T) {
	for name, a := range map[string]*asked{"use": agent("single"), "approval": honest()} {
		request := a.request(t, "csr-1")
		on := newAPI(t, plain(), request)
		bootstrap(t, on)
		on.refuse = errors.New("conflict")
		if _, err := on.approver().Decide(t.Context(), request); !errors.Is(err, on.refuse) {
			t.Errorf("%s: got %v, want the API's refusal", name, err)
		}
		if name == "use" && len(on.updates) > 0 {
			t.Errorf("%s: approved although the use is not recorded", name)
		}
	}
}
