// Package manifest reads boot images from S3: the manifest of an image, its boot parameters, and whether its parts
// exist.
package manifest

import "context"

// Artifact is a part of an image.
type Artifact struct {
	Path string // S3 URL, s3://bucket/key
	ETag string // as the manifest has it; may be empty
}

// Manifest is what an image consists of. Absent parts are nil. Source: IMS manifest v1.0.
type Manifest struct {
	Path           string // its own S3 URL
	Kernel         *Artifact
	Initrd         *Artifact
	Rootfs         *Artifact
	BootParameters *Artifact
}

// Reader reads images. Implementations are safe for concurrent use. An object that does not exist matches
// bos.ErrNotFound, an outage bos.ErrUnavailable, anything wrong with the content bos.ErrInvalid.
type Reader interface {
	// Manifest reads and checks the manifest at path, at most 1 MiB. typ is the boot set's type, "s3". Which parts must
	// exist is the caller's business.
	Manifest(ctx context.Context, typ, path string) (*Manifest, error)
	// BootParameters reads the text of a boot-parameters artifact.
	BootParameters(ctx context.Context, a Artifact) (string, error)
	// Head fails unless the object exists, and returns its ETag without quotes.
	Head(ctx context.Context, path string) (etag string, err error)
}
