package bosserver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
)

// tokenWorld is a service whose clock stands, and what is needed to keep tokens.
type tokenWorld struct {
	*Service
	t   *testing.T
	st  store.Store
	now time.Time
}

func newTokenWorld(t *testing.T) *tokenWorld {
	w := &tokenWorld{t: t, st: memstore.New(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	t.Cleanup(func() { _ = w.st.Close() })
	w.Service = w.over(w.st)
	return w
}

func (w *tokenWorld) over(st store.Store) *Service {
	return New(st, Config{Now: func() time.Time { return w.now }})
}

// record stores what a token stands for with the stamp of some time ago.
func (w *tokenWorld) record(token bos.BSSToken, ago time.Duration) {
	w.t.Helper()
	a := bos.BootArtifacts{Kernel: "k", Initrd: "i", Timestamp: bos.Stamp(w.now.Add(-ago))}
	if err := w.st.BootArtifacts().Put(w.t.Context(), token, a); err != nil {
		w.t.Fatal(err)
	}
}

// has stores a component with the tokens.
func (w *tokenWorld) has(id bos.ComponentID, actual, desired bos.BSSToken) {
	w.t.Helper()
	c := bos.Component{ID: id, ActualState: &bos.ActualState{BSSToken: new(actual)}, DesiredState: &bos.DesiredState{BSSToken: new(desired)}}
	if err := w.st.Components().Put(w.t.Context(), id, c); err != nil {
		w.t.Fatal(err)
	}
}

// prune prunes and checks which tokens are left.
func (w *tokenWorld) prune(api *Service, removed int, left ...bos.BSSToken) {
	w.t.Helper()
	n, err := api.PruneBootArtifacts(w.t.Context(), day)
	if err != nil || n != removed {
		w.t.Errorf("removed %d, %v; want %d", n, err, removed)
	}
	w.left(left...)
}

func (w *tokenWorld) left(want ...bos.BSSToken) {
	w.t.Helper()
	var got []string
	for token, err := range w.st.Tokens(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		got = append(got, string(token))
	}
	texts := make([]string, len(want))
	for i := range want {
		texts[i] = string(want[i])
	}
	if fmt.Sprint(got) != fmt.Sprint(texts) {
		w.t.Errorf("tokens left: %q, want %q", got, texts)
	}
}

const day = 24 * time.Hour

func TestPruneBootArtifacts(t *testing.T) {
	w := newTokenWorld(t)
	w.prune(w.Service, 0)
	w.record("actual", 30*day)
	w.record("desired", 30*day)
	w.record("just written", 0)
	w.record("old", day+time.Second)
	w.record("young", day)
	unstamped := bos.BootArtifacts{Kernel: "k"}
	if err := w.st.BootArtifacts().Put(t.Context(), "without a stamp", unstamped); err != nil {
		t.Fatal(err)
	}
	w.has("x1", "actual", "")
	w.has("x2", "", "desired")
	w.has("x3", "actual", "unknown")
	w.prune(w.Service, 1, "actual", "desired", "just written", "without a stamp", "young")

	// A component that has a token no more begins its time anew: the node may repeat its report.
	w.now = w.now.Add(day / 2)
	w.has("x1", "", "")
	w.has("x2", "", "")
	w.has("x3", "", "")
	w.prune(w.Service, 1, "actual", "desired", "just written", "without a stamp")
	if _, err := w.PatchComponent(t.Context(), "", "x1", bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken("actual"))}}); err != nil {
		t.Fatal(err)
	}
	if c, err := w.GetComponent(t.Context(), "", "x1"); err != nil || c.ActualArtifacts().Kernel != "k" {
		t.Errorf("a node that repeats its report has booted %+v, %v", c.ActualArtifacts(), err)
	}
	// What is recorded once more is new.
	if err := w.PutBootArtifacts(t.Context(), "desired", bos.BootArtifacts{Kernel: "k", Initrd: "i"}); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(day/2 + time.Second)
	w.prune(w.Service, 2, "actual", "desired")
	for _, removed := range []int{1, 0, 0} { // what is in use stays
		w.now = w.now.Add(day)
		w.prune(w.Service, removed, "actual")
	}
}

// racing is a store in which something happens when the records of tokens are written, before or after.
type racing struct {
	store.Store
	before, after func()
	fail          error
	unreadable    bool // components cannot be read
}

func (r *racing) Components() store.Collection[bos.ComponentID, bos.Component] {
	if r.unreadable {
		return unreadable{r.Store.Components()}
	}
	return r.Store.Components()
}

type unreadable struct {
	store.Collection[bos.ComponentID, bos.Component]
}

func (unreadable) Scan(context.Context, store.Page[bos.ComponentID]) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) { yield(bos.Component{}, bos.ErrUnavailable) }
}

type racingTokens struct {
	store.Collection[bos.BSSToken, bos.BootArtifacts]
	*racing
}

func (r *racing) BootArtifacts() store.Collection[bos.BSSToken, bos.BootArtifacts] {
	return racingTokens{r.Store.BootArtifacts(), r}
}

func (r racingTokens) UpdateMany(ctx context.Context, keys []bos.BSSToken, fn func(bos.BSSToken, *bos.BootArtifacts, bool) (store.Decision, error), under ...store.Hold) ([]bos.BootArtifacts, error) {
	if r.before != nil {
		r.before()
	}
	done, err := r.Collection.UpdateMany(ctx, keys, fn, under...)
	if r.after != nil {
		r.after()
	}
	return done, errors.Join(err, r.fail)
}

func TestPruneBootArtifactsRaces(t *testing.T) {
	t.Run("recorded meanwhile", func(t *testing.T) {
		w := newTokenWorld(t)
		w.record("t", 2*day)
		w.prune(w.over(&racing{Store: w.st, before: func() { w.record("t", 0) }}), 0, "t")
	})
	t.Run("reported meanwhile", func(t *testing.T) {
		w := newTokenWorld(t)
		w.record("t", 2*day)
		w.record("u", 2*day)
		w.prune(w.over(&racing{Store: w.st, after: func() { w.has("x1", "t", "") }}), 1, "t")
		w.has("x1", "", "")
		w.prune(w.Service, 0, "t") // its time begins anew
	})
	t.Run("reported and recorded meanwhile", func(t *testing.T) {
		w := newTokenWorld(t)
		w.record("t", 2*day)
		w.prune(w.over(&racing{Store: w.st, after: func() { w.has("x1", "t", ""); w.record("t", 0) }}), 0, "t")
	})
	t.Run("the store fails half way", func(t *testing.T) {
		w := newTokenWorld(t)
		w.record("t", 2*day)
		api := w.over(&racing{Store: w.st, after: func() { w.has("x1", "t", "") }, fail: bos.ErrUnavailable})
		if n, err := api.PruneBootArtifacts(t.Context(), day); n != 0 || !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("removed %d, %v", n, err)
		}
		w.left("t")
	})
	t.Run("the store fails when the components are read again", func(t *testing.T) {
		w := newTokenWorld(t)
		w.record("t", 2*day)
		st := &racing{Store: w.st}
		st.after = func() { st.unreadable = true }
		if n, err := w.over(st).PruneBootArtifacts(t.Context(), day); n != 0 || !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("removed %d, %v", n, err)
		}
		w.left("t")
	})
	t.Run("the caller gives up", func(t *testing.T) {
		w := newTokenWorld(t)
		w.record("t", 2*day)
		ctx, cancel := context.WithCancel(t.Context())
		api := w.over(&racing{Store: w.st, after: func() { w.has("x1", "t", ""); cancel() }})
		if n, err := api.PruneBootArtifacts(ctx, day); n != 0 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
		w.left("t")
	})
}

// TestPruneBootArtifactsRenewsInTime: a token's time begins soon before its last component had it no more, not long.
func TestPruneBootArtifactsRenewsInTime(t *testing.T) {
	w := newTokenWorld(t)
	w.record("t", day/2)
	w.has("x1", "t", "")
	w.prune(w.Service, 0, "t")
	w.has("x1", "", "")
	w.now = w.now.Add(day)
	w.prune(w.Service, 0, "t")
}

func TestPruneBootArtifactsIsNotForTenants(t *testing.T) {
	s := newSystem(t)
	s.want(s.do("DELETE", "/v2/bootartifacts?unused_for=3600", "", "Cray-Tenant-Name", "ten1"), 403, "", "not for tenants")
	s.want(s.do("DELETE", "/v2/bootartifacts?unused_for=3599", ""), 400, "", "unused_for")
	s.want(s.do("DELETE", "/v2/bootartifacts?unused_for=soon", ""), 400, "", "unused_for")
	s.want(s.do("DELETE", "/v2/bootartifacts", ""), 400, "", "unused_for")
}
