package integration

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/nodeaccess"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	agents  = "gardener.cloud:node-agents"
	agentOf = "gardener.cloud:node-agent:machine:"
	uid     = "11111111-2222-3333-4444-555555555555"
)

// twoPools is the built-in cluster and a pool of workers.
func twoPools() manifest.Set {
	set := manifest.Builtin(manifest.DefaultNodes())
	worker := *set.Shoot.Spec.Provider.Workers[0].DeepCopy()
	worker.Name, worker.ControlPlane = "workers", nil
	set.Shoot.Spec.Provider.Workers = append(set.Shoot.Spec.Provider.Workers[:1], worker)
	return set
}

// giveAccess applies the component node-access.
func (a *api) giveAccess(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	objects, err := nodeaccess.New().Objects(component.Input{Cluster: c})
	check(t, err)
	for _, object := range objects {
		check(t, a.admin.ApplyObjects(t.Context(), object))
	}
	before := a.admin.Changes()
	for _, object := range objects {
		check(t, a.admin.ApplyObjects(t.Context(), object))
	}
	if a.admin.Changes() != before {
		t.Error("to apply the same objects again changes some of them")
	}
}

// attempt is something that a node agent tries to do to an object that an administrator made.
type attempt struct {
	who    client.Client
	object client.Object // what is there
	do     func(ctx context.Context, who client.Client, object client.Object) error
}

func TestNodeAgentsWriteOnlyWhatIsTheirs(t *testing.T) {
	on := start(t)
	c, err := cluster.New(twoPools(), uid)
	check(t, err)
	on.giveAccess(t, c)
	worker := on.user(t, agentOf+"w1", agents, secret.NodeAgentPoolGroup("workers"))
	controller := on.user(t, agentOf+"cp1", agents, secret.NodeAgentPoolGroup("control-plane"))
	namesake := on.user(t, agentOf+"control-plane", agents, secret.NodeAgentPoolGroup("workers"))
	nameless := on.user(t, "somebody", agents, secret.NodeAgentPoolGroup("workers"))
	admin := on.user(t, "admin2", "system:masters")
	kubelet := on.user(t, "system:node:w1", "system:nodes")
	workerKey, controllerKey := keyOf(t, c, "workers"), keyOf(t, c, "control-plane")

	// The policies take a moment to work.
	eventually(t, "the policies are enforced", func() bool {
		return refused(onFresh(t, on, attempt{worker, node("w2"), label("x", "y")})) &&
			refused(onFresh(t, on, attempt{kubelet, node("w1"), annotate("node.gardenadm.dev/x", "y")}))
	})
	pooled := func(pool string) *corev1.Node {
		out := node("w1")
		out.Annotations["node.gardenadm.dev/pool"] = pool
		return out
	}

	allowed := map[string]attempt{
		"role":                          {worker, node("w1"), label("node-role.kubernetes.io/worker", "")},
		"zone":                          {worker, node("w1"), label("topology.kubernetes.io/zone", "z")},
		"version":                       {worker, node("w1"), label("worker.gardener.cloud/kubernetes-version", "1.36.3")},
		"checksum":                      {worker, node("w1"), annotate("checksum/cloud-config-data", "x")},
		"its pool":                      {worker, node("w1"), annotate("node.gardenadm.dev/pool", "workers")},
		"a pool that is there already":  {worker, pooled("other"), label("node-role.kubernetes.io/worker", "")},
		"kubelet: its node":             {kubelet, nil, create(node("w1"))},
		"kubelet: a label":              {kubelet, pooled("workers"), label("example.com/x", "y")},
		"kubelet: an annotation":        {kubelet, pooled("workers"), annotate("example.com/x", "y")},
		"kubelet: that it leaves":       {kubelet, pooled("workers"), annotate("node.gardenadm.dev/leaving", "true")},
		"kubelet: its state":            {kubelet, pooled("workers"), condition("Ready")},
		"that it leaves":                {worker, node("w1"), annotate("node.gardenadm.dev/leaving", "true")},
		"where API servers are":         {worker, configMap("gardenadm-endpoints"), read},
		"restart request is done":       {worker, node("w1"), annotate("worker.gardener.cloud/restart-systemd-services", "")},
		"condition":                     {worker, node("w1"), condition("SystemdUnitsReady")},
		"nothing":                       {worker, node("w1"), update(func(*corev1.Node) {})},
		"role of the control plane":     {controller, node("cp1"), label("node-role.kubernetes.io/control-plane", "")},
		"own lease, new":                {worker, nil, create(lease("gardener-node-agent-w1"))},
		"own lease":                     {worker, lease("gardener-node-agent-w1"), renew},
		"own lease, called like a pool": {namesake, lease("gardener-node-agent-control-plane"), renew},
		"turn of the workers":           {worker, lease(osc.TurnLease(workerKey)), renew},
		"turn of the control plane":     {controller, lease(osc.TurnLease(controllerKey)), renew},
		"own configuration":             {worker, secretOf(workerKey), read},
		"control plane configuration":   {controller, secretOf(controllerKey), read},
		"other nodes are seen":          {worker, node("w2"), read},
		"the administrator, all of it":  {admin, node("w2"), update(func(n *corev1.Node) { n.Labels = map[string]string{"x": "y"}; n.Spec.Unschedulable = true })},
	}
	for name, one := range allowed {
		t.Run("may: "+name, func(t *testing.T) { check(t, onFresh(t, on, one)) })
	}
	forbidden := map[string]attempt{
		"another node":                  {worker, node("w2"), label("node-role.kubernetes.io/worker", "")},
		"another node's status":         {worker, node("w2"), condition("SystemdUnitsReady")},
		"a node of a longer name":       {worker, node("w10"), label("node-role.kubernetes.io/worker", "")},
		"a node, without a name of one": {nameless, node("w1"), label("node-role.kubernetes.io/worker", "")},
		"that another node leaves":      {worker, node("w2"), annotate("node.gardenadm.dev/leaving", "true")},
		"a foreign pool":                {worker, node("w1"), annotate("node.gardenadm.dev/pool", "control-plane")},
		"from one pool into another":    {worker, pooled("workers"), annotate("node.gardenadm.dev/pool", "control-plane")},
		"kubelet: another pool":         {kubelet, node("w1"), label("worker.gardener.cloud/pool", "control-plane")},
		"kubelet: no pool":              {kubelet, node("w1"), update(func(n *corev1.Node) { delete(n.Labels, "worker.gardener.cloud/pool") })},
		"kubelet: another pool by the status": {kubelet, node("w1"), func(ctx context.Context, who client.Client, o client.Object) error {
			return patch(ctx, who.Status(), o, func(n *corev1.Node) { n.Labels["worker.gardener.cloud/pool"] = "control-plane" })
		}},
		"kubelet: its pool, as its agent":       {kubelet, node("w1"), annotate("node.gardenadm.dev/pool", "control-plane")},
		"kubelet: its pool, another":            {kubelet, pooled("workers"), annotate("node.gardenadm.dev/pool", "control-plane")},
		"kubelet: its pool, away":               {kubelet, pooled("workers"), update(func(n *corev1.Node) { delete(n.Annotations, "node.gardenadm.dev/pool") })},
		"kubelet: its pool, new":                {kubelet, nil, create(pooled("control-plane"))},
		"kubelet: what the gardenlet remembers": {kubelet, node("w1"), annotate("node.gardenadm.dev/applied", "{}")},
		"what the gardenlet remembers":          {worker, node("w1"), annotate("node.gardenadm.dev/applied", "{}")},
		"its own delay":                         {worker, node("w1"), annotate("node-agent.gardener.cloud/reconciliation-delay", "0s")},
		"the inventory":                         {worker, configMap("gardenadm-inventory"), read},
		"a list of API servers of its own": {worker, configMap("gardenadm-endpoints"), func(ctx context.Context, who client.Client, o client.Object) error {
			return who.Update(ctx, o)
		}},
		"become control plane": {worker, node("w1"), label("node-role.kubernetes.io/control-plane", "")},
		"another pool":         {worker, node("w1"), label("worker.gardener.cloud/pool", "control-plane")},
		"a pool's label away":  {worker, node("w1"), update(func(n *corev1.Node) { delete(n.Labels, "worker.gardener.cloud/pool") })},
		"another annotation":   {worker, node("w1"), annotate("flannel.alpha.coreos.com/public-ip", "192.0.2.1")},
		"no taints":            {worker, node("w1"), update(func(n *corev1.Node) { n.Spec.Taints = nil })},
		"cordon":               {worker, node("w1"), update(func(n *corev1.Node) { n.Spec.Unschedulable = true })},
		"a finalizer":          {worker, node("w1"), update(func(n *corev1.Node) { n.Finalizers = []string{"example.com/x"} })},
		"an owner": {worker, node("w1"), update(func(n *corev1.Node) {
			n.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "w2", UID: "x"}}
		})},
		"the Ready condition": {worker, node("w1"), condition("Ready")},
		"an address":          {worker, node("w1"), status(func(s *corev1.NodeStatus) { s.Addresses[0].Address = "192.0.2.99" })},
		"one address more": {worker, node("w1"), status(func(s *corev1.NodeStatus) {
			s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "192.0.2.99"})
		})},
		"capacity": {worker, node("w1"), status(func(s *corev1.NodeStatus) {
			s.Capacity = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("99")}
		})},
		"a label by the status": {worker, node("w1"), func(ctx context.Context, who client.Client, o client.Object) error {
			return patch(ctx, who.Status(), o, func(n *corev1.Node) { n.Labels["x"] = "y" })
		}},
		"a new Node":                        {worker, nil, create(node("w1"))},
		"no Node":                           {worker, node("w1"), remove},
		"another node's lease":              {worker, lease("gardener-node-agent-w2"), renew},
		"another's lease, new":              {worker, nil, create(lease("gardener-node-agent-w2"))},
		"the scheduler's lease":             {worker, lease("kube-scheduler"), renew},
		"the gardenlet's lease":             {worker, lease("gardenlet"), renew},
		"a lease, without a name of a node": {nameless, lease("gardener-node-agent-w1"), renew},
		"turn of control plane":             {worker, lease(osc.TurnLease(controllerKey)), renew},
		"turn of the pool of its name":      {namesake, lease(osc.TurnLease(controllerKey)), renew},
		"turn of the workers":               {controller, lease(osc.TurnLease(workerKey)), renew},
		"a lease gone":                      {worker, lease("gardener-node-agent-w1"), remove},
		"control plane's secrets":           {worker, secretOf(controllerKey), read},
		"workers' secrets":                  {controller, secretOf(workerKey), read},
		"any secret":                        {worker, secretOf("other"), read},
		"own configuration, write":          {worker, secretOf(workerKey), func(ctx context.Context, who client.Client, o client.Object) error { return who.Update(ctx, o) }},
		"pods": {worker, nil, func(ctx context.Context, who client.Client, _ client.Object) error {
			return who.List(ctx, &corev1.PodList{})
		}},
	}
	for name, one := range forbidden {
		t.Run("may not: "+name, func(t *testing.T) {
			if err := onFresh(t, on, one); !refused(err) {
				t.Errorf("got %v, want to be refused", err)
			}
		})
	}
}

// refused: by a role that is missing, or by one of our policies.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'gardenadm-")
}

// onFresh makes the object, lets the attempt happen, and removes the object.
func onFresh(t *testing.T, on *api, one attempt) error {
	t.Helper()
	if one.object == nil {
		return one.do(t.Context(), one.who, nil)
	}
	object := one.object.DeepCopyObject().(client.Object)
	client.IgnoreNotFound(on.admin.Delete(t.Context(), object.DeepCopyObject().(client.Object))) //nolint:errcheck // it need not be there
	check(t, on.admin.Create(t.Context(), object))
	if n, ok := object.(*corev1.Node); ok {
		n.Status = one.object.(*corev1.Node).Status
		check(t, on.admin.Status().Update(t.Context(), n))
	}
	err := one.do(t.Context(), one.who, object)
	check(t, client.IgnoreNotFound(on.admin.Delete(context.WithoutCancel(t.Context()), object)))
	return err
}

func node(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"worker.gardener.cloud/pool": "workers"}, Annotations: map[string]string{"mine": "x"}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: "x", Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}},
		},
	}
}

func lease(name string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}}
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: name}}},
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}}
}

func secretOf(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}}
}

type do = func(context.Context, client.Client, client.Object) error

func patch(ctx context.Context, who client.SubResourceWriter, object client.Object, change func(*corev1.Node)) error {
	before := object.DeepCopyObject().(client.Object)
	change(object.(*corev1.Node))
	return who.Patch(ctx, object, client.MergeFrom(before))
}

func label(key, value string) do {
	return update(func(n *corev1.Node) { n.Labels[key] = value })
}

func annotate(key, value string) do {
	return update(func(n *corev1.Node) { n.Annotations[key] = value })
}

func update(change func(*corev1.Node)) do {
	return func(ctx context.Context, who client.Client, object client.Object) error {
		before := object.DeepCopyObject().(client.Object)
		change(object.(*corev1.Node))
		return who.Patch(ctx, object, client.MergeFrom(before))
	}
}

func status(change func(*corev1.NodeStatus)) do {
	return func(ctx context.Context, who client.Client, object client.Object) error {
		return patch(ctx, who.Status(), object, func(n *corev1.Node) { change(&n.Status) })
	}
}

func condition(kind corev1.NodeConditionType) do {
	return status(func(s *corev1.NodeStatus) {
		s.Conditions = slices.DeleteFunc(s.Conditions, func(c corev1.NodeCondition) bool { return c.Type == kind })
		s.Conditions = append(s.Conditions, corev1.NodeCondition{Type: kind, Status: corev1.ConditionFalse, Reason: "Test"})
	})
}

func create(object client.Object) do {
	return func(ctx context.Context, who client.Client, _ client.Object) error {
		return who.Create(ctx, object.DeepCopyObject().(client.Object))
	}
}

func renew(ctx context.Context, who client.Client, object client.Object) error {
	holder := "me"
	object.(*coordinationv1.Lease).Spec.HolderIdentity = &holder
	return who.Update(ctx, object)
}

func read(ctx context.Context, who client.Client, object client.Object) error {
	return who.Get(ctx, client.ObjectKeyFromObject(object), object)
}

func remove(ctx context.Context, who client.Client, object client.Object) error {
	return who.Delete(ctx, object)
}

func keyOf(t *testing.T, c *cluster.Cluster, pool string) string {
	t.Helper()
	for _, one := range c.Pools {
		if one.Name == pool {
			key, err := osc.Key(c, one)
			check(t, err)
			return key
		}
	}
	t.Fatalf("no pool %s", pool)
	return ""
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for a minute: %s", what)
		}
	}
}

// TestGardenletRights: it may not do what is not its work. What is its work is shown by TestGardenletLooksAfterNodes.
func TestGardenletRights(t *testing.T) {
	on := start(t)
	c, err := cluster.New(twoPools(), uid)
	check(t, err)
	on.giveAccess(t, c)
	who := on.user(t, secret.Gardenlet().CommonName).Client
	eventually(t, "it has its rights", func() bool { return who.List(t.Context(), &corev1.NodeList{}) == nil })
	in := func(namespace string, object client.Object) client.Object {
		object.SetNamespace(namespace)
		return object
	}
	change := func(ctx context.Context, who client.Client, o client.Object) error {
		before := o.DeepCopyObject().(client.Object)
		o.SetLabels(map[string]string{"x": "y"})
		return who.Patch(ctx, o, client.MergeFrom(before))
	}
	allowed := map[string]attempt{
		"take a taint away": {who, node("w1"), update(func(n *corev1.Node) { n.Spec.Taints = nil })},
		"delete a Node":     {who, node("w1"), remove},
		"delete a Lease":    {who, lease("gardener-node-agent-w1"), remove},
		"delete a Secret":   {who, secretOf("gardener-node-agent-gone"), remove},
	}
	for name, one := range allowed {
		t.Run("may: "+name, func(t *testing.T) { check(t, onFresh(t, on, one)) })
	}
	forbidden := map[string]attempt{
		"a new Node":                    {who, nil, create(node("w1"))},
		"a Node's status":               {who, node("w1"), condition("Ready")},
		"a kubelet's lease":             {who, in("kube-node-lease", lease("w1")), remove},
		"another lease":                 {who, lease("kube-scheduler"), renew},
		"secrets elsewhere":             {who, in("default", secretOf("x")), read},
		"other maps":                    {who, configMap("gardenadm-pools"), read},
		"the list of API servers, gone": {who, configMap("gardenadm-endpoints"), remove},
		"other daemon sets":             {who, daemonSet("kube-proxy"), change},
		"a pod":                         {who, pod("x"), remove},
		"pods elsewhere": {who, nil, func(ctx context.Context, who client.Client, _ client.Object) error {
			return who.List(ctx, &corev1.PodList{}, client.InNamespace("default"))
		}},
		"an approval for a signer that is not the nodes'": {who, nil, func(ctx context.Context, who client.Client, _ client.Object) error {
			request := clientRequest(t, "foreign", "w1", true)
			request.Spec.SignerName = "example.com/mine"
			if err := on.admin.Create(ctx, request); err != nil {
				return err
			}
			request.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "x"}}
			return who.SubResource("approval").Update(ctx, request)
		}},
	}
	for name, one := range forbidden {
		t.Run("may not: "+name, func(t *testing.T) {
			if err := onFresh(t, on, one); !refused(err) {
				t.Errorf("got %v, want to be refused", err)
			}
		})
	}
}
