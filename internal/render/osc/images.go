package osc

import (
	"fmt"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/usage"
)

// images lists what the node is to have: what it could not start without, what any pod of the cluster's own may need, and on the
// control plane's nodes what others take their programs from. It is found in what was rendered.
func images(in Input, spec extensionsv1alpha1.OperatingSystemConfigSpec) (file, error) {
	list := wantedImages{}
	list.add(image.Join, spec.CRIConfig.Containerd.SandboxImage)
	for _, pods := range in.StaticPods {
		for _, pod := range pods {
			found, err := usage.OfManifest(pod.Manifest)
			if err != nil {
				return file{}, fmt.Errorf("read static pod %s: %w", pod.Name, err)
			}
			list.add(image.Join, found...)
		}
	}
	for _, object := range in.Objects {
		found, err := usage.OfObject(object)
		if err != nil {
			return file{}, fmt.Errorf("read %s: %w", object.GetName(), err)
		}
		when := image.Later
		if _, everywhere := object.(*appsv1.DaemonSet); everywhere {
			when = image.Join
		}
		list.add(when, found...)
	}
	if in.Pool.ControlPlane {
		for _, file := range spec.Files {
			if ref := file.Content.ImageRef; ref != nil {
				list.serve(ref.Image)
			}
		}
	}
	if list.err != nil {
		return file{}, list.err
	}
	raw, err := image.EncodeWanted(list.all)
	if err != nil {
		return file{}, err
	}
	return inline(layout.FileImages, 0o644, raw), nil
}

// wantedImages collects images, and the first error.
type wantedImages struct {
	all []image.Wanted
	err error
}

func (w *wantedImages) add(when image.When, references ...string) {
	for _, reference := range references {
		one, err := image.NewWanted(reference, when)
		if err != nil && w.err == nil {
			w.err = err
		}
		w.all = append(w.all, one)
	}
}

// serve adds an image that other nodes take files from.
func (w *wantedImages) serve(reference string) {
	w.add(image.Later, reference)
	w.all[len(w.all)-1].Packed = true
}
