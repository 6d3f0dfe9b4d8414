package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

func testTransact(t *testing.T, st store.Store) {
	ctx := t.Context()
	key := bos.TenantKey{Tenant: "ten1", Name: "s1"}
	c1, c2 := xname(1), xname(2)

	err := st.Transact(ctx, func(tx store.Tx) error {
		if _, err := tx.Sessions().Get(key); !errors.Is(err, bos.ErrNotFound) {
			t.Errorf("Get of a missing session = %v, want bos.ErrNotFound", err)
		}
		for _, err := range []error{
			tx.Sessions().Put(key, bos.Session{Name: "s1", Tenant: "ten1"}),
			tx.SavedStatuses().Put(key, statusFixture.value(3)),
			tx.Templates().Put(key, templateFixture.value(1)),
			tx.BootArtifacts().Put("token", artifactsFixture.value(1)),
			tx.Components().Put(c1, componentFixture.value(1)),
			tx.Components().Put(c2, componentFixture.value(2)),
			tx.Components().Delete(c2),
			tx.Owners().Put(c1, store.Owner{Tenant: "ten1", Session: "s1", Incarnation: "i1"}),
			tx.StageOwners().Put(c1, store.Owner{Tenant: "ten1", Session: "s2", Incarnation: "i2"}),
			tx.Incarnations().Put(key, "i1"),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		if got, err := tx.Components().Get(c1); err != nil || got.ID != c1 {
			t.Errorf("a transaction does not see its own write: %v, %v", got, err)
		}
		if _, err := tx.Components().Get(c2); !errors.Is(err, bos.ErrNotFound) {
			t.Errorf("a transaction does not see its own delete: %v", err)
		}
		if _, err := st.Sessions().Get(ctx, key); !errors.Is(err, bos.ErrNotFound) {
			t.Errorf("a write is visible before its commit: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err1 := st.Sessions().Get(ctx, key)
	status, err2 := st.SavedStatuses().Get(ctx, key)
	template, err3 := st.Templates().Get(ctx, key)
	artifacts, err4 := st.BootArtifacts().Get(ctx, "token")
	component, err5 := st.Components().Get(ctx, c1)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"s1", statusFixture.value(3), templateFixture.value(1), artifactsFixture.value(1), componentFixture.value(1)},
		[]any{session.Name, status, template, artifacts, component}); diff != "" {
		t.Errorf("committed records (-want +got):\n%s", diff)
	}

	boom := errors.New("boom")
	err = st.Transact(ctx, func(tx store.Tx) error {
		if stage, err := tx.StageOwners().Get(c1); err != nil || stage.Session != "s2" {
			t.Errorf("owner of the stage %+v, %v", stage, err)
		}
		owner, err := tx.Owners().Get(c1)
		if want := (store.Owner{Tenant: "ten1", Session: "s1", Incarnation: "i1"}); err != nil || owner != want {
			t.Errorf("owner = %v, %v", owner, err)
		}
		if in, err := tx.Incarnations().Get(key); err != nil || in != "i1" {
			t.Errorf("incarnation = %q, %v", in, err)
		}
		many, err := tx.Components().GetMany([]bos.ComponentID{c1, c2, "", c1})
		if diff := cmp.Diff(map[bos.ComponentID]bos.Component{c1: componentFixture.value(1)}, many); err != nil || diff != "" {
			t.Errorf("GetMany = %v (-want +got):\n%s", err, diff)
		}
		if err := tx.Sessions().Delete(key); err != nil {
			t.Error(err)
		}
		if err := tx.Sessions().Delete(key); err != nil {
			t.Errorf("Delete of what is gone: %v", err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("Transact = %v, want the error of fn", err)
	}
	if _, err := st.Sessions().Get(ctx, key); err != nil {
		t.Errorf("a failed transaction deleted the session: %v", err)
	}
	if err := st.Transact(ctx, func(tx store.Tx) error { return tx.Components().Put("", bos.Component{}) }); !errors.Is(err, bos.ErrInvalid) {
		t.Errorf("Put with an empty key = %v, want bos.ErrInvalid", err)
	}

	// Somebody else writes what the transaction has read.
	attempts := 0
	err = st.Transact(ctx, func(tx store.Tx) error {
		attempts++
		c, err := tx.Components().Get(c1)
		if err != nil {
			return err
		}
		if attempts == 1 {
			if err := st.Components().Put(ctx, c1, componentFixture.value(3)); err != nil {
				t.Error(err)
			}
		}
		return tx.Owners().Put(c1, store.Owner{Session: c.ErrorText()})
	})
	if err != nil || attempts != 2 {
		t.Fatalf("Transact = %v after %d attempts, want 2", err, attempts)
	}
	_ = st.Transact(ctx, func(tx store.Tx) error {
		if owner, err := tx.Owners().Get(c1); err != nil || owner.Session != "reason 3" {
			t.Errorf("the second attempt read %q, %v", owner.Session, err)
		}
		return nil
	})

	// The same for a record that was missing, and for a decision on no more than reading.
	attempts = 0
	err = st.Transact(ctx, func(tx store.Tx) error {
		attempts++
		_, err := tx.Components().Get(xname(9))
		if attempts == 1 {
			if err := st.Components().Create(ctx, xname(9), componentFixture.value(9)); err != nil {
				t.Error(err)
			}
		}
		if _, err := tx.Components().Get(c1); err != nil {
			t.Error(err)
		}
		return err
	})
	if err != nil || attempts != 2 {
		t.Errorf("Transact = %v after %d attempts, want success at the second", err, attempts)
	}
}

// testTransactIsolation moves one unit between two components while others check that the sum stays.
func testTransactIsolation(t *testing.T, st store.Store) {
	ctx := t.Context()
	a, b := xname(1), xname(2)
	balance := func(n int) bos.Component {
		return bos.Component{EventStats: &bos.EventStats{PowerOnAttempts: new(n)}}
	}
	of := func(c bos.Component) int { n, _, _ := c.Attempts(); return n }
	if err := errors.Join(st.Components().Put(ctx, a, balance(100)), st.Components().Put(ctx, b, balance(0))); err != nil {
		t.Fatal(err)
	}
	both := func(tx store.Tx) (x, y int, err error) {
		ca, errA := tx.Components().Get(a)
		cb, errB := tx.Components().Get(b)
		return of(ca), of(cb), errors.Join(errA, errB)
	}
	inParallel(8, func(i int) {
		for range 5 {
			err := st.Transact(ctx, func(tx store.Tx) error {
				x, y, err := both(tx)
				if err != nil || i%2 == 0 {
					return err
				}
				return errors.Join(tx.Components().Put(a, balance(x-1)), tx.Components().Put(b, balance(y+1)))
			})
			if err != nil {
				t.Error(err)
			}
			var x, y int
			if err := st.Transact(ctx, func(tx store.Tx) (err error) { x, y, err = both(tx); return err }); err != nil || x+y != 100 {
				t.Errorf("a transaction saw %d and %d, %v", x, y, err)
			}
		}
	})
	if err := st.Transact(ctx, func(tx store.Tx) error {
		if x, y, err := both(tx); err != nil || x != 80 || y != 20 {
			t.Errorf("in the end there are %d and %d, %v, want 80 and 20", x, y, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// testTransactRaces lets transactions, plain updates and bulk updates count in one record.
func testTransactRaces(t *testing.T, st store.Store) {
	ctx := t.Context()
	id := xname(1)
	if err := st.Components().Create(ctx, id, bos.Component{ID: id, EventStats: bos.ZeroEventStats()}); err != nil {
		t.Fatal(err)
	}
	inParallel(12, func(i int) {
		for range 5 {
			var err error
			switch i % 3 {
			case 0:
				_, err = st.Components().Update(ctx, id, func(c *bos.Component) error { *c.EventStats.PowerOnAttempts++; return nil })
			case 1:
				_, err = st.Components().UpdateMany(ctx, []bos.ComponentID{id}, func(_ bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
					*c.EventStats.PowerOnAttempts++
					return store.Write, nil
				})
			case 2:
				err = st.Transact(ctx, func(tx store.Tx) error {
					c, err := tx.Components().Get(id)
					if err != nil {
						return err
					}
					*c.EventStats.PowerOnAttempts++
					return tx.Components().Put(id, c)
				})
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	c, err := st.Components().Get(ctx, id)
	if on, _, _ := c.Attempts(); err != nil || on != 60 {
		t.Errorf("counted %d, %v, want 60", on, err)
	}
}

// testHold writes components that depend on a lease while it is renewed and then taken over.
func testHold(t *testing.T, st store.Store) {
	ctx := t.Context()
	ids := xnames(1200) // more than one chunk
	lease, err := store.AcquireLease(ctx, st, "status", "a", 15*time.Second, fixedNow)
	if err != nil {
		t.Fatal(err)
	}
	hold := store.Hold{Operator: "status", Token: lease.Token}
	write := func(text string, meanwhile func(), under ...store.Hold) (int, error) {
		written, err := st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
			if meanwhile != nil {
				meanwhile()
				meanwhile = nil
			}
			c.ID, c.Error = id, &text
			return store.Write, nil
		}, under...)
		return len(written), err
	}
	holds := func(text string) int {
		t.Helper()
		found, err := st.Components().GetMany(ctx, ids)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, c := range found {
			if c.ErrorText() == text {
				n++
			}
		}
		return n
	}
	if n, err := write("held", nil, hold); err != nil || n != len(ids) || holds("held") != n {
		t.Errorf("under the lease: %d written, %v", n, err)
	}
	renew := func(holder string, at time.Time) {
		t.Helper()
		if _, err := store.AcquireLease(ctx, st, "status", holder, 15*time.Second, at); err != nil {
			t.Error(err)
		}
	}
	if n, err := write("renewed", func() { renew("a", fixedNow.Add(5*time.Second)) }, hold); err != nil || n != len(ids) || holds("renewed") != n {
		t.Errorf("while the lease is renewed: %d written, %v", n, err)
	}
	for _, wrong := range []store.Hold{{Operator: "status", Token: lease.Token + 1}, {Operator: "power-on", Token: lease.Token}} {
		if n, err := write("wrong", nil, wrong); !errors.Is(err, bos.ErrConflict) || n != 0 || holds("wrong") != 0 {
			t.Errorf("under %+v: %d written, %v, want bos.ErrConflict and nothing written", wrong, n, err)
		}
	}
	if _, err := write("both", nil, hold, store.Hold{Operator: "power-on", Token: 1}); !errors.Is(err, bos.ErrConflict) || holds("both") != 0 {
		t.Errorf("under a lease that is held and one that is not: %v, %d written", err, holds("both"))
	}
	if _, err := write("late", func() { renew("b", fixedNow.Add(time.Hour)) }, hold); !errors.Is(err, bos.ErrConflict) || holds("late") != 0 {
		t.Errorf("after a takeover: %v, %d written; want bos.ErrConflict and nothing written", err, holds("late"))
	}
}

// xnames returns n ids.
func xnames(n int) []bos.ComponentID {
	ids := make([]bos.ComponentID, n)
	for i := range ids {
		ids[i] = xname(i)
	}
	return ids
}

var fixedNow = time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)

func testLeases(t *testing.T, st store.Store) {
	ctx := t.Context()
	now := fixedNow
	const ttl = 15 * time.Second
	acquire := func(holder string, at time.Time) (bos.Lease, error) {
		return store.AcquireLease(ctx, st, "power-on", holder, ttl, at)
	}
	first, err := acquire("a", now)
	if err != nil || first.Holder != "a" || first.Token <= 0 || first.ExpiresIn != ttl {
		t.Fatalf("first lease = %+v, %v", first, err)
	}
	if again, err := acquire("a", now.Add(10*time.Second)); err != nil || again.Token != first.Token {
		t.Errorf("renewal = %+v, %v, want the token %d", again, err, first.Token)
	}
	if _, err := acquire("b", now.Add(20*time.Second)); !errors.Is(err, bos.ErrConflict) || err == nil || !containsText(err, "held by a") {
		t.Errorf("lease while it is held = %v, want bos.ErrConflict naming the holder", err)
	}
	if other, err := store.AcquireLease(ctx, st, "status", "b", ttl, now); err != nil || other.Holder != "b" {
		t.Errorf("lease of another operator = %+v, %v", other, err)
	}
	second, err := acquire("b", now.Add(25*time.Second)) // the renewal ran out
	if err != nil || second.Token <= first.Token {
		t.Fatalf("lease after expiry = %+v, %v, want a token above %d", second, err, first.Token)
	}
	if err := store.ReleaseLease(ctx, st, "power-on", "a"); err != nil {
		t.Errorf("release by somebody who does not hold it: %v", err)
	}
	if _, err := acquire("a", now.Add(26*time.Second)); !errors.Is(err, bos.ErrConflict) {
		t.Errorf("lease after a release by somebody else = %v, want bos.ErrConflict", err)
	}
	if err := store.ReleaseLease(ctx, st, "power-on", "b"); err != nil {
		t.Error(err)
	}
	third, err := acquire("b", now.Add(27*time.Second))
	if err != nil || third.Token <= second.Token {
		t.Errorf("lease after release = %+v, %v, want a token above %d", third, err, second.Token)
	}
	if late, err := acquire("b", now.Add(time.Hour)); err != nil || late.Token <= third.Token {
		t.Errorf("lease of the same holder after expiry = %+v, %v, want a new token", late, err)
	}
	if err := store.ReleaseLease(ctx, st, "unheard-of", "a"); err != nil {
		t.Errorf("release of what was never held: %v", err)
	}
	for _, bad := range []struct {
		operator, holder string
		ttl              time.Duration
	}{{"", "a", ttl}, {"power-on", "", ttl}, {"power-on", "a", 0}} {
		if _, err := store.AcquireLease(ctx, st, bad.operator, bad.holder, bad.ttl, now); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("AcquireLease(%q, %q, %v) = %v, want bos.ErrInvalid", bad.operator, bad.holder, bad.ttl, err)
		}
	}
	winners := make(chan string, 8)
	inParallel(8, func(i int) {
		holder := string(rune('a' + i))
		if _, err := store.AcquireLease(ctx, st, "discovery", holder, ttl, now); err == nil {
			winners <- holder
		} else if !errors.Is(err, bos.ErrConflict) {
			t.Error(err)
		}
	})
	if len(winners) != 1 {
		t.Errorf("%d holders got one lease", len(winners))
	}
}

func testLeaseFence(t *testing.T, st store.Store) {
	ctx := t.Context()
	now := fixedNow
	write := func(token int64, during func()) error {
		return st.Transact(ctx, func(tx store.Tx) error {
			if err := store.CheckLease(tx, "power-on", token); err != nil {
				return err
			}
			during()
			return tx.Components().Put(xname(1), componentFixture.value(1))
		})
	}
	nothing := func() {}
	if err := write(1, nothing); !errors.Is(err, bos.ErrConflict) {
		t.Errorf("write under a lease that nobody holds = %v, want bos.ErrConflict", err)
	}
	lease, err := store.AcquireLease(ctx, st, "power-on", "a", time.Second, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(lease.Token, nothing); err != nil {
		t.Errorf("write under the present lease: %v", err)
	}
	if err := st.Components().Delete(ctx, xname(1)); err != nil {
		t.Fatal(err)
	}
	err = write(lease.Token, func() { // the lease is lost between check and commit
		_, _ = store.AcquireLease(ctx, st, "power-on", "b", time.Minute, now.Add(2*time.Second))
	})
	if !errors.Is(err, bos.ErrConflict) {
		t.Errorf("write under a lost lease = %v, want bos.ErrConflict", err)
	}
	if _, err := st.Components().Get(ctx, xname(1)); !errors.Is(err, bos.ErrNotFound) {
		t.Errorf("a write under a lost lease took effect: %v", err)
	}
}

func testEndedContext(t *testing.T, st store.Store) {
	ctx := t.Context()
	if err := st.Components().Create(ctx, xname(1), componentFixture.value(1)); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, getErr := st.Components().Get(ended, xname(1))
	_, updateErr := st.Components().Update(ended, xname(1), func(c *bos.Component) error { c.Error = new("late"); return nil })
	var scanErr error
	for _, scanErr = range st.Components().Scan(ended, store.Page[bos.ComponentID]{}) {
	}
	for what, err := range map[string]error{
		"Get":      getErr,
		"Create":   st.Components().Create(ended, xname(2), componentFixture.value(2)),
		"Update":   updateErr,
		"Scan":     scanErr,
		"Transact": st.Transact(ended, func(tx store.Tx) error { return tx.Components().Put(xname(3), bos.Component{}) }),
		"Ping":     st.Ping(ended),
	} {
		if !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("%s with an ended context = %v, want bos.ErrUnavailable", what, err)
		}
	}
	if got := collect(t, st.Components().Scan(ctx, store.Page[bos.ComponentID]{})); len(got) != 1 || got[0].ErrorText() != "reason 1" {
		t.Errorf("calls with an ended context wrote: %v", got)
	}

	// A race that is always lost ends with the context.
	losing, cancel := context.WithCancel(ctx)
	attempts := 0
	_, err := st.Components().Update(losing, xname(1), func(c *bos.Component) error {
		if attempts++; attempts == 5 {
			cancel()
		}
		_, err := st.Components().Update(ctx, xname(1), func(c *bos.Component) error { c.RetryPolicy = new(attempts); return nil })
		c.Error = new("late")
		return err
	})
	if !errors.Is(err, bos.ErrUnavailable) || attempts < 5 {
		t.Errorf("Update that always loses = %v after %d attempts, want bos.ErrUnavailable after 5", err, attempts)
	}
}
