package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// need is what a directory takes on a disk: below least init fails; below wanted there is no room for a few workloads.
// Measured after init: /opt 0.4 GiB, containerd 0.35 GiB, etcd 0.14 GiB.
type need struct {
	dir           string
	least, wanted uint64 // bytes
}

func (r Role) needs() []need {
	out := []need{
		{layout.DirBin, 600 << 20, 1 << 30},
		{layout.DirContainerd, 700 << 20, 5 << 30},
		{layout.DirKubelet, 100 << 20, 1 << 30},
	}
	if r.is(ControlPlane) {
		out = slices.Insert(out, 2, need{layout.DirEtcd, 500 << 20, 2 << 30})
	}
	return out
}

// volume is a file system with all that goes onto it.
type volume struct {
	host.Space
	need
}

// volumes adds up the needs that share a file system.
func (s subject) volumes(ctx context.Context) ([]volume, error) {
	var out []volume
	for _, one := range s.Role.needs() {
		space, err := s.Inspector.Space(ctx, one.dir)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(out, func(v volume) bool { return v.Device == space.Device })
		if at < 0 {
			out = append(out, volume{space, one})
			continue
		}
		out[at].dir += ", " + one.dir
		out[at].least += one.least
		out[at].wanted += one.wanted
	}
	return out, nil
}

// checkSpace: on a machine that is a node already most of it is there, so too little is a warning only.
func checkSpace(ctx context.Context, s subject) (string, []Finding, error) {
	volumes, err := s.volumes(ctx)
	if err != nil {
		return "", nil, err
	}
	var seen []string
	var findings []Finding
	for _, volume := range volumes {
		seen = append(seen, fmt.Sprintf("%s free for %s", size(volume.Free), volume.dir))
		little := fault.New(fault.LittleSpace, "%s are free for %s", size(volume.Free), volume.dir)
		switch {
		case volume.Free < volume.least && !s.own:
			findings = append(findings, fail(little.Mend("have at least %s there", size(volume.least))))
		case volume.Free < volume.wanted:
			findings = append(findings, warn(little.Mend("have %s there", size(volume.wanted))))
		case volume.Free < volume.Total/10:
			findings = append(findings, warn(little.Seen("less than a tenth is free: kubelet evicts pods")))
		}
	}
	return strings.Join(seen, "; "), findings, nil
}

const (
	inodesNeeded = 20_000
	inodesWanted = 100_000
)

func checkInodes(ctx context.Context, s subject) (string, []Finding, error) {
	volumes, err := s.volumes(ctx)
	if err != nil {
		return "", nil, err
	}
	var findings []Finding
	for _, volume := range volumes {
		few := fault.New(fault.FewInodes, "%d inodes are free for %s", volume.Inodes, volume.dir)
		switch {
		case volume.InodesAll == 0: // made as needed
		case volume.Inodes < inodesNeeded && !s.own:
			findings = append(findings, fail(few.Mend("have at least %d there", inodesNeeded)))
		case volume.Inodes < inodesWanted:
			findings = append(findings, warn(few.Mend("have %d there", inodesWanted)))
		}
	}
	return "", findings, nil
}

// checkLatency is never a failure: a slow disk still makes a cluster.
func checkLatency(ctx context.Context, s subject) (string, []Finding, error) {
	times, err := s.Inspector.SyncTimes(ctx, layout.DirEtcdData, s.SyncTest)
	if err != nil {
		return "", nil, err
	}
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	seen := fmt.Sprintf("p99 of fdatasync is %s", p99.Round(10*time.Microsecond))
	const fine, flapping = 10 * time.Millisecond, 50 * time.Millisecond
	switch {
	case p99 > flapping:
		return seen, []Finding{warn(fault.New(fault.SlowDisk, "%s: etcd may lose its leader, and the control plane restarts", seen))}, nil
	case p99 > fine:
		return seen, []Finding{warn(fault.New(fault.SlowDisk, "%s: requests to the API will be slow", seen))}, nil
	}
	return seen, nil, nil
}

// checkReadOnly looks at the places that gardenadm writes to.
func checkReadOnly(ctx context.Context, s subject) (string, []Finding, error) {
	dirs := []string{
		layout.DirBin, layout.DirCNIBin, layout.DirUnits, "/etc/kubernetes", layout.DirCNIConf, layout.DirContainerdDropIns,
		layout.DirState, layout.DirAgent, layout.DirContainerd, layout.DirKubelet, layout.DirPodLogs,
	}
	if s.Role.is(ControlPlane) {
		dirs = append(dirs, layout.DirEtcd, "/root")
	}
	var findings []Finding
	for _, dir := range dirs {
		space, err := s.Inspector.Space(ctx, dir)
		if err != nil {
			return "", findings, err
		}
		if space.ReadOnly {
			findings = append(findings, fail(fault.New(fault.ReadOnly, "%s cannot be written: its file system is read-only at %s", dir, space.Path).
				Mend("mount -o remount,rw the file system of %s, or mount a writable one there", space.Path)))
		}
	}
	usr, err := s.Inspector.Space(ctx, "/usr")
	if err == nil && usr.ReadOnly {
		return "/usr is read-only, which is fine", findings, nil
	}
	return "", findings, err
}
