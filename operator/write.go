package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
)

const (
	// writeSize is about how many patches go into one request when there are many: enough that the request itself
	// costs little, and few enough that several server processors, or servers, share the work.
	writeSize = 500
	// parallelWrites is how many requests of one Write are on their way at once.
	parallelWrites = 4
)

// Write writes guarded patches under the lease of the tick, at most Options.MaxComponentBatchSize in one request, and
// several requests at a time. A component that was taken over meanwhile is in Stale, one that was deleted in Missing, and
// the others are written all the same. A request that fails does not keep the others from being sent; the errors are
// joined, and the result tells what was done nevertheless. A component may be among the patches once.
func Write(ctx context.Context, c Components, t Tick, patches []bos.GuardedPatch) (bos.GuardedResult, error) {
	batches := slices.Collect(slices.Chunk(patches, min(batchSize(t, len(patches)), writeSize)))
	results := make([]bos.GuardedResult, len(batches))
	errs := make([]error, len(batches))
	slots := make(chan struct{}, parallelWrites)
	var wg sync.WaitGroup
	for i, batch := range batches {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = Protect(t.Log, func() (err error) {
				results[i], err = writeBatch(ctx, c, t, batch)
				return err
			})
		})
	}
	wg.Wait()
	var all bos.GuardedResult
	for _, r := range results {
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
