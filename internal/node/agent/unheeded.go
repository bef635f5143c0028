package agent

import (
	"slices"
	"strings"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// unheeded are the wishes of an OperatingSystemConfig that would be left out without a word (contract node-agent-and-osc §1): an extension
// that asks for one has to be told. What the files of containerd's own configuration say anyway is fulfilled.
func unheeded(osc *extensionsv1alpha1.OperatingSystemConfig, files []extensionsv1alpha1.File) field.ErrorList {
	var all field.ErrorList
	spec, status := field.NewPath("spec"), field.NewPath("status")
	if cri := osc.Spec.CRIConfig; cri != nil {
		all = unheededRuntime(spec.Child("criConfig"), cri, files)
	}
	if osc.Spec.InPlaceUpdates != nil {
		all = append(all, field.Forbidden(spec.Child("inPlaceUpdates"), "this node agent does not update machines in place"))
	}
	if updates := osc.Status.InPlaceUpdates; updates != nil && updates.OSUpdate != nil {
		all = append(all, field.Forbidden(status.Child("inPlaceUpdates", "osUpdate"), "this node agent does not update operating systems"))
	}
	return all
}

func unheededRuntime(at *field.Path, cri *extensionsv1alpha1.CRIConfig, files []extensionsv1alpha1.File) field.ErrorList {
	var all field.ErrorList
	if cri.Name != "" && cri.Name != extensionsv1alpha1.CRINameContainerD {
		all = append(all, field.NotSupported(at.Child("name"), cri.Name, []extensionsv1alpha1.CRIName{extensionsv1alpha1.CRINameContainerD}))
	}
	if driver := cri.CgroupDriver; driver != nil && *driver != extensionsv1alpha1.CgroupDriverSystemd {
		all = append(all, field.NotSupported(at.Child("cgroupDriver"), *driver, []extensionsv1alpha1.CgroupDriverName{extensionsv1alpha1.CgroupDriverSystemd}))
	}
	if cri.Containerd == nil {
		return all
	}
	at = at.Child("containerd")
	if len(cri.Containerd.Plugins) > 0 {
		all = append(all, field.Forbidden(at.Child("plugins"), "use a file below "+layout.DirContainerdDropIns+" instead"))
	}
	if sandbox := cri.Containerd.SandboxImage; sandbox != "" && !configures(files, sandbox) {
		all = append(all, field.Forbidden(at.Child("sandboxImage"), "it is not the one in "+layout.FileContainerdConf+"; change it there, or below "+layout.DirContainerdDropIns))
	}
	return all
}

// configures says that a file of containerd's configuration names the image, or that there is none.
func configures(files []extensionsv1alpha1.File, image string) bool {
	there := false
	for _, file := range files {
		if file.Path != layout.FileContainerdConf && !strings.HasPrefix(file.Path, layout.DirContainerdDropIns+"/") || file.Content.Inline == nil {
			continue
		}
		there = true
		content, err := decode(file.Content.Inline)
		words := strings.FieldsFunc(string(content), func(r rune) bool { return r == '\'' || r == '"' })
		if err == nil && slices.Contains(words, image) {
			return true
		}
	}
	return !there
}
