package cli

import (
	"errors"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
)

// Exit codes by class of error (DESIGN §8).
const (
	exitOther        = 1
	exitUsage        = 2
	exitPrecondition = 3
	exitTimeout      = 4
	exitInterrupted  = 130
)

// usageError is a mistake in flags or manifests; preconditionError is a machine that is not fit.
type (
	usageError        struct{ error }
	preconditionError struct{ error }
)

func (e usageError) Unwrap() error        { return e.error }
func (e preconditionError) Unwrap() error { return e.error }

// ExitCode is the program's exit code for an error.
func ExitCode(err error) int {
	var usage usageError
	var precondition preconditionError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flow.ErrCancelled):
		return exitInterrupted
	case errors.As(err, &usage), fault.ClassOf(err) == fault.Usage:
		return exitUsage
	case errors.As(err, &precondition), fault.ClassOf(err) == fault.Precondition:
		return exitPrecondition
	case errors.Is(err, flow.ErrTimeout):
		return exitTimeout
	}
	return exitOther
}
