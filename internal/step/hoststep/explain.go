package hoststep

import (
	"context"
	"slices"
	"strings"
	"syscall"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
)

// Explained makes a step end at once with a fault when it fails for a reason that trying again does not mend.
func Explained(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return explain(run(ctx)) }
}

// passing says that a fault may be over soon: the node of the only mirror may just be restarting.
func passing(err error) bool {
	return slices.ContainsFunc(fault.Of(err), func(f *fault.Error) bool { return f.Code == fault.MirrorSilent })
}

func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case passing(err):
		return err
	case len(fault.Of(err)) > 0:
		return flow.Permanent(err)
	// What went through containerd or another program has lost its type and kept the text.
	case strings.Contains(err.Error(), syscall.ENOSPC.Error()):
		return flow.Permanent(fault.New(fault.DiskFull, "%w", err))
	case strings.Contains(err.Error(), syscall.EROFS.Error()):
		return flow.Permanent(fault.New(fault.ReadOnlyDisk, "%w", err))
	}
	return err
}
