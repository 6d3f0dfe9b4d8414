package builtin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// sessionCompletion ends the running sessions that have no more components to wait for: none is enabled for them or
// carries their stage. That says nothing about success, which is in the session's summary. Source: operators 6.1. It
// cancels those that take longer than the setting max_session_time, and completes a cancellation that broke off.
//
// What if the process dies? Before the session is complete the next pass decides again. Our API completes a session and
// saves its summary in one step; where a reference server was not told to save it, it computes it at each request.
type sessionCompletion struct {
	d Deps

	mu sync.Mutex // Wakes is called while Run runs
	// waitsFor is one component that kept a session running when it was last looked at. It only saves work: while that
	// one still does, nothing else needs to be read. Nil while that is being found out.
	waitsFor map[bos.TenantKey]bos.ComponentID
}

func newSessionCompletion(d Deps) operator.Operator { return &sessionCompletion{d: d} }

var _ operator.Waker = (*sessionCompletion)(nil)

func (*sessionCompletion) Name() string { return "session-completion" }

// Wakes when a session begins to run, and when the component that one waits for may have left it: it was disabled or
// deleted, or its session or stage is another.
func (o *sessionCompletion) Wakes(c *bos.Change) bool {
	switch c.Kind {
	case bos.ChangeSession:
		return !c.Deleted && c.Status == bos.Status(bos.SessionRunning)
	case bos.ChangeComponent:
		return (c.Deleted || !c.Enabled && c.Touches("enabled") || c.Touches("session", "staged_state")) && o.isWaitedFor(bos.ComponentID(c.ID))
	}
	return false
}

// isWaitedFor reports whether a session may wait for the component. While a pass runs every one counts: the pass may
// have seen it before the change.
func (o *sessionCompletion) isWaitedFor(id bos.ComponentID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waitsFor == nil {
		return true
	}
	for _, waited := range o.waitsFor {
		if waited == id {
			return true
		}
	}
	return false
}

// setWaitsFor returns what was set before.
func (o *sessionCompletion) setWaitsFor(now map[bos.TenantKey]bos.ComponentID) (before map[bos.TenantKey]bos.ComponentID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, o.waitsFor = o.waitsFor, now
	return before
}

// Run completes what is done. A session whose tenant cannot be looked up is tried again after a back-off, without
// holding up the others.
func (o *sessionCompletion) Run(ctx context.Context, t operator.Tick) error {
	hints := o.setWaitsFor(nil)
	running, err := o.d.API.ListSessions(ctx, bos.SessionFilter{Status: bos.SessionRunning})
	if err != nil {
		return fmt.Errorf("list running sessions: %w", err)
	}
	running = readySessions(t, running)
	if t.Full() {
		hints = nil // look at everything again: a tenant may have lost the node
	}
	var mu sync.Mutex
	waitsFor := make(map[bos.TenantKey]bos.ComponentID, len(running))
	err = eachSession(t, running, func(s *bos.Session) error {
		id, err := o.holder(ctx, t, s, hints[s.Key()])
		if err != nil {
			return err
		}
		if id == "" {
			return complete(ctx, o.d.API, t, s, "")
		}
		end := deadline(s, &t.Settings)
		switch overdue := !end.IsZero() && t.Now.After(end); {
		case overdue && !s.Canceled():
			return o.expire(ctx, t, s)
		case s.Canceled() && t.Full(): // in other passes somebody may just be at it
			return o.cancel(ctx, t, s, "")
		case !end.IsZero() && !overdue:
			t.Sched.At("deadline of "+scheduleID(s), end.Add(time.Second))
		}
		mu.Lock()
		defer mu.Unlock()
		waitsFor[s.Key()] = id
		return nil
	})
	if err == nil {
		o.setWaitsFor(waitsFor)
	}
	return err
}

// deadline returns when the session shall be canceled, zero for never. Stages wait for people, and while BOS is paused
// nothing gets on.
func deadline(s *bos.Session, settings *bos.Settings) time.Time {
	begin, ok := clockOf(s, settings).Time()
	if settings.MaxSessionTime <= 0 || settings.Paused || s.Stage || !ok {
		return time.Time{}
	}
	return begin.Add(time.Duration(settings.MaxSessionTime) * time.Second)
}

// expire cancels a session whose deadline is over.
func (o *sessionCompletion) expire(ctx context.Context, t operator.Tick, s *bos.Session) error {
	late := 0
	counts := o.membership(ctx, t, s)
	for c, err := range o.d.API.ListComponents(bos.WithSessionTenant(ctx, string(s.Tenant)), bos.ComponentFilter{Session: s.Name, Enabled: new(true)}) {
		if err != nil {
			return fmt.Errorf("list components: %w", err)
		}
		ok, err := counts(c.ID)
		if err != nil {
			return err
		}
		if ok {
			late++
		}
	}
	limit := time.Duration(t.Settings.MaxSessionTime) * time.Second
	return o.cancel(ctx, t, s, fmt.Sprintf("deadline of %s exceeded, nodes still on their way: %d", limit, late))
}

// cancel ends a session and what its components are at. That it is gone or has ended meanwhile is no error, nor that a
// reference server is left with a session that was canceled elsewhere.
func (o *sessionCompletion) cancel(ctx context.Context, t operator.Tick, s *bos.Session, reason string) error {
	if err := t.Fence(); err != nil {
		return err
	}
	done, err := o.d.API.CancelSession(ctx, s.Key(), reason)
	if errors.Is(err, bos.ErrNotFound) || errors.Is(err, bos.ErrConflict) || errors.Is(err, bos.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cancel session: %w", err)
	}
	t.Log.Warn("session canceled", "session", s.Name, "tenant", string(s.Tenant), "reason", reason, "count", done.Components)
	return nil
}

// holder returns a component that keeps the session running, empty when there is none. hint is the one to look at
// first; it may be empty.
func (o *sessionCompletion) holder(ctx context.Context, t operator.Tick, s *bos.Session, hint bos.ComponentID) (bos.ComponentID, error) {
	if hint != "" {
		for c, err := range o.d.API.ListComponents(ctx, bos.ComponentFilter{IDs: []bos.ComponentID{hint}}) {
			if err != nil {
				return "", fmt.Errorf("read component: %w", err)
			}
			if c.IsEnabled() && c.SessionName() == s.Name || c.StagedSession() == s.Name {
				return hint, nil
			}
		}
	}
	counts := o.membership(ctx, t, s)
	ctx = bos.WithSessionTenant(ctx, string(s.Tenant)) // without the components of other sessions of this name
	enabled, staged := bos.ComponentFilter{Session: s.Name, Enabled: new(true)}, bos.ComponentFilter{StagedSession: s.Name}
	first := enabled
	first.PageSize = 1 // mostly the first will do
	for _, f := range []bos.ComponentFilter{first, enabled, staged} {
		for c, err := range o.d.API.ListComponents(ctx, f) {
			if err != nil {
				return "", fmt.Errorf("list components: %w", err)
			}
			ok, err := counts(c.ID)
			if ok || err != nil {
				return c.ID, err
			}
		}
	}
	return "", nil
}

// membership tells which of the components with the session's name belong to it. Names repeat among tenants, so only
// those that its set-up listed do, and of a tenant's session only nodes the tenant owns; a tenant that no longer exists
// owns none. TAPMS is asked when the first component is.
func (o *sessionCompletion) membership(ctx context.Context, t operator.Tick, s *bos.Session) func(bos.ComponentID) (bool, error) {
	var listed map[bos.ComponentID]bool
	if s.Components != "" {
		listed = map[bos.ComponentID]bool{}
		for id := range strings.SplitSeq(s.Components, ",") {
			listed[bos.ComponentID(id)] = true
		}
	}
	owned := sync.OnceValues(func() (map[bos.ComponentID]bool, error) {
		nodes, err := o.d.Tenants.TenantNodes(ctx, string(s.Tenant))
		if errors.Is(err, bos.ErrNotFound) {
			t.Log.Warn("tenant of a running session does not exist", "session", s.Name, "tenant", string(s.Tenant))
			return nil, nil
		}
		return nodes, err
	})
	return func(id bos.ComponentID) (bool, error) {
		if listed != nil && !listed[id] {
			return false, nil
		}
		if s.Tenant == "" {
			return true, nil
		}
		nodes, err := owned()
		return nodes[id], err
	}
}

// complete ends a session, with the reason if it failed, and saves its summary. That the session is gone, or the summary
// cannot be saved, is no error: nobody could do it better later.
func complete(ctx context.Context, api API, t operator.Tick, s *bos.Session, reason string) error {
	if err := t.Fence(); err != nil {
		return err
	}
	end := bos.Stamp(t.Now)
	if start, ok := startTime(s).Time(); ok && t.Now.Before(start) {
		end = bos.Stamp(start) // created while the pass was running, or by another clock
	}
	status := &bos.SessionStatusPatch{Status: new(bos.SessionComplete), EndTime: new(bos.NullString(end))}
	if reason != "" {
		status.Error = new(bos.NullString(strings.TrimSpace(reason)))
	}
	_, err := api.PatchSession(ctx, s.Key(), bos.SessionPatch{Status: status})
	if errors.Is(err, bos.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("complete session: %w", err)
	}
	log := t.Log.With("session", s.Name, "tenant", string(s.Tenant))
	log.Info("session is complete", "reason", reason)
	// Our API has saved the summary in the same step; a reference server wants to be asked.
	if _, err := api.SaveSessionStatus(ctx, s.Key()); err != nil && !errors.Is(err, bos.ErrNotFound) {
		log.Warn("summary of the session was not saved again", "err", err)
	}
	return nil
}
