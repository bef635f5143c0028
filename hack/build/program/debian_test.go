package program

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/hack/build/license"
)

func TestOwnersOfFiles(t *testing.T) {
	tree := files{contents: {data: []byte(`Package: nftables
Version: 1.0.6-2+deb12u2
Architecture: arm64
./
./usr/sbin/nft

Package: libgcc-s1
Source: gcc-12 (12.2.0-14)
Version: 3:12.2.0-14
Architecture: arm64
./
./lib/libgcc_s.so.1

Package: libmnl0
Source: libmnl
Version: 1.0.4-3
Architecture: arm64
./lib/libmnl.so.0
`)}}
	owners, err := tree.owners()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]license.Debian{
		"usr/sbin/nft":      {Name: "nftables", Version: "1.0.6-2+deb12u2", Architecture: "arm64", Source: "nftables", SourceVersion: "1.0.6-2+deb12u2"},
		"lib/libgcc_s.so.1": {Name: "libgcc-s1", Version: "3:12.2.0-14", Architecture: "arm64", Source: "gcc-12", SourceVersion: "12.2.0-14"},
		"lib/libmnl.so.0":   {Name: "libmnl0", Version: "1.0.4-3", Architecture: "arm64", Source: "libmnl", SourceVersion: "1.0.4-3"},
	} {
		if owners[name] != want {
			t.Errorf("%s is of %+v, want %+v", name, owners[name], want)
		}
	}
	if _, err := (files{}).owners(); err == nil {
		t.Error("want an error where nothing describes the packages")
	}
}

func TestProgramsOfAnotherMachineAreNoticed(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tool"), string(data))
	write(t, filepath.Join(dir, "text"), "no program")
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	if err := checkMachine(dir, Platform{"linux", runtime.GOARCH}); err != nil {
		t.Error(err)
	}
	if err := checkMachine(dir, Platform{"linux", other}); err == nil || !strings.Contains(err.Error(), "tool") {
		t.Errorf("got %v", err)
	}
}
