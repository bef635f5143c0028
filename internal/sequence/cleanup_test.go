package sequence

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// What init makes on a machine, cleanup takes away: the machine is then as its record says.
func TestCleanupAfterInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, i := bare(t)
		must(t, i.Host.Files.Write(t.Context(), "/root/.bashrc", strings.NewReader("alias l=ls"), 0o644))
		must(t, record.Keep(t.Context(), i.Host))
		if err := bootUntilAPI(t, i); !errors.Is(err, errAPIAwaited) {
			t.Fatal(err)
		}
		must(t, i.Finish().Run(t.Context(), nil))
		fake.LeaveNode()

		must(t, cleanup.New(i.Host, cleanup.Options{EtcdData: cleanup.Remove}).Run(t.Context(), nil))
		differences, known, err := record.Verify(t.Context(), i.Host)
		must(t, err)
		if !known {
			t.Fatal("there is no record")
		}
		for _, one := range record.Leftovers(differences) {
			t.Error(one)
		}
	})
}
