package nodeagent

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

const (
	fileAPIServer = layout.DirManifests + "/kube-apiserver.yaml"
	fileRefusal   = layout.DirAgent + "/refused-osc.json"
)

// serverWith is a control plane whose API server has the hash, and with it another setting of the kernel.
func serverWith(setting, hash string) *extensionsv1alpha1.OperatingSystemConfig {
	return configuration(setting, with(manifest("etcd", "h1"), manifest("kube-apiserver", hash)))
}

// working is a world whose control plane works with the hash h1.
func working(t *testing.T) (w *world, checksum string) {
	t.Helper()
	w = newWorld(t, newAPI(), "cp1", "control-plane")
	w.static("etcd=h1", "kube-apiserver=h1")
	w.register()
	w.run()
	checksum = w.publish(serverWith("a=1", "h1"))
	pass(5 * time.Second)
	w.expect(w.applied() == checksum, "the first configuration is not applied")
	return w, checksum
}

// TestNodeGoesBack: an API server that does not answer with a new configuration gets back the one that it worked with.
func TestNodeGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, good := working(t)
		w.answers(podHealth, errors.New("connection refused"))
		w.publish(serverWith("a=2", "h2"))
		pass(time.Second)
		w.api.setAway(true)
		w.static("etcd=h1", "kube-apiserver=h2")
		pass(trialTime - 30*time.Second)
		w.expect(strings.Contains(w.read(fileAPIServer), "h2"), "it goes back before the time is over")
		pass(time.Minute)
		w.expect(strings.Contains(w.read(fileAPIServer), "h1") && w.read(fileSysctl) == "a=1", "it does not go back")

		w.static("etcd=h1", "kube-apiserver=h1")
		w.answers(podHealth, nil)
		w.api.setAway(false)
		pass(2 * time.Minute)
		w.expect(w.applied() == good, "the node says that it has %q", w.applied())
		w.expect(len(w.events("OSCRefused")) == 1, "there are the events %q", w.events("OSCRefused"))
		w.expect(strings.Contains(w.read(fileRefusal), `"because":"containerd.service is not there`), "the reason is %s", w.read(fileRefusal))

		// Neither the same one again, nor one with the same control plane, nor after a restart.
		again := w.publish(serverWith("a=3", "h2"))
		pass(2 * time.Minute)
		w.expect(strings.Contains(w.read(fileAPIServer), "h1") && w.read(fileSysctl) == "a=1", "it takes the control plane again")
		w.expect(strings.Contains(w.read(fileRefusal), again), "the refusal does not name the newest: %s", w.read(fileRefusal))
		w.stop()
		w.run()
		pass(2 * time.Minute)
		w.expect(strings.Contains(w.read(fileAPIServer), "h1"), "after a restart it takes the control plane again")

		mended := w.publish(serverWith("a=4", "h3"))
		pass(10 * time.Second)
		w.static("etcd=h1", "kube-apiserver=h3")
		pass(time.Minute)
		w.expect(w.applied() == mended && w.read(fileSysctl) == "a=4", "the corrected one is not taken")
		_, err := w.fake.Host().Files.Stat(t.Context(), fileRefusal)
		w.expect(err != nil, "the refusal stays")
	})
}

// TestNodeGoesBackWithAUnitThatFails: neither what works nor what does not is overlooked because of it.
func TestNodeGoesBackWithAUnitThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := working(t)
		w.fake.FailOn("restart systemd-sysctl.service", errors.New("exit 1"))
		w.publish(serverWith("a=2", "h2"))
		w.static("etcd=h1", "kube-apiserver=h2")
		pass(2 * time.Minute)
		w.answers(podHealth, errors.New("connection refused"))
		w.publish(serverWith("a=2", "h3"))
		pass(time.Second)
		w.api.setAway(true)
		w.static("etcd=h1", "kube-apiserver=h3")
		pass(trialTime + time.Minute)
		w.expect(strings.Contains(w.read(fileAPIServer), "h2"), "it does not go back to what worked")
	})
}

// TestNodeDoesNotGoBack: once the API server has answered it may have written what the former one cannot read; the same holds for other
// programs, and a node that never had another configuration has nothing to go back to.
func TestNodeDoesNotGoBack(t *testing.T) {
	for name, test := range map[string]struct {
		next     *extensionsv1alpha1.OperatingSystemConfig
		answered bool
	}{
		"it has answered": {next: serverWith("a=2", "h2"), answered: true},
		"other program": {next: configuration("a=2", with(manifest("etcd", "h1"),
			file(fileAPIServer, strings.Replace(manifest("kube-apiserver", "h2").Content.Inline.Data, `"containers":[{`, `"containers":[{"image":"other",`, 1))))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _ := working(t)
				w.publish(test.next)
				pass(time.Second)
				w.static("etcd=h1", "kube-apiserver=h2")
				if test.answered {
					pass(5 * time.Second)
				}
				w.answers(podHealth, errors.New("connection refused"))
				w.api.setAway(true)
				w.stop()
				w.run() // forgets nothing of it
				pass(2 * trialTime)
				w.expect(strings.Contains(w.read(fileAPIServer), "h2"), "it goes back")
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "cp1", "control-plane")
		w.answers(podHealth, errors.New("connection refused"))
		w.register()
		w.run()
		w.publish(serverWith("a=1", "h1"))
		pass(2 * trialTime)
		w.expect(strings.Contains(w.read(fileAPIServer), "h1"), "it goes back to nothing")
	})
}
