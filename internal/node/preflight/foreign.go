package preflight

import (
	"context"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// checkContainerd: on a machine of ours the node agent keeps the configuration right.
func checkContainerd(ctx context.Context, s subject) (string, []Finding, error) {
	if s.own {
		return "gardenadm's own", nil, nil
	}
	var findings []Finding
	configured, err := s.there(ctx, layout.FileContainerdConf)
	if err != nil {
		return "", nil, err
	}
	if configured {
		evidence, err := s.containerdEvidence(ctx)
		if err != nil {
			return "", nil, err
		}
		findings = append(findings, fail(fault.New(fault.ForeignContainerd, "%s is here and not gardenadm's", layout.FileContainerdConf).Seen(evidence...).
			Mend("mv %[1]s %[1]s.before-gardenadm; whatever uses that containerd (Docker) then uses gardenadm's, or is to be removed", layout.FileContainerdConf)))
	}
	unit := layout.DirUnits + "/" + layout.UnitContainerd
	installed, err := s.there(ctx, unit)
	if err != nil {
		return "", findings, err
	}
	if installed {
		findings = append(findings, fail(fault.New(fault.ForeignContainerd, "%s is here and not gardenadm's, whose unit has its name", unit).
			Mend("systemctl disable --now %[1]s; mv %[2]s %[2]s.before-gardenadm; systemctl daemon-reload", layout.UnitContainerd, unit)))
	}
	state, err := s.Units.State(ctx, layout.UnitContainerd)
	if err != nil {
		return "", findings, err
	}
	listens, err := s.there(ctx, layout.SocketContainerd)
	if err != nil {
		return "", findings, err
	}
	if !configured && !installed && (state.Active == "active" || listens) {
		findings = append(findings, warn(fault.New(fault.ForeignContainerd, "a containerd runs here; gardenadm's takes its place and its data in %s", layout.DirContainerd).
			Mend("remove the package that brought it, unless something else needs it")))
	}
	return "", findings, nil
}

func (s subject) containerdEvidence(ctx context.Context) ([]string, error) {
	raw, err := s.Files.Read(ctx, layout.FileContainerdConf)
	if err != nil {
		return nil, err
	}
	var evidence []string
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "disabled_plugins") && strings.Contains(line, "cri") {
			evidence = append(evidence, line+" (Docker's package turns off what kubelet needs)")
		}
	}
	docker, err := s.Units.State(ctx, "docker.service")
	if err == nil && docker.Active == "active" {
		evidence = append(evidence, "docker.service is active")
	}
	return evidence, err
}

// checkKubelet looks for units and drop-ins of packages. Our unit file in /etc wins over a package's, but its drop-ins would apply
// to ours: kubeadm's replaces the whole command line.
func checkKubelet(ctx context.Context, s subject) (string, []Finding, error) {
	dirs := []string{"/usr/lib/systemd/system/", "/usr/local/lib/systemd/system/", "/run/systemd/system/"}
	if !s.own {
		dirs = append(dirs, layout.DirUnits+"/")
	}
	var found []string
	for _, dir := range dirs {
		dropIns := dir + layout.UnitKubelet + ".d"
		names, err := s.names(ctx, dropIns)
		if err != nil {
			return "", nil, err
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".conf") {
				found = append(found, dropIns+"/"+name)
			}
		}
	}
	if !s.own {
		there, err := s.there(ctx, layout.DirUnits+"/"+layout.UnitKubelet)
		if err != nil {
			return "", nil, err
		}
		if there {
			found = append(found, layout.DirUnits+"/"+layout.UnitKubelet)
		}
	}
	if len(found) == 0 {
		return "", nil, nil
	}
	return "", []Finding{fail(fault.New(fault.ForeignKubelet, "%s would change how kubelet is started", strings.Join(found, ", ")))}, nil
}

// fileCNI is what flannel writes.
const fileCNI = "10-flannel.conflist"

func checkCNI(ctx context.Context, s subject) (string, []Finding, error) {
	names, err := s.names(ctx, layout.DirCNIConf)
	if err != nil {
		return "", nil, err
	}
	findings, err := s.checkPlugins(ctx)
	if err != nil {
		return "", findings, err
	}
	for _, name := range names {
		suffixes := []string{".conf", ".conflist", ".json"}
		config := slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
		file := layout.DirCNIConf + "/" + name
		switch {
		case !config, s.own && name == fileCNI:
		case name <= fileCNI:
			findings = append(findings, fail(fault.New(fault.ForeignCNI, "%s configures another pod network, and containerd takes the first file", file).
				Mend("mv %s /root/", file)))
		default:
			findings = append(findings, warn(fault.New(fault.ForeignCNI, "%s configures another pod network; containerd uses it until flannel has written its file", file)))
		}
	}
	return "", findings, nil
}

// checkPlugins: what has a name of a plugin of gardenadm's is replaced, and goes with it.
func (s subject) checkPlugins(ctx context.Context) ([]Finding, error) {
	if s.own {
		return nil, nil
	}
	names, err := s.names(ctx, layout.DirCNIBin)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return []Finding{warn(fault.New(fault.ForeignCNI, "%s has %s; gardenadm replaces the plugins that it has too, and reset removes them", layout.DirCNIBin, strings.Join(names, ", ")).
		Mend("cp -a %s /root/, if something else uses them", layout.DirCNIBin))}, nil
}

// checkEtcdData: whatever is in a directory like /var/lib/etcd may be the only copy of a cluster.
func checkEtcdData(ctx context.Context, s subject) (string, []Finding, error) {
	if s.own {
		return "gardenadm's own", nil, nil
	}
	names, err := s.names(ctx, "/var/lib")
	if err != nil {
		return "", nil, err
	}
	var findings []Finding
	for _, name := range names {
		if !strings.HasPrefix(name, "etcd") {
			continue
		}
		file, err := s.firstFile(ctx, "/var/lib/"+name)
		if err != nil {
			return "", findings, err
		}
		if file != "" {
			findings = append(findings, fail(fault.New(fault.ForeignEtcdData, "/var/lib/%s has data of an etcd, and this machine is no node of gardenadm's", name).
				Seen("for example "+file).Mend("mv /var/lib/%[1]s /var/lib/before-gardenadm-%[1]s, and keep it until you know whose it is", name)))
		}
	}
	return "", findings, nil
}

// checkLeftovers looks for what other tools leave on a node, or gardenadm where its identity was removed.
func checkLeftovers(ctx context.Context, s subject) (string, []Finding, error) {
	if s.own {
		return "gardenadm's own", nil, nil
	}
	var findings []Finding
	for _, dir := range []string{"/etc/kubernetes", layout.DirKubelet, layout.DirAgent, layout.DirStaticPods} {
		file, err := s.firstFile(ctx, dir)
		if err != nil {
			return "", findings, err
		}
		if file != "" {
			findings = append(findings, fail(fault.New(fault.OtherCluster, "%s has files of another cluster", dir).Seen("for example "+file).
				Mend("use another machine, or remove that cluster (with kubeadm: kubeadm reset) and move %s away", dir)))
		}
	}
	for _, link := range clusterLinks() {
		for _, address := range s.addresses {
			if address.Link == link {
				findings = append(findings, fail(fault.New(fault.OtherCluster, "the link %s of another cluster's pod network is there, with %s", link, address.Prefix).
					Mend("ip link delete %s", link)))
				break
			}
		}
	}
	return "", findings, nil
}
