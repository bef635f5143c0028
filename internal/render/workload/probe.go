package workload

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Probe says where a program on the host network tells how it is.
type Probe struct {
	Scheme corev1.URIScheme
	Port   int
	// Live must only fail when a restart helps, Ready when the program cannot serve.
	Live, Ready string
}

// addTo looks every second until the program is up, because each one that follows waits for it, and seldom afterwards.
// The first start may take minutes: a slow disk, an etcd that recovers.
func (p Probe) addTo(container *corev1.Container) {
	container.StartupProbe = p.get(p.Live)
	container.StartupProbe.PeriodSeconds, container.StartupProbe.TimeoutSeconds, container.StartupProbe.FailureThreshold = 1, 5, 300
	container.LivenessProbe = p.get(p.Live)
	container.LivenessProbe.PeriodSeconds, container.LivenessProbe.TimeoutSeconds, container.LivenessProbe.FailureThreshold = 10, 15, 8
	container.ReadinessProbe = p.get(p.Ready)
	container.ReadinessProbe.PeriodSeconds, container.ReadinessProbe.TimeoutSeconds, container.ReadinessProbe.FailureThreshold = 2, 15, 3
}

func (p Probe) get(path string) *corev1.Probe {
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
		Host: "127.0.0.1", Port: intstr.FromInt32(int32(p.Port)), Scheme: p.Scheme, Path: path,
	}}}
}
