package sequence

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/secret"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

func TestGraphs(t *testing.T) {
	init := &Init{}
	golden.Equal(t, "testdata/boot.txt", []byte(init.Boot().String()))
	golden.Equal(t, "testdata/finish.txt", []byte(init.Finish().String()))
	golden.Equal(t, "testdata/reset.txt", []byte((&Reset{}).Graph().String()))
	golden.Equal(t, "testdata/remove.txt", []byte((&Remove{}).Graph().String()))
}

// podImages and hostImages are the names in a bundle.
func podImages() []string {
	return []string{
		image.CoreDNS, image.Etcd, image.Flannel, image.KubeAPIServer, image.KubeControllerManager, image.KubeProxy, image.KubeScheduler, image.MetricsServer, image.Pause,
	}
}

func hostImages() []string {
	return []string{image.CNIPlugins, image.Containerd, image.Hyperkube, image.Runc}
}

func reference(name string) string { return "bundle.test/" + name + ":v0" }

// programs returns which files a node takes out of which image, as its configuration says: reference → paths.
func programs(t *testing.T, i *Init) map[string][]string {
	t.Helper()
	specs, err := i.wantedSecrets()
	if err != nil {
		t.Fatal(err)
	}
	images := image.Vector{}
	for _, name := range slices.Concat(podImages(), hostImages()) {
		images[name] = reference(name)
	}
	in := component.Input{Cluster: i.Cluster, Images: images, Secrets: componenttest.Issue(specs)}
	config, err := hoststep.Render(in, i.nodes(), i.Cluster.ControlPlane)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, file := range config.Spec.Files {
		if ref := file.Content.ImageRef; ref != nil {
			out[ref.Image] = append(out[ref.Image], ref.FilePathInImage)
		}
	}
	return out
}

// pack makes a small bundle that has what a node needs.
func pack(t *testing.T, files map[string][]string) *bundle.Origin {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "bundle")
	index, err := ocilayout.Write(directory, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string, use bundle.Use) {
		img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers"}})
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: layer(t, name, files[reference(name)])}); err != nil {
			t.Fatal(err)
		}
		annotations := map[string]string{bundle.AnnotationName: name, bundle.AnnotationReference: reference(name), bundle.AnnotationUse: string(use)}
		if err := index.AppendImage(img, ocilayout.WithAnnotations(annotations)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range podImages() {
		add(name, bundle.UsePod)
	}
	for _, name := range hostImages() {
		add(name, bundle.UseHost)
	}
	out, err := bundle.OpenOrigin(t.Context(), directory, bundle.Options{Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// layer packs files that contain their own names, so that no two images are the same.
func layer(t *testing.T, image string, paths []string) v1.Layer {
	t.Helper()
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, path := range append([]string{"/name/" + image}, paths...) {
		if err := archive.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(path))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, path); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(out.Bytes(), types.OCIUncompressedLayer)
}

const program = "/root/gardenadm"

// bare returns a machine as its operating system makes it, and the story that is to be told on it. Nothing is in the machine's log yet.
func bare(t *testing.T) (*hosttest.Fake, *Init) {
	t.Helper()
	fake := bareMachine(t)
	node := cluster.Node{Name: "machine-0", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, Pool: "control-plane", Architecture: "amd64"}
	files := programs(t, &Init{Cluster: componenttest.Cluster(t), Node: node})
	return fake, &Init{Host: fake.Host(), Bundle: pack(t, files), Program: program, Secrets: &secret.Memory{}}
}

// bareMachine is the machine alone.
func bareMachine(t *testing.T) *hosttest.Fake {
	t.Helper()
	fake := hosttest.New()
	h := fake.Host()
	for _, unit := range []string{layout.UnitSysctl, layout.UnitJournald} {
		must(t, h.Files.Write(t.Context(), "/usr/lib/systemd/system/"+unit, strings.NewReader("[Service]\nExecStart=/bin/x\n"), 0o644))
		must(t, h.Units.Reload(t.Context()))
		must(t, h.Units.Start(t.Context(), unit))
	}
	must(t, h.Files.Write(t.Context(), program, strings.NewReader("gardenadm"), 0o755))
	fake.OnRun(layout.FileEtcdData, func(ctx context.Context, _ host.Command) (host.Output, error) {
		time.Sleep(slow) // tests are in a bubble, where it takes no time but shows who does not wait
		return host.Output{}, h.Files.MakeDir(ctx, layout.DirEtcdData, host.Owner{UID: layout.UID}, 0o700)
	})
	fake.ClearLog()
	return fake
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// slow is longer than anything else in Boot takes on a machine in memory.
const slow = time.Minute

var errAPIAwaited = errors.New("all but the wait for the API server is done")

// bootUntilAPI runs Boot and stops it when only the API server is waited for; that is errAPIAwaited.
func bootUntilAPI(t *testing.T, i *Init) error {
	t.Helper()
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	return i.Boot().Run(ctx, flow.ObserverFunc(func(event flow.Event) {
		if event.Task == "wait for the API server" && event.Kind == flow.Started {
			stop(errAPIAwaited)
		}
	}))
}

// first returns the index of the first line that begins so, -1 when there is none.
func first(log []string, begin string) int {
	return slices.IndexFunc(log, func(line string) bool { return strings.HasPrefix(line, begin) })
}

// startOf returns the index of the line that brings a unit up first.
func startOf(log []string, unit string) int {
	return slices.IndexFunc(log, func(line string) bool { return line == "start "+unit || line == "restart "+unit })
}

func TestBootStartsTheKubeletLast(t *testing.T) {
	synctest.Test(t, bootInOrder)
}

func bootInOrder(t *testing.T) {
	fake, i := bare(t)
	madeData := -1 // how much was done when etcd-data was ready
	fake.OnRun(layout.FileEtcdData, func(context.Context, host.Command) (host.Output, error) {
		time.Sleep(slow)
		madeData = len(fake.Log())
		return host.Output{}, nil
	})
	if err := bootUntilAPI(t, i); !errors.Is(err, errAPIAwaited) {
		t.Fatalf("got %v, log:\n%s", err, strings.Join(fake.Log(), "\n"))
	}
	log := fake.Log()
	kubelet := startOf(log, layout.UnitKubelet)
	if kubelet < 0 {
		t.Fatalf("the kubelet is not started:\n%s", strings.Join(log, "\n"))
	}
	if madeData < 0 || madeData > kubelet {
		t.Errorf("etcd's data is ready at %d, the kubelet is started at %d", madeData, kubelet)
	}
	runtime := startOf(log, layout.UnitContainerd)
	for _, name := range podImages() {
		at := first(log, "import "+reference(name)+"@sha256:")
		if at < runtime || at > kubelet || !strings.HasSuffix(log[max(at, 0)], " pinned") {
			t.Errorf("image %s is imported at %d, not between containerd at %d and the kubelet at %d, or not pinned", name, at, runtime, kubelet)
		}
	}
	for _, name := range hostImages() {
		if at := first(log, "import "+reference(name)); at >= 0 {
			t.Errorf("%s: no container is made of it", log[at])
		}
	}
	if program, run := first(log, "write "+layout.FileEtcdData+" "), first(log, "run "+layout.FileEtcdData); program < 0 || program > run {
		t.Errorf("etcd-data is run at %d and installed at %d", run, program)
	}
	for _, needed := range []string{
		"run " + layout.FileEtcdData + " create",
		"link " + layout.FileKubeletCert + " -> ",
		"write " + layout.FileKubeletConf + " 0600 ",
		"write " + layout.FileAdminKubeconfig + " 0600 ",
		"write " + layout.FileGardenadm + " 0755 ",
		"write " + layout.FileShootUID + " 0600 ",
		"write " + layout.DirManifests + "/",
		"write " + layout.FileNode + " ",
	} {
		if at := first(log, needed); at < 0 || at > kubelet {
			t.Errorf("%q is at %d, want it before the kubelet's start at %d", needed, at, kubelet)
		}
	}
}

// What fails before the kubelet's start keeps it from starting, however long it is tried again: it would pull images, or start etcd without data.
func TestBootStartsNoKubeletWithout(t *testing.T) {
	boom := errors.New("boom")
	for name, operation := range map[string]string{
		"the container runtime": "ready",
		"an image":              "import " + reference(image.KubeScheduler),
		"etcd's data":           "mkdir " + layout.DirEtcdData,
		"its certificate":       "link " + layout.FileKubeletCert,
		"gardenadm":             "write " + layout.FileGardenadm,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { bootAfterFailure(t, operation, boom) })
		})
	}
}

func bootAfterFailure(t *testing.T, operation string, boom error) {
	fake, i := bare(t)
	fake.FailOn(operation, boom)
	if err := bootUntilAPI(t, i); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if at := startOf(fake.Log(), layout.UnitKubelet); at >= 0 {
		t.Errorf("the kubelet is started although %q fails", operation)
	}
	// The next run goes on with the same identity and the same authorities.
	before, err := i.Secrets.Load(t.Context())
	must(t, err)
	fake.FailOn(operation, nil)
	again := &Init{Host: fake.Host(), Bundle: i.Bundle, Program: program, Secrets: i.Secrets}
	if err := bootUntilAPI(t, again); !errors.Is(err, errAPIAwaited) {
		t.Fatalf("run again: %v", err)
	}
	if again.Cluster.UID != i.Cluster.UID {
		t.Error("run again, the cluster has another identity")
	}
	for _, key := range before.Keys() {
		if secret.Fingerprint(before.Get(key, "", secret.DataCACert)) != secret.Fingerprint(again.secrets.Get(key, "", secret.DataCACert)) {
			t.Errorf("run again, authority %s is another one", key)
		}
	}
	if startOf(fake.Log(), layout.UnitKubelet) < 0 {
		t.Error("run again, the kubelet is not started")
	}
}

func TestBootOnAnUnfitMachineChangesNothing(t *testing.T) {
	for name, spoil := range map[string]func(*hosttest.Fake, *Init){
		"not root": func(f *hosttest.Fake, _ *Init) {
			f.SetFacts(host.Facts{HostName: "m", Architecture: "amd64", Kernel: "6.1.0", Systemd: true})
		},
		"no address":         func(f *hosttest.Fake, _ *Init) { f.SetNetwork(nil, netip.Addr{}) },
		"an address not its": func(_ *hosttest.Fake, i *Init) { i.NodeIP = netip.MustParseAddr("198.51.100.1") },
	} {
		fake, i := bare(t)
		spoil(fake, i)
		err := i.Run(t.Context(), nil)
		if fault.ClassOf(err) != fault.Precondition {
			t.Errorf("%s: got %v, want a fault of class %s", name, err, fault.Precondition)
		}
		if log := fake.Log(); len(log) > 0 {
			t.Errorf("%s: changed the machine: %q", name, log)
		}
		if set, _ := i.Secrets.Load(t.Context()); len(set) > 0 {
			t.Errorf("%s: issued %q", name, set.Keys())
		}
	}
}

// A run without manifests goes on with those of the run before it, and a machine whose cluster was made of others is left alone.
func TestManifestsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, i := bare(t)
		set := manifest.Builtin(netip.MustParsePrefix("192.0.2.0/24"))
		set.Shoot.Name = "plant"
		i.Manifests = &set
		if err := bootUntilAPI(t, i); !errors.Is(err, errAPIAwaited) {
			t.Fatal(err)
		}
		if at := first(fake.Log(), "write "+layout.FileManifests+" 0600 "); at < 0 {
			t.Errorf("the manifests are not kept for root only:\n%s", strings.Join(fake.Log(), "\n"))
		}

		again := &Init{Host: fake.Host(), Bundle: i.Bundle, Program: program, Secrets: i.Secrets}
		if err := bootUntilAPI(t, again); !errors.Is(err, errAPIAwaited) {
			t.Fatalf("run again: %v", err)
		}
		if again.Cluster.Shoot.Name != "plant" {
			t.Errorf("run again without manifests, the cluster is %s", again.Cluster.Shoot.Name)
		}

		others := manifest.Builtin(netip.MustParsePrefix("192.0.2.0/24"))
		changed := &Init{Host: fake.Host(), Bundle: i.Bundle, Program: program, Secrets: i.Secrets, Manifests: &others}
		before := len(fake.Log())
		err := changed.Boot().Run(t.Context(), nil)
		if found := fault.Of(err); len(found) == 0 || found[0].Code != fault.OtherManifests {
			t.Errorf("with other manifests: %v", err)
		}
		if log := fake.Log()[before:]; len(log) > 0 {
			t.Errorf("with other manifests, the machine was changed: %q", log)
		}
	})
}

// An identity that the manifests bring is the one on disk, where status and connect find it.
func TestIdentityOfTheManifestsIsOnDisk(t *testing.T) {
	const uid = "0b2d2a63-7e2c-4e29-9d51-5d4f1d1c9d3e"
	fake, i := bare(t)
	set := manifest.Builtin(netip.MustParsePrefix("192.0.2.0/24"))
	set.Shoot.Status.UID = uid
	i.Manifests = &set
	if err := i.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := i.identify(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := fake.Host().Files.Read(t.Context(), layout.FileShootUID)
	if err != nil || string(raw) != uid+"\n" || i.Cluster.UID != uid {
		t.Errorf("on disk is %q, %v, the cluster is %s", raw, err, i.Cluster.UID)
	}
}

// What does not fit the manifests is told before anything is changed.
func TestBootRefusesWhatDoesNotFit(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Init, *manifest.Set)
		want   fault.Code
	}{
		"field that is not heeded": {func(_ *Init, set *manifest.Set) { set.Shoot.Spec.SeedName = new("seed") }, fault.UnsupportedField},
		"address of another network": {func(_ *Init, set *manifest.Set) {
			set.Shoot.Spec.Networking.Nodes = new("10.1.0.0/16")
		}, fault.NodeAddress},
		"zone that is not the pool's": {func(i *Init, _ *manifest.Set) { i.Zone = "moon" }, fault.BadFlag},
	} {
		fake, i := bare(t)
		set := manifest.Builtin(netip.MustParsePrefix("192.0.2.0/24"))
		i.Manifests = &set
		test.change(i, &set)
		err := i.Boot().Run(t.Context(), nil)
		if found := fault.Of(err); len(found) == 0 || found[0].Code != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
		if log := fake.Log(); len(log) > 0 {
			t.Errorf("%s: changed the machine: %q", name, log)
		}
	}
}

func TestHalfWrittenFilesAreRemoved(t *testing.T) {
	fake, i := bare(t)
	ctx, h := t.Context(), i.Host
	for _, name := range []string{"/.gardenadm-1", "/shoot-uid"} {
		must(t, h.Files.Write(ctx, layout.DirState+name, strings.NewReader("x"), 0o600))
	}
	must(t, hoststep.RemoveHalfWritten(ctx, fake.Host()))
	names, err := h.Files.List(ctx, layout.DirState)
	if err != nil || !slices.Equal(names, []string{"shoot-uid"}) {
		t.Errorf("left are %q, %v", names, err)
	}
}
