package progress

import (
	"os"
	"time"

	"golang.org/x/term"
)

// Style is how a Console draws. Its zero value is plain lines.
type Style struct {
	Terminal bool             // redraw one line of what runs; plain lines otherwise
	Colour   bool             // only used on a terminal
	Width    func() int       // of the terminal in columns, asked at each redraw; nil or 0 means 80
	Now      func() time.Time // for the times of the redrawn line; nil means time.Now
}

// Detect finds the style for a stream, which usually is os.Stderr, from what it is and from os.Getenv.
// NO_COLOR and a dumb terminal are honoured.
func Detect(f *os.File, getenv func(string) string) Style {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) || getenv("TERM") == "dumb" {
		return Style{}
	}
	return Style{
		Terminal: true,
		Colour:   getenv("NO_COLOR") == "",
		Width: func() int {
			w, _, err := term.GetSize(fd)
			if err != nil {
				return 0
			}
			return w
		},
	}
}
