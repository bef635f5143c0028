package podlog_test

import (
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/diagnosis/podlog"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

func TestDecodeJoinsPartsOfEachStream(t *testing.T) {
	raw := "2026-11-22T18:34:23.880216671Z stderr F one\n" +
		"2026-11-22T18:34:23.880216672Z stdout P two \n" +
		"2026-11-22T18:34:23.880216673Z stderr F between\n" +
		"2026-11-22T18:34:23.880216674Z stdout F halves\n" +
		"not of the format\n" +
		"2026-11-22T18:34:23.880216675Z stdout F \n"
	want := "one|between|two halves|not of the format|"
	for step := 1; step < len(raw); step += 7 { // what it is given may end anywhere
		var decoder podlog.Decoder
		var got []string
		for at := 0; at < len(raw); at += step {
			for _, line := range decoder.Decode([]byte(raw[at:min(len(raw), at+step)])) {
				got = append(got, line.Text)
			}
		}
		if strings.Join(got, "|") != want {
			t.Fatalf("in steps of %d: got %q", step, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("2026-11-22T18:34:23.88Z stderr F one\n")
	f.Add("2026-11-22T18:34:23.88Z stderr P\n\n \n")
	f.Fuzz(func(t *testing.T, raw string) {
		var decoder podlog.Decoder
		for _, line := range decoder.Decode([]byte(raw)) {
			if strings.Contains(line.Text, "\n") {
				t.Errorf("%q has more than one line", line.Text)
			}
		}
	})
}

func TestFindAndTail(t *testing.T) {
	h := hosttest.New().Host()
	dir := "/var/log/pods/kube-system_etcd-main-m_1/etcd/"
	for name, text := range map[string]string{
		dir + "9.log":                  "2026-11-22T18:34:23Z stderr F nine\n",
		dir + "10.log":                 strings.Repeat("2026-11-22T18:34:23Z stderr F "+strings.Repeat("x", 500)+"\n", 100) + "2026-11-22T18:34:23Z stderr F last\n",
		dir + "10.log.20261122-183423": "rotated\n",
		"/var/log/pods/other/x/0.log":  "no pod\n",
	} {
		if err := h.Files.Write(t.Context(), name, strings.NewReader(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	found, err := podlog.Find(t.Context(), h.Files, "/var/log/pods")
	if err != nil || len(found) != 1 {
		t.Fatalf("got %+v, %v", found, err)
	}
	if got := found[0]; got.Pod != "etcd-main-m" || got.Name != "etcd" || strings.Join(got.Files, " ") != dir+"9.log "+dir+"10.log" {
		t.Errorf("got %+v", got)
	}
	lines, err := podlog.Tail(t.Context(), h.Observer, dir+"10.log", 2)
	if err != nil || len(lines) != 2 || lines[1].Text != "last" || len(lines[0].Text) != 500 {
		t.Errorf("got %+v, %v", lines, err)
	}
	if none, err := podlog.Find(t.Context(), h.Files, "/none"); err != nil || none != nil {
		t.Errorf("without logs: %v, %v", none, err)
	}
}
