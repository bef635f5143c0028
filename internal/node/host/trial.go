package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func (inspector) Try(ctx context.Context, feature Feature, path string) error {
	if err := ready(ctx, path); err != nil {
		return fmt.Errorf("try %s: %w", feature, err)
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = "gardenadm-try"
	addLink := func(link netlink.Link) func() error { return func() error { return netlink.LinkAdd(link) } }
	trials := map[Feature]func() error{
		FeatureOverlay:         func() error { return tryOverlay(path) },
		FeatureNFTables:        tryNFTables,
		FeatureBridge:          addLink(&netlink.Bridge{LinkAttrs: attributes}),
		FeatureVeth:            addLink(&netlink.Veth{LinkAttrs: attributes, PeerName: "gardenadm-peer"}),
		FeatureVXLAN:           addLink(&netlink.Vxlan{LinkAttrs: attributes, VxlanId: 1, Port: 8472}),
		FeatureBridgeNetfilter: tryBridgeNetfilter,
	}
	trial, known := trials[feature]
	if !known {
		return fmt.Errorf("try %s: there is no such feature", feature)
	}
	if err := isolated(ctx, trial); err != nil {
		return fmt.Errorf("try %s: %w", feature, err)
	}
	return nil
}

// isolated runs work on a thread with a network and mounts of its own. The thread is never unlocked, so it ends with the work, and
// with it all that was made in its namespaces; also when this process is killed.
func isolated(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go alone(func() {
		err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS)
		if err != nil {
			err = fmt.Errorf("make namespaces: %w", err)
		} else if err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			err = fmt.Errorf("make mounts private: %w", err)
		}
		if err == nil {
			err = work()
		}
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx) // the kernel may be stuck in a call that nothing ends
	}
}

// alone runs work on a thread that is not the process's first one: that one is never ended, and /proc/self shows its namespaces.
func alone(work func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		work()
		return
	}
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		work()
	}()
	<-done // this goroutine keeps the first thread meanwhile
}

// tryPrefix begins the name of the directory of a try; the process's number follows.
const tryPrefix = TempPrefix + "try-"

// sweep removes what killed processes left. What cannot be removed is in nobody's way.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, tryPrefix+"*"))
	for _, path := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), tryPrefix), "-")
		if pid != "" && !exists("/proc/"+pid) {
			_ = os.RemoveAll(path)
		}
	}
}

// tryOverlay makes, reads and removes files in an overlay whose layers are where path is or would be made: it depends on the file
// system there, too.
func tryOverlay(path string) (err error) {
	near, err := nearest(path)
	if err != nil {
		return err
	}
	sweep(near)
	dir, err := os.MkdirTemp(near, fmt.Sprintf("%s%d-", tryPrefix, os.Getpid()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sub := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(sub(name), 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(sub("lower/file"), []byte("x"), 0o600); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", sub("lower"), sub("upper"), sub("work"))
	if err := unix.Mount("overlay", sub("merged"), "overlay", 0, options); err != nil {
		return fmt.Errorf("mount an overlay in %s: %w", near, err)
	}
	use := os.WriteFile(sub("merged/new"), []byte("y"), 0o600)
	if use == nil {
		use = os.Remove(sub("merged/file")) // makes a whiteout
	}
	return errors.Join(use, unix.Unmount(sub("merged"), 0))
}

// tryBridgeNetfilter: the settings are there, or the module is: loading it would outlive the call.
func tryBridgeNetfilter() error {
	if exists("/proc/sys/net/bridge/bridge-nf-call-iptables") {
		return nil
	}
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return err
	}
	list := filepath.Join("/lib/modules", unix.ByteSliceToString(uname.Release[:]), "modules.dep")
	modules, err := os.ReadFile(list)
	if err != nil {
		return fmt.Errorf("it is not in the kernel: %w", err)
	}
	if !bytes.Contains(modules, []byte("/br_netfilter.ko")) {
		return fmt.Errorf("it is neither in the kernel nor in %s", list)
	}
	return nil
}
