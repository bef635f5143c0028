package sequence

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	"github.com/gardenadm/gardenadm/internal/secret"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// newIdentity stands for the identity of a cluster that does not exist yet.
const newIdentity = "00000000-0000-0000-0000-000000000000"

// DryRun writes every file, unit and object that init would make. Nothing is changed and nothing is issued:
// in place of each secret stands its name.
func (i *Init) DryRun(ctx context.Context, out io.Writer) error {
	if err := i.check(ctx); err != nil {
		return err
	}
	uid, err := hoststep.KeptUID(ctx, i.Host, i.givenUID())
	if err != nil {
		return err
	}
	if err := i.makeCluster(cmp.Or(uid, newIdentity)); err != nil {
		return err
	}
	i.Cluster = i.Cluster.WithoutPasswords()
	specs, err := i.wantedSecrets()
	if err != nil {
		return err
	}
	i.secrets = secret.Placeholders(specs)
	if err := i.render(ctx); err != nil {
		return err
	}
	want, err := i.settings().Want()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	showHost(&text, want)
	if err := i.showObjects(&text); err != nil {
		return err
	}
	_, err = out.Write(withoutSecrets(text.Bytes(), i.Cluster.Manifests))
	return err
}

// withoutSecrets puts the names of the user's Secrets where their values became files.
func withoutSecrets(text []byte, set manifest.Set) []byte {
	const short = 4 // what is as short as that says nothing, and would be found everywhere
	for _, object := range set.Secrets {
		for _, key := range slices.Sorted(maps.Keys(object.Data)) {
			if value := bytes.TrimSpace(object.Data[key]); len(value) > short {
				text = bytes.ReplaceAll(text, value, fmt.Appendf(nil, "<%s of Secret %s/%s>", key, object.Namespace, object.Name))
			}
		}
	}
	return text
}

// showHost writes the host's side: what is in an image is named, the rest is shown.
func showHost(out *bytes.Buffer, want agent.Want) {
	for _, directory := range want.Directories {
		fmt.Fprintf(out, "# directory %s %d:%d %#o\n", directory.Path, directory.UID, directory.GID, directory.Mode)
	}
	for _, file := range want.Files {
		showFile(out, file)
	}
	for _, unit := range want.Units {
		fmt.Fprintf(out, "# unit %s\n", unit.Name)
		for _, file := range unit.Files {
			showFile(out, file)
		}
	}
}

func showFile(out *bytes.Buffer, file agent.File) {
	if file.Image != "" {
		fmt.Fprintf(out, "# file %s %#o from %s in %s\n", file.Path, file.Mode, file.PathInImage, file.Image)
		return
	}
	fmt.Fprintf(out, "# file %s %#o\n%s", file.Path, file.Mode, file.Data)
	if !bytes.HasSuffix(file.Data, []byte("\n")) {
		out.WriteByte('\n')
	}
}

// showObjects writes the cluster's side as YAML documents.
func (i *Init) showObjects(out *bytes.Buffer) error {
	objects, err := catalog.Objects(i.renderInput())
	if err != nil {
		return err
	}
	for _, object := range objects {
		raw, err := yaml.Marshal(object)
		if err != nil {
			return fmt.Errorf("encode %s: %w", object.GetName(), err)
		}
		fmt.Fprintf(out, "---\n%s", raw)
	}
	return nil
}
