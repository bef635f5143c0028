package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// journal is the flow's journal on disk, for people and support only. It makes no directory: as long as nothing has been
// changed on this machine there is none, and what happened until then is kept in memory.
type journal struct {
	file   *os.File
	before bytes.Buffer
}

// Write appends to the journal once its directory is there. A journal that cannot be written stops nothing.
func (j *journal) Write(line []byte) (int, error) {
	if j.file == nil {
		j.before.Write(line)
		file, err := os.OpenFile(layout.FileJournal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			return len(line), nil
		}
		if err != nil {
			return 0, err
		}
		j.file = file
		_, err = j.file.Write(j.before.Bytes())
		return len(line), err
	}
	return j.file.Write(line)
}

// Sync makes what was written survive a power cut.
func (j *journal) Sync() error {
	if j.file == nil {
		return nil
	}
	return j.file.Sync()
}

// Close ends it.
func (j *journal) Close() {
	if j.file != nil {
		j.file.Close() //nolint:errcheck // every line was synced
	}
}
