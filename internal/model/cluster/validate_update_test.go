package cluster_test

import (
	"errors"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// TestUpdates: contract shoot-api §3, rules 11 and 14. An empty path: the change is allowed.
func TestUpdates(t *testing.T) {
	pool := func(do func(*gardencore.Worker)) func(*gardencore.Shoot) {
		return func(s *gardencore.Shoot) { do(&s.Spec.Provider.Workers[0]) }
	}
	backup := func(provider, region string) func(*gardencore.Shoot) {
		return pool(func(w *gardencore.Worker) {
			w.ControlPlane.Backup = &gardencore.Backup{Provider: provider, Region: ptr.To(region)}
		})
	}
	hosted := pool(func(w *gardencore.Worker) { w.ControlPlane = nil })
	status := func(id string, uid types.UID, identity string) func(*gardencore.Shoot) {
		return func(s *gardencore.Shoot) {
			s.Status = gardencore.ShootStatus{TechnicalID: id, UID: uid, ClusterIdentity: ptr.To(identity)}
		}
	}
	same := func(*gardencore.Shoot) {}
	encrypted := func(provider gardencore.EncryptionProviderType, resources ...string) func(*gardencore.Shoot) {
		return func(s *gardencore.Shoot) {
			config := &gardencore.EncryptionConfig{Resources: resources}
			if provider != "" {
				config.Provider.Type = &provider
			}
			s.Spec.Kubernetes.KubeAPIServer = &gardencore.KubeAPIServerConfig{EncryptionConfig: config}
		}
	}
	cpus := func(policy, kept string) func(*gardencore.Shoot) {
		return func(s *gardencore.Shoot) {
			s.Spec.Kubernetes.Kubelet = &gardencore.KubeletConfig{
				CPUManagerPolicy: &policy, KubeReserved: &gardencore.KubeletConfigReserved{CPU: ptr.To(resource.MustParse(kept))},
			}
		}
	}
	const path = "spec.provider.workers[0].controlPlane.backup"
	for name, test := range map[string]struct {
		before, after func(*gardencore.Shoot)
		path          string
	}{
		"11: nothing changes":                {same, same, ""},
		"11: a hosted cluster stays one":     {hosted, hosted, ""},
		"11: not from hosted to self-hosted": {hosted, same, "spec.provider.workers"},
		"11: not from self-hosted to hosted": {same, hosted, "spec.provider.workers"},
		"11: the pool keeps its name":        {same, pool(func(w *gardencore.Worker) { w.Name = "other" }), "spec.provider.workers[0].name"},
		"11: a backup can be added":          {same, backup("s3", "here"), ""},
		"11: a backup cannot be removed":     {backup("s3", "here"), same, path},
		"11: a backup keeps its provider":    {backup("s3", "here"), backup("gcs", "here"), path + ".provider"},
		"11: a backup keeps its region":      {backup("s3", "here"), backup("s3", "there"), path + ".region"},
		"the name stays":                     {same, func(s *gardencore.Shoot) { s.Name = "other" }, "metadata.name"},
		"the pods' network stays":            {same, func(s *gardencore.Shoot) { s.Spec.Networking.Pods = ptr.To("10.0.0.0/8") }, "spec.networking.pods"},
		"the version stays":                  {same, func(s *gardencore.Shoot) { s.Spec.Kubernetes.Version = "1.99.0" }, "spec.kubernetes.version"},
		"a pool's version stays": {same, pool(func(w *gardencore.Worker) {
			w.Kubernetes = &gardencore.WorkerKubernetes{Version: ptr.To("1.99.0")}
		}), "spec.provider.workers[0].kubernetes.version"},
		"labels change":         {same, pool(func(w *gardencore.Worker) { w.Labels = map[string]string{"a": "b"} }), ""},
		"Secrets stay readable": {same, encrypted("secretbox"), "spec.kubernetes.kubeAPIServer.encryptionConfig.provider.type"},
		"what encrypts stays": {encrypted("secretbox", "configmaps"), encrypted("aescbc", "configmaps"),
			"spec.kubernetes.kubeAPIServer.encryptionConfig.provider.type"},
		"aescbc is the default":            {same, encrypted("aescbc"), ""},
		"more is encrypted":                {encrypted("", "configmaps"), encrypted("", "events", "configmaps."), ""},
		"what is encrypted stays readable": {encrypted("", "configmaps", "events"), encrypted("", "events"), "spec.kubernetes.kubeAPIServer.encryptionConfig.resources"},
		"nothing is encrypted any more":    {encrypted("", "configmaps"), same, "spec.kubernetes.kubeAPIServer.encryptionConfig.resources"},
		"the CPU manager's policy stays":   {same, cpus("static", "80m"), "spec.kubernetes.kubelet.cpuManagerPolicy"},
		"none is the default policy":       {same, cpus("none", "0"), ""},
		"a pool's own policy stays": {cpus("static", "80m"), func(s *gardencore.Shoot) {
			cpus("static", "80m")(s)
			s.Spec.Provider.Workers[0].Kubernetes = &gardencore.WorkerKubernetes{Kubelet: &gardencore.KubeletConfig{}}
		}, "spec.provider.workers[0].kubernetes.kubelet.cpuManagerPolicy"},
		"CPUs that were given away are not kept": {cpus("static", "80m"), cpus("static", "1100m"), "spec.kubernetes.kubelet.kubeReserved.cpu"},
		"no more whole CPUs are kept":            {cpus("static", "80m"), cpus("static", "1"), ""},
		"without CPUs of pods more can be kept":  {cpus("none", "80m"), cpus("none", "2"), ""},
		"a pool is added": {same, func(s *gardencore.Shoot) {
			s.Spec.Provider.Workers = append(s.Spec.Provider.Workers, gardencore.Worker{Name: "more"})
		}, ""},
		"14: the status can be set":      {same, status("id", "uid", "identity"), ""},
		"14: the technical ID stays":     {status("id", "uid", "identity"), status("other", "uid", "identity"), "status.technicalID"},
		"14: the uid stays":              {status("id", "uid", "identity"), status("id", "other", "identity"), "status.uid"},
		"14: the cluster identity stays": {status("id", "uid", "identity"), status("id", "uid", "other"), "status.clusterIdentity"},
		"14: the status is not emptied":  {status("id", "uid", "identity"), status("", "uid", "identity"), "status.technicalID"},
	} {
		t.Run(name, func(t *testing.T) {
			old, updated := manifest.Builtin(manifest.DefaultNodes()).Shoot, manifest.Builtin(manifest.DefaultNodes()).Shoot
			test.before(old)
			test.after(updated)
			err := cluster.ValidateUpdate(old, updated)
			if test.path == "" {
				if err != nil {
					t.Errorf("got %v, want nil", err)
				}
				return
			}
			var problems manifest.Problems
			if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Path != test.path || len(fault.Of(err)) != 1 {
				t.Errorf("got %v, want a fault with one problem at %s", err, test.path)
			}
		})
	}
}
