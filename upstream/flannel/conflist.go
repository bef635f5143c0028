package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// cni is what the CNI configuration of a node depends on.
type cni struct {
	Ranges  []cniRange // one per address family
	MTU     int
	DataDir string
}

// cniRange is the pod network of the whole cluster and this node's share of it.
type cniRange struct{ Cluster, Node string }

// The types below are CNI's file format, with those fields only that are used.
type conflist struct {
	CNIVersion string `json:"cniVersion"`
	Name       string `json:"name"`
	Plugins    []any  `json:"plugins"`
}

type bridgePlugin struct {
	Type             string   `json:"type"`
	Bridge           string   `json:"bridge"`
	IsDefaultGateway bool     `json:"isDefaultGateway"`
	HairpinMode      bool     `json:"hairpinMode"`
	IPMasq           bool     `json:"ipMasq"`
	MTU              int      `json:"mtu"`
	IPAM             hostIPAM `json:"ipam"`
}

type hostIPAM struct {
	Type    string        `json:"type"`
	Ranges  [][]ipamRange `json:"ranges"`
	Routes  []ipamRoute   `json:"routes"`
	DataDir string        `json:"dataDir"`
}

type ipamRange struct {
	Subnet string `json:"subnet"`
}

type ipamRoute struct {
	Dst string `json:"dst"`
}

type portmapPlugin struct {
	Type         string          `json:"type"`
	Backend      string          `json:"backend"`
	Capabilities map[string]bool `json:"capabilities"`
}

// renderConflist is pure, so that the same facts give the same file on every start.
func renderConflist(facts cni) ([]byte, error) {
	if len(facts.Ranges) == 0 {
		return nil, errors.New("render CNI configuration: the network has no address family")
	}
	ipam := hostIPAM{Type: "host-local", DataDir: facts.DataDir}
	for _, r := range facts.Ranges {
		ipam.Ranges = append(ipam.Ranges, []ipamRange{{Subnet: r.Node}})
		ipam.Routes = append(ipam.Routes, ipamRoute{Dst: r.Cluster})
	}
	// Pods may reach themselves through their Service, hence the hairpin; masquerading is flanneld's, not the plugin's.
	bridge := bridgePlugin{Type: "bridge", Bridge: "cni0", IsDefaultGateway: true, HairpinMode: true, MTU: facts.MTU, IPAM: ipam}
	portmap := portmapPlugin{Type: "portmap", Backend: "nftables", Capabilities: map[string]bool{"portMappings": true}}
	data, err := json.MarshalIndent(conflist{CNIVersion: "1.0.0", Name: "flannel", Plugins: []any{bridge, portmap}}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("render CNI configuration: %w", err)
	}
	return append(data, '\n'), nil
}

// writeAtomically never leaves half a file to the container runtime, which watches the directory,
// and leaves a file that is right already alone.
func writeAtomically(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// The runtime reads names that end in .conf, .conflist and .json only.
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
