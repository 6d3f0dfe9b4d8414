// Package ims speaks to the Image Management Service: which images exist, their architecture and their tags.
package ims

import "context"

// Image is what IMS knows of an image.
type Image struct {
	ID       string
	Name     string
	Arch     string // "x86_64" or "aarch64"; a record without one is x86_64
	Metadata map[string]string
}

// ImageClient is what BOS needs of IMS. Implementations are safe for concurrent use.
type ImageClient interface {
	// Image fails with bos.ErrNotFound for an unknown or deleted image.
	Image(ctx context.Context, id string) (Image, error)
	// Tag sets a metadata key of an image. It is harmless to repeat.
	Tag(ctx context.Context, id, key, value string) error
}
