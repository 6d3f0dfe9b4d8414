package operator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
)

// blink is a vendor's operator: it counts the failed components it has seen and says so in their error.
type blink struct {
	batches [][]bos.ComponentID
	fail    bos.ComponentID // its batch fails
	during  func(batch []bos.Component)
	stray   bool // patches a component that is not in the batch
}

func (*blink) Name() string { return "blink-failed" }

func (*blink) Filter(operator.Tick) bos.ComponentFilter {
	return bos.ComponentFilter{Enabled: new(true), Status: []bos.Status{bos.StatusFailed}}
}

func (b *blink) Act(_ context.Context, _ operator.Tick, batch []bos.Component) ([]bos.ComponentPatch, error) {
	var ids []bos.ComponentID
	var patches []bos.ComponentPatch
	for i := range batch {
		ids = append(ids, batch[i].ID)
		patches = append(patches, bos.ComponentPatch{ID: batch[i].ID, Error: new("blinking")})
	}
	b.batches = append(b.batches, ids)
	if b.during != nil {
		b.during(batch)
	}
	if b.stray {
		patches = append(patches, bos.ComponentPatch{ID: "elsewhere", Error: new("blinking")})
	}
	if slices.Contains(ids, b.fail) {
		return patches[:1], errors.New("no light")
	}
	return patches, nil
}

func failedComponent(id bos.ComponentID) bos.Component {
	return operatortest.Component(id, bos.BootArtifacts{}, func(c *bos.Component) { c.Status.StatusOverride = new(bos.StatusFailed) })
}

func TestForComponents(t *testing.T) {
	b := operatortest.NewBOS(t)
	b.SetOptions(bos.OptionsPatch{MaxComponentBatchSize: new(2)})
	b.Put(failedComponent("x1"), failedComponent("x2"), failedComponent("x3"), operatortest.Component("x4", bos.BootArtifacts{}), failedComponent("x5"))

	op := &blink{fail: "x1"}
	sched := new(operatortest.Scheduler)
	err := operator.ForComponents(b, op).Run(t.Context(), b.Tick(sched))
	if err == nil || !strings.Contains(err.Error(), "no light") {
		t.Errorf("error %v, want that of the failed batch", err)
	}
	if want := [][]bos.ComponentID{{"x1", "x2"}, {"x3", "x5"}}; !slices.EqualFunc(op.batches, want, slices.Equal) {
		t.Errorf("batches %v, want %v", op.batches, want)
	}
	for id, want := range map[bos.ComponentID]string{"x1": "blinking", "x2": "", "x3": "blinking", "x5": "blinking"} {
		if c := b.Get(id); c.ErrorText() != want {
			t.Errorf("%s: error %q, want %q: what was done is recorded", id, c.ErrorText(), want)
		}
	}
	if got := sched.Waiting(); !slices.Equal(got, []string{"x1", "x2"}) {
		t.Errorf("to be retried: %q, want the failed batch", got)
	}

	op.batches, op.fail = nil, ""
	if err := operator.ForComponents(b, op).Run(t.Context(), b.Tick(sched, "x2", "x3", "x4")); err != nil {
		t.Fatal(err)
	}
	if want := [][]bos.ComponentID{{"x3"}}; !slices.EqualFunc(op.batches, want, slices.Equal) {
		t.Errorf("batches of a pass over x2 to x4: %v, want %v: x2 is in its back-off and x4 does not match", op.batches, want)
	}
}

func TestForComponentsGuards(t *testing.T) {
	b := operatortest.NewBOS(t)
	b.Put(failedComponent("x1"), failedComponent("x2"))
	op := &blink{during: func([]bos.Component) {
		b.Put(operatortest.Component("x1", bos.BootArtifacts{}, func(c *bos.Component) { c.Session = new("s2") }))
	}}
	if err := operatortest.Run(t, b, operator.ForComponents(b, op), 1); err != nil {
		t.Fatal(err)
	}
	if c := b.Get("x1"); c.ErrorText() != "" {
		t.Errorf("a component that was taken over has error %q", c.ErrorText())
	}
	if w := b.Writes(); len(w) != 1 || w[0].ID != "x2" {
		t.Errorf("writes %v, want x2 alone", w)
	}
	op = &blink{stray: true}
	if err := operatortest.Run(t, b, operator.ForComponents(b, op), 1); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("error %v, want the stray patch named", err)
	}
}

func TestForComponentsWakes(t *testing.T) {
	b := operatortest.NewBOS(t)
	op := operator.ForComponents(b, &blink{})
	w := op.(operator.Waker)
	failed := bos.Change{Kind: bos.ChangeComponent, ID: "x1", Enabled: true, Status: bos.StatusFailed}
	if w.Wakes(&failed) {
		t.Error("woken before the filter is known")
	}
	if err := operatortest.Run(t, b, op, 1); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*bos.Change)
		want   bool
	}{
		"matches":      {func(*bos.Change) {}, true},
		"disabled":     {func(c *bos.Change) { c.Enabled = false }, false},
		"other status": {func(c *bos.Change) { c.Status = bos.StatusStable }, false},
		"deleted":      {func(c *bos.Change) { c.Deleted = true }, false},
		"a session":    {func(c *bos.Change) { c.Kind = bos.ChangeSession }, false},
	} {
		c := failed
		tc.change(&c)
		if got := w.Wakes(&c); got != tc.want {
			t.Errorf("%s: wakes = %t, want %t", name, got, tc.want)
		}
	}
}

// slowBlink has wishes of its own.
type slowBlink struct{ *blink }

func (slowBlink) Period(bos.Options) time.Duration { return time.Hour }
func (slowBlink) Wakes(*bos.Change) bool           { return false }

func TestForComponentsOwnWishes(t *testing.T) {
	op := operator.ForComponents(operatortest.NewBOS(t), slowBlink{&blink{}})
	if p, ok := op.(operator.Periodic); !ok || p.Period(bos.Options{}) != time.Hour {
		t.Error("the period of the operator is lost")
	}
	if op.(operator.Waker).Wakes(&bos.Change{Kind: bos.ChangeComponent}) {
		t.Error("the operator's own Wakes is not asked")
	}
	if _, ok := operator.ForComponents(operatortest.NewBOS(t), &blink{}).(operator.Periodic); ok {
		t.Error("an operator without a period has one")
	}
}

// shut is a lost lease.
type shut struct{}

func (shut) Check() error { return bos.ErrConflict }
func (shut) Token() int64 { return 1 }

func TestForComponentsFence(t *testing.T) {
	b := operatortest.NewBOS(t)
	b.Put(failedComponent("x1"))
	op := &blink{}
	tick := b.Tick(new(operatortest.Scheduler))
	tick.Lease = shut{}
	if err := operator.ForComponents(b, op).Run(t.Context(), tick); !errors.Is(err, bos.ErrConflict) || len(op.batches) != 0 {
		t.Errorf("error %v, batches %v: want no act without the lease", err, op.batches)
	}
}

// failing is an API that refuses a batch with a certain component.
type failing struct {
	*operatortest.BOS
	id bos.ComponentID
}

func (f failing) PatchGuarded(ctx context.Context, p bos.GuardedPatches) (bos.GuardedResult, error) {
	for _, g := range p.Patches {
		if g.ID == f.id {
			return bos.GuardedResult{}, bos.ErrUnavailable
		}
	}
	return f.BOS.PatchGuarded(ctx, p)
}

func TestWrite(t *testing.T) {
	setup := func(t *testing.T) (*operatortest.BOS, operator.Tick, []bos.GuardedPatch) {
		b := operatortest.NewBOS(t)
		b.SetOptions(bos.OptionsPatch{MaxComponentBatchSize: new(2)})
		var patches []bos.GuardedPatch
		for _, id := range []bos.ComponentID{"x1", "x2", "x3", "x4", "x5"} {
			c := failedComponent(id)
			if id != "x4" {
				b.Put(c)
			}
			if id == "x3" {
				c.Session = new("another")
			}
			patches = append(patches, bos.GuardedPatch{ID: id, If: bos.GuardOf(&c), Patch: bos.ComponentPatch{Error: new("e")}})
		}
		return b, b.Tick(new(operatortest.Scheduler)), patches
	}
	check := func(t *testing.T, r bos.GuardedResult, written, stale, missing string) {
		t.Helper()
		join := func(ids []bos.ComponentID) string {
			slices.Sort(ids)
			var s []string
			for _, id := range ids {
				s = append(s, string(id))
			}
			return strings.Join(s, " ")
		}
		if join(r.Written) != written || join(r.Stale) != stale || join(r.Missing) != missing {
			t.Errorf("written %s, stale %s, missing %s; want %s, %s, %s", join(r.Written), join(r.Stale), join(r.Missing), written, stale, missing)
		}
	}
	t.Run("guarded", func(t *testing.T) {
		b, tick, patches := setup(t)
		r, err := operator.Write(t.Context(), b, tick, patches)
		if err != nil {
			t.Fatal(err)
		}
		check(t, r, "x1 x2 x5", "x3", "x4")
	})
	t.Run("a failed request does not stop the others", func(t *testing.T) {
		b, tick, patches := setup(t)
		r, err := operator.Write(t.Context(), failing{b, "x1"}, tick, patches)
		if !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want unavailable", err)
		}
		check(t, r, "x5", "x3", "x4")
	})
}
