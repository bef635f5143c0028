package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// mostFiles bounds one root: a directory with more is not what gardenadm makes before it is a node.
const mostFiles = 20000

func files(ctx context.Context, h *host.Host) ([]items, error) {
	out := items{}
	var errs []error
	for _, root := range slices.Concat(around(), own()) {
		found, err := h.Trees.Walk(ctx, root.path, root.depth, mostFiles)
		errs = append(errs, err)
		for _, info := range found {
			if root.digest && info.Mode.IsRegular() {
				hashed, err := h.Files.Stat(ctx, info.Path)
				if errors.Is(err, fs.ErrNotExist) {
					continue // it went away meanwhile
				}
				if err != nil {
					errs = append(errs, err)
					hashed = info
				}
				info = hashed
			}
			out[info.Path] = Describe(info)
		}
	}
	return []items{out}, errors.Join(errs...)
}

// Describe says what a file is in a record, but not when it was changed.
func Describe(info host.FileInfo) string {
	mode := fmt.Sprintf("%04o %d:%d", info.Mode.Perm()|info.Mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky), info.Owner.UID, info.Owner.GID)
	switch {
	case info.Mode&fs.ModeSymlink != 0:
		return "link to " + info.Target
	case info.Mode.IsDir():
		return "directory " + mode
	case !info.Mode.IsRegular():
		return "special file " + mode
	case info.SHA256 == "":
		return "file " + mode
	}
	return "file " + mode + " sha256:" + info.SHA256
}

func mounts(ctx context.Context, h *host.Host) ([]items, error) {
	list, err := h.Mounts.List(ctx)
	out := items{}
	for _, mount := range list {
		text := mount.Type + " of " + mount.Source
		if before, stacked := out[mount.Path]; stacked {
			text = before + ", over it " + text
		}
		out[mount.Path] = text
	}
	return []items{out}, err
}

func units(ctx context.Context, h *host.Host) ([]items, error) {
	list, err := h.UnitTable.List(ctx)
	out := items{}
	for _, unit := range list {
		lasting := slices.Contains([]string{".service", ".socket", ".slice", ".scope"}, path.Ext(unit.Name))
		if !lasting || unit.Active != "active" && unit.Active != "failed" {
			continue
		}
		out[unit.Name] = unit.Active
		if unit.Load == "not-found" {
			out[unit.Name] = unit.Active + ", without a unit file"
		}
	}
	return []items{out}, err
}

func processes(ctx context.Context, h *host.Host) ([]items, error) {
	list, err := h.Processes.List(ctx)
	out := items{}
	for _, process := range list {
		if OfNode(process) {
			out[fmt.Sprintf("%d %s", process.PID, process.Program)] = process.Cgroup
		}
	}
	return []items{out}, err
}

// OfNode says that only a node has such a process: one of a pod or what holds it, or a program that gardenadm brings, but for a command
// that a person typed.
func OfNode(process host.Process) bool {
	switch {
	case strings.HasPrefix(process.Cgroup, "/kubepods"):
		return true
	case process.Contained:
		return false
	case strings.HasPrefix(path.Base(process.Program), "containerd-shim"):
		at := slices.Index(process.Args, "-namespace")
		return at >= 0 && at+1 < len(process.Args) && process.Args[at+1] == KubernetesNamespace
	case process.Program == layout.FileGardenadm:
		return len(process.Args) > 1 && process.Args[1] == "run"
	}
	return slices.Contains([]string{layout.FileKubeletBinary, layout.DirBin + "/containerd", layout.DirBin + "/runc", layout.FileEtcdData}, process.Program)
}

// KubernetesNamespace is the one of containerd's namespaces in which pods run.
const KubernetesNamespace = "k8s.io"

// CgroupPrefix begins the names of the cgroups in which pods run.
const CgroupPrefix = "kubepods"

func cgroups(ctx context.Context, h *host.Host) ([]items, error) {
	list, err := h.Processes.Cgroups(ctx, CgroupPrefix)
	return []items{present(list)}, err
}

// holdings has nothing where no containerd runs.
func holdings(ctx context.Context, h *host.Host) ([]items, error) {
	containers, images := items{}, items{}
	state, err := h.Units.State(ctx, layout.UnitContainerd)
	if err != nil || state.Active != "active" {
		return []items{containers, images}, err
	}
	list, err := h.Runtime.Holdings(ctx)
	for _, one := range list {
		for _, id := range one.Containers {
			containers[one.Namespace+" "+id] = "there"
		}
		for _, name := range one.Images {
			images[one.Namespace+" "+name] = "there"
		}
	}
	return []items{containers, images}, err
}

// Held is what containerd's namespace held.
func (r *Record) Held(namespace string) host.Holding {
	out := host.Holding{Namespace: namespace}
	if r == nil {
		return out
	}
	of := func(kind Kind) (names []string) {
		for item := range r.Items[kind] {
			if name, ok := strings.CutPrefix(item, namespace+" "); ok {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	out.Containers, out.Images = of(Container), of(Image)
	return out
}
