package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
	"github.com/gardenadm/gardenadm/internal/fault"
)

// Unpack makes dir (root 0700) a layout directory with this bundle and opens it. A bundle that is a directory is used where it is.
// What is there whole is kept, so it goes on where an earlier one was killed; what is of another bundle goes away first, for its space.
// All is verified again. Too little space is a fault with code LittleSpace, told before anything is written where it can be.
func (o *Origin) Unpack(ctx context.Context, dir string) (*Bundle, error) {
	if o.there != nil {
		return o.there, nil
	}
	err := o.unpack(ctx, dir)
	if errors.Is(err, unix.ENOSPC) {
		err = fault.New(fault.LittleSpace, "%w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack bundle into %s: %w", dir, err)
	}
	return Open(dir, o.architecture)
}

func (o *Origin) unpack(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := unpacking{Contents: o.Contents, root: root, missing: map[string]v1.Descriptor{}}
	if err := u.look(ctx); err != nil {
		return err
	}
	if err := checkSpace(dir, sum(inOrder(u.missing))); err != nil {
		return err
	}
	if len(u.missing) > 0 {
		if err := stream(ctx, o.Path, u.takeBlobs); err != nil {
			return err
		}
	}
	return u.finish()
}

// unpacking is one Unpack under way.
type unpacking struct {
	*Contents
	// root keeps what is written below the directory, whatever is in it.
	root    *os.Root
	missing map[string]v1.Descriptor // by digest
}

// look finds out what is missing; what is there but not whole is missing too. What is of another bundle, or half written, is removed.
func (u *unpacking) look(ctx context.Context) error {
	if err := u.root.MkdirAll(archive.DirBlobs, 0o700); err != nil {
		return err
	}
	if err := u.dropOthers(); err != nil {
		return err
	}
	for _, blob := range u.blobs() {
		whole, err := u.whole(ctx, blob)
		if err != nil {
			return err
		}
		if whole {
			continue
		}
		u.missing[blob.Digest.String()] = blob
		if err := u.root.RemoveAll(archive.DirBlobs + "/" + blob.Digest.Hex); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacking) whole(ctx context.Context, blob v1.Descriptor) (bool, error) {
	name, err := blobName(blob.Digest)
	if err != nil {
		return false, err
	}
	info, err := u.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Size() != blob.Size) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	file, err := u.root.Open(name)
	if err != nil {
		return false, err
	}
	content := newVerifier(file, name, blob)
	defer content.Close()
	_, err = io.Copy(io.Discard, &stoppable{ctx: ctx, Reader: content})
	if len(fault.Of(err)) > 0 {
		return false, nil
	}
	return err == nil, err
}

// checkSpace says LittleSpace when the file system of dir has fewer bytes than that.
func checkSpace(dir string, bytes int64) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	free, need := disk.Bavail*uint64(disk.Bsize), uint64(bytes)
	if need > free {
		return fault.New(fault.LittleSpace, "%d MiB are needed, and %d MiB are free", need>>20, free>>20)
	}
	return nil
}

func (u *unpacking) takeBlobs(in *archive.Reader) error {
	changed := errors.New("it was changed after it was checked")
	if !bytes.Equal(in.Index, u.raw) {
		return changed
	}
	for len(u.missing) > 0 {
		digest, size, err := in.Next()
		if err == io.EOF {
			return changed
		}
		if err != nil {
			return err
		}
		blob, ok := u.missing[digest.String()]
		if !ok {
			continue
		}
		if blob.Size != size {
			return changed
		}
		if err := u.write(archive.DirBlobs+"/"+digest.Hex, in); err != nil {
			return err
		}
		delete(u.missing, digest.String())
	}
	return nil
}

// write writes beside the name first: whatever has a name is whole.
func (u *unpacking) write(name string, content io.Reader) error {
	beside := name + ".part"
	if err := u.root.RemoveAll(beside); err != nil {
		return err
	}
	file, err := u.root.OpenFile(beside, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = u.root.Rename(beside, name)
	}
	if err != nil {
		return errors.Join(err, u.root.RemoveAll(beside)) // half a blob would keep its space
	}
	return nil
}

// finish makes the directory this bundle, now that all blobs are there.
func (u *unpacking) finish() error {
	if err := u.write(archive.NameLayout, strings.NewReader(archive.Layout)); err != nil {
		return err
	}
	if u.Signed() {
		if err := u.write(archive.NameSignature, bytes.NewReader(u.signature)); err != nil {
			return err
		}
	} else if err := u.root.RemoveAll(archive.NameSignature); err != nil {
		return err
	}
	return u.write(archive.NameIndex, bytes.NewReader(u.raw))
}

func (u *unpacking) dropOthers() error {
	entries, err := fs.ReadDir(u.root.FS(), archive.DirBlobs)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if _, ours := u.find("sha256:" + entry.Name()); ours {
			continue
		}
		if err := u.root.RemoveAll(path.Join(archive.DirBlobs, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
