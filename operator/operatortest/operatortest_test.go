package operatortest_test

import (
	"context"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
)

// note writes a text into the error of every component, in one go or once more in each pass.
type note struct {
	bos     *operatortest.BOS
	restful bool
}

func (note) Name() string { return "note" }

func (n note) Run(ctx context.Context, t operator.Tick) error {
	var patches []bos.GuardedPatch
	for c, err := range n.bos.ListComponents(ctx, bos.ComponentFilter{}) {
		if err != nil {
			return err
		}
		if !n.restful || c.ErrorText() == "" {
			patches = append(patches, bos.GuardedPatch{ID: c.ID, Patch: bos.ComponentPatch{Error: new("noted at " + t.Now.Format(time.TimeOnly))}})
		}
	}
	_, err := operator.Write(ctx, n.bos, t, patches)
	return err
}

// failures counts the failures of a test instead of failing.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.n++ }

func TestRun(t *testing.T) {
	b := operatortest.NewBOS(t)
	b.Put(operatortest.Component("x1", bos.BootArtifacts{}), operatortest.Component("x2", bos.BootArtifacts{}))
	b.SetNow(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	op := note{b, true}
	if err := operatortest.Run(t, b, op, 2); err != nil {
		t.Fatal(err)
	}
	w := b.Writes()
	if len(w) != 2 || w[0].Writer != "note" || operatortest.PatchJSON(w[0].GuardedPatch) != `{"id":"x1","error":"noted at 12:00:00"}` {
		t.Errorf("writes %v, want one of each component", w)
	}
	operatortest.Settled(t, b, op)
	restless := &failures{TB: t}
	operatortest.Settled(restless, b, note{b, false})
	if restless.n != 2 {
		t.Errorf("an operator that writes in each pass made %d failures, want 2", restless.n)
	}
	b.ForgetWrites()
	if _, err := b.PatchComponents(t.Context(), "", []bos.ComponentPatch{{ID: "x2", Enabled: new(true)}}, false); err != nil {
		t.Fatal(err)
	}
	if w := b.Writes(); len(w) != 1 || w[0].ID != "x2" {
		t.Errorf("writes %v, want the plain patch too", w)
	}
	if c := b.Get("x2"); c.ComputeStatus() != bos.StatusOnHold {
		t.Errorf("x2 is %s after being enabled, want on_hold: the rules of the API hold", c.ComputeStatus())
	}
}

func TestScheduler(t *testing.T) {
	var s operatortest.Scheduler
	now := time.Now()
	s.At("a", now)
	s.Retry("a")
	s.Retry("b")
	if at, ok := s.Wish("a"); !ok || !at.Equal(now) || s.Ready("a") || !s.Ready("c") || len(s.Waiting()) != 2 {
		t.Errorf("wish %v %t, ready %t, waiting %q", at, ok, s.Ready("a"), s.Waiting())
	}
	s.Cancel("a")
	s.Elapse()
	if _, ok := s.Wish("a"); ok || !s.Ready("b") {
		t.Error("a cancelled wish or an elapsed back-off is still there")
	}
}
