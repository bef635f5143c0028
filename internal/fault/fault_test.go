package fault_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/fault"
)

func TestEntriesAreWhole(t *testing.T) {
	form := regexp.MustCompile(`^GA-[123]\d{3}$`)
	class := map[byte]fault.Class{'1': fault.Usage, '2': fault.Precondition, '3': fault.Component}
	seen := map[fault.Code]bool{}
	for _, e := range fault.Entries() {
		if !form.MatchString(string(e.Code)) {
			t.Errorf("%s is not of the form GA-nnnn", e.Code)
			continue
		}
		if seen[e.Code] {
			t.Errorf("%s is used twice", e.Code)
		}
		seen[e.Code] = true
		if e.Class != class[e.Code[3]] {
			t.Errorf("%s has class %q, its number says %q", e.Code, e.Class, class[e.Code[3]])
		}
		if e.Title == "" || e.Text == "" || e.Fix == "" {
			t.Errorf("%s lacks title, text or fix", e.Code)
		}
		if !strings.HasSuffix(e.Text, ".") {
			t.Errorf("%s: the text must be whole sentences", e.Code)
		}
	}
}

func TestReportEndsWithTheFiveLines(t *testing.T) {
	one := fault.New(fault.Busy, "lock: %w", errors.New("process 12")).Seen("first", "second\nthird").Mend("kill %d", 12)
	report := fault.Report(fmt.Errorf("flow: %w", errors.Join(errors.New("other"), one)))
	lines := strings.Split(strings.TrimSpace(report), "\n")
	want := []string{
		"GA-2101: another gardenadm works on this machine",
		"  cause:    lock: process 12",
		"  evidence: first | second third",
		"  fix:      kill 12",
		"  more:     gardenadm explain GA-2101",
	}
	if got := lines[len(lines)-5:]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOfFindsWrappedAndJoined(t *testing.T) {
	a, b := fault.New(fault.Busy, "a"), fault.New(fault.BadFlag, "b")
	got := fault.Of(fmt.Errorf("x: %w", errors.Join(a, fmt.Errorf("y: %w", b))))
	if len(got) != 2 || got[0] != a || got[1] != b {
		t.Errorf("got %v", got)
	}
	if fault.ClassOf(errors.New("plain")) != "" || fault.ClassOf(b) != fault.Usage {
		t.Error("the class is that of the first fault, none without one")
	}
}

func TestSeenAndMendDoNotChangeTheOriginal(t *testing.T) {
	original := fault.New(fault.Busy, "x")
	original.Seen("y").Mend("z")
	if len(original.Evidence) != 0 || original.Fix != "" {
		t.Errorf("changed: %+v", original)
	}
}
