package host

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// What systemctl set-property lays is systemd's own affair: it asks for no reload.
func TestDropInsOfPeopleOnly(t *testing.T) {
	got := dropIns("kubelet.service", []string{
		"/etc/systemd/system.control/kubelet.service.d/50-MemoryHigh.conf", "/run/systemd/generator/kubelet.service.d/a.conf",
		"/usr/lib/systemd/system/service.d/b.conf", "/etc/systemd/system/kubelet.service.d/c.conf", "/run/systemd/system/kubelet.service.d/c.conf",
	})
	if !slices.Equal(got, []string{"c.conf"}) {
		t.Errorf("got %v", got)
	}
}

// Journals differ with each try, and may hold what not everybody is to read.
func TestWithoutJournals(t *testing.T) {
	failed := &UnitError{Operation: "restart", Unit: "containerd.service", Job: "failed", Journal: []string{"10:01 one", "10:02 two"}}
	err := fmt.Errorf("apply: %w", errors.Join(failed, errors.New("other")))
	want := "apply: restart containerd.service: job ended in \"failed\", unit is  ()\nother"
	if got := WithoutJournals(err); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
