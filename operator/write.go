package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bootorch/bosgo/bos"
)

// Patcher is what [Write] needs beside Components where the API is a reference server, which knows no guarded patches.
// bosclient.Client has it.
type Patcher interface {
	PatchComponents(ctx context.Context, tenant string, ps []bos.ComponentPatch, skipBadIDs bool) ([]bos.Component, error)
}

// Write writes guarded patches under the lease of the tick, at most Options.MaxComponentBatchSize in one request. A
// component that was taken over meanwhile is in Stale, one that was deleted in Missing, and the others are written all
// the same. A request that fails does not keep the next from being sent; the errors are joined, and the result tells
// what was done nevertheless.
//
// Against a server without guarded patches, the components are read once more and the patches whose guard still
// holds are sent plainly: the window in which an update can be lost is small there, but not closed.
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
	if p, ok := c.(Patcher); ok && errors.Is(err, bos.ErrUnsupported) {
		r, err = writePlain(ctx, c, p, batch)
	}
	if err != nil {
		return r, fmt.Errorf("patch %d components: %w", len(batch), err)
	}
	return r, nil
}

// writePlain checks the guards here instead of in the server.
func writePlain(ctx context.Context, c Components, p Patcher, batch []bos.GuardedPatch) (bos.GuardedResult, error) {
	var r bos.GuardedResult
	f := bos.ComponentFilter{IDs: make([]bos.ComponentID, len(batch))}
	for i := range batch {
		f.IDs[i] = batch[i].ID
	}
	now := map[bos.ComponentID]bos.Component{}
	for cur, err := range c.ListComponents(ctx, f) {
		if err != nil {
			return r, err
		}
		now[cur.ID] = cur
	}
	var plain []bos.ComponentPatch
	for _, g := range batch {
		cur, known := now[g.ID]
		switch {
		case !known:
			r.Missing = append(r.Missing, g.ID)
		case !g.If.Holds(&cur):
			r.Stale = append(r.Stale, g.ID)
		default:
			g.Patch.ID = g.ID
			plain = append(plain, g.Patch)
		}
	}
	if len(plain) == 0 {
		return r, nil
	}
	written, err := p.PatchComponents(ctx, "", plain, true)
	for i := range written {
		r.Written = append(r.Written, written[i].ID)
	}
	for i := range plain {
		if err == nil && !slices.Contains(r.Written, plain[i].ID) {
			r.Missing = append(r.Missing, plain[i].ID)
		}
	}
	return r, err
}
