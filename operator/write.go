package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bootorch/bosgo/bos"
)

// Write writes guarded patches under the lease of the tick, at most Options.MaxComponentBatchSize in one request. A
// component that was taken over meanwhile is in Stale, one that was deleted in Missing, and the others are written all
// the same. A request that fails does not keep the next from being sent; the errors are joined, and the result tells
// what was done nevertheless.
func Write(ctx context.Context, c Components, t Tick, patches []bos.GuardedPatch) (bos.GuardedResult, error) {
	var all bos.GuardedResult
	var errs []error
	for batch := range slices.Chunk(patches, batchSize(t, len(patches))) {
		r, err := writeBatch(ctx, c, t, batch)
		if err != nil {
			errs = append(errs, err)
		}
		all.Written = append(all.Written, r.Written...)
		all.Stale = append(all.Stale, r.Stale...)
		all.Missing = append(all.Missing, r.Missing...)
	}
	return all, errors.Join(errs...)
}

// batchSize returns the option's batch size for n items, at least 1.
func batchSize(t Tick, n int) int {
	if size := t.Options.MaxComponentBatchSize; size > 0 {
		return size
	}
	return max(n, 1)
}

func writeBatch(ctx context.Context, c Components, t Tick, batch []bos.GuardedPatch) (bos.GuardedResult, error) {
	req := bos.GuardedPatches{Patches: batch}
	if t.Lease != nil {
		req.Lease = t.Lease.Token()
	}
	r, err := c.PatchGuarded(ctx, req)
	if err != nil {
		return r, fmt.Errorf("patch %d components: %w", len(batch), err)
	}
	return r, nil
}
