package cleanup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// fileMemory keeps what only files that go tell, for another run after this one failed or was killed.
const fileMemory = layout.DirState + "/cleanup.json"

// memory is its content.
type memory struct {
	// Networks are those of pods and services.
	Networks []netip.Prefix `json:"networks,omitempty"`
	// Settings are those of the kernel that files of ours make, as paths.
	Settings []string `json:"settings,omitempty"`
}

// recall returns what an earlier run remembered, together with what the files tell now. A damaged memory tells nothing.
func (c *Cleanup) recall(ctx context.Context) memory {
	var out memory
	if raw, err := c.Files.Read(ctx, fileMemory); err == nil {
		_ = json.Unmarshal(raw, &out)
	}
	out.Networks = append(out.Networks, c.networksOnDisk(ctx)...)
	out.Settings = append(out.Settings, c.settingsOnDisk(ctx)...)
	slices.SortFunc(out.Networks, netip.Prefix.Compare)
	slices.Sort(out.Settings)
	out.Networks, out.Settings = slices.Compact(out.Networks), slices.Compact(out.Settings)
	return out
}

// remember is the first change.
func (c *Cleanup) remember(ctx context.Context) error {
	raw, err := json.Marshal(c.found.memory)
	if err != nil {
		return fmt.Errorf("encode %s: %w", fileMemory, err)
	}
	have, err := c.Files.Read(ctx, fileMemory)
	if err == nil && bytes.Equal(have, raw) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.Files.Write(ctx, fileMemory, bytes.NewReader(raw), 0o600)
}
