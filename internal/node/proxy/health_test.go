package proxy

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []answer
		want    []Health // after each answer
	}{
		"ready at the first answer":      {[]answer{ready}, []Health{Ready}},
		"dead at the first answer":       {[]answer{failed}, []Health{Dead}},
		"one lost probe is nothing":      {[]answer{ready, failed, ready, failed, ready}, []Health{Ready, Ready, Ready, Ready, Ready}},
		"two lost probes":                {[]answer{ready, failed, failed}, []Health{Ready, Ready, Dead}},
		"refused counts at once":         {[]answer{ready, refused}, []Health{Ready, Dead}},
		"two answers to come back":       {[]answer{refused, ready, ready}, []Health{Dead, Dead, Ready}},
		"an answer now and then is none": {[]answer{refused, ready, failed, ready, failed}, []Health{Dead, Dead, Dead, Dead, Dead}},
		"draining at once":               {[]answer{ready, draining}, []Health{Ready, Draining}},
		"draining, then gone":            {[]answer{ready, draining, refused}, []Health{Ready, Draining, Dead}},
		"draining, one lost probe":       {[]answer{ready, draining, failed, draining}, []Health{Ready, Draining, Draining, Draining}},
		"one unready answer is nothing":  {[]answer{ready, unready, ready}, []Health{Ready, Ready, Ready}},
		"two unready answers":            {[]answer{ready, unready, unready}, []Health{Ready, Ready, Unready}},
		"unready, then lost":             {[]answer{ready, unready, failed}, []Health{Ready, Ready, Dead}},
		"alive again, but not ready":     {[]answer{failed, unready, ready, ready}, []Health{Dead, Unready, Unready, Ready}},
		"our own trouble says nothing":   {[]answer{ready, failed, none, none}, []Health{Ready, Ready, Ready, Ready}},
	} {
		t.Run(name, func(t *testing.T) {
			r := record{health: Unknown}
			for i, a := range tc.answers {
				r.see(outcome{a, errors.New("why")}, time.Time{})
				if r.health != tc.want[i] {
					t.Fatalf("after answer %d: %s, want %s", i+1, r.health, tc.want[i])
				}
			}
		})
	}
}

func TestCondemned(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []answer
		want    bool
	}{
		"ready":                       {[]answer{ready}, false},
		"refused":                     {[]answer{ready, refused}, true},
		"silent":                      {[]answer{ready, failed, failed}, true},
		"draining":                    {[]answer{ready, draining}, false},
		"gone as announced":           {[]answer{ready, draining, refused, refused}, false},
		"silent after it drained":     {[]answer{ready, draining, refused, failed}, true},
		"came back, then was killed":  {[]answer{draining, refused, ready, ready, refused}, true},
		"not ready and not going off": {[]answer{ready, unready, unready}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := record{health: Unknown}
			for _, a := range tc.answers {
				r.see(outcome{answer: a}, time.Time{})
			}
			if got := r.condemned(); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		want   answer
		reason string
	}{
		"ready":             {http.StatusOK, "ok", ready, ""},
		"health is private": {http.StatusForbidden, `{"kind":"Status"}`, ready, ""},
		"shutting down":     {http.StatusInternalServerError, "[+]ping ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n", draining, "shutting down"},
		"etcd is away":      {http.StatusInternalServerError, "[+]ping ok\n[-]etcd failed: reason withheld\n[-]etcd-readiness failed: reason withheld\n", unready, "etcd, etcd-readiness"},
		"anything else":     {http.StatusTooManyRequests, "", unready, "429"},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(tc.status, []byte(tc.body))
			if got.answer != tc.want || tc.reason != "" && !strings.Contains(got.err.Error(), tc.reason) {
				t.Errorf("got %v", got)
			}
		})
	}
}
