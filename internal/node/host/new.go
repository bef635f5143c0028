package host

import "errors"

// containerdSocket is where containerd listens, unless its configuration says otherwise.
const containerdSocket = "/run/containerd/containerd.sock"

// Option changes what New makes.
type Option func(*options)

type options struct{ containerd string }

// WithContainerd sets the path of containerd's socket; the default is /run/containerd/containerd.sock.
func WithContainerd(socket string) Option {
	return func(o *options) { o.containerd = socket }
}

// New returns the machine that this process runs on. It connects to nothing yet: connections to D-Bus and containerd
// are made when they are needed first, made anew after they broke, and ended by Close.
func New(opts ...Option) *Host {
	o := options{containerd: containerdSocket}
	for _, opt := range opts {
		opt(&o)
	}
	runner := runner{}
	units := &units{runner: runner}
	images := &imageStore{socket: o.containerd}
	return &Host{
		Files:     files{digests: &digests{}},
		Units:     units,
		Images:    images,
		Content:   contentStore{images},
		Network:   network{},
		Runner:    runner,
		Prober:    prober{units: units},
		Locks:     locks{},
		Inspector: inspector{},
		Service:   newService(),
		Observer:  observer{runner: runner, units: units, images: images},
		Links:     links{},
		Tables:    tables{},
		Mounts:    mounts{},
		Processes: processes{},
		Kernel:    kernel{},
		UnitTable: unitTable{units: units},
		Runtime:   runtimeDoor{store: images},
		Trees:     trees{},
		close:     func() error { return errors.Join(units.Close(), images.Close()) },
	}
}

// Close ends the connections that were made; the Host can still be used and connects anew then.
func (h *Host) Close() error {
	if h.close == nil {
		return nil
	}
	return h.close()
}
