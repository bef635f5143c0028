package scheduler

import (
	"fmt"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	schedulerv1 "k8s.io/kube-scheduler/config/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/render/workload"
)

// binPacking is the scheduler name that Gardener's webhook gives to pods of a Shoot with that profile.
const binPacking = "bin-packing-scheduler"

// configuration renders the scheduler's file; fields that are empty in it stand for the scheduler's defaults.
func configuration(settings gardencore.KubeSchedulerConfig) (string, error) {
	profiles, err := profiles(ptr.Deref(settings.Profile, gardencore.SchedulingProfileBalanced))
	if err != nil {
		return "", err
	}
	config := schedulerv1.KubeSchedulerConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: schedulerv1.SchemeGroupVersion.String(), Kind: "KubeSchedulerConfiguration"},
		Profiles: profiles,
	}
	config.ClientConnection.Kubeconfig = workload.FileKubeconfig
	config.LeaderElection.LeaderElect = ptr.To(true)
	config.EnableProfiling = ptr.To(false)
	config.EnableContentionProfiling = ptr.To(false)
	raw, err := yaml.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("encode KubeSchedulerConfiguration: %w", err)
	}
	return string(raw), nil
}

// profiles: balanced is the scheduler's default. With bin-packing the default profile packs too, because a cluster
// without Gardener's resource manager has no webhook that would give pods another scheduler name.
func profiles(profile gardencore.SchedulingProfile) ([]schedulerv1.KubeSchedulerProfile, error) {
	switch profile {
	case gardencore.SchedulingProfileBalanced:
		return []schedulerv1.KubeSchedulerProfile{{SchedulerName: ptr.To(corev1.DefaultSchedulerName)}}, nil
	case gardencore.SchedulingProfileBinPacking:
		return []schedulerv1.KubeSchedulerProfile{packing(corev1.DefaultSchedulerName), packing(binPacking)}, nil
	}
	return nil, fmt.Errorf("spec.kubernetes.kubeScheduler.profile: %q is none of balanced, bin-packing", profile)
}

// packing fills nodes one after the other; the balancing score would work against it.
func packing(name string) schedulerv1.KubeSchedulerProfile {
	return schedulerv1.KubeSchedulerProfile{
		SchedulerName: ptr.To(name),
		Plugins: &schedulerv1.Plugins{
			Score: schedulerv1.PluginSet{Disabled: []schedulerv1.Plugin{{Name: "NodeResourcesBalancedAllocation"}}},
		},
		PluginConfig: []schedulerv1.PluginConfig{{
			Name: "NodeResourcesFit",
			Args: runtime.RawExtension{Object: &schedulerv1.NodeResourcesFitArgs{
				TypeMeta: metav1.TypeMeta{APIVersion: schedulerv1.SchemeGroupVersion.String(), Kind: "NodeResourcesFitArgs"},
				ScoringStrategy: &schedulerv1.ScoringStrategy{
					Type: schedulerv1.MostAllocated,
					Resources: []schedulerv1.ResourceSpec{
						{Name: string(corev1.ResourceCPU), Weight: 1}, {Name: string(corev1.ResourceMemory), Weight: 1},
					},
				},
			}},
		}},
	}
}
