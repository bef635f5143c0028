package data

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func createArgs(dir string, more ...string) []string {
	return append([]string{
		"create", "--data-dir", dir, "--name", "one",
		"--initial-advertise-peer-urls", "https://10.0.0.1:2380", "--initial-cluster", "one=https://10.0.0.1:2380",
		"--initial-cluster-token", "token",
	}, more...)
}

func mustRun(t *testing.T, args []string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(args, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCreateIsIdempotent(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	stale := filepath.Join(parent, "data.new-123", "member")
	if err := os.MkdirAll(stale, 0o700); err != nil {
		t.Fatal(err)
	}
	first := mustRun(t, createArgs(dir))
	if !strings.HasPrefix(first, "created "+dir+" member=") {
		t.Errorf("first run printed %q", first)
	}
	before := listing(t, parent)
	second := mustRun(t, createArgs(dir))
	if second != strings.Replace(first, "created", "exists", 1) {
		t.Errorf("second run printed %q after %q", second, first)
	}
	if after := listing(t, parent); after != before {
		t.Errorf("second run changed files:\n%s\nwere:\n%s", after, before)
	}
	if strings.Contains(before, ".new-") {
		t.Errorf("work directories are left:\n%s", before)
	}
}

func TestIdentityComesFromTheToken(t *testing.T) {
	one := mustRun(t, createArgs(filepath.Join(t.TempDir(), "data")))
	again := mustRun(t, createArgs(filepath.Join(t.TempDir(), "data")))
	other := mustRun(t, createArgs(filepath.Join(t.TempDir(), "data"), "--initial-cluster-token", "other"))
	ids := func(line string) string { return line[strings.Index(line, "member="):] }
	if ids(one) != ids(again) {
		t.Errorf("the same token gave %q and %q", one, again)
	}
	if ids(one) == ids(other) {
		t.Errorf("another token gave the same %q", one)
	}
}

func TestCreateRefuses(t *testing.T) {
	remains := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(filepath.Join(remains, "member", "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(logDir(broken), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(logDir(broken), "0000000000000000-0000000000000000.wal"), []byte("not a log"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "data")
	cases := []struct {
		name, want string
		args       []string
		usage      bool
	}{
		{"remains without a log", "no log in member/wal", createArgs(remains), false},
		{"unreadable log", "read log file", createArgs(broken), false},
		{"name that is not in the cluster", `couldn't find local name "two"`, createArgs(fresh, "--name", "two"), false},
		{"other peer URLs than the cluster's", "10.0.0.2", createArgs(fresh, "--initial-advertise-peer-urls", "https://10.0.0.2:2380"), false},
		{"owner that is no number", "want two numbers", createArgs(fresh, "--owner", "etcd"), true},
		{"missing flag", "--data-dir is missing", []string{"create"}, true},
		{"unknown verb", "want create or version", []string{"crate"}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := run(c.args, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
			var usage usageError
			if errors.As(err, &usage) != c.usage {
				t.Errorf("usage error is %t, want %t: %v", !c.usage, c.usage, err)
			}
		})
	}
	if entries, _ := os.ReadDir(filepath.Dir(fresh)); len(entries) != 0 {
		t.Errorf("a refused run left %v", entries)
	}
}

// listing has every path below dir with its mode and time.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && path != dir {
			text.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}
