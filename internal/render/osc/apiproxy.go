package osc

import (
	"fmt"
	"net"
	"strconv"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// proxySocket holds the ports while the proxy is replaced: clients wait in the kernel's queue. Pods have a listener of their own, so that
// they cannot shut out the kubelet. Its address may not be on loopback yet when the machine boots: FreeBind.
// TriggerLimit is off because a socket that hits it is closed for good; the proxy itself waits before it gives up.
const proxySocket = `[Unit]
Description=sockets of the API server's endpoint proxy

[Socket]
ListenStream=%[1]s
ListenStream=%[2]s
ListenStream=%[3]s
SocketMode=0600
RemoveOnStop=yes
FreeBind=yes
Backlog=4096
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
`

// proxyUnit comes before the kubelet and all that asks the API. A restart cuts no connection: the process that ends leaves them with
// systemd, all of them in one socket, for the next one. It needs no capability, and no limit on open files but the hard one of systemd,
// up to which Go raises its own. The memory limit is a soft one; 3000 connections take 45 MiB.
const proxyUnit = `[Unit]
Description=endpoint proxy, which connects this node and its pods with a healthy API server
Requires=%[1]s
After=%[1]s
Before=%[2]s %[3]s
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=%[4]s run proxy%[5]s
Environment=GOMEMLIMIT=128MiB
FileDescriptorStoreMax=8
TimeoutStopSec=15
Restart=always
RestartSec=1
NoNewPrivileges=yes
CapabilityBoundingSet=
MemoryAccounting=true

[Install]
WantedBy=multi-user.target
`

func endpointProxySecrets(*cluster.Cluster, []cluster.Node) []secret.Spec {
	return []secret.Spec{secret.Authority(secret.AuthorityCluster)}
}

// endpointProxy is the endpoint proxy of every node. On control plane nodes it prefers the API server beside it.
func endpointProxy(in Input) ([]unit, []file, error) {
	listen := func(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
	local := ""
	if in.Pool.ControlPlane {
		local = " --local=" + listen("127.0.0.1", layout.PortAPIServer)
	}
	socket := fmt.Sprintf(proxySocket,
		listen("127.0.0.1", layout.PortProxy), listen(cluster.PodAPIServer().String(), layout.PortProxy), layout.SocketProxy)
	service := fmt.Sprintf(proxyUnit, layout.UnitProxySocket, layout.UnitContainerd, layout.UnitKubelet, layout.FileGardenadm, local)
	return []unit{
			{Name: layout.UnitProxySocket, Enable: new(true), Content: &socket},
			{Name: layout.UnitProxy, Enable: new(true), Content: &service, FilePaths: []string{layout.FileClusterCA}},
		}, []file{
			inline(layout.FileClusterCA, 0o644, in.Secrets.Get(secret.AuthorityCluster, "", secret.DataCACert)),
		}, nil
}
