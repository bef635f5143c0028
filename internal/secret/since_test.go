package secret_test

import (
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/secret"
)

// TestSince: what was issued before is issued anew, once, and what is irreplaceable is kept.
func TestSince(t *testing.T) {
	store, start := &secret.Memory{}, time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	ensure := func(now, since time.Time) secret.Set {
		t.Helper()
		set, err := secret.Issuer{Store: store, Now: func() time.Time { return now }, Since: since}.Ensure(t.Context(), wanted())
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	first := ensure(start, time.Time{})
	for name, c := range map[string]struct {
		now, since time.Time
		anew       bool
	}{
		"issued since":         {start.Add(time.Minute), start.Add(-time.Second), false},
		"issued at the moment": {start.Add(time.Minute), start.Add(300), false},
		"issued before":        {start.Add(time.Hour), start.Add(time.Minute), true},
	} {
		set := ensure(c.now, c.since)
		for key, one := range set {
			if anew := one.ObjectName() != first[key].ObjectName(); anew != (c.anew && !one.Spec.Irreplaceable()) {
				t.Errorf("%s: %s is new: %t", name, key, anew)
			}
		}
		if again := ensure(c.now, c.since); again["admin"].ObjectName() != set["admin"].ObjectName() {
			t.Errorf("%s: issued anew once more", name)
		}
		store = &secret.Memory{}
		first = ensure(start, time.Time{})
	}
}
