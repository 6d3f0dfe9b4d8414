package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

func containsText(err error, text string) bool { return strings.Contains(err.Error(), text) }

// take returns the next n changes of a subscription.
func take(t *testing.T, sub *store.Subscription, n int) []bos.Change {
	t.Helper()
	var all []bos.Change
	for len(all) < n {
		changes, err := sub.Next(t.Context())
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		all = append(all, changes...)
	}
	return all
}

var ignoreCursor = cmpopts.IgnoreFields(bos.Change{}, "Cursor")

func testChanges(t *testing.T, st store.Store) {
	ctx := bos.WithWriter(t.Context(), "status")
	id := xname(1)
	key := bos.TenantKey{Tenant: "ten1", Name: "s1"}
	marker := func(n int) bos.TenantKey { return bos.TenantKey{Name: fmt.Sprint("marker-", n)} }
	update := func(fn func(c *bos.Component)) func() error {
		return func() error {
			_, err := st.Components().Update(ctx, id, func(c *bos.Component) error { fn(c); return nil })
			return err
		}
	}
	component := bos.Change{Kind: bos.ChangeComponent, ID: string(id), Writer: "status", Status: bos.StatusStable}
	with := func(c bos.Change, fn func(*bos.Change)) *bos.Change { fn(&c); return &c }
	sub := st.Subscribe(bos.Cursor{})
	defer sub.Close()
	for n, row := range []struct {
		name  string
		write func() error
		want  *bos.Change // nil = none
	}{
		{
			"create",
			func() error {
				return st.Components().Create(ctx, id, bos.Component{ID: id, Enabled: new(false), Session: new("s1"), ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken("t1"))}})
			},
			with(component, func(c *bos.Change) {
				c.Fields, c.Session = []string{"id", "enabled", "session", "actual_state.bss_token"}, "s1"
			}),
		},
		{
			"no change at all",
			update(func(c *bos.Component) { c.Enabled = new(false) }),
			nil,
		},
		{
			"put the same again",
			func() error {
				c, err := st.Components().Get(ctx, id)
				return errors.Join(err, st.Components().Put(ctx, id, c))
			},
			nil,
		},
		{
			"a stamp alone",
			update(func(c *bos.Component) { c.ActualState.LastUpdated = new(bos.Timestamp("2026-01-31T10:00:00")) }),
			with(component, func(c *bos.Change) { c.Heartbeat, c.Session = true, "s1" }),
		},
		{
			"a token reported again",
			update(func(c *bos.Component) {
				c.ActualState.BSSToken = new(bos.BSSToken("t1"))
				c.ActualState.LastUpdated = new(bos.Timestamp("2026-01-31T10:00:01"))
				c.ActualState.BootArtifacts = &bos.ArtifactFields{Kernel: new(""), Timestamp: new(bos.Timestamp("2026-01-31T09:00:00"))}
			}),
			with(component, func(c *bos.Change) { c.Heartbeat, c.Session = true, "s1" }),
		},
		{
			"an empty error where there was none",
			update(func(c *bos.Component) { c.Error = new("") }),
			with(component, func(c *bos.Change) { c.Heartbeat, c.Session = true, "s1" }),
		},
		{
			"states",
			update(func(c *bos.Component) {
				c.Enabled = new(true)
				c.DesiredState = &bos.DesiredState{BootArtifacts: bos.BootArtifacts{Kernel: "k"}.Fields(), Configuration: new("cfg"), LastUpdated: new(bos.Timestamp("x"))}
				c.StagedState = &bos.StagedState{Session: new("s2")}
				c.Status = &bos.ComponentStatus{Phase: new(bos.PhasePoweringOn)}
			}),
			with(component, func(c *bos.Change) {
				c.Fields = []string{"enabled", "desired_state.boot_artifacts", "desired_state.configuration", "staged_state.session", "status.phase"}
				c.Enabled, c.Status, c.Phase, c.Session, c.StagedSession = true, bos.StatusPowerOnPending, bos.PhasePoweringOn, "s1", "s2"
			}),
		},
		{
			"the same action again",
			update(func(c *bos.Component) {
				c.LastAction = &bos.LastAction{LastUpdated: new(bos.Timestamp("2026-01-31T10:00:00"))}
			}),
			with(component, func(c *bos.Change) {
				c.Fields = []string{"last_action.last_updated"}
				c.Enabled, c.Status, c.Phase, c.Session, c.StagedSession = true, bos.StatusPowerOnPending, bos.PhasePoweringOn, "s1", "s2"
			}),
		},
		{
			"delete",
			func() error { return st.Components().Delete(ctx, id) },
			with(component, func(c *bos.Change) {
				c.Deleted, c.Enabled, c.Status, c.Phase, c.Session, c.StagedSession = true, true, bos.StatusPowerOnPending, bos.PhasePoweringOn, "s1", "s2"
			}),
		},
		{
			"session",
			func() error {
				return st.Sessions().Create(ctx, key, bos.Session{Name: "s1", Tenant: "ten1", Status: &bos.SessionStatus{Status: bos.SessionPending}})
			},
			&bos.Change{
				Kind: bos.ChangeSession, ID: "s1", Tenant: "ten1", Writer: "status", Status: "pending",
				Fields: []string{"id", "components", "include_disabled", "limit", "name", "operation", "stage", "status", "template_name", "tenant"},
			},
		},
		{
			"session runs",
			func() error {
				_, err := st.Sessions().Update(ctx, key, func(s *bos.Session) error {
					s.Components, s.Status.Status = "x1", bos.SessionRunning
					return nil
				})
				return err
			},
			&bos.Change{Kind: bos.ChangeSession, ID: "s1", Tenant: "ten1", Writer: "status", Status: "running", Fields: []string{"components", "status.status"}},
		},
		{
			"session is deleted",
			func() error { return st.Sessions().Delete(ctx, key) },
			&bos.Change{Kind: bos.ChangeSession, ID: "s1", Tenant: "ten1", Writer: "status", Status: "running", Deleted: true},
		},
		{
			"options",
			func() error {
				_, err := st.Options().Update(ctx, func(o *bos.Options) error { o.ClearStage = true; return nil })
				return err
			},
			&bos.Change{Kind: bos.ChangeOptions, Writer: "status", Fields: []string{
				"id", "bss_read_timeout", "cfs_read_timeout", "cleanup_completed_session_ttl", "clear_stage", "component_actual_state_ttl", "default_retry_policy",
				"discovery_frequency", "hsm_read_timeout", "ims_errors_fatal", "ims_images_must_exist", "ims_read_timeout", "logging_level", "max_boot_wait_time",
				"max_component_batch_size", "max_power_off_wait_time", "max_power_on_wait_time", "pcs_read_timeout", "polling_frequency", "reject_nids", "session_limit_required",
			}},
		},
		{
			"one option",
			func() error {
				_, err := st.Options().Update(ctx, func(o *bos.Options) error { o.RejectNIDs = true; return nil })
				return err
			},
			&bos.Change{Kind: bos.ChangeOptions, Writer: "status", Fields: []string{"reject_nids"}},
		},
		{
			"saved statuses and tokens",
			func() error {
				return errors.Join(st.SavedStatuses().Put(ctx, key, statusFixture.value(1)), st.BootArtifacts().Put(ctx, "token", artifactsFixture.value(1)))
			},
			nil,
		},
		{
			"a power transition",
			func() error {
				return st.PowerTransitions().Put(ctx, "t1", bos.PowerTransition{ID: "t1", Operation: "On", Components: []bos.ComponentID{id}})
			},
			&bos.Change{
				Kind: bos.ChangePower, ID: "t1", Writer: "status",
				Fields: []string{"id", "accepted", "components", "id", "operation", "operator", "service_id"},
			},
		},
		{
			"a power transition is over",
			func() error { return st.PowerTransitions().Delete(ctx, "t1") },
			&bos.Change{Kind: bos.ChangePower, ID: "t1", Writer: "status", Deleted: true},
		},
		{
			"a transaction",
			func() error {
				return st.Transact(ctx, func(tx store.Tx) error {
					return errors.Join(tx.Owners().Put(id, store.Owner{Session: "s1"}), tx.Components().Put(id, bos.Component{ID: id}), tx.Components().Put(id, bos.Component{ID: id, Session: new("s3")}))
				})
			},
			with(component, func(c *bos.Change) { c.Fields, c.Session = []string{"id", "session"}, "s3" }),
		},
		{
			"a transaction that fails",
			func() error {
				_ = st.Transact(ctx, func(tx store.Tx) error {
					_ = tx.Components().Delete(id)
					return errors.New("no")
				})
				return nil
			},
			nil,
		},
	} {
		if err := row.write(); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		// The marker shows that nothing came where nothing was to come.
		if err := st.Templates().Put(t.Context(), marker(n), bos.SessionTemplate{}); err != nil {
			t.Fatal(err)
		}
		var got *bos.Change
		for done := false; !done; {
			for _, c := range take(t, sub, 1) {
				if c.Kind == bos.ChangeTemplate && c.ID == marker(n).Name {
					done = true
				} else {
					got = new(c)
				}
			}
		}
		if diff := cmp.Diff(row.want, got, ignoreCursor); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}

func testChangesInOrder(t *testing.T, st store.Store) {
	ctx := t.Context()
	ids := make([]bos.ComponentID, 20)
	for i := range ids {
		ids[i] = xname(i)
	}
	sub := st.Subscribe(bos.Cursor{})
	defer sub.Close()
	const writers = 6
	inParallel(writers, func(i int) {
		if _, err := st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
			c.ID = id
			c.RetryPolicy = new(bos.Value(c.RetryPolicy) + 1)
			return store.Write, nil
		}); err != nil {
			t.Error(err)
		}
	})
	// Each write is one change, and the revisions have no gaps.
	perID := map[string]int{}
	var last bos.Cursor
	for _, c := range take(t, sub, writers*len(ids)) {
		if !last.IsZero() && (c.Cursor.Epoch != last.Epoch || c.Cursor.Revision != last.Revision+1) {
			t.Fatalf("%v follows %v", c.Cursor, last)
		}
		last = c.Cursor
		if first := c.Fields[0] == "id"; first != (perID[c.ID] == 0) {
			t.Errorf("change %d of %s touches %v", perID[c.ID]+1, c.ID, c.Fields)
		}
		perID[c.ID]++
	}
	for _, id := range ids {
		if perID[string(id)] != writers {
			t.Errorf("%s has %d changes, want %d", id, perID[string(id)], writers)
		}
	}
	if st.Cursor() != last {
		t.Errorf("Cursor = %v after the change %v", st.Cursor(), last)
	}
}

func testCursors(t *testing.T, st store.Store) {
	ctx := t.Context()
	put := func(n int) {
		t.Helper()
		if err := st.Templates().Put(ctx, bos.TenantKey{Name: fmt.Sprint("t", n)}, bos.SessionTemplate{}); err != nil {
			t.Fatal(err)
		}
	}
	names := func(changes []bos.Change) (all []string) {
		for _, c := range changes {
			name := c.ID
			if c.Kind == bos.ChangeResync {
				name = "resync"
			}
			all = append(all, name)
		}
		return all
	}
	next := func(since bos.Cursor, n int) []string {
		t.Helper()
		sub := st.Subscribe(since)
		defer sub.Close()
		return names(take(t, sub, n))
	}
	put(0)
	live := st.Subscribe(bos.Cursor{})
	defer live.Close()
	begin := st.Cursor()
	var cursors []bos.Cursor
	for n := 1; n <= 4; n++ {
		put(n)
		for _, c := range take(t, live, 1) {
			cursors = append(cursors, c.Cursor)
		}
	}
	for _, row := range []struct {
		name  string
		since bos.Cursor
		want  []string
	}{
		{"from before the writes", begin, []string{"t1", "t2", "t3", "t4"}},
		{"from the second", cursors[1], []string{"t3", "t4"}},
		{"of another epoch", bos.Cursor{Epoch: "other", Revision: cursors[1].Revision}, []string{"resync"}},
		{"from the future", bos.Cursor{Epoch: begin.Epoch, Revision: cursors[3].Revision + 1000}, []string{"resync"}},
	} {
		if diff := cmp.Diff(row.want, next(row.since, len(row.want))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}

	// The present: nothing old comes, the next write does.
	sub := st.Subscribe(bos.Cursor{})
	put(5)
	if diff := cmp.Diff([]string{"t5"}, names(take(t, sub, 1))); diff != "" {
		t.Errorf("subscribed to the present (-want +got):\n%s", diff)
	}
	// A resync is followed by what comes after it.
	resynced := st.Subscribe(bos.Cursor{Epoch: "other", Revision: 1})
	first := take(t, resynced, 1)
	put(6)
	if diff := cmp.Diff([]string{"resync", "t6"}, names(append(first, take(t, resynced, 1)...))); diff != "" {
		t.Errorf("after a resync (-want +got):\n%s", diff)
	}
	resynced.Close()

	// Waiting ends with the context, with the subscription and with the store.
	ended, cancel := context.WithCancel(ctx)
	take(t, sub, 1)
	cancel()
	if _, err := sub.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with an ended context = %v", err)
	}
	sub.Close()
	sub.Close()
	if _, err := sub.Next(ctx); !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("Next of a closed subscription = %v, want bos.ErrUnavailable", err)
	}

	// The iterator starts at the moment of the call and ends with its context.
	following, stop := context.WithCancel(ctx)
	changes := st.Changes(following, bos.Cursor{})
	put(7)
	put(8)
	var got []string
	for c, err := range changes {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, c.ID); len(got) == 2 {
			stop()
		}
	}
	if diff := cmp.Diff([]string{"t7", "t8"}, got); diff != "" {
		t.Errorf("Changes (-want +got):\n%s", diff)
	}
	stop()
}

func testSlowSubscriber(t *testing.T, st store.Store) {
	ctx := t.Context()
	ids := make([]bos.ComponentID, 500)
	for i := range ids {
		ids[i] = xname(i)
	}
	slow, before := st.Subscribe(bos.Cursor{}), st.Cursor()
	defer slow.Close()
	write := func(n int) {
		if _, err := st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
			c.RetryPolicy = new(n)
			return store.Write, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	const rounds = store.FeedSize/500 + 2
	for n := range rounds {
		write(n)
	}
	// A store that hears of its own writes from elsewhere may still have to hear of the last ones.
	caughtUp := st.Subscribe(st.Cursor())
	write(rounds)
	take(t, caughtUp, len(ids))
	caughtUp.Close()

	changes := take(t, slow, 1)
	if len(changes) != 1 || changes[0].Kind != bos.ChangeResync || changes[0].Cursor != st.Cursor() {
		t.Fatalf("a subscriber far behind got %d changes, the first %+v, want one resync at %v", len(changes), changes[0], st.Cursor())
	}
	late := st.Subscribe(before)
	defer late.Close()
	if changes := take(t, late, 1); len(changes) != 1 || changes[0].Kind != bos.ChangeResync {
		t.Errorf("a forgotten cursor got %d changes, the first %+v, want one resync", len(changes), changes[0])
	}
	write(rounds + 1)
	for _, sub := range []*store.Subscription{slow, late} {
		if changes := take(t, sub, len(ids)); len(changes) != len(ids) || changes[0].ID != string(ids[0]) {
			t.Errorf("after the resync came %d changes, the first %+v", len(changes), changes[0])
		}
	}
}

func testClose(t *testing.T, st store.Store) {
	ctx := t.Context()
	if err := st.Ping(ctx); err != nil {
		t.Errorf("Ping: %v", err)
	}
	sub := st.Subscribe(bos.Cursor{})
	if err := st.Templates().Put(ctx, bos.TenantKey{Name: "t"}, bos.SessionTemplate{}); err != nil {
		t.Fatal(err)
	}
	take(t, sub, 1)
	waiting := make(chan error, 1)
	go func() {
		_, err := sub.Next(ctx)
		waiting <- err
	}()
	if err := st.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-waiting; !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("Next when the store is closed = %v, want bos.ErrUnavailable", err)
	}
	_, getErr := st.Components().Get(ctx, "x1")
	for what, err := range map[string]error{
		"Ping":   st.Ping(ctx),
		"Get":    getErr,
		"Create": st.Components().Create(ctx, "x1", bos.Component{}),
	} {
		if !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("%s after Close = %v, want bos.ErrUnavailable", what, err)
		}
	}
	if err := st.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func testReopen(t *testing.T, st store.Store, reopen func(*testing.T, store.Store) store.Store) {
	ctx := t.Context()
	key := bos.TenantKey{Name: "s1"}
	err := errors.Join(
		st.Components().Create(ctx, xname(1), componentFixture.value(1)),
		st.Components().Create(ctx, xname(2), componentFixture.value(2)),
		st.Components().Delete(ctx, xname(2)),
		st.Transact(ctx, func(tx store.Tx) error {
			return errors.Join(tx.Sessions().Put(key, sessionFixture.value(0)), tx.Incarnations().Put(key, "i1"))
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	before := st.Cursor()
	st = reopen(t, st)
	t.Cleanup(func() { _ = st.Close() })
	if all := collect(t, store.QueryComponents(ctx, st, bos.ComponentFilter{})); cmp.Diff([]bos.Component{componentFixture.value(1)}, all) != "" {
		t.Errorf("components after reopening:\n%s", cmp.Diff([]bos.Component{componentFixture.value(1)}, all))
	}
	if got, err := st.Sessions().Get(ctx, key); err != nil || cmp.Diff(sessionFixture.value(0), got) != "" {
		t.Errorf("session after reopening = %v, %v", got, err)
	}
	// An old cursor is either still good or leads to a resync, but never passes silently over a change.
	if err := st.Components().Delete(ctx, xname(1)); err != nil {
		t.Fatal(err)
	}
	sub := st.Subscribe(before)
	defer sub.Close()
	if c := take(t, sub, 1)[0]; c.Kind != bos.ChangeResync && !c.Deleted {
		t.Errorf("the first change after the old cursor is %+v", c)
	}
}

func testSecond(t *testing.T, st, other store.Store) {
	t.Cleanup(func() { _ = other.Close() })
	ctx := t.Context()
	subs := []*store.Subscription{st.Subscribe(bos.Cursor{}), other.Subscribe(bos.Cursor{})}
	stores := []store.Store{st, other}
	const rounds = 20
	ids := []bos.ComponentID{xname(1), xname(2), xname(3)}
	inParallel(2, func(i int) {
		for range rounds {
			if _, err := stores[i].Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
				c.ID = id
				c.RetryPolicy = new(bos.Value(c.RetryPolicy) + 1)
				return store.Write, nil
			}); err != nil {
				t.Error(err)
			}
		}
	})
	both := [][]bos.Change{take(t, subs[0], 2*rounds*len(ids)), take(t, subs[1], 2*rounds*len(ids))}
	if diff := cmp.Diff(both[0], both[1]); diff != "" {
		t.Errorf("two processes see different feeds:\n%s", diff)
	}
	for _, st := range stores {
		for _, c := range collect(t, store.QueryComponents(ctx, st, bos.ComponentFilter{})) {
			if bos.Value(c.RetryPolicy) != 2*rounds {
				t.Errorf("%s was counted %d times, want %d", c.ID, bos.Value(c.RetryPolicy), 2*rounds)
			}
		}
	}
	// Whoever has heard of a change sees it in what is read next.
	for n := range 50 {
		if _, err := st.Components().Update(ctx, ids[0], func(c *bos.Component) error { c.Session = new(fmt.Sprint("round-", n)); return nil }); err != nil {
			t.Fatal(err)
		}
		take(t, subs[1], 1)
		got := collect(t, store.QueryComponents(ctx, other, bos.ComponentFilter{Session: fmt.Sprint("round-", n)}))
		if len(got) != 1 {
			t.Fatalf("round %d: the other process heard of the change but finds %d components", n, len(got))
		}
	}
	if _, err := store.AcquireLease(ctx, st, "status", "a", 1<<40, fixedNow); err != nil {
		t.Fatal(err)
	}
	if _, err := store.AcquireLease(ctx, other, "status", "b", 1<<40, fixedNow); !errors.Is(err, bos.ErrConflict) {
		t.Errorf("two processes hold one lease: %v", err)
	}
}
