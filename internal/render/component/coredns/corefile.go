package coredns

import "fmt"

const fileCorefile = "Corefile"

// corefile uses only the plugins that our CoreDNS is built with (upstream/coredns).
// The second upstream is a port of the pod itself where nobody listens: without any name server in the node's resolv.conf, as at a site
// that is cut off, CoreDNS would refuse to start and take the cluster's own names with it. Being last, it is asked when all others are down.
func corefile(clusterDomain string) string {
	return fmt.Sprintf(`.:%d {
    errors
    health :%d {
        lameduck 5s
    }
    ready :%d
    kubernetes %s in-addr.arpa ip6.arpa {
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
`, portDNS, portHealth, portReady, clusterDomain, portMetrics)
}
