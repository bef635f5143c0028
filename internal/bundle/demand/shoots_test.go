package demand

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// TestShoots takes the real-life directories all the way: read, checked, rendered. One whose README has a line "Refused later:"
// is refused, with a code and with nothing but usage to blame.
func TestShoots(t *testing.T) {
	all := golden.Inputs(t, "shoots")
	entries, err := fs.ReadDir(all, ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 12 {
		t.Fatalf("only %d directories", len(entries))
	}
	for _, entry := range entries {
		t.Run(entry.Name(), func(t *testing.T) {
			directory, err := fs.Sub(all, entry.Name())
			if err != nil {
				t.Fatal(err)
			}
			about, err := fs.ReadFile(directory, "README.md")
			if err != nil {
				t.Fatal(err)
			}
			images, err := take(directory)
			if strings.Contains(string(about), "\nRefused later:") {
				if fault.ClassOf(err) != fault.Usage {
					t.Errorf("got %v, want a refusal", err)
				}
				return
			}
			if err != nil || len(images) == 0 {
				t.Errorf("got %v, %v", images, err)
			}
		})
	}
}

func take(directory fs.FS) ([]Image, error) {
	set, err := manifest.Read(directory)
	if err != nil {
		return nil, err
	}
	c, err := cluster.New(set, "11111111-2222-3333-4444-555555555555")
	if err != nil {
		return nil, err
	}
	return Images(c)
}
