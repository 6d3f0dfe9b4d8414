package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// ForComponents makes an Operator of op: it lists the components that pass the filter, hands them to Act in batches of
// at most Options.MaxComponentBatchSize, and writes the patches, each guarded by its component as it was read. A batch
// that fails does not keep the others from being acted on; its components are tried again after a back-off.
//
// The operator wakes when a change makes a component pass the filter of the last pass. When op is a Waker or Periodic
// itself, its own word counts.
func ForComponents(c Components, op ComponentOperator) Operator {
	o := &componentOperator{components: c, op: op}
	if p, ok := op.(Periodic); ok {
		return periodicComponents{o, p}
	}
	return o
}

type componentOperator struct {
	components Components
	op         ComponentOperator
	filter     atomic.Pointer[bos.ComponentFilter] // of the last pass
}

type periodicComponents struct {
	*componentOperator
	Periodic
}

var (
	_ Waker    = (*componentOperator)(nil)
	_ Waker    = periodicComponents{}
	_ Periodic = periodicComponents{}
)

// Name implements Operator.
func (o *componentOperator) Name() string { return o.op.Name() }

// Wakes implements Waker.
func (o *componentOperator) Wakes(c *bos.Change) bool {
	if w, ok := o.op.(Waker); ok {
		return w.Wakes(c)
	}
	f := o.filter.Load()
	if f == nil || c.Kind != bos.ChangeComponent || c.Deleted {
		return false
	}
	switch {
	case f.IDs != nil && !slices.Contains(f.IDs, bos.ComponentID(c.ID)),
		f.Session != "" && f.Session != c.Session,
		f.StagedSession != "" && f.StagedSession != c.StagedSession,
		f.Enabled != nil && *f.Enabled != c.Enabled,
		f.Phase != bos.PhaseNone && f.Phase != c.Phase:
		return false
	}
	return len(f.Status) == 0 || slices.Contains(f.Status, c.Status)
}

// Run implements Operator.
func (o *componentOperator) Run(ctx context.Context, t Tick) error {
	f := o.op.Filter(t)
	o.filter.Store(new(f))
	if !t.Full() {
		f.IDs = among(t.Changed, f.IDs)
	}
	var batch []bos.Component
	var errs []error
	act := func() {
		if len(batch) > 0 {
			errs = append(errs, o.act(ctx, t, batch))
			batch = nil
		}
	}
	for c, err := range o.components.ListComponents(ctx, f) {
		if err != nil {
			errs = append(errs, fmt.Errorf("list components: %w", err))
			break
		}
		if !t.Sched.Ready(string(c.ID)) {
			continue
		}
		if batch = append(batch, c); len(batch) == t.Options.MaxComponentBatchSize {
			act()
		}
	}
	act()
	return errors.Join(errs...)
}

// act hands one batch to the vendor and writes what comes back.
func (o *componentOperator) act(ctx context.Context, t Tick, batch []bos.Component) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.Fence(); err != nil {
		return err
	}
	guards := make(map[bos.ComponentID]*bos.Guard, len(batch))
	for i := range batch {
		guards[batch[i].ID] = bos.GuardOf(&batch[i])
	}
	start := time.Now()
	patches, err := o.op.Act(ctx, t, batch)
	guarded := make([]bos.GuardedPatch, 0, len(patches))
	for _, p := range patches {
		if g, ok := guards[p.ID]; ok {
			guarded = append(guarded, bos.GuardedPatch{ID: p.ID, If: g, Patch: p})
		} else {
			err = errors.Join(err, fmt.Errorf("patch for %q, which is not in the batch", p.ID))
		}
	}
	written, werr := Write(ctx, o.components, t, guarded)
	t.Log.Info("acted", "count", len(guards), "written", len(written.Written), "stale", len(written.Stale),
		"missing", len(written.Missing), "duration", time.Since(start))
	err = errors.Join(err, werr)
	for id := range guards {
		if err != nil {
			t.Sched.Retry(string(id))
		} else {
			t.Sched.Cancel(string(id))
		}
	}
	return err
}

// among returns the ids that are also in allowed, in ascending order; nil allows all.
func among(ids []string, allowed []bos.ComponentID) []bos.ComponentID {
	out := []bos.ComponentID{}
	for _, id := range ids {
		if allowed == nil || slices.Contains(allowed, bos.ComponentID(id)) {
			out = append(out, bos.ComponentID(id))
		}
	}
	slices.Sort(out)
	return out
}
