package osc

import (
	"fmt"
	"slices"

	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// containerdConfig is in version 3, which every containerd 2 reads. A drop-in below conf.d needs "version = 3" too: tables are
// merged key by key, lists are appended. Off are the plugins that nobody here uses; each costs memory or tries kernel features at start.
const containerdConfig = `version = 3
root = '%[1]s'
state = '/run/containerd'
imports = ['%[2]s/*.toml']
disabled_plugins = [
  'io.containerd.differ.v1.erofs',
  'io.containerd.internal.v1.opt',
  'io.containerd.internal.v1.tracing',
  'io.containerd.mount-handler.v1.erofs',
  'io.containerd.nri.v1.nri',
  'io.containerd.snapshotter.v1.blockfile',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.erofs',
  'io.containerd.snapshotter.v1.native',
  'io.containerd.snapshotter.v1.zfs',
  'io.containerd.tracing.processor.v1.otlp',
]

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'

  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '%[3]s'

  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '%[4]s'

[plugins.'io.containerd.cri.v1.runtime']
  # kubelet asks every 10 seconds; the default of 1s keeps an idle node busy
  stats_collect_period = '10s'

  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['%[5]s']
    conf_dir = '%[6]s'

  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'

    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'

      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = '%[7]s'
        SystemdCgroup = true
`

// containerdUnit has neither OOMScoreAdjust nor limits: a host that is a container refuses negative scores and raised hard limits,
// and then the service would not start; a local drop-in adds what this host allows. Containers get systemd's default limits.
// Decompressing a bundle's layers takes 350 MiB for a moment, which Go would keep for minutes without a limit; it is a soft one.
// Modules are loaded here and not by a file in /etc/modules-load.d: systemd-modules-load.service fails where modules are compiled in
// and /lib/modules is missing, while "-" makes modprobe optional. udev applies our sysctls once br_netfilter is there.
// /var/bin/containerruntimes is where extensions of kind ContainerRuntime put their programs (contract node-agent-and-osc §6.3 step 6).
const containerdUnit = `[Unit]
Description=containerd container runtime
Documentation=https://containerd.io
After=network.target dbus.service local-fs.target
StartLimitIntervalSec=0

[Service]
Type=notify
Environment=PATH=%[1]s:/var/bin/containerruntimes:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Environment=GOMEMLIMIT=150MiB
ExecStartPre=-/sbin/modprobe -q -a overlay br_netfilter nf_tables
ExecStart=%[1]s/containerd
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`

func containerd(in Input) ([]unit, []file, error) {
	sandbox, err := in.Images.Reference(image.Pause)
	if err != nil {
		return nil, nil, err
	}
	list := []program{
		{layout.DirBin + "/containerd", image.Containerd, "/usr/local/bin/containerd"},
		{layout.DirBin + "/containerd-shim-runc-v2", image.Containerd, "/usr/local/bin/containerd-shim-runc-v2"},
		{layout.DirBin + "/runc", image.Runc, "/usr/local/bin/runc"},
	}
	config := plain(layout.FileContainerdConf, 0o644, fmt.Sprintf(containerdConfig, layout.DirContainerd, layout.DirContainerdDropIns,
		sandbox, layout.DirRegistryHosts, layout.DirCNIBin, layout.DirCNIConf, layout.DirBin+"/runc"))
	paths := []string{config.Path}
	for _, program := range list {
		paths = append(paths, program.path)
	}
	for _, plugin := range []string{"bridge", "host-local", "loopback", "portmap"} {
		list = append(list, program{layout.DirCNIBin + "/" + plugin, image.CNIPlugins, layout.DirCNIBin + "/" + plugin})
	}
	files, err := programs(in.Images, list)
	if err != nil {
		return nil, nil, err
	}
	dropIns, environment := environment(in.Cluster, in.Pool)
	for _, file := range environment {
		paths = append(paths, file.Path)
	}
	return []unit{{
		Name:      layout.UnitContainerd,
		Enable:    new(true),
		Content:   new(fmt.Sprintf(containerdUnit, layout.DirBin)),
		DropIns:   dropIns,
		FilePaths: paths,
	}}, slices.Concat(files, []file{config}, environment), nil
}
