package osc

import (
	"slices"
	"strings"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// Runtime returns the part of an OperatingSystemConfig that must be there before images can be imported:
// the container runtime and what it stands on. What the rest needs comes out of those images.
func Runtime(full *extensionsv1alpha1.OperatingSystemConfig) *extensionsv1alpha1.OperatingSystemConfig {
	out := full.DeepCopy()
	needed := []string{layout.UnitSysctl, layout.UnitJournald, layout.UnitContainerd, layout.UnitNetwork}
	out.Spec.Units = slices.DeleteFunc(out.Spec.Units, func(unit unit) bool { return !slices.Contains(needed, unit.Name) })
	var paths []string
	for _, unit := range out.Spec.Units {
		paths = append(paths, unit.FilePaths...)
	}
	out.Spec.Files = slices.DeleteFunc(out.Spec.Files, func(file file) bool {
		return !slices.Contains(paths, file.Path) && !runByOthers(file.Path)
	})
	return out
}

// runByOthers: CNI plugins are run anew for every pod and etcd-data by gardenadm, so no unit depends on them.
func runByOthers(path string) bool {
	return strings.HasPrefix(path, layout.DirCNIBin+"/") || path == layout.FileEtcdData
}
