// Package podlog turns the files that the container runtime writes below /var/log/pods into lines of text.
// Used by diagnosis and by `gardenadm logs`.
package podlog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Line is a line that a container wrote.
type Line struct {
	Time time.Time
	Text string
}

// Decoder reads the CRI's format: time, stream, F or P (a part, the rest of the line follows), text. The two streams are
// joined apart. The zero value is ready for use; what it was given may end anywhere.
type Decoder struct {
	rest  []byte
	parts map[string]string
}

// Decode returns the lines that are complete with the given bytes.
func (d *Decoder) Decode(raw []byte) []Line {
	d.rest = append(d.rest, raw...)
	var out []Line
	for {
		line, rest, found := bytes.Cut(d.rest, []byte("\n"))
		if !found {
			return out
		}
		d.rest = rest
		if decoded, whole := d.line(string(line)); whole {
			out = append(out, decoded)
		}
	}
}

func (d *Decoder) line(raw string) (Line, bool) {
	fields := strings.SplitN(raw, " ", 4)
	at, err := time.Parse(time.RFC3339Nano, fields[0])
	if err != nil || len(fields) < 3 {
		return Line{Text: strings.ToValidUTF8(raw, "?")}, true // not of this format: better as it is than not at all
	}
	text := ""
	if len(fields) == 4 {
		text = strings.ToValidUTF8(fields[3], "?")
	}
	stream := fields[1]
	if tag, _, _ := strings.Cut(fields[2], ":"); tag == "P" {
		if d.parts == nil {
			d.parts = map[string]string{}
		}
		d.parts[stream] += text
		return Line{}, false
	}
	text = d.parts[stream] + text
	delete(d.parts, stream)
	return Line{Time: at, Text: text}, true
}

// Lister lists a directory, as host.Files does.
type Lister interface {
	List(ctx context.Context, path string) ([]string, error)
}

// Container is where the logs of a pod's container are.
type Container struct {
	Namespace, Pod, UID, Name string
	// Files are the logs of its runs, the oldest first.
	Files []string
}

// Find returns all containers that have logs below dir, ordered by namespace, pod and name.
func Find(ctx context.Context, files Lister, dir string) ([]Container, error) {
	pods, err := files.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Container
	for _, pod := range pods {
		parts := strings.Split(pod, "_")
		if len(parts) != 3 {
			continue
		}
		names, err := files.List(ctx, path.Join(dir, pod))
		if err != nil {
			continue // removed meanwhile
		}
		for _, name := range names {
			found := Container{Namespace: parts[0], Pod: parts[1], UID: parts[2], Name: name}
			found.Files = runs(ctx, files, path.Join(dir, pod, name))
			if len(found.Files) > 0 {
				out = append(out, found)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Container) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// runs returns a container's logs N.log by number; what was rotated away (N.log.TIME) is left out.
func runs(ctx context.Context, files Lister, dir string) []string {
	names, err := files.List(ctx, dir)
	if err != nil {
		return nil
	}
	number := func(name string) int {
		n, err := strconv.Atoi(strings.TrimSuffix(name, ".log"))
		if err != nil || !strings.HasSuffix(name, ".log") {
			return -1
		}
		return n
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return number(name) < 0 })
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	for i, name := range names {
		names[i] = path.Join(dir, name)
	}
	return names
}
