package bostest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bootorch/bosgo/bos"
)

// running makes a session run with the components, as session-setup does.
func (m *methods) running(key bos.TenantKey, ids ...bos.ComponentID) {
	m.Helper()
	m.session(key.Tenant, key.Name)
	m.ok(m.setUp(key, ids))
	m.start(key, ids...)
}

func (m *methods) start(key bos.TenantKey, ids ...bos.ComponentID) {
	m.Helper()
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	_, err := m.PatchSession(bos.WithWriter(m.ctx, "session-setup"), key, bos.SessionPatch{
		Components: new(strings.Join(names, ",")), Status: &bos.SessionStatusPatch{Status: new(bos.SessionRunning)},
	})
	m.ok(err)
}

// setUp gives components to a session; the error says how many were refused.
func (m *methods) setUp(key bos.TenantKey, ids []bos.ComponentID) error {
	patches := make([]bos.GuardedPatch, len(ids))
	for i, id := range ids {
		patches[i] = bos.GuardedPatch{ID: id, Patch: bos.ComponentPatch{
			ID: id, Session: new(key.Name), Enabled: new(true), Error: new(""), DesiredState: &bos.DesiredState{BootArtifacts: artifacts(1).Fields()},
		}}
	}
	ctx := bos.WithSessionTenant(bos.WithWriter(m.ctx, "session-setup"), key.Tenant)
	r, err := m.PatchGuarded(ctx, bos.GuardedPatches{Patches: patches})
	if err == nil && len(r.Stale) > 0 {
		err = fmt.Errorf("%d stale", len(r.Stale))
	}
	return err
}

// canceled asserts that a session has ended with the error, and that its summary is saved.
func (m *methods) canceled(key bos.TenantKey, text string) bos.ExtendedStatus {
	m.Helper()
	s, err := m.GetSession(m.ctx, key)
	m.ok(err)
	if s.State() != bos.SessionComplete || string(s.Status.Error) != text || s.Status.EndTime == "" || !s.Canceled() {
		m.Errorf("session %+v, want it complete with the error %q", s.Status, text)
	}
	st, err := m.SessionStatus(m.ctx, key)
	m.ok(err)
	same(m, "state in the summary", st.Status, bos.SessionComplete)
	return st
}

// enabled asserts which of the components BOS works on.
func (m *methods) enabled(want ...bos.ComponentID) {
	m.Helper()
	m.lists("enabled components", bos.ComponentFilter{Enabled: new(true)}, want...)
}

func (m *methods) errorOf(id bos.ComponentID) string {
	m.Helper()
	c := m.component(id)
	return c.ErrorText()
}

func manyIDs(n int) []bos.ComponentID {
	ids := make([]bos.ComponentID, n)
	for i := range ids {
		ids[i] = bos.ComponentID(fmt.Sprintf("n%05d", i))
	}
	return ids
}

func (m *methods) putDisabled(ids ...bos.ComponentID) {
	m.Helper()
	cs := make([]bos.Component, len(ids))
	for i, id := range ids {
		cs[i] = bos.Component{ID: id, Enabled: new(false)}
	}
	m.put(cs...)
}

var cancelCases = []methodCase{
	{"cancel a running session", func(m *methods) {
		m.putDisabled("a", "b", "c", "d")
		m.running(system("s1"), "a", "b", "c", "d")
		m.running(system("s2"), "d")                                          // takes it over
		m.put(bos.Component{ID: "e", Session: new("s1"), Enabled: new(true)}) // by nobody knows whom, and not of its set-up
		arrived := bos.ComponentPatch{Enabled: new(false), Status: &bos.ComponentStatus{StatusOverride: new(bos.Status(""))}}
		_, err := m.PatchComponent(m.ctx, "", "b", arrived)
		m.ok(err)
		_, err = m.PatchComponent(m.ctx, "", "c", bos.ComponentPatch{
			Error: new("no report"), Status: &bos.ComponentStatus{Phase: new(bos.PhasePoweringOn), StatusOverride: new(bos.Status(""))},
		})
		m.ok(err)
		before := m.component("a")

		done, err := m.CancelSession(m.ctx, system("s1"), "wrong image")
		m.ok(err)
		same(m, "answer", done, bos.SessionCanceled{Name: "s1", Components: 2})
		st := m.canceled(system("s1"), "canceled: wrong image")
		same(m, "managed", st.ManagedComponentsCount, 4)
		same(m, "errors", st.ErrorSummary, map[string]bos.ErrorSummary{
			"canceled: wrong image": {Count: 1, List: "a"}, "canceled: wrong image (before: no report)": {Count: 1, List: "c"},
		})
		same(m, "phases of what nobody works on", st.Phases.PoweringOn, 0)
		m.enabled("d", "e")
		same(m, "error of what had arrived", m.errorOf("b"), "")
		a := m.component("a")
		same(m, "session", a.SessionName(), "s1")
		same(m, "status", a.ComputeStatus(), before.ComputeStatus())

		// An operator that had looked before does not get on.
		r, err := m.PatchGuarded(m.ctx, bos.GuardedPatches{Patches: []bos.GuardedPatch{{ID: "a", If: bos.GuardOf(&before), Patch: bos.ComponentPatch{Error: new("")}}}})
		m.ok(err)
		same(m, "stale", r.Stale, []bos.ComponentID{"a"})

		done, err = m.CancelSession(m.ctx, system("s1"), "another reason")
		m.ok(err)
		same(m, "answer when it is canceled already", done, bos.SessionCanceled{Name: "s1"})
		m.canceled(system("s1"), "canceled: wrong image")
	}},
	{"cancel without a reason", func(m *methods) {
		m.putDisabled("a")
		m.running(system("s1"), "a")
		_, err := m.CancelSession(m.ctx, system("s1"), "")
		m.ok(err)
		m.canceled(system("s1"), "canceled")
		same(m, "error", m.errorOf("a"), "canceled")
	}},
	{"cancellations that are refused", func(m *methods) {
		m.session("", "s1")
		_, err := m.CancelSession(m.ctx, system("nosuch"), "")
		m.fails(err, bos.ErrNotFound, "unknown session")
		same(m, "text", err.Error(), "Session 'nosuch' does not exist")
		_, err = m.CancelSession(m.ctx, owned("s1"), "")
		m.fails(err, bos.ErrNotFound, "somebody else's session")
		_, err = m.CancelSession(m.ctx, system("s1"), strings.Repeat("x", 1025))
		m.fails(err, bos.ErrInvalid, "long reason")
		m.complete(system("s1"))
		_, err = m.CancelSession(m.ctx, system("s1"), "")
		m.fails(err, bos.ErrConflict, "complete session")
		m.putDisabled("a")
		if err := m.setUp(system("s1"), []bos.ComponentID{"a"}); err == nil {
			m.Error("a complete session was given components")
		}
	}},
	{"cancel a pending session", func(m *methods) {
		m.putDisabled("a", "b")
		m.session("", "s1")
		m.ok(m.setUp(system("s1"), []bos.ComponentID{"a"})) // which is interrupted
		done, err := m.CancelSession(m.ctx, system("s1"), "")
		m.ok(err)
		same(m, "answer", done, bos.SessionCanceled{Name: "s1", Components: 1})
		if err := m.setUp(system("s1"), []bos.ComponentID{"a", "b"}); err == nil {
			m.Error("a canceled session was given components")
		}
		stage := bos.GuardedPatches{Patches: []bos.GuardedPatch{{ID: "b", Patch: bos.ComponentPatch{StagedState: &bos.StagedState{Session: new("s1")}}}}}
		r, err := m.PatchGuarded(bos.WithSessionTenant(m.ctx, ""), stage)
		m.ok(err)
		same(m, "stages that are too late", r.Stale, []bos.ComponentID{"b"})
		_, err = m.PatchSession(bos.WithWriter(m.ctx, "session-setup"), system("s1"), bos.SessionPatch{Status: &bos.SessionStatusPatch{Status: new(bos.SessionRunning)}})
		m.fails(err, bos.ErrConflict, "start")
		m.enabled()
		m.canceled(system("s1"), "canceled")

		// The name may be used again.
		m.ok(m.DeleteSession(m.ctx, system("s1")))
		m.running(system("s1"), "b")
		m.enabled("b")
	}},
	{"sessions end once", func(m *methods) {
		m.running(system("s1"))
		_, err := m.PatchSession(m.ctx, system("s1"), bos.SessionPatch{Status: &bos.SessionStatusPatch{Error: new(bos.NullString("canceled: no"))}})
		m.ok(err) // as a cancellation leaves it that broke off
		m.putDisabled("a")
		if err := m.setUp(system("s1"), []bos.ComponentID{"a"}); err == nil {
			m.Error("a session that is being canceled was given components")
		}
		end := func(stamp, text bos.NullString) {
			_, err := m.PatchSession(bos.WithWriter(m.ctx, "session-setup"), system("s1"), bos.SessionPatch{
				Status: &bos.SessionStatusPatch{Status: new(bos.SessionComplete), EndTime: new(stamp), Error: new(text)},
			})
			m.ok(err)
		}
		end("2026-03-01T12:00:00", "no nodes")
		m.canceled(system("s1"), "canceled: no")
		end("2026-03-01T12:00:09", "no nodes")
		s, err := m.GetSession(m.ctx, system("s1"))
		m.ok(err)
		same(m, "end", s.Status.EndTime, "2026-03-01T12:00:00")
	}},
	{"cancel a staged session", func(m *methods) {
		m.putDisabled("a", "b", "c")
		m.template(system("ok"))
		for _, name := range []string{"s1", "s2"} {
			_, err := m.CreateSession(m.ctx, "", bos.SessionCreate{Name: name, Operation: bos.OperationBoot, TemplateName: "ok", Stage: true})
			m.ok(err)
		}
		m.start(system("s1"), "a", "b")
		m.start(system("s2"), "c")
		for id, name := range map[bos.ComponentID]string{"a": "s1", "b": "s1", "c": "s2"} {
			_, err := m.PatchComponent(m.ctx, "", id, bos.ComponentPatch{StagedState: &bos.StagedState{BootArtifacts: artifacts(1).Fields(), Session: new(name)}})
			m.ok(err)
		}
		_, err := m.UpdateOptions(m.ctx, bos.OptionsPatch{ClearStage: new(true)})
		m.ok(err)
		_, err = m.ApplyStaged(m.ctx, "", []bos.ComponentID{"a"})
		m.ok(err)
		done, err := m.CancelSession(m.ctx, system("s1"), "finished")
		m.ok(err)
		same(m, "answer", done, bos.SessionCanceled{Name: "s1", Unstaged: 1})
		m.canceled(system("s1"), "canceled: finished")
		m.enabled("a") // what was applied goes on
		for id, name := range map[bos.ComponentID]string{"a": "", "b": "", "c": "s2"} {
			c := m.component(id)
			same(m, "stage of "+string(id), c.StagedSession(), name)
		}
		left := m.component("b")
		same(m, "staged kernel", bos.Value(left.StagedState.BootArtifacts.Kernel), "")
		applied, err := m.ApplyStaged(m.ctx, "", []bos.ComponentID{"b"})
		m.ok(err)
		same(m, "ignored", applied.Ignored, []bos.ComponentID{"b"})
	}},
	{"cancel one of two sessions of a name", func(m *methods) {
		const theirs = "x1000c0s0b0n0" // the tenant's
		m.putDisabled(theirs, "x2")
		m.running(system("s1"), "x2")
		m.running(owned("s1"), theirs)
		done, err := m.CancelSession(m.ctx, owned("s1"), "")
		m.ok(err)
		same(m, "answer", done, bos.SessionCanceled{Name: "s1", Tenant: "ten1", Components: 1})
		m.enabled("x2")
		m.ok(m.DeleteSession(m.ctx, owned("s1")))
		m.running(owned("s1"), theirs)
		_, err = m.CancelSession(m.ctx, system("s1"), "")
		m.ok(err)
		m.enabled(theirs)
	}},
	{"cancel one of two staged sessions of a name", func(m *methods) {
		const theirs = "x1000c0s0b0n0" // the tenant's
		m.putDisabled(theirs, "x2")
		for key, id := range map[bos.TenantKey]bos.ComponentID{system("s1"): "x2", owned("s1"): theirs} {
			m.template(bos.TenantKey{Tenant: key.Tenant, Name: "ok"})
			_, err := m.CreateSession(m.ctx, key.Tenant, bos.SessionCreate{Name: "s1", Operation: bos.OperationBoot, TemplateName: "ok", Stage: true})
			m.ok(err)
			_, err = m.PatchGuarded(bos.WithSessionTenant(m.ctx, key.Tenant), bos.GuardedPatches{Patches: []bos.GuardedPatch{
				{ID: id, Patch: bos.ComponentPatch{StagedState: &bos.StagedState{BootArtifacts: artifacts(1).Fields(), Session: new("s1")}}},
			}})
			m.ok(err)
		}
		done, err := m.CancelSession(m.ctx, system("s1"), "")
		m.ok(err)
		same(m, "answer", done, bos.SessionCanceled{Name: "s1", Unstaged: 1})
		m.lists("stages that are left", bos.ComponentFilter{StagedSession: "s1"}, theirs)
	}},
	{"cancel what has a long error", func(m *methods) {
		m.putDisabled("a")
		m.running(system("s1"), "a")
		_, err := m.PatchComponent(m.ctx, "", "a", bos.ComponentPatch{Error: new(strings.Repeat("ü", 32760))})
		m.ok(err)
		_, err = m.CancelSession(m.ctx, system("s1"), "why")
		m.ok(err)
		text := m.errorOf("a")
		if !strings.HasPrefix(text, "canceled: why (before: üü") || len(text) > 65536 || strings.TrimLeft(text[len("canceled: why (before: "):], "ü") != "" {
			m.Errorf("an error of %d bytes, %q…", len(text), text[:40])
		}
	}},
	{"cancel a large session while its nodes report", func(m *methods) {
		ids := manyIDs(1200)
		for chunk := range slices.Chunk(ids, 500) {
			m.putDisabled(chunk...)
		}
		m.running(system("s1"), ids...)
		var wg sync.WaitGroup
		for _, id := range ids[:20] {
			wg.Go(func() {
				for i := range 5 {
					if _, err := m.PatchComponent(m.ctx, "", id, bos.ComponentPatch{RetryPolicy: new(i)}); err != nil {
						m.Error(err)
					}
				}
			})
		}
		done, err := m.CancelSession(m.ctx, system("s1"), "")
		wg.Wait()
		m.ok(err)
		same(m, "components", done.Components, len(ids))
		m.enabled()
	}},
	{"cancel a session while it is set up", func(m *methods) {
		ids := manyIDs(600)
		m.putDisabled(ids...)
		m.session("", "s1")
		var wg sync.WaitGroup
		for chunk := range slices.Chunk(ids, 50) {
			wg.Go(func() {
				_ = m.setUp(system("s1"), chunk) // all of it or less
			})
		}
		_, err := m.CancelSession(m.ctx, system("s1"), "")
		wg.Wait()
		m.ok(err)
		m.enabled()
		m.canceled(system("s1"), "canceled")
	}},
	{"paused", func(m *methods) {
		m.session("", "s1")
		s, err := m.UpdateSettings(m.ctx, bos.SettingsPatch{Paused: new(true)})
		m.ok(err)
		if !s.Paused || s.ResumedAt != "" {
			m.Errorf("settings %+v", s)
		}
		_, err = m.CreateSession(m.ctx, "", bos.SessionCreate{Name: "s2", Operation: bos.OperationBoot, TemplateName: "ok"})
		m.fails(err, bos.ErrConflict, "session during a pause")
		if !strings.Contains(err.Error(), "bos settings update paused=false") {
			m.Errorf("%q does not tell the remedy", err)
		}
		_, err = m.CancelSession(m.ctx, system("s1"), "")
		m.ok(err)
		s, err = m.UpdateSettings(m.ctx, bos.SettingsPatch{Paused: new(false), MaxSessionTime: new(7200)})
		m.ok(err)
		if _, ok := s.ResumedAt.Time(); s.Paused || !ok || s.MaxSessionTime != 7200 {
			m.Errorf("settings %+v", s)
		}
		m.session("", "s2")
	}},
}
