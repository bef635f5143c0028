package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// collect writes all that explains a machine into a directory and streams it as a tar. No step may stop the others.
// Static pod manifests are taken without what may be secret in them (the secrets themselves lie elsewhere).
const collect = `
dir=$(mktemp -d) && cd "$dir" || exit 1
journalctl --no-pager --all -o short-precise > journal.log 2>&1
journalctl --no-pager -p warning -o short-precise > journal-warnings.log 2>&1
{ systemctl is-system-running; systemctl --failed --no-pager; systemctl list-jobs --no-pager; systemctl list-units --all --no-pager; } > units.txt 2>&1
ps axfww -o pid,user,stat,start,time,rss,args > processes.txt 2>&1
{ ip address; ip route show table all; ip neighbour; } > network.txt 2>&1
{ ss -tulpn; ss -tan; } > sockets.txt 2>&1
{ df -h; free -m; cat /proc/mounts; uptime; uname -a; } > system.txt 2>&1
for file in /etc/kubernetes/manifests/*; do
	[ -f "$file" ] || continue
	mkdir -p manifests
	sed -E -e '/-----BEGIN/,/-----END/d' \
		-e 's/"value"[[:space:]]*:[[:space:]]*"([^"\\]|\\.)*"/"value":"REMOVED"/g' \
		-e 's/(^|[-{,[:space:]])(value[[:space:]]*:).*/\1\2 REMOVED/' \
		-e 's/(--[a-z-]*(token|password|secret|key)=)[^/"[:space:],][^"[:space:],]*/\1REMOVED/g' \
		"$file" > "manifests/${file##*/}"
done
for tree in pods containers; do [ -d /var/log/$tree ] && cp -a /var/log/$tree .; done
tar -cf - .
cd / && rm -rf "$dir"
`

// Logs saves what explains the machine's state into a directory of the host: journal, units, processes, network,
// pod logs and static pod manifests. Of a machine that is off or hung it saves its console and its raw /var/log (below log/).
func (m *Machine) Logs(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save logs of machine %s: %w", m.name, err)
	}
	status, err := m.status(ctx)
	if err == nil && status == "running" {
		err = unpack(ctx, dir, func(archive io.Writer) error {
			return m.Stream(ctx, IO{Out: archive}, "sh", "-c", collect)
		})
	} else if err == nil {
		err = m.salvage(ctx, dir)
	}
	if err != nil {
		return fmt.Errorf("save logs of machine %s: %w", m.name, err)
	}
	return nil
}

// salvage reads the disk of a machine that cannot run commands.
func (m *Machine) salvage(ctx context.Context, dir string) error {
	console, err := os.Create(filepath.Join(dir, "console.log"))
	if err != nil {
		return err
	}
	defer console.Close()
	logsErr := m.engine.run(ctx, IO{Out: console, Err: console}, "logs", m.full)
	return errors.Join(logsErr, unpack(ctx, dir, func(archive io.Writer) error {
		return m.engine.run(ctx, IO{Out: archive}, "cp", m.full+":/var/log", "-")
	}))
}

// unpack unpacks the tar archive that write writes into a directory of the host.
func unpack(ctx context.Context, dir string, write func(archive io.Writer) error) error {
	tar := exec.CommandContext(ctx, "tar", "-C", dir, "--no-same-owner", "-xf", "-")
	var problems tail
	tar.Stderr = &problems
	archive, err := tar.StdinPipe()
	if err != nil {
		return err
	}
	if err := tar.Start(); err != nil {
		return err
	}
	writeErr := errors.Join(write(archive), archive.Close())
	if err := tar.Wait(); err != nil {
		err = &CommandError{Command: tar.Args, Code: tar.ProcessState.ExitCode(), Output: string(problems), Err: err}
		return errors.Join(writeErr, err)
	}
	return writeErr
}
