package agent

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// differ collects the parts of a plan.
type differ struct {
	want    Want
	have    Have
	pending Pending // the zero value when there is none
	owned   Owned   // what is ours on the host until now

	changed map[string]bool // paths that the plan writes or removes
	restart map[string]bool // units that run with what was there before
	reload  bool
	steps   []Step
}

// Diff plans how the host becomes what is wanted. It is pure. pending is nil unless an Apply was interrupted.
//
// Directories come before the files, files before the manifests of the static pods that mount them, and manifests before
// units, so that a kubelet that is started finds all of them.
func Diff(want Want, have Have, pending *Pending) Plan {
	d := &differ{want: want, have: have, owned: have.Owned, changed: map[string]bool{}, restart: map[string]bool{}}
	if pending != nil {
		d.pending, d.owned = *pending, have.Owned.union(pending.Owned)
	}
	d.directories()
	d.images()
	d.files(false)
	d.files(true)
	d.unitFiles()
	d.gone()
	d.reloadUnits()
	d.enableUnits()
	d.runUnits()
	return d.conclude(pending)
}

func (d *differ) add(step Step) { d.steps = append(d.steps, step) }

func (d *differ) directories() {
	for _, directory := range d.want.Directories {
		info, ok := d.have.Files[directory.Path]
		reason := ""
		switch wanted := (host.Owner{UID: int(directory.UID), GID: int(directory.GID)}); {
		case !ok:
			reason = "missing"
		case !info.Mode.IsDir():
			reason = "not a directory"
		case info.Owner != wanted:
			reason = fmt.Sprintf("owner %d:%d", info.Owner.UID, info.Owner.GID)
		case info.Mode.Perm() != fs.FileMode(directory.Mode):
			reason = fmt.Sprintf("mode %#o", info.Mode.Perm())
		default:
			continue
		}
		d.add(Step{Verb: MakeDir, Target: directory.Path, Reason: reason, directory: directory})
	}
}

// images plans one extraction per image for all of its files. A path in the image that is wanted at two places
// needs a second one, because the source hands over each path once.
func (d *differ) images() {
	groups := map[string][][]File{}
	reasons := map[string]string{}
	for _, file := range d.want.Files {
		if file.Image == "" {
			continue
		}
		reason := d.imageReason(file)
		if reason == "" {
			continue
		}
		d.changed[file.Path] = true
		reasons[file.Path] = reason
		groups[file.Image] = group(groups[file.Image], file)
	}
	for _, image := range slices.Sorted(maps.Keys(groups)) {
		for _, files := range groups[image] {
			d.add(Step{Verb: Extract, Target: image, Reason: reasons[files[0].Path], files: files, digest: d.have.Digests[image]})
		}
	}
}

func group(groups [][]File, file File) [][]File {
	for i, files := range groups {
		if !slices.ContainsFunc(files, func(f File) bool { return f.PathInImage == file.PathInImage }) {
			groups[i] = append(files, file)
			return groups
		}
	}
	return append(groups, []File{file})
}

func (d *differ) imageReason(file File) string {
	record, ok := d.have.Records[file.Path]
	switch {
	case !ok:
		return "no record of its content"
	case record.Digest != d.have.Digests[file.Image] || record.PathInImage != file.PathInImage:
		return "from " + record.Digest + " " + record.PathInImage
	}
	file.SHA256 = record.SHA256
	return d.reason(file)
}

// reason says why the file must be written, "" when it is there as wanted.
func (d *differ) reason(file File) string {
	info, ok := d.have.Files[file.Path]
	switch {
	case !ok:
		return "missing"
	case !info.Mode.IsRegular():
		return "not a regular file"
	case info.SHA256 != file.SHA256:
		return "content sha256:" + short(info.SHA256)
	case info.Mode.Perm() != file.Mode:
		return fmt.Sprintf("mode %#o", info.Mode.Perm())
	case info.Owner != host.Owner{}:
		return fmt.Sprintf("owner %d:%d", info.Owner.UID, info.Owner.GID)
	}
	return ""
}

func (d *differ) files(manifests bool) {
	for _, file := range d.want.Files {
		if file.Image == "" && file.isManifest() == manifests {
			d.write(file)
		}
	}
}

func (d *differ) write(file File) {
	if reason := d.reason(file); reason != "" {
		d.changed[file.Path] = true
		d.add(Step{Verb: Write, Target: file.Path, Reason: reason, files: []File{file}})
	}
}

// conclude puts the memory of the plan around its steps.
func (d *differ) conclude(pending *Pending) Plan {
	plan := Plan{
		next:    Pending{Owned: d.owned.union(d.want.owned()), Reload: d.reload},
		records: d.records(),
		applied: d.want.Applied,
	}
	for _, step := range d.steps {
		if step.Verb == Restart {
			plan.next.Restart = append(plan.next.Restart, step.Target)
		}
	}
	// What only starts, enables or makes directories shows by itself whether it is done.
	memorable := len(d.changed) > 0 || d.reload || len(plan.next.Restart) > 0
	if memorable && (pending == nil || !reflect.DeepEqual(*pending, plan.next)) {
		plan.Steps = append(plan.Steps, Step{Verb: Remember})
	}
	plan.Steps = append(plan.Steps, d.steps...)
	if !bytes.Equal(d.have.Applied, d.want.Applied) {
		plan.Steps = append(plan.Steps, Step{Verb: Conclude})
	}
	if memorable || pending != nil {
		plan.Steps = append(plan.Steps, Step{Verb: Forget})
	}
	return plan
}

// records are those of the wanted files, as far as they are known.
func (d *differ) records() map[string]Record {
	out := map[string]Record{}
	for _, file := range d.want.Files {
		if record, ok := d.have.Records[file.Path]; ok && file.Image != "" {
			out[file.Path] = record
		}
	}
	return out
}

// wantsUp says that the unit shall run.
func (u Unit) wantsUp() bool { return u.Command != extensionsv1alpha1.CommandStop }
