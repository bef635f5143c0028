package staticpod

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	// AnnotationHash carries the hash of the pod; kubelet copies it to the mirror pod, so that the API tells which
	// content a node runs (contract node-agent-and-osc §6.3 step 14 and §7 metadata).
	AnnotationHash = "gardener.cloud/config.mirror"
	// AnnotationReread on a ConfigMap or Secret of a workload says that the program reads its files anew when they change: the static pod
	// goes on with other content (decision 0009).
	AnnotationReread = "node.gardenadm.dev/reread"
	// LabelStaticPod marks the mirror pods of translated workloads (contract node-agent-and-osc §7 metadata).
	LabelStaticPod = "static-pod"

	namespace = "kube-system"
	// priorityClass and its value: without an API, kubelet knows no PriorityClass and needs the number.
	priorityClass = "system-node-critical"
	priority      = int32(2000001000)
)

// manifest is a Pod without status: nobody wishes for one.
type manifest struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Spec            corev1.PodSpec    `json:"spec"`
}

// Translate makes a static pod of a workload (contract node-agent-and-osc §7). Whatever kubelet would have to ask the API for
// becomes a file beside the manifest; what cannot become one is an error.
func Translate(w Workload) (Pod, error) {
	name, template, claims, err := parts(w)
	if err != nil {
		return Pod{}, err
	}
	pod, files, err := translate(name, template, claims, newSources(w))
	if err != nil {
		return Pod{}, fmt.Errorf("translate %s to a static pod: %w", name, err)
	}
	hash, err := hashOf(pod, files)
	if err != nil {
		return Pod{}, fmt.Errorf("hash static pod %s: %w", name, err)
	}
	pod.Metadata.Annotations[AnnotationHash] = hash
	raw, err := yaml.Marshal(pod)
	if err != nil {
		return Pod{}, fmt.Errorf("render static pod %s: %w", name, err)
	}
	return Pod{Name: name, Hash: hash, Manifest: raw, Files: files}, nil
}

// parts returns what the two kinds of workload have in common.
func parts(w Workload) (string, corev1.PodTemplateSpec, []corev1.PersistentVolumeClaim, error) {
	switch {
	case w.Deployment != nil && w.StatefulSet == nil:
		return w.Deployment.Name, w.Deployment.Spec.Template, nil, nil
	case w.StatefulSet != nil && w.Deployment == nil:
		return w.StatefulSet.Name, w.StatefulSet.Spec.Template, w.StatefulSet.Spec.VolumeClaimTemplates, nil
	default:
		return "", corev1.PodTemplateSpec{}, nil, errors.New("translate workload to a static pod: need exactly one of Deployment and StatefulSet")
	}
}

func translate(name string, template corev1.PodTemplateSpec, claims []corev1.PersistentVolumeClaim, from sources) (manifest, []File, error) {
	spec := *template.Spec.DeepCopy()
	if err := refuseReferences(spec); err != nil {
		return manifest{}, nil, err
	}
	settle(&spec)
	files, err := rewriteVolumes(name, &spec, from)
	if err != nil {
		return manifest{}, nil, err
	}
	if err := addClaims(&spec, claims); err != nil {
		return manifest{}, nil, err
	}

	labels, annotations := map[string]string{}, map[string]string{}
	maps.Copy(labels, template.Labels)
	maps.Copy(annotations, template.Annotations)
	labels[LabelStaticPod] = "true"
	delete(annotations, AnnotationHash)
	return manifest{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		Metadata: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels, Annotations: annotations},
		Spec:     spec,
	}, files, nil
}

// settle makes the pod's settings those of a pod that runs before there is a cluster (contract node-agent-and-osc §7 spec).
func settle(spec *corev1.PodSpec) {
	spec.HostNetwork = true
	if spec.DNSPolicy == "" || spec.DNSPolicy == corev1.DNSClusterFirst {
		spec.DNSPolicy = corev1.DNSClusterFirstWithHostNet
	}
	spec.PriorityClassName = priorityClass
	spec.Priority = new(priority)
	spec.ServiceAccountName = ""
	spec.DeprecatedServiceAccount = ""
	spec.AutomountServiceAccountToken = new(false)
	// The environment of a container must not depend on which Services kubelet happens to know when it starts.
	spec.EnableServiceLinks = new(false)
	// The pod is on its node because its file is. kubelet would refuse it as long as the Node lacks a wanted label.
	spec.NodeSelector, spec.Affinity, spec.TopologySpreadConstraints = nil, nil, nil

	if spec.SecurityContext == nil {
		spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	// Files are root:root 0640; group 0 is how the pod's user reads them.
	spec.SecurityContext.FSGroup = new(int64(0))

	names := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	for _, loopback := range []string{"127.0.0.1", "::1"} {
		spec.HostAliases = append(spec.HostAliases, corev1.HostAlias{IP: loopback, Hostnames: names})
	}
}

// refuseReferences fails on references to API objects that cannot become files: kubelet refuses static pods that have any.
func refuseReferences(spec corev1.PodSpec) error {
	if len(spec.ImagePullSecrets) > 0 {
		return fmt.Errorf("imagePullSecrets name Secret %q: a static pod cannot refer to it", spec.ImagePullSecrets[0].Name)
	}
	if len(spec.ResourceClaims) > 0 {
		return fmt.Errorf("resourceClaims has %q: a static pod cannot have any", spec.ResourceClaims[0].Name)
	}
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for _, container := range containers {
			for _, from := range container.EnvFrom {
				if from.ConfigMapRef != nil || from.SecretRef != nil {
					return fmt.Errorf("container %s has envFrom a ConfigMap or Secret: a static pod can only mount them", container.Name)
				}
			}
			for _, env := range container.Env {
				if env.ValueFrom != nil && (env.ValueFrom.ConfigMapKeyRef != nil || env.ValueFrom.SecretKeyRef != nil) {
					return fmt.Errorf("container %s takes variable %s from a ConfigMap or Secret: a static pod can only mount them", container.Name, env.Name)
				}
			}
		}
	}
	return nil
}

// hashOf covers the pod and the contents of its files, so that changed content restarts the pods that mount it and no others. Of files
// that the program reads anew it covers only that they are there.
func hashOf(pod manifest, files []File) (string, error) {
	files = slices.Clone(files)
	for i := range files {
		if files[i].reread {
			files[i].Data = nil
		}
	}
	// Encoded as one JSON document: maps are sorted and contents cannot run into each other.
	raw, err := json.Marshal(struct {
		Pod   manifest
		Files []File
	}{pod, files})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}
