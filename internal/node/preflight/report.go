package preflight

import (
	"errors"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Report is what all checks found, and what was learnt of the machine on the way.
type Report struct {
	Facts host.Facts
	// Address is the zero NodeAddress when the rules choose none.
	Address NodeAddress
	Results []Result
}

// Result is what a check found.
type Result struct {
	Name     string
	Seen     string // a few words for people
	Skipped  bool
	Findings []Finding
}

// Status is skipped, fail, warn or ok.
func (r Result) Status() string {
	status := "ok"
	if r.Skipped {
		return "skipped"
	}
	for _, finding := range r.Findings {
		if finding.Severity == Failure {
			return "fail"
		}
		status = "warn"
	}
	return status
}

// Err joins all failures; nil when there is none.
func (r Report) Err() error {
	var errs []error
	for _, one := range r.of(Failure) {
		errs = append(errs, one)
	}
	return errors.Join(errs...)
}

// Warnings are the findings that keep nobody from going on.
func (r Report) Warnings() []*fault.Error { return r.of(Warning) }

func (r Report) of(severity Severity) []*fault.Error {
	var out []*fault.Error
	for _, result := range r.Results {
		for _, finding := range result.Findings {
			if finding.Severity == severity {
				out = append(out, finding.Fault)
			}
		}
	}
	return out
}
