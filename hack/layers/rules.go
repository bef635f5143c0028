// Package layers turns the rules of who may import whom into one test over the source tree.
// Used by nothing but its own test, which `go test ./...` runs.
package layers

// The tables. A path means the package and everything below it, and the longest one that fits counts; "=" before it
// means the package alone, "/*" behind it each folder below it for itself. What belongs where is told in
// docs/architecture.md; change a rule here only together with it.

// Module is the path of this module.
const Module = "github.com/gardenadm/gardenadm"

// For Rule.Deny: all that is of this module, and all that is neither of it nor of the standard library.
const (
	anyOurs    = "(ours)"
	anyForeign = "(foreign)"
)

// Layers come lowest first. Each imports what stands before it; those in one row are strangers to each other.
func Layers() [][]string {
	return [][]string{
		{"api", "internal/flow", "internal/fault"},
		{"internal/model"},
		{"internal/secret"},
		{"internal/render"},
		{"internal/node", "internal/kube", "internal/etcd"},
		{"internal/bundle"},
		{"internal/step"},
		{"internal/sequence/reconcile"},
		{"internal/sequence"},
		{"internal/daemon"},
		{"internal/cli"},
		{"cmd"},
	}
}

// Outside are the trees that stand beside the layers: they may import any layer, no layer imports them but for tests.
func Outside() []string { return []string{"hack", "test"} }

// TestHelpers are imported by the tests of any layer, and by nothing else.
func TestHelpers() []string { return []string{"internal/golden"} }

// Rule forbids some packages some imports.
type Rule struct {
	In     []string // who; empty means everybody
	NotIn  []string // but not these
	Deny   []string // what: paths of this module, or import paths
	Allow  []string // but these may be imported
	Tests  bool     // also in _test.go files
	Reach  bool     // also by way of other packages of ours (not seen in tests)
	Advice string   // what to do instead
}

// product is what the rules about the host are for: test/ and hack/ may do what they need.
func product() []string { return []string{"api", "internal", "cmd"} }

// Rules hold beside the order of the layers.
func Rules() []Rule {
	return []Rule{
		{
			In: []string{"internal/flow"}, Deny: []string{anyOurs, anyForeign}, Allow: TestHelpers(), Tests: true,
			Advice: "flow is a library of its own: pass what it needs into a step or an observer",
		},
		{
			In: []string{"internal/sequence/reconcile"}, Deny: []string{"internal/step/hoststep", "internal/node"}, Tests: true, Reach: true,
			Advice: "reconcile works through the API alone, wherever it runs: change machines through the OSC",
		},

		{
			In: TestHelpers(), Deny: []string{anyOurs}, Tests: true,
			Advice: "a helper for the tests of all layers stands below them all: take what it needs as an argument",
		},

		// Within render: contract and images, then the components, then the catalog.
		{
			In: []string{"=internal/render/component", "internal/model/image"}, Deny: []string{"internal/render/component/*", "internal/render/catalog"}, Tests: true,
			Advice: "the contract knows no component: let the component fill in a field of it",
		},
		{
			In: []string{"internal/render/component/*"}, Deny: []string{"internal/render/component/*", "internal/render/catalog"}, Tests: true,
			Advice: "components are strangers to each other: share through cluster, the contract or a package below it",
		},
		{
			In: []string{"internal/render"}, Deny: []string{"os", "os/exec", "io/ioutil", "net/http", "crypto/rand", "math/rand"},
			Advice: "render is pure, without disk, network and chance: take what it needs as an argument",
		},
		{
			In:     []string{"internal/render"},
			Deny:   []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
			Allow:  []string{"k8s.io/client-go/tools/clientcmd/api", "k8s.io/client-go/kubernetes/scheme"},
			Advice: "render has no client: use the API types (metav1.Object and runtime.Object for any of them)",
		},

		// One door to the host.
		{
			In: product(), NotIn: []string{"internal/node/host"}, Deny: []string{"os/exec"},
			Advice: "only node/host starts programs: give host a method, its fake and a case of the conformance suite",
		},
		{
			In: product(), NotIn: []string{"internal/node/host"}, Tests: true,
			Deny: []string{
				"github.com/coreos/go-systemd", "github.com/coreos/go-systemd/v22", "github.com/godbus/dbus",
				"github.com/vishvananda/netlink", "github.com/vishvananda/netns", "github.com/mdlayher/netlink",
				"github.com/google/nftables", "github.com/containerd/containerd",
			},
			Allow:  []string{"github.com/coreos/go-systemd/v22/unit"}, // writes the text of units, touches nothing
			Advice: "only node/host talks to systemd, the kernel and containerd: give host a method, its fake and a case of the conformance suite",
		},
		{
			In: product(), Deny: []string{"=os", "io/ioutil"},
			NotIn: append(TestHelpers(),
				"internal/node/host", "internal/bundle", "internal/secret", "internal/etcd", "internal/cli", "cmd",
			),
			Advice: "only node/host, bundle, secret's directory store, etcd, cli and cmd touch files: take an fs.FS, an io.Writer or an interface of yours that node/host fulfils",
		},

		// Foreign code.
		{
			Deny: []string{"github.com/gardener/gardener"}, Allow: []string{"github.com/gardener/gardener/pkg/apis"}, Tests: true,
			Advice: "of Gardener only the types in pkg/apis are imported; its programs are built in upstream/gardener",
		},
		{
			Deny: []string{"k8s.io/kubernetes", "k8s.io/kubeadm"}, Tests: true,
			Advice: "Kubernetes' programs are built in upstream/kubernetes; its types are in k8s.io/api",
		},
		{
			In: []string{"test/e2e"}, Deny: []string{"internal", "cmd", "hack"}, Tests: true,
			Advice: "a story drives the binary as a user does; when that is not enough, the product lacks an output",
		},
	}
}
