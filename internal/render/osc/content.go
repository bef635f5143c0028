package osc

import (
	"encoding/base64"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/image"
)

// inline is a file with its content in base64, which webhooks decode (contract node-agent-and-osc §1.3).
func inline(path string, mode uint32, data []byte) file {
	return file{Path: path, Permissions: &mode, Content: extensionsv1alpha1.FileContent{Inline: &extensionsv1alpha1.FileContentInline{
		Encoding: string(extensionsv1alpha1.B64FileCodecID), Data: base64.StdEncoding.EncodeToString(data),
	}}}
}

// plain is a file with its content as it is.
func plain(path string, mode uint32, text string) file {
	return file{Path: path, Permissions: &mode, Content: extensionsv1alpha1.FileContent{
		Inline: &extensionsv1alpha1.FileContentInline{Encoding: string(extensionsv1alpha1.PlainFileCodecID), Data: text},
	}}
}

// program is a file that the host gets out of an image.
type program struct{ path, image, inImage string }

// programs are executable files out of images.
func programs(images image.Vector, list []program) ([]file, error) {
	out := make([]file, 0, len(list))
	for _, program := range list {
		reference, err := images.Reference(program.image)
		if err != nil {
			return nil, err
		}
		out = append(out, file{Path: program.path, Permissions: new(uint32(0o755)), Content: extensionsv1alpha1.FileContent{
			ImageRef: &extensionsv1alpha1.FileContentImageRef{Image: reference, FilePathInImage: program.inImage},
		}})
	}
	return out, nil
}
