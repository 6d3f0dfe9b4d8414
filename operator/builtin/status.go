package builtin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/pcs"
)

// status judges how far enabled components are: it compares what is desired, what the node reported, its power state
// and its configuration, and writes phase, override and, when the component is done or has failed, enabled. It commands
// nothing, so a death at any point costs nothing.
//
// Components are looked at when they change, and their hardware while it moves: 50 ms after a command, then at
// doubling pauses up to a second, and after a minute up to polling_frequency.
type status struct {
	Deps
	watches map[bos.ComponentID]*watch
	every   map[bos.ComponentID]cfs.Component // all of CFS, if this pass has read it
	slowest time.Duration                     // of the readings of this pass
	pcsDown outage
	cfsDown outage
}

func newStatus(d Deps) operator.Operator {
	return &status{Deps: d, watches: map[bos.ComponentID]*watch{}}
}

// Name implements operator.Operator.
func (s *status) Name() string { return "status" }

// Wakes implements operator.Waker.
func (s *status) Wakes(c *bos.Change) bool {
	s.Transitions.heard(c)
	return c.Kind == bos.ChangeComponent && !c.Deleted && c.Enabled &&
		c.Touches("enabled", "session", "desired_state.boot_artifacts", "desired_state.configuration", "actual_state.boot_artifacts",
			"last_action", "event_stats", "status")
}

// looked is one component in a pass.
type looked struct {
	c *bos.Component
	w *watch
	f facts
	v verdict
}

// Run implements operator.Operator. While one batch is judged, the next is listed and the one before is written.
func (s *status) Run(ctx context.Context, t operator.Tick) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.Transitions.join(t, s.Name())
	s.slowest, s.every = 0, nil
	defer func() { s.every = nil }()
	var listErr error
	listed := make(chan []bos.Component, 1)
	go func() {
		defer close(listed)
		listErr = operator.Protect(t.Log, func() error { return s.list(ctx, t, listed) })
	}()
	found := map[bos.ComponentID]bool{}
	writes := laterWrites{log: t.Log}
	defer writes.wg.Wait() // a pass that panics leaves no write behind
	var errs []error
	for batch := range listed {
		for i := range batch {
			found[batch[i].ID] = true
		}
		errs = append(errs, s.judge(ctx, t, batch, &writes))
	}
	errs = append(errs, writes.wait(), listErr)
	if listErr == nil {
		s.forget(t, found)
	}
	return errors.Join(errs...)
}

// list sends the components that the pass concerns, batch by batch.
func (s *status) list(ctx context.Context, t operator.Tick, to chan<- []bos.Component) error {
	f := bos.ComponentFilter{Enabled: new(true)}
	if !t.Full() {
		f.IDs = idsIn(t.Changed)
	}
	size := t.Options.MaxComponentBatchSize
	var batch []bos.Component
	send := func() bool {
		if len(batch) == 0 {
			return true
		}
		select {
		case to <- batch:
			batch = nil
			return true
		case <-ctx.Done():
			return false
		}
	}
	for c, err := range s.API.ListComponents(ctx, f) {
		if err != nil {
			send()
			return fmt.Errorf("list components: %w", err)
		}
		if batch = append(batch, c); len(batch) == size && !send() {
			break
		}
	}
	send()
	return nil
}

// laterWrites are writes that go on while the next is prepared, one after the other.
type laterWrites struct {
	log *slog.Logger
	wg  sync.WaitGroup
	err error
}

func (w *laterWrites) start(write func() error) {
	w.wg.Wait()
	w.wg.Go(func() { w.err = errors.Join(w.err, operator.Protect(w.log, write)) })
}

// wait waits for the last write and returns the errors of all.
func (w *laterWrites) wait() error {
	w.wg.Wait()
	return w.err
}

// forget drops the watches of components that are no longer enabled, or gone.
func (s *status) forget(t operator.Tick, found map[bos.ComponentID]bool) {
	drop := func(id bos.ComponentID) {
		if !found[id] {
			delete(s.watches, id)
			t.Sched.Cancel(string(id))
		}
	}
	if t.Full() {
		for id := range s.watches {
			drop(id)
		}
		return
	}
	for _, id := range t.Changed {
		drop(bos.ComponentID(id))
	}
}

// judge looks at one batch: reads what is needed, decides, begins to write what changes and plans the next look.
func (s *status) judge(ctx context.Context, t operator.Tick, batch []bos.Component, writes *laterWrites) error {
	var now []*looked
	for i := range batch {
		c := &batch[i]
		w := s.watches[c.ID]
		if w == nil {
			w = &watch{}
			s.watches[c.ID] = w
		}
		read := w.look(c, t.Now, &t.Options)
		switch {
		case !t.Sched.Ready(string(c.ID)): // PCS or CFS is away
		case read || t.Full():
			now = append(now, &looked{c: c, w: w})
		default:
			t.Sched.At(string(c.ID), align(t.Now.Add(firstLook), firstLook/2))
		}
	}
	if len(now) == 0 {
		return nil
	}
	perr := s.readPower(ctx, t, now)
	cerr := s.readConfig(ctx, t, now)
	var patches []bos.GuardedPatch
	for _, l := range now {
		l.v = decide(l.c, l.f, &t.Options, &t.Settings, t.Now)
		if l.v.err == "" && l.v.hold {
			switch {
			case perr != nil && s.pcsDown.lasting(perr, t.Now, period(&t.Options)):
				l.v.err = waitingFor(causeWaitingPCS, perr)
			case perr == nil && cerr != nil && l.f.config == configUnread && s.cfsDown.lasting(cerr, t.Now, period(&t.Options)):
				l.v.err = waitingFor(causeWaitingCFS, cerr)
			}
		}
		if p, changed := l.v.patch(l.c, l.f); changed {
			patches = append(patches, guardOverride(l.c, p))
		}
	}
	if len(patches) > 0 {
		writes.start(func() error {
			r, err := operator.Write(ctx, s.API, t, patches)
			t.Log.Debug("status", "looked", len(now), "written", len(r.Written), "stale", len(r.Stale), "missing", len(r.Missing))
			return err
		})
	}
	for _, l := range now {
		s.plan(t, l, perr != nil || cerr != nil && l.v.hold && l.f.config == configUnread)
	}
	return errors.Join(perr, cerr)
}

// readPower asks PCS for the power state of all at once.
func (s *status) readPower(ctx context.Context, t operator.Tick, all []*looked) error {
	ids := make([]bos.ComponentID, len(all))
	for i, l := range all {
		ids[i] = l.c.ID
	}
	start := time.Now()
	states, err := s.Power.PowerStatus(ctx, ids)
	s.slowest = max(s.slowest, time.Since(start))
	if err != nil {
		return fmt.Errorf("read the power state of %d components: %w", len(ids), err)
	}
	s.pcsDown.lasting(nil, t.Now, 0)
	s.Transitions.learn(ctx, t) // what was commanded meanwhile
	for _, l := range all {
		state, ok := states[l.c.ID]
		l.f.power, l.f.undefined, l.f.text = l.w.notePower(state, ok, t.Now, &t.Options, &t.Settings)
		l.f.equal = l.w.equal
		l.f.sent, l.f.sentAt = s.Transitions.last(l.c.ID)
		l.f.configuring = l.w.configuring
		s.Transitions.setDead(l.c.ID, ok && state.Error == "" && strings.EqualFold(string(state.State), string(pcs.StateUndefined)))
	}
	return nil
}

// maxConfigIDs is up to how many components are asked for by id; beyond, all of CFS is read.
const maxConfigIDs = 1000

// readConfig asks CFS for those components whose decision rests on it, and now and then whether it still knows the
// others.
func (s *status) readConfig(ctx context.Context, t operator.Tick, all []*looked) error {
	var ids []bos.ComponentID
	ask := make(map[bos.ComponentID]bool)
	for _, l := range all {
		l.f.config, l.f.cfs = l.w.rememberedConfig(), l.w.cfs
		needed := needsConfig(l.c, l.f)
		if needed {
			l.f.config = configUnread
		}
		if l.f.power == powerUnread || !needed && l.f.config == configKnown && t.Now.Sub(l.w.cfsRead) < time.Minute {
			continue
		}
		ask[l.c.ID] = true
		ids = append(ids, l.c.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	start := time.Now()
	found, err := s.configOf(ctx, ids)
	s.slowest = max(s.slowest, time.Since(start))
	if err != nil {
		return fmt.Errorf("read the configuration of %d components: %w", len(ask), err)
	}
	s.cfsDown.lasting(nil, t.Now, 0)
	for _, l := range all {
		if ask[l.c.ID] {
			record, ok := found[l.c.ID]
			l.f.cfs, l.f.config = record, l.w.noteConfig(record, ok, t.Now, &t.Options)
		}
	}
	return nil
}

// configOf reads the records of ids, or all of CFS where they are many and CFS can list them; that at most once a pass.
func (s *status) configOf(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]cfs.Component, error) {
	if s.every != nil {
		return s.every, nil
	}
	if len(ids) <= maxConfigIDs {
		return s.Config.Components(ctx, ids)
	}
	found, err := s.Config.Components(ctx, nil)
	if errors.Is(err, bos.ErrTooLarge) {
		return s.Config.Components(ctx, ids)
	}
	if err == nil {
		s.every = found
	}
	return found, err
}

// plan asks for the next look at a component.
func (s *status) plan(t operator.Tick, l *looked, outage bool) {
	id := string(l.c.ID)
	after := l.after()
	l.w.goal.phase, l.w.goal.override = l.v.phase, l.v.override // our own write is no news
	if l.v.off && l.c.CurrentPhase() == bos.PhasePoweringOff {
		l.w.goal.actual = bos.BootArtifacts{}
	}
	switch {
	case l.v.disable && !outage:
		delete(s.watches, l.c.ID)
		t.Sched.Cancel(id)
		return
	case outage:
		t.Sched.Retry(id)
		return
	}
	var next time.Time
	earlier := func(at time.Time) {
		if at.After(t.Now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if l.moves(after) {
		pause := max(l.w.pause, min(10*s.slowest, period(&t.Options)))
		earlier(align(time.Now().Add(pause), pause/2))
		l.w.pause = nextPause(l.w.pause, t.Now.Sub(l.w.moving), period(&t.Options))
	}
	if l.v.phase == bos.PhasePoweringOn && l.c.Action() == bos.ActionPoweringOn && !l.c.ActionFailed() {
		wait := t.Options.MaxBootWaitTime
		if l.f.power == powerIsOff {
			wait = t.Options.MaxPowerOnWaitTime
		}
		earlier(waitEnd(l.c.ActionTime(), wait))
	}
	if limit := t.Settings.MaxConfigureWaitTime; limit > 0 && l.v.phase == bos.PhaseConfiguring && !l.w.configuring.IsZero() {
		earlier(l.w.configuring.Add(time.Duration(limit)*time.Second + time.Millisecond))
	}
	t.Sched.Cancel(id)
	if !next.IsZero() {
		t.Sched.At(id, next)
	}
}

// after returns the status of the component once the verdict is written.
func (l *looked) after() bos.Status {
	c := *l.c
	c.Status = &bos.ComponentStatus{Phase: new(l.v.phase), StatusOverride: new(l.v.override)}
	if l.v.failed {
		a := bos.LastAction{}
		if c.LastAction != nil {
			a = *c.LastAction
		}
		a.Failed = new(true)
		c.LastAction = &a
	}
	return c.ComputeStatus()
}

// moves reports whether the next reading may tell something new soon. A node that is on and has yet to report tells so
// itself, and what a power operator has to do first is told by its record.
func (l *looked) moves(after bos.Status) bool {
	switch after {
	case bos.StatusPowerOnCalled:
		return l.v.hold || l.f.power != powerIsOn
	case bos.StatusPowerOnPending, bos.StatusPowerOffPending:
		return l.v.hold
	}
	return true
}

// align moves a time forward to a multiple of grid, so that looks at many components fall together.
func align(at time.Time, grid time.Duration) time.Time {
	if grid <= 0 {
		return at
	}
	if cut := at.Truncate(grid); cut.Before(at) {
		return cut.Add(grid)
	}
	return at
}

func lower(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
