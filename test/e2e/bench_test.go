package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkInit prints the figures of the first walk. Each round is a fresh machine; the figures are medians.
//
//	import-s:  bare machine (binary and bundle on disk) → bundle imported
//	images-s:  of that, images from the file into containerd
//	ready-s:   bundle imported → all system pods Ready
//	total-s:   command start → exit
//	pss-MiB:   sum of PSS of all processes of the machine after a minute at idle
func BenchmarkInit(b *testing.B) {
	const rounds = 3
	figures := map[string][]float64{}
	for i := range rounds {
		s := newStory(b)
		node := s.boot(fmt.Sprintf("cp-%d", i+1))
		start := time.Now()
		_, err := node.Exec(s.ctx, "bash", "-c", "gardenadm init --bundle /root/bundle --log-format json 2>/root/events.jsonl")
		check(b, err)
		figures["total-s"] = append(figures["total-s"], time.Since(start).Seconds())
		check(b, node.allPodsReady(systemPods))
		begin, importing, imported, ready := moments(b, node.run("cat", "/root/events.jsonl"))
		figures["images-s"] = append(figures["images-s"], imported.Sub(importing).Seconds())
		figures["import-s"] = append(figures["import-s"], imported.Sub(begin).Seconds())
		figures["ready-s"] = append(figures["ready-s"], ready.Sub(imported).Seconds())
		time.Sleep(time.Minute)
		total, table := node.pss()
		figures["pss-MiB"] = append(figures["pss-MiB"], total)
		b.Logf("round %d: PSS in MiB by program: %s", i+1, table)
		check(b, node.Remove(s.ctx))
	}
	report(b, figures)
}

// BenchmarkBundle prints the figures of the bundle's file; they are medians.
//
//	size-MiB:  the file
//	pack-s:    images whose layers are compressed already → file
//	verify-s:  every byte of the file looked at, on this computer
func BenchmarkBundle(b *testing.B) {
	const rounds = 5
	s := newStory(b)
	figures := map[string][]float64{}
	timed := func(name string, do func()) {
		began := time.Now()
		do()
		figures[name] = append(figures[name], time.Since(began).Seconds())
	}
	file := filepath.Join(b.TempDir(), "bundle.tar.zst")
	for range rounds {
		timed("pack-s", func() { s.gardenadm("bundle", "create", "--images", s.product(".local/bundle"), "-o", file) })
		timed("verify-s", func() { s.gardenadm("bundle", "verify", file) })
	}
	info, err := os.Stat(file)
	check(b, err)
	figures["size-MiB"] = []float64{float64(info.Size()) / (1 << 20)}
	report(b, figures)
}

// report prints all figures and reports their medians.
func report(b *testing.B, figures map[string][]float64) {
	for unit, values := range figures {
		b.Logf("%s: %.1f", unit, values)
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], unit)
	}
	b.ReportMetric(0, "ns/op")
}

// moments reads from init's events when it began, when its images were being and had been imported, and when all components were Ready.
func moments(b *testing.B, events string) (begin, importing, imported, ready time.Time) {
	scanner := bufio.NewScanner(strings.NewReader(events))
	for scanner.Scan() {
		var event struct {
			Time        time.Time
			Task, Event string
		}
		check(b, json.Unmarshal(scanner.Bytes(), &event))
		if begin.IsZero() {
			begin = event.Time
		}
		switch event.Task + " " + event.Event {
		case "import images started":
			importing = event.Time
		case "import images done":
			imported = event.Time
		case "wait for the components done":
			ready = event.Time
		}
	}
	if importing.IsZero() || imported.IsZero() || ready.IsZero() {
		b.Fatalf("the events lack a task:\n%s", events)
	}
	return begin, importing, imported, ready
}

// pss sums the proportional set size of all processes of the machine, in MiB.
func (h *host) pss() (total float64, table string) {
	h.story.Helper()
	out := h.run("bash", "-c", `for p in /proc/[0-9]*; do echo "$(cat $p/comm 2>/dev/null) $(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' $p/smaps_rollup 2>/dev/null)"; done`)
	byName := map[string]float64{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		kib, err := strconv.ParseFloat(fields[1], 64)
		check(h.story, err)
		byName[fields[0]] += kib / 1024
		total += kib / 1024
	}
	names := make([]string, 0, len(byName))
	for name, mib := range byName {
		if mib >= 1 {
			names = append(names, fmt.Sprintf("%s %.0f", name, mib))
		}
	}
	slices.Sort(names)
	return total, strings.Join(names, ", ")
}
