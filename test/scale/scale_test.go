// Package scale turns 500 node agents and a gardenlet against a real API server into figures: requests, memory, time of a change.
// Used by `make scale`; nothing of it runs otherwise.
package scale

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/osc"
)

const (
	uid = "11111111-2222-3333-4444-555555555555"
	// rest is how long nothing happens but what happens by itself.
	rest = 3 * time.Minute
	// patience bounds how long all agents may take to do something.
	patience = 15 * time.Minute
)

// TestScale prints the figures. GARDENADM_SCALE is the number of agents; make scale sets it.
func TestScale(t *testing.T) {
	number, err := strconv.Atoi(os.Getenv("GARDENADM_SCALE"))
	if err != nil || number < 1 {
		t.Skip("make scale runs it")
	}
	c, err := cluster.New(manifests(), uid)
	check(t, err)
	on := start(t)
	on.makeCluster(t, c)
	gardenlet := on.startGardenlet(t)
	on.waitPublished(t, c)

	fleet := on.makeFleet(t, c, number)
	without := residentMiB(t, os.Getpid())
	began := time.Now()
	fleet.start(t)
	took := on.waitApplied(t, c, number, began)
	t.Logf("%d agents began and applied their configuration: %s", number, took)
	t.Logf("requests meanwhile:\n%s", on.requests(t, began, time.Now()))

	began, used := time.Now(), processorTime(t, gardenlet)
	ours := processorTime(t, os.Getpid())
	time.Sleep(rest)
	t.Logf("at rest, requests:\n%s", on.requests(t, began, time.Now()))
	t.Logf("at rest, an agent takes %.2f MiB and %.3f %% of a core; the gardenlet takes %.1f MiB and %.2f %%",
		(residentMiB(t, os.Getpid())-without)/float64(number), share(processorTime(t, os.Getpid())-ours, began)/float64(number),
		residentMiB(t, gardenlet), share(processorTime(t, gardenlet)-used, began))

	began, used = time.Now(), processorTime(t, gardenlet)
	on.change(t, c)
	took = on.waitApplied(t, c, number, began)
	t.Logf("a change of the Shoot reached all nodes: %s; the gardenlet took %.2f s of a core", took, (processorTime(t, gardenlet) - used).Seconds())
	t.Logf("requests meanwhile:\n%s", on.requests(t, began, time.Now()))
	fleet.check(t)
}

func share(used time.Duration, since time.Time) float64 {
	return 100 * used.Seconds() / time.Since(since).Seconds()
}

// manifests are the built-in ones, with a pool of workers of that size.
func manifests() manifest.Set {
	set := manifest.Builtin(netip.MustParsePrefix("10.250.0.0/16"))
	workers := &set.Shoot.Spec.Provider.Workers
	if !slices.ContainsFunc(*workers, isWorker) {
		one := *(*workers)[0].DeepCopy()
		one.Name, one.ControlPlane = "workers", nil
		*workers = append(*workers, one)
	}
	i := slices.IndexFunc(*workers, isWorker)
	(*workers)[i].Minimum, (*workers)[i].Maximum = 1000, 1000
	return set
}

// workers is the pool that the agents belong to.
func workers(c *cluster.Cluster) cluster.Pool {
	return c.Pools[slices.IndexFunc(c.Pools, func(p cluster.Pool) bool { return !p.ControlPlane })]
}

// change gives the workers a sysctl.
func (a *api) change(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	defined, err := definition.Load(t.Context(), a.admin)
	check(t, err)
	for i := range defined.Manifests.Shoot.Spec.Provider.Workers {
		if one := &defined.Manifests.Shoot.Spec.Provider.Workers[i]; one.Name == workers(c).Name {
			one.Sysctls = map[string]string{"net.core.somaxconn": "4321"}
		}
	}
	before := a.published(t, c)
	check(t, definition.Save(t.Context(), a.admin, defined))
	eventually(t, "the change is published", time.Minute, func() bool { return a.published(t, c) != before })
}

// published is the checksum of the workers' configuration, "" for none.
func (a *api) published(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	key, err := osc.Key(c, workers(c))
	check(t, err)
	object := &corev1.Secret{}
	check(t, client.IgnoreNotFound(a.admin.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: key}, object)))
	return object.Annotations[osc.AnnotationChecksum]
}

func (a *api) waitPublished(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	eventually(t, "the configuration is published", time.Minute, func() bool { return a.published(t, c) != "" })
}

// waitApplied waits until all nodes say that they have what is published, and tells when half, 99 of a hundred, and all of them did.
func (a *api) waitApplied(t *testing.T, c *cluster.Cluster, number int, since time.Time) string {
	t.Helper()
	want, seen := a.published(t, c), map[string]time.Duration{}
	eventually(t, "all nodes have the configuration", patience, func() bool {
		list := &corev1.NodeList{}
		check(t, a.admin.List(t.Context(), list, client.MatchingLabels{"worker.gardener.cloud/pool": workers(c).Name}))
		for _, node := range list.Items {
			if _, known := seen[node.Name]; !known && node.Annotations["checksum/cloud-config-data"] == want {
				seen[node.Name] = time.Since(since)
			}
		}
		return len(seen) == number
	})
	var all []time.Duration
	for _, one := range seen {
		all = append(all, one)
	}
	slices.Sort(all)
	seconds := func(i int) float64 { return all[min(i, number-1)].Seconds() }
	return fmt.Sprintf("half after %.1f s, 99 %% after %.1f s, all after %.1f s", seconds(number/2), seconds(number*99/100), seconds(number-1))
}

// eventually asks once a second: the questions are part of the load.
func eventually(t *testing.T, what string, within time.Duration, try func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for !try() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, within)
		case <-time.After(time.Second):
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isWorker(one gardencore.Worker) bool { return one.ControlPlane == nil }
