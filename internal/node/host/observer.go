package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Observer looks at what runs on the machine and at what it wrote. It changes nothing and needs no API server.
type Observer interface {
	// Unit says since when a unit is in its state and how its last run ended; an unknown unit gives the zero value.
	Unit(ctx context.Context, name string) (UnitRun, error)
	// Journal returns the last lines of a unit's journal, the oldest first. A unit without a journal has none.
	Journal(ctx context.Context, unit string, most int) ([]JournalLine, error)
	// Pods returns the pods that the container runtime has, with their containers, also those that ended.
	Pods(ctx context.Context) ([]Pod, error)
	// Open opens a file for reading; a missing one is fs.ErrNotExist.
	Open(ctx context.Context, path string) (io.ReadSeekCloser, error)
	// Disk says how full the file system is that holds path.
	Disk(ctx context.Context, path string) (DiskUse, error)
}

// UnitRun is what systemd remembers of a unit's runs.
type UnitRun struct {
	// Since is when the unit came into its state; zero when unknown.
	Since time.Time
	// Result is why the last run ended, in systemd's words (success, exit-code, signal, oom-kill …).
	Result string
	// ExitCode is that of the last run's main process.
	ExitCode int
	// Restarts counts systemd's own restarts.
	Restarts int
}

// JournalLine is one message of a unit, or of systemd about it.
type JournalLine struct {
	Time time.Time
	Text string
}

// DiskUse is how full a file system is.
type DiskUse struct {
	Size, Free         uint64 // bytes; Free without what is reserved for root
	Inodes, FreeInodes uint64
	ReadOnly           bool
}

// observer looks at the real machine.
type observer struct {
	runner Runner
	units  *units
	images *imageStore
}

func (o observer) Unit(ctx context.Context, name string) (UnitRun, error) {
	conn, err := o.units.connect(ctx)
	if err != nil {
		return UnitRun{}, fmt.Errorf("look at %s: %w", name, err)
	}
	properties, err := conn.GetAllPropertiesContext(ctx, name)
	if err != nil {
		return UnitRun{}, fmt.Errorf("look at %s: %w", name, err)
	}
	run := UnitRun{}
	run.Result, _ = properties["Result"].(string)
	if at, _ := properties["StateChangeTimestamp"].(uint64); at > 0 {
		run.Since = time.UnixMicro(int64(at)) //nolint:gosec // a time of this age of the world
	}
	if code, ok := properties["ExecMainStatus"].(int32); ok {
		run.ExitCode = int(code)
	}
	if restarts, ok := properties["NRestarts"].(uint32); ok {
		run.Restarts = int(restarts)
	}
	return run, nil
}

func (o observer) Journal(ctx context.Context, unit string, most int) ([]JournalLine, error) {
	output, err := o.runner.Run(ctx, Command{Path: "journalctl",
		Args: []string{"-u", unit, "-n", strconv.Itoa(most), "--no-pager", "-q", "-o", "json", "--output-fields=MESSAGE"}})
	if err != nil {
		return nil, fmt.Errorf("read journal of %s: %w", unit, err)
	}
	var lines []JournalLine
	for raw := range strings.Lines(string(output.Stdout)) {
		line, err := parseJournal(raw)
		if err != nil {
			return nil, fmt.Errorf("read journal of %s: %w", unit, err)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// parseJournal reads a line of journalctl's JSON. A message that is not UTF-8 is an array of bytes there.
func parseJournal(raw string) (JournalLine, error) {
	var entry struct {
		Time    string          `json:"__REALTIME_TIMESTAMP"`
		Message json.RawMessage `json:"MESSAGE"`
	}
	if err := json.Unmarshal([]byte(raw), &entry); err != nil {
		return JournalLine{}, err
	}
	line := JournalLine{}
	if micro, err := strconv.ParseInt(entry.Time, 10, 64); err == nil {
		line.Time = time.UnixMicro(micro)
	}
	if json.Unmarshal(entry.Message, &line.Text) == nil {
		return line, nil
	}
	var numbers []int
	if json.Unmarshal(entry.Message, &numbers) == nil {
		text := make([]byte, len(numbers))
		for i, n := range numbers {
			text[i] = byte(n) //nolint:gosec // the array is one of bytes
		}
		line.Text = strings.ToValidUTF8(string(text), "?")
	}
	return line, nil
}

func (observer) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	if err := ready(ctx, path); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, cause(err))
	}
	return file, nil
}

func (observer) Disk(ctx context.Context, path string) (DiskUse, error) {
	if err := ready(ctx, path); err != nil {
		return DiskUse{}, fmt.Errorf("look at the disk of %s: %w", path, err)
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(path, &stat); err != nil {
		return DiskUse{}, fmt.Errorf("look at the disk of %s: %w", path, err)
	}
	if stat.Bsize <= 0 {
		return DiskUse{}, fmt.Errorf("look at the disk of %s: %w", path, errors.New("its block size is not known"))
	}
	block := uint64(stat.Bsize)
	const readOnly = 1 // ST_RDONLY
	return DiskUse{Size: stat.Blocks * block, Free: stat.Bavail * block, Inodes: stat.Files, FreeInodes: stat.Ffree,
		ReadOnly: stat.Flags&readOnly != 0}, nil
}
