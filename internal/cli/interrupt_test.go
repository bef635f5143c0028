package cli

import (
	"context"
	"io"
	"strings"
	"testing"
)

func TestCtrlCEndsAPrompt(t *testing.T) {
	nobody, typed := io.Pipe()
	defer typed.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := ExitCode(answeredYes(interruptible{ctx, nobody})); got != exitInterrupted {
		t.Errorf("the exit code is %d", got)
	}
	if err := answeredYes(interruptible{t.Context(), strings.NewReader("yes\n")}); err != nil {
		t.Errorf("yes is no yes: %v", err)
	}
}
