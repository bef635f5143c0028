package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const imageName = "localhost/gardenadm-machine"

// recipe is all that the machine image depends on; its hash is the image's tag.
type recipe struct {
	Suite    string
	Packages []string
	Masked   []string // units that cannot work in a container, or that would make a quiet machine noisy
	Exclude  []string // paths that nobody on a machine reads
	Finish   []string // shell lines run on the finished root, which is $1
}

// plainDebian is what a small Debian server has, and nothing that gardenadm must bring by itself: no container
// runtime, no kubelet, no nft, iptables, socat, conntrack or crictl.
func plainDebian() recipe {
	return recipe{
		Suite: "bookworm",
		Packages: []string{"systemd", "systemd-sysv", "dbus", "iproute2", "procps", "util-linux", "mount",
			"kmod", "ca-certificates"},
		Masked: []string{
			"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", // no network, no changes by themselves
			"e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", // disks are the host's
			"getty.target", "console-getty.service", // no console
			"systemd-firstboot.service",
		},
		Exclude: []string{"/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*"},
		Finish: []string{
			`: > "$1/etc/machine-id"`,                           // every machine gets its own
			`rm -f "$1/etc/hostname"; : > "$1/etc/resolv.conf"`, // mmdebstrap leaves the host's
			`mkdir -p "$1/var/log/journal"`,                     // journald keeps its logs over a power cut
		},
	}
}

func (r recipe) tag() (string, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return imageName + ":" + hex.EncodeToString(sum[:6]), nil
}

// Image returns the machine image, building it if its recipe has changed, and removes images of older recipes.
func (e *Engine) Image(ctx context.Context) (string, error) {
	recipe := plainDebian()
	tag, err := recipe.tag()
	if err != nil {
		return "", fmt.Errorf("hash machine recipe: %w", err)
	}
	unlock, err := lock(ctx, "gardenadm-machine-image") // test packages run side by side: one builds, the others wait
	if err != nil {
		return "", err
	}
	defer unlock()
	tags, err := e.lines(ctx, "images", "--filter", "reference="+imageName, "--format", "{{.Repository}}:{{.Tag}}")
	if err != nil {
		return "", err
	}
	found := false
	for _, old := range tags {
		if old == tag {
			found = true
		} else if err := e.run(ctx, IO{}, "rmi", old); err == nil { // fails while a machine still runs from it
			fmt.Fprintf(e.progress, "machine image: removed %s\n", old)
		}
	}
	if found {
		return tag, nil
	}
	if err := e.build(ctx, recipe, tag); err != nil {
		return "", fmt.Errorf("build machine image: %w", err)
	}
	return tag, nil
}

// build streams a new root file system into the engine; nothing is kept on disk.
func (e *Engine) build(ctx context.Context, r recipe, tag string) error {
	start := time.Now()
	fmt.Fprintf(e.progress, "machine image: building %s\n", tag)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	debootstrap := exec.CommandContext(ctx, "mmdebstrap", r.arguments()...)
	var problems tail
	debootstrap.Stderr = both(e.progress, &problems)
	root, err := debootstrap.StdoutPipe()
	if err != nil {
		return err
	}
	if err := debootstrap.Start(); err != nil {
		return fmt.Errorf("start mmdebstrap (run: hack/setup machine): %w", err)
	}
	// A truncated archive would still be imported: so under a passing name first.
	importErr := e.run(ctx, IO{In: root}, "import", "-", imageName+":unfinished")
	if importErr != nil {
		cancel()
	}
	if err := debootstrap.Wait(); err != nil && importErr == nil {
		_ = e.run(context.WithoutCancel(ctx), IO{}, "rmi", imageName+":unfinished")
		return &CommandError{Command: debootstrap.Args, Code: debootstrap.ProcessState.ExitCode(), Output: string(problems), Err: err}
	}
	if importErr != nil {
		return importErr
	}
	if err := e.run(ctx, IO{}, "tag", imageName+":unfinished", tag); err != nil {
		return err
	}
	if err := e.run(ctx, IO{}, "rmi", imageName+":unfinished"); err != nil {
		return err
	}
	fmt.Fprintf(e.progress, "machine image: built %s in %.1fs\n", tag, time.Since(start).Seconds())
	return nil
}

func (r recipe) arguments() []string {
	args := []string{"--variant=minbase", "--format=tar", "--include=" + strings.Join(r.Packages, ","),
		`--aptopt=Acquire::Languages "none"`, "--dpkgopt=force-unsafe-io"}
	for _, path := range r.Exclude {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	finish := []string{"set -e"}
	for _, unit := range r.Masked {
		finish = append(finish, `ln -sf /dev/null "$1/etc/systemd/system/`+unit+`"`)
	}
	finish = append(finish, r.Finish...)
	return append(args, "--customize-hook="+strings.Join(finish, "; "), r.Suite, "-")
}

// lock waits until this process alone holds the named lock of the host.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(os.TempDir(), name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("wait for lock %s: %w", file.Name(), context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
	return func() { file.Close() }, nil // closing unlocks
}
