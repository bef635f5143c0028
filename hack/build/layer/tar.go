// Package layer turns directories of files into image layers: reproducible tars, compressed once.
// Used by the builder between programs and images.
package layer

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// File is one entry of a layer.
type File struct {
	// Path is absolute in the image.
	Path string
	Mode fs.FileMode // with its type bits
	// Link is a symbolic link's target, Data a file's content; Source is the content's file where Data is nil.
	Link   string
	Data   []byte
	Source string
}

// FromDir takes all files below dir as files below target.
func FromDir(dir, target string) ([]File, error) {
	var all []File
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := File{Path: path.Join(target, filepath.ToSlash(relative)), Mode: info.Mode().Type() | normal(info.Mode()), Source: name}
		if d.Type() == fs.ModeSymlink {
			f.Source = ""
			f.Link, err = os.Readlink(name)
		}
		all = append(all, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list files of layer: %w", err)
	}
	return all, nil
}

// normal drops what the umask of this machine left of the mode, which is no part of the result.
func normal(mode fs.FileMode) fs.FileMode {
	if mode&0o100 != 0 || mode.Type() == fs.ModeSymlink {
		return 0o755
	}
	return 0o644
}

// Base is what a pod's image needs besides its program: a place for temporary files, and names for the users that it runs as.
func Base() []File {
	return []File{
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
		{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnonroot:x:65532:\n")},
	}
}

// Write writes a tar whose bytes depend on the files' paths, types, modes and contents only.
func Write(out io.Writer, files []File) error {
	archive := tar.NewWriter(out)
	for _, f := range withParents(files) {
		if err := writeFile(archive, f); err != nil {
			return fmt.Errorf("write %s to layer: %w", f.Path, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("end layer: %w", err)
	}
	return nil
}

// withParents adds the directories that the files are in, and sorts.
func withParents(files []File) []File {
	byPath := map[string]File{}
	for _, f := range files {
		for dir := path.Dir(f.Path); dir != "/"; dir = path.Dir(dir) {
			if _, ok := byPath[dir]; !ok {
				byPath[dir] = File{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	for _, f := range files {
		byPath[f.Path] = f
	}
	all := make([]File, 0, len(byPath))
	for _, f := range byPath {
		all = append(all, f)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Path < all[j].Path })
	return all
}

func writeFile(archive *tar.Writer, f File) error {
	mode := int64(f.Mode.Perm())
	if f.Mode&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	header := &tar.Header{Name: strings.TrimPrefix(f.Path, "/"), Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	switch f.Mode.Type() &^ fs.ModeSticky {
	case fs.ModeDir:
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return archive.WriteHeader(header)
	case fs.ModeSymlink:
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, f.Link, 0o777
		return archive.WriteHeader(header)
	}
	header.Typeflag = tar.TypeReg
	if f.Data != nil {
		header.Size = int64(len(f.Data))
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := archive.Write(f.Data)
		return err
	}
	return copyFile(archive, header, f.Source)
}

func copyFile(archive *tar.Writer, header *tar.Header, source string) error {
	content, err := os.Open(source)
	if err != nil {
		return err
	}
	defer content.Close()
	info, err := content.Stat()
	if err != nil {
		return err
	}
	header.Size = info.Size()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, content)
	return err
}
