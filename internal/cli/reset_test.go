package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

func TestOnlyYesIsYes(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, " yes": true, "": false, "\n": false, "n\n": false, "yesterday\n": false} {
		err := answeredYes(strings.NewReader(answer))
		if got := err == nil; got != want {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestNobodyIsAskedWithoutATerminal(t *testing.T) {
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer nothing.Close()
	var out bytes.Buffer
	found := fault.Of(confirm(t.Context(), nothing, &out))
	if len(found) != 1 || found[0].Code != fault.NotConfirmed || out.Len() > 0 {
		t.Errorf("got %v, printed %q", found, out.String())
	}
}

func TestResetFlags(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("reset is for root")
	}
	for _, flags := range [][]string{{"--etcd-data=burn"}, {"--log-format=xml"}, {"--timeout=0s"}, {"--force", "--timeout=-1s"}, {"-o", "json"}, {"now"}} {
		var errors bytes.Buffer
		args := append([]string{"reset", "--yes"}, flags...)
		if code := Execute(t.Context(), args, Streams{Out: &errors, Err: &errors}); code != exitUsage {
			t.Errorf("%q: exit code %d: %s", args, code, errors.String())
		}
	}
}

// Whoever says --yes or what becomes of the data means a reset, and --verify is none.
func TestVerifyRefusesFlagsOfAReset(t *testing.T) {
	for _, flag := range []string{"--yes", "-y", "--force", "--etcd-data=remove", "--timeout=1m", "--log-format=json"} {
		if code, _, said := execute(t, "reset", "--verify", flag); code != exitUsage || !strings.Contains(said, "--verify") {
			t.Errorf("%s: exit code %d: %s", flag, code, said)
		}
	}
}

func TestNodeRemoveTakesOneName(t *testing.T) {
	for _, args := range [][]string{{"node"}, {"node", "remove"}, {"node", "remove", "a", "b"}, {"node", "remove", "a", "--log-format=xml"}, {"node", "remove", "a", "--force", "--timeout=0s"}} {
		var errors bytes.Buffer
		if code := Execute(t.Context(), args, Streams{Out: &errors, Err: &errors}); code != exitUsage {
			t.Errorf("%q: exit code %d: %s", args, code, errors.String())
		}
	}
}

func TestVerifyReset(t *testing.T) {
	machine := hosttest.New()
	h, ctx := machine.Host(), t.Context()
	verify := func(output string) (string, error) {
		var out bytes.Buffer
		err := verifyReset(ctx, h, output, &out)
		return out.String(), err
	}
	if _, err := verify(""); fault.ClassOf(err) != fault.Precondition {
		t.Errorf("without a record: %v", err)
	}
	for _, err := range []error{record.Keep(ctx, h), record.PutAside(ctx, h), h.Files.Remove(ctx, layout.DirState)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, err := verify(""); err != nil || !strings.HasPrefix(out, "Nothing is left") {
		t.Errorf("nothing is left: %v: %s", err, out)
	}

	if err := h.Files.Write(ctx, "/etc/kubernetes/admin.conf", strings.NewReader("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := verify("")
	if ExitCode(err) != exitOther || !strings.Contains(out, "file /etc/kubernetes/admin.conf is new") || strings.Contains(out, "Nothing") {
		t.Errorf("something is left: %v: %s", err, out)
	}
	out, err = verify("json")
	var got verification
	if decode := json.Unmarshal([]byte(out), &got); decode != nil || ExitCode(err) != exitOther || got.Clean || len(got.Differences) == 0 {
		t.Errorf("as JSON: %v, %v: %s", err, decode, out)
	}
}
