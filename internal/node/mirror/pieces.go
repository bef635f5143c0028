package mirror

import (
	"bufio"
	"io"
	"net/http"
	"time"
)

// piece is how much is asked of containerd at once, in bytes: every question costs a stream.
const piece = 256 << 10

// pieces reads a blob for http.ServeContent, which itself asks for little at a time.
type pieces struct {
	*bufio.Reader
	source *source
}

func newPieces(source *source) *pieces {
	return &pieces{bufio.NewReaderSize(source, int(min(source.Size(), piece))), source}
}

func (p *pieces) Seek(offset int64, whence int) (int64, error) {
	at, err := p.source.Seek(offset, whence)
	p.Reset(p.source)
	return at, err
}

// source is a blob on its way to a client.
type source struct {
	*io.SectionReader
	client *http.ResponseController
	// failed is why the blob could not be read.
	failed error
}

// Read gives the client time for what is read: one that takes nothing any more loses its turn to those who wait.
func (s *source) Read(b []byte) (int, error) {
	n, err := s.SectionReader.Read(b)
	if err != nil && err != io.EOF {
		s.failed = err
	}
	_ = s.client.SetWriteDeadline(time.Now().Add(sending)) // not every server can
	return n, err
}
