package cleanup_test

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

func mounted(t *testing.T, m machine, path string) bool {
	t.Helper()
	list, err := m.Mounts.List(t.Context())
	m.must(err)
	return slices.ContainsFunc(list, func(one host.Mount) bool { return one.Path == path })
}

// The kernel knows volumes by where the link leads.
func TestVolumesBehindALinkAreUnmounted(t *testing.T) {
	const volume = "/data/kubelet/pods/uid2/volumes/nfs"
	m := bare(t)
	m.must(m.Files.MakeDir(t.Context(), "/data/kubelet", host.Owner{}, 0o755))
	m.must(m.Files.Symlink(t.Context(), "/data/kubelet", layout.DirKubelet))
	m.becomeSo(few(t))
	m.Leave(hosttest.Leftovers{Mounts: []host.Mount{{Path: volume, Type: "nfs4"}, {Path: "/data/others", Type: "ext4"}}})
	_ = cleanup.New(m.Host, options()).Run(t.Context(), nil) // the fake has the other volumes where no kernel would have them
	if mounted(t, m, volume) || !mounted(t, m, "/data/others") {
		t.Errorf("changes were %q", m.Log())
	}
}

// Somebody whose disk was full gave containerd one of its own, or moved the directory there.
func TestDisksThatCameSinceStay(t *testing.T) {
	const image = "/io.containerd.content.v1.content"
	for name, come := range map[string]func(machine){
		"mounted": func(m machine) {
			m.must(m.Files.MakeDir(m.t.Context(), layout.DirContainerd, host.Owner{}, 0o755))
			m.Leave(hosttest.Leftovers{Mounts: []host.Mount{{Path: layout.DirContainerd, Type: "ext4"}}})
			m.write(layout.DirContainerd+image+"/blob", "image")
		},
		"linked": func(m machine) {
			m.must(m.Files.MakeDir(m.t.Context(), "/data/containerd", host.Owner{}, 0o755))
			m.must(m.Files.Symlink(m.t.Context(), "/data/containerd", layout.DirContainerd))
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := bare(t)
			m.becomeSo(few(t))
			m.must(m.Files.Remove(t.Context(), layout.DirContainerd))
			come(m)
			m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
			if m.there(layout.DirContainerd+image) || !m.there(layout.DirContainerd) || name == "mounted" && !mounted(t, m, layout.DirContainerd) {
				t.Errorf("changes were %q", m.Log())
			}
		})
	}
}

// Packages leave empty trees: what kubelet put into one goes.
func TestAnEmptyTreeIsEmptyAgain(t *testing.T) {
	m := bare(t)
	pki := layout.DirKubelet + "/pki"
	m.must(m.Files.MakeDir(t.Context(), pki, host.Owner{}, 0o755))
	m.becomeSo(few(t))
	m.write(pki+"/kubelet-client-2026-01-01-00-00-00.pem", "key")
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	names, err := m.Files.List(t.Context(), pki)
	m.must(err)
	if len(names) > 0 {
		t.Errorf("left are %q", names)
	}
	m.wantNothingLeft()
}

// A full disk is why somebody gives a machine back: the note for another run need not be written when there need not be one.
func TestAFullDiskIsEmptied(t *testing.T) {
	m := bare(t)
	m.becomeSo(few(t))
	const memory = layout.DirState + "/cleanup.json"
	m.FailOn("write "+memory, syscall.ENOSPC)
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()

	m = bare(t)
	m.becomeSo(few(t))
	m.FailOn("write "+memory, syscall.ENOSPC)
	m.FailOn("remove "+layout.FileKubeletBinary, errBoom)
	err := cleanup.New(m.Host, options()).Run(t.Context(), nil)
	if !errors.Is(err, errBoom) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "remove files") {
		t.Errorf("got %v", err)
	}
}
