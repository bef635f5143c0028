package cli

import (
	"context"
	"io"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis/podlog"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// podLogFollow prints the end of a log and then what is appended; it goes on with the next run's file, and begins anew when
// the kubelet rotated the file away.
func podLogFollow(ctx context.Context, h *host.Host, out io.Writer, container podlog.Container, tail int) error {
	file := container.Files[len(container.Files)-1]
	lines, err := podlog.Tail(ctx, h.Observer, file, tail)
	if err != nil {
		return err
	}
	printLines(out, lines)
	offset, err := sizeOf(ctx, h, file)
	if err != nil {
		return err
	}
	var decoder podlog.Decoder
	for wait(ctx) {
		raw, next, err := readFrom(ctx, h, file, offset)
		if err == nil {
			offset = next
			printLines(out, decoder.Decode(raw))
		}
		if len(raw) > 0 {
			continue
		}
		if newest := newestRun(ctx, h, container); newest != "" && newest != file {
			file, offset, decoder = newest, 0, podlog.Decoder{}
		}
	}
	return nil
}

func sizeOf(ctx context.Context, h *host.Host, file string) (int64, error) {
	opened, err := h.Observer.Open(ctx, file)
	if err != nil {
		return 0, err
	}
	defer opened.Close() //nolint:errcheck // read only
	return opened.Seek(0, io.SeekEnd)
}

// readFrom returns what a file holds behind offset, and where it ends; one that became shorter is read from its beginning.
func readFrom(ctx context.Context, h *host.Host, file string, offset int64) ([]byte, int64, error) {
	opened, err := h.Observer.Open(ctx, file)
	if err != nil {
		return nil, offset, err
	}
	defer opened.Close() //nolint:errcheck // read only
	size, err := opened.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, offset, err
	}
	if size < offset {
		offset = 0
	}
	if _, err := opened.Seek(offset, io.SeekStart); err != nil {
		return nil, offset, err
	}
	raw, err := io.ReadAll(opened)
	return raw, offset + int64(len(raw)), err
}

// newestRun is the log of the container's newest run, also in a newer pod of the same name; "" when there is none now.
func newestRun(ctx context.Context, h *host.Host, container podlog.Container) string {
	all, err := podlog.Find(ctx, h.Files, layout.DirPodLogs)
	if err != nil {
		return ""
	}
	var same []podlog.Container
	for _, one := range all {
		if one.Namespace == container.Namespace && one.Pod == container.Pod && one.Name == container.Name {
			same = append(same, one)
		}
	}
	if same = newest(ctx, h, same); len(same) == 0 {
		return ""
	}
	return same[0].Files[len(same[0].Files)-1]
}
