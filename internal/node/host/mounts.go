package host

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
)

// mountsBelow returns the mount points at and below path.
func mountsBelow(path string) ([]string, error) {
	table, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	var below []string
	for _, point := range mountPoints(table) {
		if point == path || strings.HasPrefix(point, path+"/") {
			below = append(below, point)
		}
	}
	return below, nil
}

// mountPoints reads the fifth field of each line of a mountinfo file; lines that are too short are passed over.
func mountPoints(table []byte) []string {
	var points []string
	lines := bufio.NewScanner(bytes.NewReader(table))
	lines.Buffer(nil, len(table)+1) // overlayfs options make long lines
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) >= 5 {
			points = append(points, unescapeMount(fields[4]))
		}
	}
	return points
}

// unescapeMount turns the kernel's \040 and the like into the characters they stand for.
func unescapeMount(field string) string {
	var text strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if code, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				text.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		text.WriteByte(field[i])
	}
	return text.String()
}
