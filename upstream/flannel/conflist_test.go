package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestRenderConflist(t *testing.T) {
	cases := map[string]cni{
		"ipv4.conflist": {
			MTU: 1450, DataDir: "/var/lib/cni/networks",
			Ranges: []cniRange{{Cluster: "100.96.0.0/11", Node: "100.96.1.0/24"}},
		},
		"dual.conflist": {
			MTU: 1500, DataDir: "/var/lib/cni/networks",
			Ranges: []cniRange{{Cluster: "100.96.0.0/11", Node: "100.96.1.0/24"}, {Cluster: "fd00:10::/56", Node: "fd00:10:0:1::/64"}},
		},
	}
	for name, facts := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := renderConflist(facts)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s(UPDATE_GOLDEN=1 go test writes it anew)", got, want)
			}
		})
	}
	if _, err := renderConflist(cni{MTU: 1450}); err == nil {
		t.Error("no address family: want an error")
	}
}

func TestWriteAtomicallyLeavesOnlyTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.d", "10-flannel.conflist")
	for _, text := range []string{"one", "two", "two"} {
		if err := writeAtomically(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Fatalf("want the file alone, got %v (%v)", entries, err)
	}
	if got, _ := os.ReadFile(path); string(got) != "two" {
		t.Errorf("got %q", got)
	}
}
