package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
)

// tempMark follows the data directory's name in the names of its work directories.
const tempMark = ".new-"

// identity is what a member's log says about whose it is.
type identity struct{ Member, Cluster types.ID }

// holdsLog tells whether the directory holds a member's log. A directory with anything else in it is an error:
// it may be what is left of a member, which must not come back empty under its old name.
func holdsLog(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look into it: %w", err)
	}
	if len(entries) == 0 {
		return false, nil
	}
	if wal.Exist(logDir(dir)) {
		return true, nil
	}
	return false, fmt.Errorf("it holds %q but no log in member/wal: remove what is left in it, or restore the member", entries[0].Name())
}

func logDir(dataDir string) string { return filepath.Join(dataDir, "member", "wal") }

// readIdentity reads the head of the oldest log file: each of them begins with the member's metadata.
func readIdentity(dataDir string) (identity, error) {
	names, err := filepath.Glob(filepath.Join(logDir(dataDir), "*.wal"))
	if err != nil || len(names) == 0 {
		return identity{}, fmt.Errorf("find log files: none in %s", logDir(dataDir))
	}
	file, err := os.Open(names[0]) // Glob sorts, and a log file's name begins with its number
	if err != nil {
		return identity{}, fmt.Errorf("open log file: %w", err)
	}
	defer file.Close()
	reader := wal.NewDecoder(fileutil.NewFileReader(file))
	for {
		var record walpb.Record
		if err := reader.Decode(&record); err != nil {
			return identity{}, fmt.Errorf("read log file %s: no metadata: %w", names[0], err)
		}
		switch record.Type {
		case wal.CrcType:
			reader.UpdateCRC(record.Crc)
		case wal.MetadataType:
			var meta etcdserverpb.Metadata
			if err := meta.Unmarshal(record.Data); err != nil {
				return identity{}, fmt.Errorf("read log file %s: metadata: %w", names[0], err)
			}
			return identity{Member: types.ID(meta.NodeID), Cluster: types.ID(meta.ClusterID)}, nil
		}
	}
}

// removeStale removes the work directories of killed runs. Two runs at once are not provided for: one agent calls this.
func removeStale(dataDir string) error {
	parent, prefix := filepath.Dir(dataDir), filepath.Base(dataDir)+tempMark
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for work directories of earlier runs: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(parent, entry.Name())); err != nil {
			return fmt.Errorf("remove work directory of an earlier run: %w", err)
		}
	}
	return nil
}

// settle gives all files below dir their owner and brings them to disk.
func settle(dir string, to *owner) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("walk new files: %w", err)
		}
		if to != nil {
			if err := os.Lchown(path, to.UID, to.GID); err != nil {
				return fmt.Errorf("set owner: %w", err)
			}
		}
		if entry.IsDir() {
			if err := os.Chmod(path, 0o700); err != nil {
				return fmt.Errorf("set mode: %w", err)
			}
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open to sync: %w", err)
	}
	err = errors.Join(file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
