package flow

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// What an error of Run means, for errors.Is. A run that was cancelled after a task had failed counts as failed.
var (
	// ErrTimeout: a step was not done within its time, or the deadline of the whole run passed.
	ErrTimeout = errors.New("timed out")
	// ErrCancelled: the caller's context was cancelled (Ctrl-C). The error wraps context.Cause of it too.
	ErrCancelled = errors.New("cancelled")
)

// Permanent marks an error that no further attempt can cure; nil stays nil. The text stays the same.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// TaskError is the failure of one task.
type TaskError struct {
	Flow, Task string
	Err        error
}

func (e *TaskError) Error() string { return fmt.Sprintf("flow %q: task %q: %v", e.Flow, e.Task, e.Err) }

// Unwrap returns the task's own error.
func (e *TaskError) Unwrap() error { return e.Err }

// TimeoutError tells that a step with retries was not done in time, and what stood in the way at last.
// errors.Is finds ErrTimeout in it.
type TimeoutError struct {
	Within   time.Duration
	Attempts int
	Last     error // nil when no attempt came back with an answer
}

func (e *TimeoutError) Error() string {
	if e.Last == nil {
		return fmt.Sprintf("not done within %v: %s gave no answer", e.Within, count(e.Attempts, "attempt"))
	}
	return fmt.Sprintf("not done within %v (%s): %v", e.Within, count(e.Attempts, "attempt"), e.Last)
}

// Is makes the error an ErrTimeout.
func (e *TimeoutError) Is(target error) bool { return target == ErrTimeout }

// Unwrap returns the last cause.
func (e *TimeoutError) Unwrap() error { return e.Last }

// PanicError is a panic in a task. The stack is not part of its text: it is for whoever reports the bug.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value of the panic when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

func newPanicError(value any) error { return &PanicError{Value: value, Stack: debug.Stack()} }

// errGoexit is the error of a task that ended its goroutine, as t.FailNow does in a test.
var errGoexit = errors.New("the task ended its goroutine without returning")

// siblingError is the cause with which the others are cancelled when a task or a part of one has failed. It does not
// unwrap: what errors.Is finds in the failure must not be found in those that were stopped because of it.
type siblingError struct{ err error }

func (e *siblingError) Error() string { return "stopped because of another failure: " + e.err.Error() }

// interruptedError is what a step returns that was stopped from outside between two attempts or within one.
type interruptedError struct {
	cause error // context.Cause
	last  error // what stood in the way until then; may be nil
}

func (e *interruptedError) Error() string {
	if e.last == nil {
		return describeStop(e.cause)
	}
	return fmt.Sprintf("%s; last cause: %v", describeStop(e.cause), e.last)
}

func (e *interruptedError) Unwrap() error { return e.cause }

// runStoppedError is the error of a run whose own context ended before any task failed.
type runStoppedError struct {
	flow  string
	cause error    // context.Cause of the caller's context
	notes []string // the tasks that were stopped, or the one that would have been next
	late  []error  // failures that came after the end of the context
}

func (e *runStoppedError) Error() string {
	s := fmt.Sprintf("flow %q: %s", e.flow, describeStop(e.cause))
	for _, n := range e.notes {
		s += "; " + n
	}
	return s
}

// Is tells a passed deadline (ErrTimeout) from every other end of the context (ErrCancelled).
func (e *runStoppedError) Is(target error) bool {
	if errors.Is(e.cause, context.DeadlineExceeded) || errors.Is(e.cause, ErrTimeout) {
		return target == ErrTimeout
	}
	return target == ErrCancelled
}

func (e *runStoppedError) Unwrap() []error { return append([]error{e.cause}, e.late...) }

// describeStop gives the standard causes words that say something.
func describeStop(cause error) string {
	switch cause {
	case context.Canceled:
		return "cancelled"
	case context.DeadlineExceeded:
		return "the time for all of it is over"
	}
	return "stopped: " + cause.Error()
}

// isStop says whether a step only tells that it was stopped from outside.
func isStop(err error) bool {
	stopped, sibling := (*interruptedError)(nil), (*siblingError)(nil)
	return errors.As(err, &stopped) || errors.As(err, &sibling) || isEcho(err)
}

// said is what an error tells beyond the end of a context; nil when that is nothing.
func said(err error) error {
	if i := (*interruptedError)(nil); errors.As(err, &i) {
		return i.last
	}
	if err == context.Canceled || err == context.DeadlineExceeded {
		return nil
	}
	return err
}

// isEcho says whether err only repeats that a context ended. Some libraries pass on the text alone, hence the suffixes.
func isEcho(err error) bool {
	if errors.Is(err, ErrTimeout) {
		return false // the step's own time was over: that is an answer
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrCancelled) {
		return true
	}
	for _, s := range []string{context.Canceled.Error(), context.DeadlineExceeded.Error(), "timed out waiting for the condition"} {
		if strings.HasSuffix(err.Error(), s) {
			return true
		}
	}
	return false
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
