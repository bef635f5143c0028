package agent

import (
	"strings"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// TestUnheeded: what the agent would leave out is refused by name, and what is so anyway is not.
func TestUnheeded(t *testing.T) {
	containerd := func(change func(*extensionsv1alpha1.ContainerdConfig)) func(*extensionsv1alpha1.OperatingSystemConfig) {
		return func(osc *extensionsv1alpha1.OperatingSystemConfig) { change(osc.Spec.CRIConfig.Containerd) }
	}
	tests := map[string]struct {
		change func(*extensionsv1alpha1.OperatingSystemConfig)
		want   string // "" for no fault
	}{
		"nothing more": {func(*extensionsv1alpha1.OperatingSystemConfig) {}, ""},
		"plugins": {containerd(func(c *extensionsv1alpha1.ContainerdConfig) {
			c.Plugins = []extensionsv1alpha1.PluginConfig{{Path: []string{"io.containerd.grpc.v1.cri"}}}
		}), "spec.criConfig.containerd.plugins"},
		"another sandbox image":               {containerd(func(c *extensionsv1alpha1.ContainerdConfig) { c.SandboxImage = "registry/pause:2" }), "spec.criConfig.containerd.sandboxImage"},
		"another sandbox image, part of ours": {containerd(func(c *extensionsv1alpha1.ContainerdConfig) { c.SandboxImage = "registry/pause" }), "spec.criConfig.containerd.sandboxImage"},
		"another sandbox image, by a drop-in": {func(osc *extensionsv1alpha1.OperatingSystemConfig) {
			osc.Spec.CRIConfig.Containerd.SandboxImage = "registry/pause:2"
			osc.Status.ExtensionFiles = append(osc.Status.ExtensionFiles, inline(layout.DirContainerdDropIns+"/x.toml", `sandbox = "registry/pause:2"`, 0o600))
		}, ""},
		"cgroupfs": {func(osc *extensionsv1alpha1.OperatingSystemConfig) {
			osc.Spec.CRIConfig.CgroupDriver = pointer(extensionsv1alpha1.CgroupDriverCgroupfs)
		}, "spec.criConfig.cgroupDriver"},
		"another runtime": {func(osc *extensionsv1alpha1.OperatingSystemConfig) { osc.Spec.CRIConfig.Name = "other" }, "spec.criConfig.name"},
		"in-place updates": {func(osc *extensionsv1alpha1.OperatingSystemConfig) {
			osc.Spec.InPlaceUpdates = &extensionsv1alpha1.InPlaceUpdates{}
		}, "spec.inPlaceUpdates"},
		"an update of the system": {func(osc *extensionsv1alpha1.OperatingSystemConfig) {
			osc.Status.InPlaceUpdates = &extensionsv1alpha1.InPlaceUpdatesStatus{OSUpdate: &extensionsv1alpha1.OSUpdate{Command: "x"}}
		}, "status.inPlaceUpdates.osUpdate"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			osc := &extensionsv1alpha1.OperatingSystemConfig{}
			osc.Spec.Files = []extensionsv1alpha1.File{inline(layout.FileContainerdConf, "sandbox = 'registry/pause:1'\n", 0o600)}
			osc.Spec.CRIConfig = &extensionsv1alpha1.CRIConfig{
				Name: extensionsv1alpha1.CRINameContainerD, CgroupDriver: pointer(extensionsv1alpha1.CgroupDriverSystemd),
				Containerd: &extensionsv1alpha1.ContainerdConfig{SandboxImage: "registry/pause:1"},
			}
			test.change(osc)
			_, err := NewWant(osc, Local{}, "node-0")
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
