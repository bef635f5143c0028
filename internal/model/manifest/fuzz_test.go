package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// FuzzRead: no input makes the reader panic, what it refuses it explains, and what it accepts survives being written and read.
// The input is read alone and beside a complete set.
func FuzzRead(f *testing.F) {
	for _, pattern := range []string{shoots + "*/*/*.yaml", shoots + "/*/*/*.yaml", shoots + "*/*/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds at %s: %v", pattern, err)
		}
		for _, name := range files {
			raw, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw, filepath.Ext(name) == ".json")
		}
	}
	base := builtin(f)
	f.Fuzz(func(t *testing.T, raw []byte, isJSON bool) {
		name := "input.yaml"
		if isJSON {
			name = "input.json"
		}
		for _, files := range []fstest.MapFS{
			{name: {Data: raw}},
			{name: {Data: raw}, "base.yaml": {Data: base}},
		} {
			set, err := manifest.Read(files)
			if err != nil {
				var problems manifest.Problems
				if !errors.As(err, &problems) || problems.Error() == "" {
					t.Fatalf("an error without problems: %v", err)
				}
				continue
			}
			written, err := manifest.Encode(set)
			if err != nil {
				t.Fatal(err)
			}
			again, err := manifest.Decode(written)
			if err != nil {
				t.Fatalf("%v in\n%s", err, written)
			}
			equal(t, "written and read again", set, again)
		}
	})
}
