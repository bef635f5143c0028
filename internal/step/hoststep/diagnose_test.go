package hoststep_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// A wait ends soon after a fault is definite, and both ways of ending carry the fault.
func TestDiagnosedWait(t *testing.T) {
	refused := errors.New("connection refused")
	for name, c := range map[string]struct {
		within   time.Duration
		most     time.Duration
		timedOut bool
	}{
		"definite":      {5 * time.Minute, 30 * time.Second, false},
		"time is short": {10 * time.Second, 11 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := hosttest.New()
				fake.SetUnit(layout.UnitContainerd, host.UnitState{Load: "loaded", Active: "activating", Sub: "auto-restart"}, host.UnitRun{Since: time.Now(), Restarts: 1},
					host.JournalLine{Time: time.Now(), Text: "containerd: failed to load TOML: toml: boom"})
				began := time.Now()
				graph := flow.New("boot")
				graph.Add("wait", flow.Do(hoststep.Diagnosed(fake.Host(), diagnosis.Control, func(context.Context) error { return refused })).Retry(c.within, 250*time.Millisecond))
				err := graph.Run(t.Context(), nil)
				if took := time.Since(began); took > c.most {
					t.Errorf("it took %v", took)
				}
				found := fault.Of(err)
				if len(found) != 1 || found[0].Code != fault.RefusedConfiguration || !errors.Is(err, refused) || errors.Is(err, flow.ErrTimeout) != c.timedOut {
					t.Errorf("got %v", err)
				}
				if report := fault.Report(err); !strings.Contains(report, "toml: boom") {
					t.Errorf("the report has no evidence:\n%s", report)
				}
			})
		})
	}
}
