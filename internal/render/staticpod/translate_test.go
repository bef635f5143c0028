package staticpod_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

func TestTranslateGolden(t *testing.T) {
	tests := map[string]staticpod.Workload{"deployment": server("server", "tls"), "statefulset": store()}
	for name, workload := range tests {
		t.Run(name, func(t *testing.T) {
			pod := translate(t, workload)
			golden.Equal(t, "testdata/"+name+".yaml", append(pod.Manifest, listing(pod)...))
			if !bytes.Contains(pod.Manifest, []byte("gardener.cloud/config.mirror: "+pod.Hash)) {
				t.Error("the manifest does not carry the hash")
			}
		})
	}
}

func TestTranslateChangesNothingOfTheWorkload(t *testing.T) {
	workload := server("server", "tls")
	before := workload.Deployment.DeepCopy()
	translate(t, workload)
	if workload.Deployment.Spec.Template.Spec.HostNetwork || before.String() != workload.Deployment.String() {
		t.Error("the Deployment was changed")
	}
}

func TestHash(t *testing.T) {
	one, two := server("one", "tls-one"), server("two", "tls-two")
	hashOne, hashTwo := translate(t, one).Hash, translate(t, two).Hash

	both := append(one.Secrets, two.Secrets...)
	one.Secrets, two.Secrets = both, both
	if translate(t, one).Hash != hashOne || translate(t, two).Hash != hashTwo {
		t.Error("a Secret that is not mounted changes the hash")
	}
	both[0].Data["tls.key"] = []byte("renewed")
	if translate(t, one).Hash == hashOne {
		t.Error("a changed value leaves the hash of the pod that mounts it")
	}
	if translate(t, two).Hash != hashTwo {
		t.Error("a changed value changes the hash of a pod that does not mount it")
	}

	changed := server("two", "tls-two")
	changed.Deployment.Spec.Template.Spec.Containers[0].Args = []string{"--v=2"}
	if translate(t, changed).Hash == hashTwo {
		t.Error("a changed argument leaves the hash")
	}
	annotated := server("two", "tls-two")
	annotated.Deployment.Spec.Template.Annotations = map[string]string{staticpod.AnnotationHash: "stale"}
	if translate(t, annotated).Hash != hashTwo {
		t.Error("an earlier hash changes the hash")
	}
}

func TestWhatIsReadAnewRestartsNothing(t *testing.T) {
	reread := func(key, cert string) staticpod.Pod {
		w := server("one", "tls")
		w.Secrets[0].Annotations = map[string]string{staticpod.AnnotationReread: "true"}
		w.Secrets[0].Data = map[string][]byte{"tls.key": []byte(key), "tls.crt": []byte(cert)}
		return translate(t, w)
	}
	one, other := reread("a", "b"), reread("c", "d")
	if one.Hash != other.Hash || !bytes.Equal(one.Manifest, other.Manifest) {
		t.Error("other content makes another pod")
	}
	contents := func(pod staticpod.Pod) (out []string) {
		for _, file := range pod.Files {
			out = append(out, string(file.Data))
		}
		return out
	}
	if got := contents(other); !slices.Contains(got, "c") || !slices.Contains(got, "d") {
		t.Errorf("the files have %q", got)
	}
	w := server("one", "tls")
	w.Secrets[0].Annotations = map[string]string{staticpod.AnnotationReread: "true"}
	secret := w.Deployment.Spec.Template.Spec.Volumes[1].Secret
	secret.Items = append(secret.Items, corev1.KeyToPath{Key: "tls.crt", Path: "again.pem"})
	if translate(t, w).Hash == one.Hash {
		t.Error("one more file leaves the hash")
	}
}

// Go's maps have no order of their own, so a few rounds show whether any of them leaks into the result.
func TestKeyOrderDoesNotMatter(t *testing.T) {
	build := func(forward []int) staticpod.Pod {
		workload := server("server", "tls")
		data := map[string]string{}
		for _, i := range forward {
			data[fmt.Sprintf("key-%02d", i)] = fmt.Sprint(i)
		}
		workload.ConfigMaps[0].Data = data
		workload.ConfigMaps[0].Data["config.yaml"] = "kind: Config"
		return translate(t, workload)
	}
	want := build([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	for range 10 {
		got := build([]int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0})
		if got.Hash != want.Hash || !bytes.Equal(got.Manifest, want.Manifest) {
			t.Fatal("the result depends on the order of keys")
		}
	}
}

func TestTranslateErrors(t *testing.T) {
	tests := map[string]struct {
		change func(*staticpod.Workload)
		want   []string
	}{
		"no workload":   {func(w *staticpod.Workload) { w.Deployment = nil }, []string{"exactly one"}},
		"both":          {func(w *staticpod.Workload) { w.StatefulSet = &appsv1.StatefulSet{} }, []string{"exactly one"}},
		"unknown":       {func(w *staticpod.Workload) { w.Secrets = nil }, []string{"server", `volume "certificates"`, `Secret "tls"`}},
		"unknown key":   {func(w *staticpod.Workload) { delete(w.Secrets[0].Data, "tls.key") }, []string{`volume "certificates"`, `Secret "tls"`, `key "tls.key"`}},
		"claim":         {volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}), []string{`volume "extra"`}},
		"csi":           {volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{}}), []string{`volume "extra"`}},
		"account token": {projected(corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}), []string{`volume "extra"`, "source 0"}},
		"outside": {volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: "tls", Items: []corev1.KeyToPath{{Key: "tls.key", Path: "../x"}},
		}}), []string{`"../x"`, "leaves"}},
		"same path": {projected(secretProjection("tls"), secretProjection("tls")), []string{`"tls.crt"`, "taken"}},
		"variable": {func(w *staticpod.Workload) {
			w.Deployment.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{
				{Name: "KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{}}},
			}
		}, []string{"container main", "KEY"}},
		"pull secret": {func(w *staticpod.Workload) {
			w.Deployment.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
		}, []string{"registry"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			workload := server("server", "tls")
			test.change(&workload)
			_, err := staticpod.Translate(workload)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %s", err, want)
				}
			}
		})
	}
}

func TestOptional(t *testing.T) {
	workload := server("server", "tls")
	volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "absent", Optional: new(true)}})(&workload)
	pod := translate(t, workload)
	if !bytes.Contains(pod.Manifest, []byte("path: /var/lib/static-pods/server/extra\n      type: DirectoryOrCreate")) {
		t.Errorf("kubelet is not to make the empty directory:\n%s", pod.Manifest)
	}
}

func translate(t *testing.T, workload staticpod.Workload) staticpod.Pod {
	t.Helper()
	pod, err := staticpod.Translate(workload)
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

func listing(pod staticpod.Pod) []byte {
	var out bytes.Buffer
	for _, file := range pod.Files {
		fmt.Fprintf(&out, "# %s %04o %q\n", file.Path, file.Mode, file.Data)
	}
	return out.Bytes()
}

func server(name, secret string) staticpod.Workload {
	spec := corev1.PodSpec{
		ServiceAccountName: "server",
		DNSPolicy:          corev1.DNSClusterFirst,
		NodeSelector:       map[string]string{"a": "b"},
		SecurityContext:    &corev1.PodSecurityContext{RunAsUser: new(int64(65532)), FSGroup: new(int64(65532))},
		Containers: []corev1.Container{{
			Name: "main", Image: "server:1",
			VolumeMounts: []corev1.VolumeMount{
				{Name: "certificates", MountPath: "/certificates"}, {Name: "config", MountPath: "/config"}, {Name: "scratch", MountPath: "/tmp"},
			},
		}},
		Volumes: []corev1.Volume{
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}},
			{Name: "certificates", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: secret, Items: []corev1.KeyToPath{{Key: "tls.key", Path: "private/key.pem"}, {Key: "tls.crt", Path: "cert.pem"}},
			}}},
			{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
	}
	return staticpod.Workload{
		Deployment: &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: appsv1.DeploymentSpec{Replicas: new(int32(0)), Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: spec,
			}},
		},
		ConfigMaps: []*corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Name: "config"}, Data: map[string]string{"config.yaml": "kind: Config\n"}}},
		Secrets: []*corev1.Secret{{ObjectMeta: metav1.ObjectMeta{Name: secret}, Data: map[string][]byte{
			"tls.crt": []byte("certificate"), "tls.key": []byte("key"),
		}}},
	}
}

func store() staticpod.Workload {
	workload := server("store", "tls")
	template := workload.Deployment.Spec.Template
	template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "store", MountPath: "/data"}, {Name: "all", MountPath: "/all"}}
	template.Spec.Volumes = []corev1.Volume{{Name: "all", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{
			secretProjection("tls"),
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}},
		},
	}}}}
	workload.StatefulSet = &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "store"},
		Spec: appsv1.StatefulSetSpec{
			Template:             template,
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "store"}}},
		},
	}
	workload.Deployment = nil
	return workload
}

func volume(source corev1.VolumeSource) func(*staticpod.Workload) {
	return func(w *staticpod.Workload) {
		spec := &w.Deployment.Spec.Template.Spec
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "extra", VolumeSource: source})
	}
}

func projected(sources ...corev1.VolumeProjection) func(*staticpod.Workload) {
	return volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}})
}

func secretProjection(name string) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}
}
