package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// fileRefused is there while the node does not take what is published for it.
const fileRefused = layout.DirAgent + "/refused-osc.json"

// Refusal says which configuration this node went back from, because etcd or the API server did not work with it.
type Refusal struct {
	// Checksum is that of the configuration, StaticPods names its control plane: another configuration with the same one is refused, too.
	Checksum   string `json:"checksum"`
	StaticPods string `json:"staticPods"`
	// Because is what was seen, for a reader; without secrets.
	Because string    `json:"because"`
	At      time.Time `json:"at"`
}

// Refused returns what this node refuses; nil for nothing. A damaged file refuses nothing: at worst the node goes back once more.
func Refused(ctx context.Context, h *host.Host) (*Refusal, error) {
	raw, err := h.Files.Read(ctx, fileRefused)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is refused: %w", err)
	}
	out := &Refusal{}
	if json.Unmarshal(raw, out) != nil {
		return nil, nil
	}
	return out, nil
}

// Keep writes the refusal to disk, so that it outlives the agent and a reboot.
func (r Refusal) Keep(ctx context.Context, h *host.Host) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := h.Files.Write(ctx, fileRefused, bytes.NewReader(raw), 0o600); err != nil {
		return fmt.Errorf("keep what is refused: %w", err)
	}
	return nil
}

// ForgetRefusal lets the node take what it refused; without a refusal there is nothing to do.
func ForgetRefusal(ctx context.Context, h *host.Host) error {
	if _, err := h.Files.Stat(ctx, fileRefused); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return h.Files.Remove(ctx, fileRefused)
}
