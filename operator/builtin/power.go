package builtin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/pcs"
)

// powerOperator is what the three operators that command nodes have in common.
type powerOperator struct {
	Deps
	name     string
	op       pcs.Operation
	action   bos.Action
	attempts func(*bos.Component) int
	stats    func(attempts int) *bos.EventStats
	called   []bos.Status // of a component that the operator has acted on

	owed    []bos.GuardedPatch // records of what was done that could not be written yet
	hsmDown outage
	strange map[bos.ComponentID]time.Time // since when HSM does not know them
	resend  map[bos.ComponentID]bool      // to be commanded again within the same attempt
	untold  []taskFailure                 // reasons that the components do not show yet
}

// Name implements operator.Operator.
func (p *powerOperator) Name() string { return p.name }

// transitionKey is the scheduler's id for "read the transitions". No xname has a blank in it.
const transitionKey = "open transitions"

// settle finishes what earlier passes began, in this process or before it: it writes records that could not be written,
// reads the open transitions, tells the components what became of their tasks, and commands those again that we kept
// PCS from reserving.
func (p *powerOperator) settle(ctx context.Context, t operator.Tick) error {
	p.Transitions.join(t, p.name)
	p.Transitions.learn(ctx, t)
	if len(p.owed) > 0 {
		owed := p.owed
		p.owed = nil
		if err := p.record(ctx, t, owed); err != nil {
			return err // BOS is away: acting again would repeat what is not recorded
		}
	}
	failures, next := p.Transitions.follow(ctx, t, p.name)
	if !next.IsZero() {
		t.Sched.At(transitionKey, next)
	}
	p.untold = append(p.untold, failures...)
	if len(p.untold) == 0 && len(p.resend) == 0 {
		return nil
	}
	return p.tasksFailed(ctx, t)
}

// tasksFailed writes the reasons of failed tasks to those components for which they still matter.
func (p *powerOperator) tasksFailed(ctx context.Context, t operator.Tick) error {
	texts := map[bos.ComponentID]string{}
	for _, f := range p.untold {
		if f.resend {
			p.resend[f.id] = true
		} else {
			texts[f.id] = f.text
		}
	}
	var ids []string
	for id := range texts {
		ids = append(ids, string(id))
	}
	for id := range p.resend {
		ids = append(ids, string(id))
	}
	slices.Sort(ids)
	found, err := list(ctx, p.API, bos.ComponentFilter{Enabled: new(true), Status: p.called}, ids)
	if err != nil {
		return err
	}
	p.untold = nil
	var patches []bos.GuardedPatch
	var again []bos.Component
	for _, c := range found {
		if c.Action() != p.action {
			continue
		}
		if p.resend[c.ID] {
			again = append(again, c)
			continue
		}
		// An earlier boot that never reported says more than a power-off on the way to the next one.
		text := p.taskCause() + texts[c.ID]
		if c.ErrorText() != text && !strings.HasPrefix(c.ErrorText(), causeNoReport) {
			patches = append(patches, guardAction(&c, bos.ComponentPatch{Error: new(text)}))
		}
	}
	err = p.record(ctx, t, patches)
	return errors.Join(err, p.sendAgain(ctx, t, again))
}

// taskCause begins the error of a component whose task failed.
func (p *powerOperator) taskCause() string { return causeTask + strings.ToLower(string(p.op)) + ": " }

// sendAgain commands nodes once more whose tasks failed only because an earlier transition, of ours perhaps, still held
// them. It uses no attempt.
func (p *powerOperator) sendAgain(ctx context.Context, t operator.Tick, comps []bos.Component) error {
	if t.Settings.Paused {
		return nil // they stay in resend
	}
	clear(p.resend)
	later := func(id bos.ComponentID, pause time.Duration) {
		p.resend[id] = true
		t.Sched.At(transitionKey, time.Now().Add(pause))
	}
	usable, err := p.usable(ctx, t, comps) // a lock refuses reservations too
	if err != nil {
		for i := range comps {
			later(comps[i].ID, steadyLook)
		}
		return err
	}
	held := p.Transitions.blocked(ctx, t, idsOf(usable))
	var free []bos.Component
	for _, c := range usable {
		if held[c.ID] {
			later(c.ID, firstLook)
		} else {
			free = append(free, c)
		}
	}
	var patches []bos.GuardedPatch
	sent, err := p.command(ctx, t, free)
	for i := range free {
		c := &free[i]
		s, commanded := sent[c.ID]
		switch {
		case !commanded && err != nil:
			later(c.ID, steadyLook)
		case s.err == nil && s.counted: // the wait begins anew
			patch := bos.ComponentPatch{LastAction: &bos.LastAction{Action: new(p.action), Failed: new(false)}}
			if strings.HasPrefix(c.ErrorText(), p.taskCause()) {
				patch.Error = new("")
			}
			patches = append(patches, guardAction(c, patch))
		case s.err != nil && temporary(s.err):
			later(c.ID, steadyLook)
		}
	}
	return errors.Join(err, p.record(ctx, t, patches))
}

// record writes patches and keeps those that could not be written for the next pass, unless somebody else acts by now.
// It writes even when the pass has been told to stop: what was done must be known.
func (p *powerOperator) record(ctx context.Context, t operator.Tick, patches []bos.GuardedPatch) error {
	_, err := p.write(ctx, t, patches)
	return err
}

// write is record that also tells which components are gone or were taken over.
func (p *powerOperator) write(ctx context.Context, t operator.Tick, patches []bos.GuardedPatch) (gone map[bos.ComponentID]bool, err error) {
	if len(patches) == 0 {
		return nil, nil
	}
	if ctx.Err() != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
		defer cancel()
		ctx = late
	}
	r, err := operator.Write(ctx, p.API, t, patches)
	gone = map[bos.ComponentID]bool{}
	for _, id := range slices.Concat(r.Stale, r.Missing) {
		gone[id] = true
	}
	if err != nil && !errors.Is(err, bos.ErrConflict) {
		done := gone
		for _, id := range r.Written {
			done[id] = true
		}
		for _, g := range patches {
			if !done[g.ID] {
				p.owed = append(p.owed, g)
			}
		}
	}
	return gone, err
}

// look returns the enabled components with one of the statuses that the pass concerns; none while BOS is paused. What is
// due meanwhile waits for the full pass at the end of the pause.
func (p *powerOperator) look(ctx context.Context, t operator.Tick, statuses ...bos.Status) ([]bos.Component, error) {
	if t.Settings.Paused {
		return nil, nil
	}
	ids := slices.DeleteFunc(slices.Clone(t.Changed), func(id string) bool { return id == transitionKey })
	if !t.Full() && len(ids) == 0 {
		return nil, nil
	}
	f := bos.ComponentFilter{Enabled: new(true), Status: statuses}
	found, err := list(ctx, p.API, f, ids)
	if err == nil && !t.Full() {
		forget(t.Sched, ids, found)
	}
	return found, err
}

// usable returns those of found to act on now: they are not in a back-off, exist in HSM and are not locked there.
// Components that HSM does not know are left alone; locked ones say so and use no attempt.
func (p *powerOperator) usable(ctx context.Context, t operator.Tick, found []bos.Component) ([]bos.Component, error) {
	found = slices.DeleteFunc(found, func(c bos.Component) bool { return !t.Sched.Ready(string(c.ID)) })
	if len(found) == 0 {
		return nil, nil
	}
	known, err := p.Inventory.Query(ctx, idsOf(found))
	var locked map[bos.ComponentID]bool
	if err == nil {
		locked, err = p.Inventory.LockedNodes(ctx)
	}
	if lasting := p.hsmDown.lasting(err, t.Now, t.Options.PollingFrequency); err != nil {
		var patches []bos.GuardedPatch
		for i := range found {
			t.Sched.Retry(string(found[i].ID))
			if text := found[i].ErrorText(); lasting && (text == "" || strings.HasPrefix(text, causeWaiting)) {
				patches = say(patches, &found[i], waitingFor(causeWaitingHSM, err))
			}
		}
		return nil, errors.Join(fmt.Errorf("look %d components up in HSM: %w", len(found), err), p.record(ctx, t, patches))
	}
	return p.inService(ctx, t, found, known, locked)
}

// forget drops the back-off of ids that no longer concern the operator.
func forget(sched operator.Scheduler, ids []string, found []bos.Component) {
	if len(ids) == len(found) {
		return
	}
	still := make(map[string]bool, len(found))
	for i := range found {
		still[string(found[i].ID)] = true
	}
	for _, id := range ids {
		if !still[id] {
			sched.Cancel(id)
		}
	}
}

// inService leaves out what HSM does not know or has locked, and tells those components.
func (p *powerOperator) inService(ctx context.Context, t operator.Tick, found []bos.Component, known map[bos.ComponentID]hsm.Node, locked map[bos.ComponentID]bool) ([]bos.Component, error) {
	var ready []bos.Component
	var patches []bos.GuardedPatch
	for i := range found {
		c := &found[i]
		if _, ok := known[c.ID]; !ok {
			since, noted := p.strange[c.ID]
			if !noted {
				p.strange[c.ID] = t.Now
			} else if t.Now.Sub(since) >= 2*t.Options.PollingFrequency {
				patches = say(patches, c, causeNotInHSM)
			}
			continue
		}
		delete(p.strange, c.ID)
		if locked[c.ID] {
			patches = say(patches, c, causeLocked)
			continue
		}
		ready = append(ready, *c)
	}
	return ready, p.record(ctx, t, patches)
}

// say adds a patch that sets the component's error, unless it says so already.
func say(patches []bos.GuardedPatch, c *bos.Component, text string) []bos.GuardedPatch {
	if c.ErrorText() == text {
		return patches
	}
	return append(patches, guard(c, bos.ComponentPatch{Error: new(text)}))
}

// withinLimit marks components that have used up their attempts as failed, and returns the others.
func (p *powerOperator) withinLimit(ctx context.Context, t operator.Tick, comps []bos.Component) ([]bos.Component, error) {
	var rest []bos.Component
	var patches []bos.GuardedPatch
	for i := range comps {
		if c := &comps[i]; exhausted(c, p.attempts(c), &t.Options) {
			patches = append(patches, failedPatch(c))
		} else {
			rest = append(rest, *c)
		}
	}
	if len(patches) > 0 {
		t.Log.Info("retry limit hit", "count", len(patches))
	}
	return rest, p.record(ctx, t, patches)
}

// free leaves out the components that an open transition of ours holds; they stay pending and use no attempt.
func (p *powerOperator) free(ctx context.Context, t operator.Tick, comps []bos.Component) []bos.Component {
	held := p.Transitions.blocked(ctx, t, idsOf(comps))
	return slices.DeleteFunc(comps, func(c bos.Component) bool { return held[c.ID] })
}

// sent is what became of the command to one node.
type sent struct {
	counted bool  // it uses an attempt: accepted, possibly executed, or of a kind that will never work
	err     error // nil = accepted
}

// command sends the operation to all components, at most Settings.MaxNodesPerTransition at once, and nodes whose
// controller did not answer apart from the others, as a transition lasts as long as its slowest node. Missing from the
// result are components that were not commanded: those that were taken over, disabled or put into another phase or on hold
// meanwhile, and with an error, that of a lost lease or of BOS itself, those that were left.
func (p *powerOperator) command(ctx context.Context, t operator.Tick, comps []bos.Component) (map[bos.ComponentID]sent, error) {
	results := make(map[bos.ComponentID]sent, len(comps))
	guards := make(map[bos.ComponentID]*bos.Guard, len(comps))
	var alive, dead []bos.ComponentID
	for i := range comps {
		guards[comps[i].ID] = guardOverride(&comps[i], bos.ComponentPatch{}).If
		if id := comps[i].ID; p.Transitions.isDead(id) {
			dead = append(dead, id)
		} else {
			alive = append(alive, id)
		}
	}
	size := t.Settings.MaxNodesPerTransition
	if size <= 0 {
		size = bos.DefaultSettings().MaxNodesPerTransition
	}
	for _, ids := range [][]bos.ComponentID{alive, dead} {
		for part := range slices.Chunk(ids, size) {
			if err := t.Fence(); err != nil {
				return results, err
			}
			part, err := p.unchanged(ctx, part, guards)
			if err != nil {
				return results, err
			}
			if len(part) == 0 {
				continue
			}
			start := time.Now()
			failed, err := isolate(part, func(ids []bos.ComponentID) error {
				if err := t.Fence(); err != nil {
					return err
				}
				return p.Transitions.start(ctx, t, p.name, p.op, ids)
			})
			for _, id := range part {
				results[id] = outcomeOf(failed[id])
			}
			log := t.Log.With("operation", string(p.op), "count", len(part), "failed", len(failed), "duration", time.Since(start))
			if err != nil {
				log = log.With("err", err)
			}
			log.Info("power transition")
		}
	}
	if len(comps) > 0 && p.Transitions.reader != nil {
		t.Sched.At(transitionKey, time.Now().Add(firstLook))
	}
	return results, nil
}

// unchanged returns those of the ids whose guards still hold. Since they were read other services have been asked, which may
// have taken a while: a session that was canceled meanwhile shall command no node, and what was meant for a node on its way
// off shall not meet it on its way on.
func (p *powerOperator) unchanged(ctx context.Context, ids []bos.ComponentID, guards map[bos.ComponentID]*bos.Guard) ([]bos.ComponentID, error) {
	var still []bos.ComponentID
	for c, err := range p.API.ListComponents(ctx, bos.ComponentFilter{IDs: ids}) {
		if err != nil {
			return nil, fmt.Errorf("read %d components again: %w", len(ids), err)
		}
		if guards[c.ID].Holds(&c) {
			still = append(still, c.ID)
		}
	}
	return still, nil
}

// blame is what an error says to the people who look at the component: nothing when only this process is to blame.
func blame(err error) string {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, bos.ErrConflict) {
		return ""
	}
	return err.Error()
}

// outcomeOf decides whether a command uses an attempt. Source: BOS v2 operators, Q-06.
func outcomeOf(err error) sent {
	return sent{counted: err == nil || outcomeUnknown(err) || !temporary(err) && !errors.Is(err, bos.ErrConflict), err: err}
}

// isolate makes a call for all ids. When the service refuses a request as a whole, its halves are tried by themselves, so
// that one bad component does not take the others with it (operators Q-48); a bounded number of tries finds it. The map
// holds the error of each id that failed, and the error the first of all.
func isolate(ids []bos.ComponentID, call func([]bos.ComponentID) error) (map[bos.ComponentID]error, error) {
	failed := map[bos.ComponentID]error{}
	tries := 32
	var first error
	var try func(ids []bos.ComponentID)
	divide := func(ids []bos.ComponentID) {
		half := len(ids) / 2
		try(ids[:half])
		try(ids[half:])
	}
	try = func(ids []bos.ComponentID) {
		tries--
		err := call(ids)
		if err == nil {
			return
		}
		if first == nil {
			first = err
		}
		if partial, ok := errors.AsType[*bos.BatchError](err); ok {
			maps.Copy(failed, partial.Failed)
			for _, refused := range refusedTogether(partial.Failed) {
				if tries > 1 {
					for _, id := range refused {
						delete(failed, id)
					}
					divide(refused)
				}
			}
			return
		}
		if refusesContent(err) && len(ids) > 1 && tries > 1 {
			divide(ids)
			return
		}
		for _, id := range ids {
			failed[id] = err
		}
	}
	if len(ids) > 0 {
		try(ids)
	}
	return failed, first
}

// refusedTogether returns, sorted, the ids of each request that was refused as a whole, where a call took several
// requests: they share the answer. The error of a service is of the same type for all services.
func refusedTogether(failed map[bos.ComponentID]error) [][]bos.ComponentID {
	sharing := map[*pcs.Error][]bos.ComponentID{}
	for id, err := range failed {
		if answer, ok := errors.AsType[*pcs.Error](err); ok && refusesContent(err) {
			sharing[answer] = append(sharing[answer], id)
		}
	}
	var groups [][]bos.ComponentID
	for _, ids := range sharing {
		if len(ids) > 1 {
			slices.Sort(ids)
			groups = append(groups, ids)
		}
	}
	slices.SortFunc(groups, slices.Compare)
	return groups
}

// refusesContent reports whether a service found fault with what a request says, rather than with itself or the caller.
func refusesContent(err error) bool {
	return !temporary(err) && (errors.Is(err, bos.ErrInvalid) || errors.Is(err, bos.ErrTooLarge) || errors.Is(err, bos.ErrNotFound))
}

func idsOf(comps []bos.Component) []bos.ComponentID {
	ids := make([]bos.ComponentID, len(comps))
	for i := range comps {
		ids[i] = comps[i].ID
	}
	return ids
}

// wakesOn reports whether a change leaves an enabled component in one of the statuses.
func wakesOn(c *bos.Change, statuses ...bos.Status) bool {
	return c.Kind == bos.ChangeComponent && !c.Deleted && c.Enabled && slices.Contains(statuses, c.Status)
}

// batches splits comps at the option max_component_batch_size.
func batches(comps []bos.Component, o *bos.Options) [][]bos.Component {
	size := o.MaxComponentBatchSize
	if size <= 0 {
		size = max(len(comps), 1)
	}
	return slices.Collect(slices.Chunk(comps, size))
}
