package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
	"github.com/gardenadm/gardenadm/internal/fault"
)

// files lists all files below a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wanted lists the files of an unpacked bundle.
func wanted(o *Origin) []string {
	out := []string{archive.NameLayout, archive.NameIndex}
	for _, blob := range o.blobs() {
		out = append(out, archive.DirBlobs+"/"+blob.Digest.Hex)
	}
	slices.Sort(out)
	return out
}

func unpacked(t *testing.T, o *Origin, dir string) *Bundle {
	t.Helper()
	b, err := o.Unpack(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); !slices.Equal(got, wanted(o)) {
		t.Errorf("files %v, want %v", got, wanted(o))
	}
	for _, blob := range o.blobs() {
		if err := b.verifyBlob(t.Context(), blob); err != nil {
			t.Error(err)
		}
	}
	return b
}

func TestUnpack(t *testing.T) {
	o := origin(t, good(t).file(t))
	dir := filepath.Join(t.TempDir(), "state", "bundle")
	b := unpacked(t, o, dir)
	err := b.Extract(t.Context(), "registry.example.org/etcd:v1", []string{"/file"}, func(_ string, _ io.Reader) error { return nil })
	if err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Nothing is left to do, so not even the file is needed.
	if err := os.Remove(o.Path); err != nil {
		t.Fatal(err)
	}
	unpacked(t, o, dir)
}

func TestDirectoryIsUsedWhereItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	unpacked(t, origin(t, good(t).file(t)), dir)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	b, err := origin(t, dir).Unpack(t.Context(), elsewhere)
	if err != nil || b.Path != dir {
		t.Errorf("unpacked %s, %v", b.Path, err)
	}
	if _, err := os.Stat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was made: %v", elsewhere, err)
	}
}

// Whatever a kill, a bad disk or another bundle left behind, the next run makes it whole, and keeps what is whole.
func TestUnpackGoesOn(t *testing.T) {
	o := origin(t, good(t).file(t))
	first := archive.DirBlobs + "/" + inOrder(o.rest)[0].Digest.Hex
	other := good(t)
	other.image(t, "flannel", "amd64", "of the other bundle")
	for name, leave := range map[string]func(dir string) error{
		"nothing yet":       func(dir string) error { return os.RemoveAll(dir) },
		"a blob missing":    func(dir string) error { return os.Remove(filepath.Join(dir, first)) },
		"a blob cut":        func(dir string) error { return os.Truncate(filepath.Join(dir, first), 5) },
		"a blob damaged":    func(dir string) error { return flip(filepath.Join(dir, first)) },
		"a blob half there": func(dir string) error { return os.Rename(filepath.Join(dir, first), filepath.Join(dir, first+".part")) },
		"no index":          func(dir string) error { return os.Remove(filepath.Join(dir, archive.NameIndex)) },
		"damaged index":     func(dir string) error { return flip(filepath.Join(dir, archive.NameIndex)) },
		"an old signature":  func(dir string) error { return os.WriteFile(filepath.Join(dir, archive.NameSignature), nil, 0o600) },
		"a foreign file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, archive.DirBlobs, "foreign"), nil, 0o600)
		},
		"another bundle": func(dir string) error { _, err := origin(t, other.file(t)).Unpack(t.Context(), dir); return err },
		"a link for a blob": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, first)), os.Symlink("/dev/zero", filepath.Join(dir, first)))
		},
		"a link for a .part": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, first)), os.Symlink("index.json", filepath.Join(dir, first+".part")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "bundle")
			unpacked(t, o, dir)
			kept := filepath.Join(dir, archive.DirBlobs, inOrder(o.metadata)[0].Digest.Hex)
			before, err := os.Stat(kept)
			if err != nil {
				t.Fatal(err)
			}
			if err := leave(dir); err != nil {
				t.Fatal(err)
			}
			unpacked(t, o, dir)
			if after, err := os.Stat(kept); name != "nothing yet" && (err != nil || !os.SameFile(before, after)) {
				t.Errorf("a whole blob was written again (%v)", err)
			}
		})
	}
}

// stopped is a context that ends when it was asked n times.
type stopped struct {
	context.Context
	left int
}

func (s *stopped) Err() error {
	if s.left--; s.left < 0 {
		return context.Canceled
	}
	return nil
}

// Stopped at any point, nothing is there under a name that it does not deserve, and the next run goes on.
func TestUnpackStoppedAnywhere(t *testing.T) {
	o := origin(t, good(t).file(t))
	dir := filepath.Join(t.TempDir(), "bundle")
	stops := 0
	for n := 0; ; n++ {
		_, err := o.Unpack(&stopped{t.Context(), n}, dir)
		if err == nil {
			break
		}
		stops++
		if codes(err) != "" {
			t.Errorf("stopped after %d: the error is %v", n, err)
		}
		if _, err := os.Stat(filepath.Join(dir, archive.NameIndex)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("stopped after %d: the index is there before all blobs are (%v)", n, err)
		}
	}
	if stops == 0 {
		t.Error("it was never stopped")
	}
	unpacked(t, o, dir)
}

func TestFileChangedAfterItWasChecked(t *testing.T) {
	other := good(t)
	other.index.Annotations[AnnotationGardenadm] = "other"
	whole := good(t).bytes(t)
	for name, content := range map[string][]byte{"another bundle": other.bytes(t), "cut": whole[:len(whole)/2], "damaged": damaged(whole), "empty": nil} {
		o := origin(t, saved(t, whole))
		if err := os.WriteFile(o.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "bundle")
		if _, err := o.Unpack(t.Context(), dir); codes(err) != string(fault.BadBundle) {
			t.Errorf("%s: the error is %v", name, err)
		}
		if _, err := Open(dir, "amd64"); err == nil {
			t.Errorf("%s: what was unpacked can be opened", name)
		}
	}
}

func damaged(raw []byte) []byte {
	out := bytes.Clone(raw)
	out[len(out)/2] ^= 0xff
	return out
}

func TestLittleSpace(t *testing.T) {
	if err := checkSpace(t.TempDir(), 1<<60); codes(err) != string(fault.LittleSpace) {
		t.Errorf("the error is %v", err)
	}
}

// What a full disk or a kill left half written, or an older bundle whole, takes no space from the next attempt.
func TestUnpackMakesRoomFirst(t *testing.T) {
	o := origin(t, good(t).file(t))
	other := good(t)
	other.image(t, "flannel", "amd64", "of the other bundle")
	dir := filepath.Join(t.TempDir(), "bundle")
	if _, err := origin(t, other.file(t)).Unpack(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(dir, archive.DirBlobs, inOrder(o.rest)[0].Digest.Hex)
	if err := errors.Join(os.Truncate(first, 5), os.WriteFile(first+".part", []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(o.Path); err != nil { // so nothing new can be written
		t.Fatal(err)
	}
	if _, err := o.Unpack(t.Context(), dir); err == nil {
		t.Fatal("it was unpacked from nothing")
	}
	known := wanted(o)
	for _, name := range files(t, filepath.Join(dir, archive.DirBlobs)) {
		if name = archive.DirBlobs + "/" + name; !slices.Contains(known, name) || name == archive.DirBlobs+"/"+filepath.Base(first) {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestHalfWrittenBlobIsRemoved(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u := unpacking{root: root}
	if err := u.write("blob", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(unix.ENOSPC))); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("the error is %v", err)
	}
	if left := files(t, root.Name()); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}

// A directory that cannot be written is not the bundle's fault.
func TestTargetIsAFile(t *testing.T) {
	o := origin(t, good(t).file(t))
	if _, err := o.Unpack(t.Context(), saved(t, nil)); err == nil || codes(err) != "" {
		t.Errorf("the error is %v", err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, archive.NameIndex, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Unpack(t.Context(), dir); err == nil || codes(err) != "" {
		t.Errorf("the error is %v", err)
	}
}
