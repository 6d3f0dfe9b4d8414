package builtin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/operator"
)

// configuration tells CFS the desired configuration of nodes that have booted what they should and are in phase
// configuring, where CFS has another one. Source: operators 2.2.
//
// It also lets CFS act where that is disabled for a minute though the node has booted. The node's own reporter enables
// CFS early in the boot; but where power-on repeats a command whose answer was lost, it readies CFS for a boot that does
// not come, as the node is up already.
//
// A component that CFS does not know holds up nobody: it is left to the status operator, which reports it (operators
// A refusal is blamed only on the components it concerns (operators Q-48).
//
// What if the process dies? Assigning is harmless to repeat, and the next pass sees at CFS whether it was done. At worst
// an old error stays on a component until its next successful action.
type configuration struct {
	d        Deps
	disabled map[bos.ComponentID]time.Time // since when CFS is known to be; of components in phase configuring
}

// disabledLimit is how long after its boot a node's reporter may take to enable CFS.
const disabledLimit = time.Minute

func newConfiguration(d Deps) operator.Operator {
	return &configuration{d: d, disabled: map[bos.ComponentID]time.Time{}}
}

var _ operator.Waker = (*configuration)(nil)

func (*configuration) Name() string { return "configuration" }

// Wakes when a component is to be configured.
func (*configuration) Wakes(c *bos.Change) bool {
	return c.Kind == bos.ChangeComponent && !c.Deleted && c.Enabled && c.Status == bos.StatusConfiguring
}

// Run assigns the configurations that CFS does not have yet, unless BOS is paused.
func (o *configuration) Run(ctx context.Context, t operator.Tick) error {
	if t.Settings.Paused {
		return nil
	}
	components, err := list(ctx, o.d.API, bos.ComponentFilter{Enabled: new(true), Status: []bos.Status{bos.StatusConfiguring}}, t.Changed)
	if err != nil {
		return err
	}
	if !t.Full() {
		forget(t.Sched, t.Changed, components)
	}
	if t.Full() {
		kept := map[bos.ComponentID]time.Time{}
		for i := range components {
			if since, ok := o.disabled[components[i].ID]; ok {
				kept[components[i].ID] = since
			}
		}
		o.disabled = kept
	}
	components = slices.DeleteFunc(components, func(c bos.Component) bool { return !t.Sched.Ready(string(c.ID)) })
	var errs []error
	for chunk := range chunks(components, t.Options.MaxComponentBatchSize) {
		errs = append(errs, o.configure(ctx, t, chunk))
	}
	return errors.Join(errs...)
}

// assignmentKey is what components must share to be assigned in one request.
type assignmentKey struct{ configuration, session string }

// configure handles one batch.
func (o *configuration) configure(ctx context.Context, t operator.Tick, batch []bos.Component) error {
	ids := make([]bos.ComponentID, len(batch))
	for i := range batch {
		ids[i] = batch[i].ID
	}
	known, err := o.d.Config.Components(ctx, ids)
	if err != nil {
		for _, id := range ids {
			t.Sched.Retry(string(id))
		}
		return fmt.Errorf("read %d components of cfs: %w", len(ids), err)
	}
	groups := map[assignmentKey][]*bos.Component{}
	for i := range batch {
		c := &batch[i]
		have, ok := known[c.ID]
		if ok && (o.forgotten(&have, t.Now) || have.DesiredConfig != c.DesiredConfiguration()) {
			key := assignmentKey{c.DesiredConfiguration(), c.SessionName()}
			groups[key] = append(groups[key], c)
		}
	}
	var errs []error
	for _, key := range slices.SortedFunc(maps.Keys(groups), compareAssignments) {
		if err := t.Fence(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		errs = append(errs, o.assign(ctx, t, key, groups[key]))
	}
	return errors.Join(errs...)
}

// forgotten reports whether CFS has waited too long for somebody to enable it.
func (o *configuration) forgotten(c *cfs.Component, now time.Time) bool {
	if c.Enabled || !strings.EqualFold(string(c.Status), string(cfs.StatusPending)) {
		delete(o.disabled, c.ID)
		return false
	}
	since, known := o.disabled[c.ID]
	if !known {
		o.disabled[c.ID] = now
	}
	return known && now.Sub(since) > disabledLimit
}

func compareAssignments(a, b assignmentKey) int {
	return cmp.Or(cmp.Compare(a.configuration, b.configuration), cmp.Compare(a.session, b.session))
}

// assign gives one group its configuration and notes on each component whether it worked.
func (o *configuration) assign(ctx context.Context, t operator.Tick, key assignmentKey, group []*bos.Component) error {
	ids := make([]bos.ComponentID, len(group))
	for i, c := range group {
		ids[i] = c.ID
	}
	failed, _ := isolate(ids, func(ids []bos.ComponentID) error {
		return o.d.Config.Assign(ctx, ids, cfs.Assignment{Configuration: key.configuration, Session: key.session, Enabled: true})
	})
	if ctx.Err() != nil {
		return ctx.Err() // no reason to blame anybody
	}
	var patches []bos.GuardedPatch
	for _, c := range group {
		text := ""
		if err := failed[c.ID]; err != nil {
			text = err.Error()
			t.Sched.Retry(string(c.ID))
		} else {
			t.Sched.Cancel(string(c.ID))
		}
		if text != c.ErrorText() {
			patches = append(patches, bos.GuardedPatch{ID: c.ID, If: bos.GuardOf(c), Patch: bos.ComponentPatch{ID: c.ID, Error: new(text)}})
		}
	}
	if done := len(group) - len(failed); done > 0 {
		t.Log.Info("configuration assigned", "configuration", key.configuration, "session", key.session, "count", done)
	}
	_, err := operator.Write(ctx, o.d.API, t, patches)
	if len(failed) > 0 {
		err = errors.Join(fmt.Errorf("assign configuration %q: %w", key.configuration, &bos.BatchError{Failed: failed}), err)
	}
	return err
}
