// Package bss speaks to the Boot Script Service, which hands booting nodes their kernel, initrd and parameters.
package bss

import (
	"context"

	"github.com/bootorch/bosgo/bos"
)

// BootClient is what BOS needs of BSS. Implementations are safe for concurrent use.
type BootClient interface {
	// SetBootParameters makes ids boot the artifacts from now on, replacing all that BSS had for them, and returns the
	// token that BSS will put on their kernel command line. Each call gives another token. No ids is bos.ErrInvalid.
	SetBootParameters(ctx context.Context, ids []bos.ComponentID, a bos.BootArtifacts) (bos.BSSToken, error)
}
