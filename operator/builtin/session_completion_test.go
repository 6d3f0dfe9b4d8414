package builtin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// owner makes a component of the session.
func owner(id bos.ComponentID, session string, enabled bool) bos.Component {
	return bos.Component{ID: id, Session: new(session), Enabled: new(enabled), DesiredState: &bos.DesiredState{BootArtifacts: fixtureArtifacts.Fields()}}
}

// staged makes a disabled component that carries the session's stage.
func staged(id bos.ComponentID, session string) bos.Component {
	return bos.Component{ID: id, Enabled: new(false), StagedState: &bos.StagedState{Session: new(session)}}
}

func running(tenant, name, components string) bos.Session {
	return bos.Session{
		Name: name, Tenant: bos.NullString(tenant), Components: components,
		Status: &bos.SessionStatus{StartTime: "2026-03-01T11:00:00", Status: bos.SessionRunning},
	}
}

func TestOPSessionCompletion(t *testing.T) {
	for _, c := range []struct {
		name       string
		session    bos.Session
		components []bos.Component
		world      func(w *world)
		complete   bool
	}{
		{name: "OP-084 all disabled", session: running("", "s1", "x1"), components: []bos.Component{owner("x1", "s1", false)}, complete: true},
		{name: "OP-085 one enabled", session: running("", "s1", "x1,x2"), components: []bos.Component{owner("x1", "s1", true), owner("x2", "s1", false)}},
		{name: "OP-085 without a list of components", session: running("", "s1", ""), components: []bos.Component{owner("x1", "s1", true)}},
		{name: "OP-086 staged", session: running("", "s1", "x1"), components: []bos.Component{staged("x1", "s1")}},
		{name: "taken over", session: running("", "s1", "x1"), components: []bos.Component{owner("x1", "s2", true)}, complete: true},
		{
			name: "OP-087 tenant no longer owns the node", session: running("red", "s1", "x1"), components: []bos.Component{owner("x1", "s1", true)},
			world: func(w *world) { w.tenants.Set("red", "x9") }, complete: true,
		},
		{
			name: "tenant owns the node", session: running("red", "s1", "x1"), components: []bos.Component{owner("x1", "s1", true)},
			world: func(w *world) { w.tenants.Set("red", "x1") },
		},
		{
			name: "tenant owns the second node", session: running("red", "s1", "x1,x2"),
			components: []bos.Component{owner("x1", "s1", true), owner("x2", "s1", true)},
			world:      func(w *world) { w.tenants.Set("red", "x2") },
		},
		{
			name: "a node of the session of that name of a tenant", session: running("", "s1", "x2"),
			components: []bos.Component{owner("x1", "s1", true), owner("x2", "s1", false)}, complete: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			for _, comp := range c.components {
				w.component(comp)
			}
			if c.world != nil {
				c.world(w)
			}
			w.session(c.session)
			op := newSessionCompletion(w.deps())
			w.pass(op)
			if c.complete {
				w.wantEnded(string(c.session.Tenant), "s1")
				key := c.session.Key().String()
				if got, want := w.api.writes(), []string{"PatchSession " + key + " complete", "SaveSessionStatus " + key}; !slices.Equal(got, want) {
					t.Errorf("writes %q, want %q", got, want)
				}
			} else {
				w.wantState(string(c.session.Tenant), "s1", bos.SessionRunning)
			}
			w.settled(op)
		})
	}
}

// TestSessionCompletionKnowsOwners lets a tenant's session of the same name take a node, or its stage, from a session of
// the system: the latter has no more components, although one with its name is in its list (operators Q-49).
func TestSessionCompletionKnowsOwners(t *testing.T) {
	for name, patch := range map[string]bos.ComponentPatch{
		"session": {Session: new("s1"), Enabled: new(true)},
		"stage":   {StagedState: &bos.StagedState{Session: new("s1")}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tenants.Set("red", "x1")
			for _, tenant := range []string{"", "red"} {
				w.session(running(tenant, "s1", "x1"))
				ctx := bos.WithSessionTenant(t.Context(), tenant)
				if _, err := w.service.PatchGuarded(ctx, bos.GuardedPatches{Patches: []bos.GuardedPatch{{ID: "x1", Patch: patch}}}); err != nil {
					t.Fatal(err)
				}
			}
			op := newSessionCompletion(w.deps())
			w.pass(op)
			w.wantEnded("", "s1")
			w.wantState("red", "s1", bos.SessionRunning)
			w.settled(op)
		})
	}
}

// TestSetupKnowsOwners sets up a session whose node was set up a moment ago, in the same way, by a tenant's session of the
// same name: that is not the work of an earlier try, so the node changes hands.
func TestSetupKnowsOwners(t *testing.T) {
	w := newWorld(t)
	w.tenants.Set("red", "x1")
	w.tenantTemplate("red", "t", func(*bos.SessionTemplate, *bos.BootSet) {})
	op := newSessionSetup(w.deps())
	for _, tenant := range []string{"red", ""} {
		w.session(bos.Session{Name: "s1", Tenant: bos.NullString(tenant)})
		w.pass(op)
		w.wantRunning(tenant, "s1", "x1")
	}
	w.pass(newSessionCompletion(w.deps()))
	w.wantState("", "s1", bos.SessionRunning)
	w.wantEnded("red", "s1")
}

func TestOPSessionCompletionIsolation(t *testing.T) {
	t.Run("OP-088 unknown tenant", func(t *testing.T) {
		w := newWorld(t)
		w.component(owner("x1", "s1", true))
		w.component(owner("x2", "s2", false))
		w.session(running("gone", "s1", "x1"))
		w.session(running("", "s2", "x2"))
		op := newSessionCompletion(w.deps())
		w.pass(op)
		w.wantEnded("gone", "s1")
		w.wantEnded("", "s2")
		w.settled(op)
	})
	t.Run("OP-088 tenants away", func(t *testing.T) {
		w, on := newWorld(t), true
		w.tenants.Set("red", "x9")
		w.tenants.OnCall = func(string) error { return away(&on) }
		w.component(owner("x1", "s1", true))
		w.component(owner("x2", "s2", false))
		w.session(running("red", "s1", "x1"))
		w.session(running("", "s2", "x2"))
		op := newSessionCompletion(w.deps())
		if err := w.run(op); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("err = %v, want the outage", err)
		}
		w.wantState("red", "s1", bos.SessionRunning)
		w.wantEnded("", "s2")
		calls := len(w.tenants.Calls())
		w.pass(op) // in its back-off
		if n := len(w.tenants.Calls()); n != calls {
			t.Error("the tenant was looked up during the back-off")
		}
		on = false
		w.sched.elapse()
		w.pass(op)
		w.wantEnded("red", "s1")
	})
	t.Run("OP-089 summary cannot be saved", func(t *testing.T) {
		w := newWorld(t)
		w.session(running("", "s1", "x1"))
		w.session(running("", "s2", "x2"))
		w.api.before = failOn("SaveSessionStatus", errAway)
		w.pass(newSessionCompletion(w.deps()))
		w.wantEnded("", "s1") // saved in the step that completed it
		w.wantEnded("", "s2")
	})
	t.Run("panic", func(t *testing.T) {
		w := newWorld(t)
		w.session(running("", "s1", "x1"))
		w.session(running("", "s2", "x2"))
		w.api.before = func(call string) error {
			if strings.HasPrefix(call, "PatchSession s1") {
				panic("ouch")
			}
			return nil
		}
		if err := w.run(newSessionCompletion(w.deps())); err == nil || !strings.Contains(err.Error(), "session s1: panic: ouch") {
			t.Errorf("err = %v, want the panic", err)
		}
		w.wantEnded("", "s2")
	})
	t.Run("session cannot be written", func(t *testing.T) {
		w := newWorld(t)
		w.session(running("", "s1", "x1"))
		w.session(running("", "s2", "x2"))
		w.api.before = failOn("PatchSession s1", errAway)
		op := newSessionCompletion(w.deps())
		if err := w.run(op); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("err = %v, want the outage", err)
		}
		w.wantState("", "s1", bos.SessionRunning)
		w.wantEnded("", "s2")
		w.api.before = nil
		w.sched.elapse()
		w.pass(op)
		w.wantEnded("", "s1")
	})
}

// TestSessionCompletionReadsLittle lets a session of many nodes run: a pass looks at one of them, and at all only when
// that one is done.
func TestSessionCompletionReadsLittle(t *testing.T) {
	w := newWorld(t)
	w.tenants.Set("red", "x1", "x2", "x3")
	for i := range 3 {
		w.component(owner(bos.ComponentID(fmt.Sprintf("x%d", i+1)), "s1", true))
	}
	w.session(running("red", "s1", "x1,x2,x3"))
	op := newSessionCompletion(w.deps())
	w.pass(op)
	looked := len(w.tenants.Calls())
	w.component(owner("x2", "s1", false))
	w.pass(op, "x2")
	if len(w.tenants.Calls()) != looked {
		t.Error("looked at more than the node it waits for")
	}
	w.component(owner("x1", "s1", false))
	w.pass(op, "x1")
	w.wantState("red", "s1", bos.SessionRunning)
	w.component(owner("x3", "s1", false))
	w.pass(op, "x3")
	w.wantEnded("red", "s1")
}

// TestSessionCompletionClocks completes a session that began after the pass, by the clock of another machine.
func TestSessionCompletionClocks(t *testing.T) {
	w := newWorld(t)
	s := running("", "s1", "x1")
	s.Status.StartTime = bos.Stamp(w.now.Add(2 * time.Second))
	w.session(s)
	w.pass(newSessionCompletion(w.deps()))
	if got := w.getSession("", "s1").Status.EndTime; got != bos.NullString(s.Status.StartTime) {
		t.Errorf("ended at %s, before its start", got)
	}
}

func TestSessionCompletionWakes(t *testing.T) {
	op := &sessionCompletion{}
	for _, row := range []struct {
		name   string
		change bos.Change
		want   bool
	}{
		{"session runs", bos.Change{Kind: bos.ChangeSession, Status: "running"}, true},
		{"session is pending", bos.Change{Kind: bos.ChangeSession, Status: "pending"}, false},
		{"session is deleted", bos.Change{Kind: bos.ChangeSession, Status: "running", Deleted: true}, false},
		{"disabled", bos.Change{Kind: bos.ChangeComponent, Fields: []string{"enabled", "status.phase"}}, true},
		{"enabled", bos.Change{Kind: bos.ChangeComponent, Enabled: true, Fields: []string{"enabled"}}, false},
		{"deleted", bos.Change{Kind: bos.ChangeComponent, Enabled: true, Deleted: true}, true},
		{"another session", bos.Change{Kind: bos.ChangeComponent, Enabled: true, Fields: []string{"session"}}, true},
		{"another stage", bos.Change{Kind: bos.ChangeComponent, Enabled: true, Fields: []string{"staged_state.session"}}, true},
		{"another phase", bos.Change{Kind: bos.ChangeComponent, Enabled: true, Fields: []string{"status.phase"}}, false},
		{"options", bos.Change{Kind: bos.ChangeOptions}, false},
	} {
		if got := op.Wakes(&row.change); got != row.want {
			t.Errorf("%s: Wakes = %v", row.name, got)
		}
	}
}

// TestSessionCompletionWaitsForOne holds that of the nodes of a running session only the one it was seen to wait for
// wakes the operator, and any while it is looked for: that one may have been seen before its change.
func TestSessionCompletionWaitsForOne(t *testing.T) {
	w := newWorld(t)
	w.session(running("", "s1", "x1,x2"))
	for _, id := range []bos.ComponentID{"x1", "x2"} {
		w.component(owner(id, "s1", true))
	}
	op := newSessionCompletion(w.deps()).(*sessionCompletion)
	disabled := func(id string) *bos.Change {
		return &bos.Change{Kind: bos.ChangeComponent, ID: id, Fields: []string{"enabled"}}
	}
	if !op.Wakes(disabled("x2")) {
		t.Error("before the first pass every node may be the one")
	}
	w.pass(op)
	if !op.Wakes(disabled("x1")) || op.Wakes(disabled("x2")) {
		t.Errorf("x1 wakes: %v, x2 wakes: %v", op.Wakes(disabled("x1")), op.Wakes(disabled("x2")))
	}
	asked := false
	w.api.before = func(call string) error {
		if asked = true; !op.Wakes(disabled("x2")) {
			t.Errorf("x2 does not wake while the operator is at %s", call)
		}
		return nil
	}
	w.pass(op, "x1")
	if !asked {
		t.Error("the pass asked nothing of BOS")
	}
}

// TestSessionCompletionLooksAgain keeps a session waiting for one node, which then is no reason any more although it has
// not changed.
func TestSessionCompletionLooksAgain(t *testing.T) {
	w := newWorld(t)
	w.tenants.Set("red", "x1")
	w.component(owner("x1", "s1", true))
	w.component(staged("x2", "s2"))
	w.session(running("red", "s1", "x1"))
	w.session(running("", "s2", "x2"))
	op := newSessionCompletion(w.deps())
	w.pass(op)
	w.tenants.Set("red", "x9")
	w.pass(op, "x5")
	w.wantState("", "s2", bos.SessionRunning)
	w.wantState("red", "s1", bos.SessionRunning) // a pass over what has changed asks no tenants
	w.pass(op)
	w.wantEnded("red", "s1")
	w.wantState("", "s2", bos.SessionRunning)
	before := len(w.api.calls)
	w.pass(op, "x5")
	if got := w.api.calls[before:]; !slices.Equal(got, []string{"ListSessions running", "ListComponents"}) {
		t.Errorf("calls %q, want a look at the staged node alone", got)
	}
}

// losableLease is a lease without a token that can be lost in the middle of a pass.
type losableLease struct{ lost atomic.Bool }

func (l *losableLease) Check() error {
	if l.lost.Load() {
		return bos.ErrConflict
	}
	return nil
}

func (l *losableLease) Token() int64 { return 0 }

// TestSessionsWithoutTheLease loses the lease while a session is set up, failed or completed: whoever has it now may
// have gone further already, and the session must not be thrown back.
func TestSessionsWithoutTheLease(t *testing.T) {
	for _, row := range []struct {
		name    string
		session bos.Session
		make    func(Deps) operator.Operator
		lostAt  string
	}{
		{"set up", bos.Session{Name: "s1"}, newSessionSetup, "PatchGuarded"},
		{"failed", bos.Session{Name: "s1", TemplateName: "gone"}, newSessionSetup, "GetTemplate"},
		{"completed", running("", "s1", ""), newSessionCompletion, "ListComponents"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.session(row.session)
			lease := new(losableLease)
			w.api.before = func(call string) error {
				if strings.HasPrefix(call, row.lostAt) {
					lease.lost.Store(true)
				}
				return nil
			}
			tick := w.tick()
			tick.Lease = lease
			if err := row.make(w.deps()).Run(t.Context(), tick); !errors.Is(err, bos.ErrConflict) {
				t.Errorf("err = %v, want ErrConflict", err)
			}
			for _, call := range w.api.writes() {
				if strings.HasPrefix(call, "PatchSession") {
					t.Errorf("wrote %q without the lease", call)
				}
			}
		})
	}
}
