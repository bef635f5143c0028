package bundle

// Annotations of an image's descriptor in index.json.
const (
	AnnotationReference = "org.opencontainers.image.ref.name"
	AnnotationName      = "dev.gardenadm.image.name"
	AnnotationUse       = "dev.gardenadm.image.use"
)

// Annotations of index.json itself. A layout directory that no file was unpacked into may be without them.
const (
	AnnotationFormat     = "dev.gardenadm.bundle.format"
	AnnotationGardenadm  = "dev.gardenadm.bundle.gardenadm"
	AnnotationKubernetes = "dev.gardenadm.bundle.kubernetes"
	// AnnotationPlatform is as in linux/amd64.
	AnnotationPlatform = "dev.gardenadm.bundle.platform"
)

// Format is the value of AnnotationFormat that this gardenadm writes, and the only one that it reads.
const Format = "1"

// Use says what an image is for.
type Use string

const (
	// UsePod: containers are made of it, so it is imported into containerd.
	UsePod Use = "pod"
	// UseHost: only the host's programs are taken from it.
	UseHost Use = "host"
	// UseMetadata: it is no image but an artifact. Its layers are documents about the bundle, each with AnnotationTitle.
	UseMetadata Use = "metadata"
)

// ArtifactMetadata is the type of the artifact with UseMetadata, of which there is at most one.
const ArtifactMetadata = "application/vnd.gardenadm.bundle.metadata.v1"

// AnnotationTitle names a document.
const AnnotationTitle = "org.opencontainers.image.title"

// MaxDocument is how large a document may be, in bytes: it is read into memory.
const MaxDocument = maxJSON

// Titles of the documents.
const (
	DocumentVector = "image-vector.yaml"
	DocumentSBOM   = "sbom.spdx.json"
	DocumentNotice = "NOTICE"
)
