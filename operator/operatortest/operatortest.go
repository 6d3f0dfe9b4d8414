// Package operatortest helps to test operators: [BOS] is a whole BOS in memory, with the real rules of its API, and
// [Run] makes passes of one operator over it. What the operator wrote is kept for the test to look at.
//
//	func TestBlink(t *testing.T) {
//		b := operatortest.NewBOS(t)
//		b.Put(operatortest.Component("x3000c0s1b0n0", bos.BootArtifacts{}))
//		op := operator.ForComponents(b, Blink{})
//		operatortest.Run(t, b, op, 1)
//		if got := b.Writes(); … {
//		}
//	}
package operatortest

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
)

// BOS is the API of BOS over a store in memory. It records what is written through it, in order. The rules are the
// real ones: writes put components on hold, blank sessions and stamp times as they do in production. It is safe for
// concurrent use, and its waits are durable in a synctest bubble.
type BOS struct {
	*bosserver.Service
	Store store.Store // below the rules of the API

	// OnWrite, if set before the first use, sees each write to components before it is made; an error is its answer.
	OnWrite func([]bos.GuardedPatch) error
	// OnArtifacts is the same for PutBootArtifacts.
	OnArtifacts func(token bos.BSSToken, a bos.BootArtifacts) error

	t      testing.TB
	mu     sync.Mutex
	now    time.Time // zero = the present
	writes []Write
}

// Write is a patch of one component that was written. Its Patch has the ID.
type Write struct {
	Writer string // the operator, as named by bos.WithWriter
	bos.GuardedPatch
}

// NewBOS returns a BOS without records, which ends with the test. It knows no tenants and no images, unless configure
// says otherwise; its clock is that of Now.
func NewBOS(t testing.TB, configure ...func(*bosserver.Config)) *BOS {
	b := &BOS{t: t, Store: memstore.New()}
	t.Cleanup(func() {
		if err := b.Store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	cfg := bosserver.Config{Now: b.Now}
	for _, fn := range configure {
		fn(&cfg)
	}
	b.Service = bosserver.New(b.Store, cfg)
	return b
}

// Now returns the time of the clock.
func (b *BOS) Now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now.IsZero() {
		return time.Now()
	}
	return b.now
}

// SetNow stops the clock at a time; the zero time lets it run with the present again.
func (b *BOS) SetNow(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = now
}

// Put stores components as they are, past the rules of the API.
func (b *BOS) Put(cs ...bos.Component) {
	b.t.Helper()
	for _, c := range cs {
		if err := b.Store.Components().Put(context.Background(), c.ID, c); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Get returns a component as the API shows it.
func (b *BOS) Get(id bos.ComponentID) bos.Component {
	b.t.Helper()
	c, err := b.GetComponent(context.Background(), "", id)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// SetOptions changes options.
func (b *BOS) SetOptions(p bos.OptionsPatch) {
	b.t.Helper()
	if _, err := b.UpdateOptions(context.Background(), p); err != nil {
		b.t.Fatal(err)
	}
}

// SetSettings changes settings.
func (b *BOS) SetSettings(p bos.SettingsPatch) {
	b.t.Helper()
	if _, err := b.UpdateSettings(context.Background(), p); err != nil {
		b.t.Fatal(err)
	}
}

// Writes returns the patches of components that were written through b so far, in order; what was stale or missing is
// not among them.
func (b *BOS) Writes() []Write {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.writes)
}

// ForgetWrites empties the record of writes.
func (b *BOS) ForgetWrites() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes = nil
}

// PatchGuarded is that of the service, recorded.
func (b *BOS) PatchGuarded(ctx context.Context, p bos.GuardedPatches) (bos.GuardedResult, error) {
	if b.OnWrite != nil {
		if err := b.OnWrite(p.Patches); err != nil {
			return bos.GuardedResult{}, err
		}
	}
	r, err := b.Service.PatchGuarded(ctx, p)
	b.keep(ctx, r.Written, p.Patches)
	return r, err
}

// PatchComponents is that of the service, recorded.
func (b *BOS) PatchComponents(ctx context.Context, tenant string, ps []bos.ComponentPatch, skipBadIDs bool) ([]bos.Component, error) {
	patches := make([]bos.GuardedPatch, len(ps))
	for i, p := range ps {
		patches[i] = bos.GuardedPatch{ID: p.ID, Patch: p}
	}
	if b.OnWrite != nil {
		if err := b.OnWrite(patches); err != nil {
			return nil, err
		}
	}
	cs, err := b.Service.PatchComponents(ctx, tenant, ps, skipBadIDs)
	written := make([]bos.ComponentID, len(cs))
	for i := range cs {
		written[i] = cs[i].ID
	}
	b.keep(ctx, written, patches)
	return cs, err
}

// keep records those patches that were written.
func (b *BOS) keep(ctx context.Context, written []bos.ComponentID, patches []bos.GuardedPatch) {
	done := make(map[bos.ComponentID]bool, len(written))
	for _, id := range written {
		done[id] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range patches {
		if done[g.ID] {
			g.Patch.ID = g.ID
			b.writes = append(b.writes, Write{bos.Writer(ctx), g})
		}
	}
}

// PutBootArtifacts is that of the service, with OnArtifacts before it.
func (b *BOS) PutBootArtifacts(ctx context.Context, token bos.BSSToken, a bos.BootArtifacts) error {
	if b.OnArtifacts != nil {
		if err := b.OnArtifacts(token, a); err != nil {
			return err
		}
	}
	return b.Service.PutBootArtifacts(ctx, token, a)
}

// Tick returns what a pass gets to know at the present of b. Without ids the pass is a full one.
func (b *BOS) Tick(sched operator.Scheduler, ids ...string) operator.Tick {
	b.t.Helper()
	options, err := b.Options(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	settings, err := b.Settings(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return operator.Tick{Now: b.Now(), Options: options, Settings: settings, Changed: ids, Sched: sched, Log: slog.New(slog.DiscardHandler)}
}

// Run makes n full passes of op and returns the error of the last one. Each has a new Scheduler, so that no back-off
// stands in its way.
func Run(t testing.TB, b *BOS, op operator.Operator, n int) error {
	t.Helper()
	var err error
	for range n {
		err = op.Run(bos.WithWriter(t.Context(), op.Name()), b.Tick(new(Scheduler)))
	}
	return err
}

// Settled makes another full pass and fails the test if it writes to a component. An operator must reach such a state
// by itself: its loop ignores its own writes.
func Settled(t testing.TB, b *BOS, op operator.Operator) {
	t.Helper()
	before := len(b.Writes())
	if err := Run(t, b, op, 1); err != nil {
		t.Errorf("%s: another pass: %v", op.Name(), err)
	}
	for _, g := range b.Writes()[before:] {
		t.Errorf("%s: another pass over an unchanged world wrote %s", op.Name(), PatchJSON(g.GuardedPatch))
	}
}

// Scheduler is an operator.Scheduler that keeps what was asked of it. The zero value is ready; it is safe for concurrent
// use. A back-off lasts until Elapse.
type Scheduler struct {
	mu      sync.Mutex
	at      map[string]time.Time
	waiting map[string]bool
}

var _ operator.Scheduler = (*Scheduler)(nil)

// At implements operator.Scheduler.
func (s *Scheduler) At(id string, when time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	s.at[id] = when
}

// Cancel implements operator.Scheduler.
func (s *Scheduler) Cancel(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, id)
	delete(s.waiting, id)
}

// Retry implements operator.Scheduler.
func (s *Scheduler) Retry(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = map[string]bool{}
	}
	s.waiting[id] = true
}

// Ready implements operator.Scheduler.
func (s *Scheduler) Ready(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.waiting[id]
}

// Wish returns when a pass for id was asked for.
func (s *Scheduler) Wish(id string) (when time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	when, ok = s.at[id]
	return when, ok
}

// Waiting returns the ids in a back-off, in ascending order.
func (s *Scheduler) Waiting() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.waiting))
	for id := range s.waiting {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Elapse ends all back-offs.
func (s *Scheduler) Elapse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.waiting)
}

// The BOS serves as what operators and loops ask of an API.
var (
	_ operator.Components = (*BOS)(nil)
	_ operator.API        = (*BOS)(nil)
	_ bos.API             = (*BOS)(nil)
)
