package hoststep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

const (
	rootProfile  = "/root/.bashrc"
	profileBegin = "# gardenadm: begin (kubectl for root)"
	profileEnd   = "# gardenadm: end"
)

// SetUpShell makes kubectl work for root on this machine: a marked block in ~/.bashrc, the rest of which stays as it is.
func SetUpShell(ctx context.Context, h *host.Host) error {
	mode := fs.FileMode(0o644)
	have, err := h.Files.Read(ctx, rootProfile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("read %s: %w", rootProfile, err)
	default:
		info, err := h.Files.Stat(ctx, rootProfile)
		if err != nil {
			return fmt.Errorf("read %s: %w", rootProfile, err)
		}
		if !info.Mode.IsRegular() {
			return nil // somebody keeps it elsewhere, behind a link: not ours to replace
		}
		mode = info.Mode.Perm()
	}
	want := withBlock(string(have))
	if want == string(have) {
		return nil
	}
	if err := h.Files.Write(ctx, rootProfile, bytes.NewReader([]byte(want)), mode); err != nil {
		return fmt.Errorf("write %s: %w", rootProfile, err)
	}
	return nil
}

// withBlock returns the profile with exactly one block of ours, at its end when there was none.
func withBlock(profile string) string {
	block := strings.Join([]string{
		profileBegin,
		"export KUBECONFIG=" + layout.FileAdminKubeconfig,
		`case ":$PATH:" in *:` + layout.DirBin + `:*) ;; *) export PATH="$PATH:` + layout.DirBin + `" ;; esac`,
		profileEnd, "",
	}, "\n")
	// The last begin and the end that belongs to it: what stands between a marker that somebody left behind and our block is theirs.
	if begin := strings.LastIndex(profile, profileBegin); begin >= 0 {
		if _, rest, ended := strings.Cut(profile[begin:], profileEnd); ended {
			return profile[:begin] + block + strings.TrimPrefix(rest, "\n")
		}
	}
	if profile != "" && !strings.HasSuffix(profile, "\n") {
		profile += "\n"
	}
	return profile + block
}
