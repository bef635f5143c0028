package osc

import (
	"fmt"
	"strings"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// environmentDropIn names a file, because a unit is readable by all and a proxy may have a password.
const environmentDropIn = "[Service]\nEnvironmentFile=" + layout.FileContainerdEnv + "\n"

// trustedDirs are where Go's programs look for authorities besides the machine's bundle, which they read in any case: first the two
// that they know themselves. So containerd trusts ours too, and neither the machine's trust store nor any other program is changed.
const trustedDirs = "/etc/ssl/certs:/etc/pki/tls/certs:" + layout.DirContainerdCA

// environment is what containerd alone runs with besides: the proxy and authorities. It reads them once, so they restart it.
// Neither kubelet nor any container gets them.
func environment(c *cluster.Cluster, pool cluster.Pool) ([]extensionsv1alpha1.DropIn, []file) {
	var variables strings.Builder
	var files []file
	for _, one := range []struct{ name, value string }{
		{"HTTP_PROXY", c.Access.Proxy.HTTP},
		{"HTTPS_PROXY", c.Access.Proxy.HTTPS},
		{"NO_PROXY", strings.Join(c.Access.Proxy.NoProxy, ",")},
	} {
		if one.value != "" {
			fmt.Fprintf(&variables, "%s=%s\n", one.name, one.value)
		}
	}
	if bundle := c.CABundle(pool); bundle != "" {
		fmt.Fprintf(&variables, "SSL_CERT_DIR=%s\n", trustedDirs)
		files = append(files, inline(layout.DirContainerdCA+"/bundle.crt", 0o644, []byte(bundle)))
	}
	if variables.Len() == 0 {
		return nil, nil
	}
	dropIns := []extensionsv1alpha1.DropIn{{Name: "40-environment.conf", Content: environmentDropIn}}
	return dropIns, append(files, inline(layout.FileContainerdEnv, 0o600, []byte(variables.String())))
}
