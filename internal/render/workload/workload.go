// Package workload turns one program of the control plane and its files into the Deployment or StatefulSet that becomes a static pod.
// Used by the components that run on control plane nodes.
package workload

import (
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

// Program is one program of the control plane; it is the only container of its pod.
type Program struct {
	// Name is that of the workload, the pod and the container.
	Name string
	// App and Role are the labels by which Gardener's controllers and extensions know the workload.
	App, Role string
	Image     string
	// Command is made by the function Command.
	Command []string
	Files   []Files
	// Volumes are those that the program writes to; Mounts are theirs, and that of a StatefulSet's claim.
	Volumes []corev1.Volume
	Mounts  []corev1.VolumeMount
	// Grace is how many seconds the program has to end; nil is Kubernetes' default, 30.
	Grace *int64
	Probe Probe
	// CPU and Memory are requests. There are no limits: a control plane that is throttled or killed helps nobody.
	CPU, Memory string
	// AtLeast raises requests that are lower.
	AtLeast corev1.ResourceList
}

// Deployment makes a workload without data. It has no replicas: the pods are static, the object is there
// for webhooks to change (contract node-agent-and-osc §7).
func Deployment(p Program) staticpod.Workload {
	out := p.files()
	out.Deployment = &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: p.meta(),
		Spec: appsv1.DeploymentSpec{
			Replicas:             ptr.To[int32](0),
			RevisionHistoryLimit: ptr.To[int32](2),
			Selector:             &metav1.LabelSelector{MatchLabels: p.selector()},
			Template:             p.template(),
		},
	}
	return out
}

// StatefulSet makes a workload with data in the volume claim of the given name.
func StatefulSet(p Program, claim string) staticpod.Workload {
	out := p.files()
	out.StatefulSet = &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: p.meta(),
		Spec: appsv1.StatefulSetSpec{
			Replicas:             ptr.To[int32](0),
			RevisionHistoryLimit: ptr.To[int32](2),
			ServiceName:          p.Name,
			Selector:             &metav1.LabelSelector{MatchLabels: p.selector()},
			Template:             p.template(),
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: claim},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources: corev1.VolumeResourceRequirements{
						Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")},
					},
				},
			}},
		},
	}
	return out
}

func (p Program) files() staticpod.Workload {
	var out staticpod.Workload
	for _, files := range p.Files {
		if files.ConfigMap != nil {
			out.ConfigMaps = append(out.ConfigMaps, files.ConfigMap)
		} else {
			out.Secrets = append(out.Secrets, files.Secret)
		}
	}
	return out
}

func (p Program) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: p.Name, Namespace: metav1.NamespaceSystem, Labels: p.labels()}
}

func (p Program) selector() map[string]string {
	return map[string]string{"app": p.App, "role": p.Role}
}

func (p Program) labels() map[string]string {
	out := p.selector()
	out["gardener.cloud/role"] = "controlplane"
	return out
}

func (p Program) requests() corev1.ResourceList {
	out := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(p.CPU), corev1.ResourceMemory: resource.MustParse(p.Memory)}
	for name, least := range p.AtLeast {
		if have, ok := out[name]; !ok || have.Cmp(least) < 0 {
			out[name] = least
		}
	}
	return out
}

func (p Program) template() corev1.PodTemplateSpec {
	container := corev1.Container{
		Name:            p.Name,
		Image:           p.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         p.Command,
		Resources:       corev1.ResourceRequirements{Requests: p.requests()},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			ReadOnlyRootFilesystem:   ptr.To(true),
		},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	p.Probe.addTo(&container)
	var volumes []corev1.Volume
	for _, files := range p.Files {
		volumes = append(volumes, files.volume())
		container.VolumeMounts = append(container.VolumeMounts, files.mount())
	}
	container.VolumeMounts = append(container.VolumeMounts, p.Mounts...)
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: p.labels()},
		Spec: corev1.PodSpec{
			Containers:                    []corev1.Container{container},
			Volumes:                       append(volumes, p.Volumes...),
			TerminationGracePeriodSeconds: p.Grace,
			HostNetwork:                   true,
			DNSPolicy:                     corev1.DNSDefault, // the cluster's DNS needs the control plane, so the control plane must not need it
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			PriorityClassName:             "system-node-critical",
			SecurityContext:               podSecurity(),
		},
	}
}

// MinAllowed is what a Shoot's autoscaling says: no autoscaler resizes a static pod, so the least that it may have is what it requests.
func MinAllowed(autoscaling *gardencore.ControlPlaneAutoscaling) corev1.ResourceList {
	if autoscaling == nil {
		return nil
	}
	return autoscaling.MinAllowed
}

// podSecurity: static pods run as a user that exists on no host and read their files through group 0 (layout.UID).
func podSecurity() *corev1.PodSecurityContext {
	return &corev1.PodSecurityContext{
		RunAsNonRoot:   ptr.To(true),
		RunAsUser:      ptr.To[int64](layout.UID),
		RunAsGroup:     ptr.To[int64](layout.UID),
		FSGroup:        ptr.To[int64](0),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}
