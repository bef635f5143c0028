package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/hack/build/cache"
)

// tree writes the files of a program, with a mode that the umask could have left.
func tree(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "tool"), []byte("program"), mode),
		os.Symlink("tool", filepath.Join(dir, "alias")),
		os.Mkdir(filepath.Join(dir, "share"), 0o700),
		os.WriteFile(filepath.Join(dir, "share", "text"), []byte("text"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func filesOf(t *testing.T, mode os.FileMode) []File {
	t.Helper()
	files, err := FromDir(tree(t, mode), "/usr/bin")
	if err != nil {
		t.Fatal(err)
	}
	return append(files, Base()...)
}

func TestTarHasWhatTheImageNeeds(t *testing.T) {
	var out bytes.Buffer
	if err := Write(&out, filesOf(t, 0o755)); err != nil {
		t.Fatal(err)
	}
	var got []string
	archive := tar.NewReader(&out)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != 0 {
			t.Errorf("%s tells of this machine: %+v", h.Name, h)
		}
		got = append(got, fmt.Sprintf("%c %o %s %s", h.Typeflag, h.Mode, h.Name, h.Linkname))
	}
	want := []string{
		"5 755 etc/ ", "0 644 etc/group ", "0 644 etc/passwd ", "5 1777 tmp/ ", "5 755 usr/ ", "5 755 usr/bin/ ",
		"2 777 usr/bin/alias tool", "5 755 usr/bin/share/ ", "0 644 usr/bin/share/text ", "0 755 usr/bin/tool ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTarIsReproducible(t *testing.T) {
	var one, two bytes.Buffer
	files := filesOf(t, 0o700)
	slices.Reverse(files)
	if err := errors.Join(Write(&one, filesOf(t, 0o755)), Write(&two, files)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("order or umask changed the tar")
	}
}

func TestMakeCompressesOnce(t *testing.T) {
	ctx := t.Context()
	store, err := cache.Open(t.TempDir(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	compressor, err := NewCompressor(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	first, cached, err := compressor.Make(ctx, filesOf(t, 0o755), DefaultWindow)
	if err != nil || cached {
		t.Fatalf("first: cached %t, %v", cached, err)
	}
	second, cached, err := compressor.Make(ctx, filesOf(t, 0o755), DefaultWindow)
	if err != nil || !cached || second.Path() != first.Path() {
		t.Fatalf("second: cached %t, %v", cached, err)
	}
	content, err := second.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, content); err != nil {
		t.Fatal(err)
	}
	if diffID, _ := second.DiffID(); diffID.Hex != hex.EncodeToString(hash.Sum(nil)) {
		t.Error("the layer does not unpack to its diff ID")
	}
	if err := os.Truncate(first.Path(), 10); err != nil {
		t.Fatal(err)
	}
	if _, cached, err = compressor.Make(ctx, filesOf(t, 0o755), DefaultWindow); err != nil || cached {
		t.Errorf("a damaged entry was used: %t, %v", cached, err)
	}
}
