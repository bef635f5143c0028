package coredns

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

const fileCorefile = "Corefile"

// corefile uses only the plugins that our CoreDNS is built with (upstream/coredns).
// The second upstream is a port of the pod itself where nobody listens: without any name server in the node's resolv.conf, as at a site
// that is cut off, CoreDNS would refuse to start and take the cluster's own names with it. Being last, it is asked when all others are down.
func corefile(c *cluster.Cluster) string {
	return fmt.Sprintf(`.:%d {
    errors
    health :%d {
        lameduck 5s
    }
    ready :%d
%s    kubernetes %s in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus :%d
    forward . /etc/resolv.conf 127.0.0.1:9 {
        policy sequential
    }
    cache 30
    loop
    reload
    loadbalance
}
`, portDNS, portHealth, portReady, rewrites(c), c.ClusterDomain(), portMetrics)
}

// rewrites take off what the search path of pods adds to names that are whole already: those of Services, and those with a suffix
// that the Shoot names. Clients compare names, so those in answers are put back. A namespace in between cannot be put back: such names stay.
func rewrites(c *cluster.Cluster) string {
	components := c.Shoot.Spec.SystemComponents
	if components == nil || components.CoreDNS == nil || components.CoreDNS.Rewriting == nil {
		return ""
	}
	services := "svc." + c.ClusterDomain()
	var out strings.Builder
	for _, suffix := range append([]string{services}, components.CoreDNS.Rewriting.CommonSuffixes...) {
		fmt.Fprintf(&out, "    rewrite stop name regex ^(.+\\.%s)\\.%s\\.$ {1}. answer auto\n", regexp.QuoteMeta(strings.TrimPrefix(suffix, ".")), regexp.QuoteMeta(services))
	}
	return out.String()
}
