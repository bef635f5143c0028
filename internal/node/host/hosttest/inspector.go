package hosttest

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// inspection is what the fake's inspector finds.
type inspection struct {
	listeners []host.Listener
	space     map[string]host.Space // by path; "/" for all others
	sync      time.Duration
}

func newInspection() inspection {
	return inspection{
		space: map[string]host.Space{"/": {Path: "/", Device: 1, Free: 50 << 30, Total: 100 << 30, Inodes: 1 << 20, InodesAll: 2 << 20}},
		sync:  time.Millisecond,
	}
}

// SetListeners sets who has which ports.
func (f *Fake) SetListeners(listeners ...host.Listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inspection.listeners = listeners
}

// SetSpace sets what is left at and below a path.
func (f *Fake) SetSpace(path string, space host.Space) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inspection.space[path] = space
}

// SetSyncTime sets how long each fdatasync takes. Features are made to fail with FailOn("try overlayfs", err).
func (f *Fake) SetSyncTime(each time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inspection.sync = each
}

// inspectorDoor is the door to it.
type inspectorDoor struct{ fake *Fake }

func (d inspectorDoor) Listeners(ctx context.Context, ports ...int) ([]host.Listener, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "listeners"); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(d.fake.inspection.listeners), func(l host.Listener) bool {
		return !slices.Contains(ports, int(l.Address.Port()))
	}), nil
}

func (d inspectorDoor) Space(ctx context.Context, of string) (host.Space, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.lookAt(ctx, "space", of); err != nil {
		return host.Space{}, err
	}
	for dir := path.Clean(of); ; dir = path.Dir(dir) {
		if space, there := d.fake.inspection.space[dir]; there {
			return space, nil
		}
	}
}

func (d inspectorDoor) SyncTimes(ctx context.Context, of string, within time.Duration) ([]time.Duration, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.lookAt(ctx, "sync", of); err != nil {
		return nil, err
	}
	count := max(1, min(1000, int(within/d.fake.inspection.sync)))
	return slices.Repeat([]time.Duration{d.fake.inspection.sync}, count), nil
}

func (d inspectorDoor) Try(ctx context.Context, feature host.Feature, of string) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	features := []host.Feature{
		host.FeatureOverlay, host.FeatureNFTables, host.FeatureBridge, host.FeatureVeth, host.FeatureVXLAN, host.FeatureBridgeNetfilter,
	}
	if !slices.Contains(features, feature) {
		return fmt.Errorf("try %s: there is no such feature", feature)
	}
	return d.lookAt(ctx, "try "+string(feature), of)
}

// lookAt is look for what has a path, which must be absolute. The caller holds the lock.
func (d inspectorDoor) lookAt(ctx context.Context, operation, of string) error {
	if !path.IsAbs(of) {
		return fmt.Errorf("%s %s: the path is not absolute", operation, of)
	}
	return d.fake.look(ctx, operation+" "+of)
}
