package diagnosis

import (
	"context"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Names of gardenadm's own units as components; under them their logs are found.
const (
	apiProxy  = "gardener-api-proxy"
	nodeAgent = "gardener-node-agent"
	mirror    = "gardener-image-mirror"
	gardenlet = "gardenlet"
)

// OnControlPlane says whether this machine is, or is to be, a node of the control plane: it has static pods, or the gardenlet.
func OnControlPlane(ctx context.Context, h *host.Host) bool {
	return len(readManifests(ctx, h)) > 0 || !stateOf(ctx, h, gardenlet, layout.UnitGardenlet).missing()
}

// lookAtServices looks at gardenadm's own units: those of every node, and those of the control plane's.
func lookAtServices(ctx context.Context, h *host.Host, controlPlane bool) []unit {
	out := []unit{lookAtProxy(ctx, h), stateOf(ctx, h, nodeAgent, layout.UnitNodeAgent)}
	if controlPlane {
		out = append(out, stateOf(ctx, h, mirror, layout.UnitMirror), stateOf(ctx, h, gardenlet, layout.UnitGardenlet))
	}
	return out
}

// lookAtProxy: a proxy that is not connected with is started by its socket. Without the socket nothing starts it.
func lookAtProxy(ctx context.Context, h *host.Host) unit {
	proxy := stateOf(ctx, h, apiProxy, layout.UnitProxy)
	if proxy.state.Active != "inactive" || proxy.missing() {
		return proxy
	}
	socket := stateOf(ctx, h, apiProxy, layout.UnitProxySocket)
	if !socket.runs() {
		return socket
	}
	proxy.waits = true
	return proxy
}

func (u unit) missing() bool { return u.state.Load == "not-found" }

// ownUnits suspects gardenadm's own units: the proxy, without which no API server is reached, and the others. While an API server is
// waited for, only the proxy counts; and as units are laid one after the other, whether one is missing is asked of a whole node only.
func (x examiner) ownUnits(ctx context.Context, scope Scope) (proxy, others []suspect) {
	for _, u := range x.services {
		if scope != All && (u.component != apiProxy || u.missing()) {
			continue
		}
		if !u.settled(x.now) {
			u.journal, _ = x.h.Observer.Journal(ctx, u.name, journalTail)
		}
		s, bad := x.unit(ctx, u)
		switch {
		case !bad:
		case u.component == apiProxy:
			proxy = append(proxy, s)
		default:
			s.soft = s.soft || u.runs() // it starts anew to take a new configuration
			others = append(others, s)
		}
	}
	return proxy, others
}
