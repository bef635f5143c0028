package hosttest

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

func checkInspector(t *testing.T, h *host.Host, dir string) {
	ctx := t.Context()
	inspected := path.Join(dir, "inspected")
	if err := h.Files.Write(ctx, path.Join(inspected, "file"), strings.NewReader("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	deep := path.Join(inspected, "file/never/made")

	space, err := h.Inspector.Space(ctx, deep)
	if err != nil || space.Free == 0 || space.Total < space.Free || space.InodesAll < space.Inodes || space.ReadOnly || space.Device == 0 {
		t.Errorf("space is %+v (%v)", space, err)
	}
	above, err := h.Inspector.Space(ctx, inspected)
	if err != nil || above.Path != space.Path || above.Device != space.Device {
		t.Errorf("space of %s is %+v (%v), and of what would be below it %+v", inspected, above, err, space)
	}
	times, err := h.Inspector.SyncTimes(ctx, deep, 20*time.Millisecond)
	if err != nil || len(times) == 0 || len(times) > 1000 || slices.Min(times) <= 0 {
		t.Errorf("fdatasync takes %v (%v)", times, err)
	}
	if times, err := h.Inspector.SyncTimes(ctx, inspected, 0); err != nil || len(times) != 1 {
		t.Errorf("without time, fdatasync is measured %d times (%v), want once", len(times), err)
	}
	for _, feature := range []host.Feature{
		host.FeatureOverlay, host.FeatureNFTables, host.FeatureBridge, host.FeatureVeth, host.FeatureVXLAN, host.FeatureBridgeNetfilter,
	} {
		if err := h.Inspector.Try(ctx, feature, deep); err != nil {
			t.Error(err)
		}
	}
	if err := h.Inspector.Try(ctx, "flux-capacitor", inspected); err == nil {
		t.Error("an unknown feature works")
	}
	if left, err := h.Files.List(ctx, inspected); err != nil || !slices.Equal(left, []string{"file"}) {
		t.Errorf("%q is left (%v), want the file alone", left, err)
	}
	// Port 1 (tcpmux) has been nobody's for decades.
	if found, err := h.Inspector.Listeners(ctx, 1); err != nil || len(found) != 0 {
		t.Errorf("listeners on port 1: %+v (%v)", found, err)
	}

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, listenErr := h.Inspector.Listeners(cancelled, 1)
	_, spaceErr := h.Inspector.Space(cancelled, inspected)
	_, syncErr := h.Inspector.SyncTimes(cancelled, inspected, time.Second)
	tryErr := h.Inspector.Try(cancelled, host.FeatureBridge, inspected)
	for _, err := range []error{listenErr, spaceErr, syncErr, tryErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled call gives error %v", err)
		}
	}
	if _, err := h.Inspector.Space(ctx, "relative"); err == nil {
		t.Error("a relative path has space")
	}
}
