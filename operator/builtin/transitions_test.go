package builtin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
	"github.com/bootorch/bosgo/pcs"
	"github.com/bootorch/bosgo/pcs/pcstest"
)

// runSome starts some of the operators of one process.
func (c *chain) runSome(d Deps, holder string, names ...string) {
	d = d.withDefaults()
	for _, name := range names {
		op, err := New(name, d)
		if err != nil {
			c.t.Fatal(err)
		}
		c.wg.Go(func() { _ = (&operator.Loop{Operator: op, API: d.API.(operator.API), Holder: holder}).Run(c.ctx) })
	}
}

// slowRelease lets PCS hold its reservations until release, aborts or not.
func (c *chain) slowRelease() (release func()) {
	answer := c.pcs.OnCall
	var slow atomic.Bool
	c.pcs.OnCall = func(call pcstest.Call) error {
		if slow.Load() && call.Method == "AbortTransition" {
			return unavailable
		}
		return answer(call)
	}
	slow.Store(true)
	return func() {
		slow.Store(false)
		c.pcs.HoldOpen(false)
		c.pcs.Complete()
	}
}

// wantReboot checks that a node was switched off and on with one command each, with one attempt and without complaint.
func (c *chain) wantReboot() {
	c.t.Helper()
	if ops := c.transitions(); !slices.Equal(ops, []pcs.Operation{pcs.On, pcs.SoftOff, pcs.On}) {
		c.t.Errorf("power transitions %v, want those of the boot and one each of the reboot", ops)
	}
	for _, w := range c.bos.Writes() {
		if text := bos.Value(w.Patch.Error); text != "" {
			c.t.Errorf("%s wrote the error %q", w.Writer, text)
		}
		if s := w.Patch.EventStats; s != nil && (bos.Value(s.PowerOnAttempts) > 1 || bos.Value(s.PowerOffGracefulAttempts) > 1) {
			c.t.Errorf("%s counted more than one attempt: %s", w.Writer, operatortest.PatchJSON(w.GuardedPatch))
		}
	}
}

// wantForgotten checks that records do not outlive their use.
func (c *chain) wantForgotten() {
	c.t.Helper()
	time.Sleep(2 * time.Minute)
	if ts, err := c.bos.PowerTransitions(c.t.Context(), nil); err != nil || len(ts) > 0 {
		c.t.Errorf("after two minutes of rest %d transitions are remembered (%v), want none", len(ts), err)
	}
}

// A process posts a power-off and dies. The one that takes over knows the reservation for its own: it sends the power-on
// when PCS has released the node, once.
func TestTakeoverFollowsTransitions(t *testing.T) {
	for _, how := range []string{"dies", "stops"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newMachine(t, x1)
				release := c.slowRelease()
				first := &process{}
				first.kill = c.run(first.mortal(c.deps()), "first")
				time.Sleep(2 * time.Second)
				c.template()
				c.start("boot", bos.OperationBoot)
				c.finish("boot", time.Minute)
				c.pcs.HoldOpen(true)
				c.start("reboot", bos.OperationReboot)
				for len(c.transitions()) < 2 {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(time.Millisecond) // the record
				if how == "dies" {
					first.mu.Lock()
					first.dead = true
					first.mu.Unlock()
				}
				first.kill()
				c.run(c.deps(), "heir")
				time.Sleep(40 * time.Second)
				if comp := c.bos.Get(x1); len(c.transitions()) != 2 || comp.ComputeStatus() != bos.StatusPowerOnPending {
					t.Errorf("while PCS holds the node: transitions %v, status %s; want it to wait", c.transitions(), comp.ComputeStatus())
				}
				release()
				if took := c.finish("reboot", time.Minute); took > 3*time.Second {
					t.Errorf("the power-on came %s after the release, want it at once", took)
				}
				c.wantReboot()
				c.wantForgotten()
			})
		})
	}
}

// The same with the operators split over processes that live: they learn of each other's transitions.
func TestSplitOperators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMachine(t, x1)
		release := c.slowRelease()
		c.runSome(c.deps(), "a", "power-off-graceful", "power-off-forceful")
		c.runSome(c.deps(), "b", "power-on")
		c.runSome(c.deps(), "c", slices.DeleteFunc(Names(), func(name string) bool { return strings.HasPrefix(name, "power-") })...)
		time.Sleep(2 * time.Second)
		c.template()
		c.start("boot", bos.OperationBoot)
		c.finish("boot", time.Minute)
		c.pcs.HoldOpen(true)
		c.start("reboot", bos.OperationReboot)
		time.Sleep(20 * time.Second)
		if ops := c.transitions(); len(ops) != 2 {
			t.Errorf("power transitions %v while PCS holds the node", ops)
		}
		release()
		c.finish("reboot", 3*time.Second)
		c.wantReboot()
		c.wantForgotten()
	})
}

// countingAPI counts what is asked about transitions.
type countingAPI struct {
	*operatortest.BOS
	reads, writes, removals atomic.Int32
}

func (a *countingAPI) PowerTransitions(ctx context.Context, ids []string) ([]bos.PowerTransition, error) {
	a.reads.Add(1)
	return a.BOS.PowerTransitions(ctx, ids)
}

func (a *countingAPI) PutPowerTransition(ctx context.Context, t bos.PowerTransition) error {
	a.writes.Add(1)
	return a.BOS.PutPowerTransition(ctx, t)
}

func (a *countingAPI) DeletePowerTransition(ctx context.Context, id string) error {
	a.removals.Add(1)
	return a.BOS.DeletePowerTransition(ctx, id)
}

// One process that runs everything writes one record a transition and reads none but at its start.
func TestOneProcessReadsNothingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMachine(t, manyIDs(50)...)
		api := &countingAPI{BOS: c.bos}
		d := c.deps()
		d.API = api
		c.run(d, "test")
		time.Sleep(2 * time.Second)
		atStart := api.reads.Load()
		c.template()
		c.start("boot", bos.OperationBoot)
		c.finish("boot", time.Minute)
		c.start("reboot", bos.OperationReboot)
		c.finish("reboot", time.Minute)
		time.Sleep(10 * time.Minute)
		if n := api.reads.Load() - atStart; atStart > 8 || n > 0 {
			t.Errorf("%d reads at the start and %d later, want a few and none", atStart, n)
		}
		commands := int32(len(c.transitions()))
		if w, r := api.writes.Load(), api.removals.Load(); w != commands || r != commands {
			t.Errorf("%d writes and %d removals of %d transitions, want one each", w, r, commands)
		}
	})
}

// another returns a process beside that of the rig: it shares BOS and PCS, not the memory.
func (r *rig) another() Deps {
	d := r.deps()
	d.Transitions = NewTransitions(r.pcs, r.bos)
	return d
}

func (r *rig) operatorOf(d Deps, name string) operator.Operator {
	r.t.Helper()
	op, err := New(name, d)
	if err != nil {
		r.t.Fatal(err)
	}
	return op
}

// posts lets the rig's own process command nodes, and returns the record.
func (r *rig) posts(poster string, op pcs.Operation, ids ...bos.ComponentID) bos.PowerTransition {
	r.t.Helper()
	if err := r.shared.start(r.t.Context(), r.bos.Tick(r.sched), poster, op, ids); err != nil {
		r.t.Fatal(err)
	}
	ts, err := r.bos.PowerTransitions(r.t.Context(), nil)
	if err != nil || len(ts) == 0 {
		r.t.Fatalf("remembered are %v, %v", ts, err)
	}
	return ts[len(ts)-1]
}

// Status in another process does not believe a reading that may be older than the command, however it gets to know.
func TestStaleReadingOfAnotherProcess(t *testing.T) {
	first := func(r *rig, op operator.Operator, _ bos.PowerTransition) error { return r.passIDs(op, string(x1)) }
	feed := func(r *rig, op operator.Operator, tr bos.PowerTransition) error {
		if op.(operator.Waker).Wakes(&bos.Change{Kind: bos.ChangePower, ID: tr.ID, Writer: "power-on"}) {
			r.t.Error("a transition alone wakes status")
		}
		return r.passIDs(op, string(x1))
	}
	full := func(r *rig, op operator.Operator, _ bos.PowerTransition) error { return r.pass(op) }
	for _, tc := range []struct {
		name   string
		before bool // it has made a pass before the command
		learn  func(*rig, operator.Operator, bos.PowerTransition) error
		noID   bool // PCS gave no id, or none is known
	}{
		{"at the beginning of its tenure", false, first, false},
		{"from the feed", true, feed, false},
		{"in a full pass, the feed being broken", true, full, false},
		{"of a back end without ids", true, feed, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			d := r.another()
			if tc.noID {
				r.shared = NewTransitions(struct{ pcs.PowerClient }{r.pcs}, r.bos)
				d.Transitions = NewTransitions(struct{ pcs.PowerClient }{r.pcs}, r.bos)
			}
			op := r.operatorOf(d, "status")
			r.bos.SetNow(time.Now())
			if tc.before {
				if err := r.pass(op); err != nil {
					t.Fatal(err)
				}
			}
			r.pcs.Ignore(true, x1)
			tr := r.posts("power-on", pcs.On, x1)
			r.takeLog()
			r.put(x1, override("on_hold"), desired(none, "")) // a shutdown, while PCS still shows the node off
			if err := tc.learn(r, op, tr); err != nil {
				t.Fatal(err)
			}
			r.wantLog()
			r.later(61 * time.Second)
			if err := r.pass(op); err != nil {
				t.Fatal(err)
			}
			r.wantPatch(`{"status":{"status_override":""},"enabled":false}`)
		})
	}
}

// Who takes an operator over tells the components what became of the tasks of the one before.
func TestHeirTellsFailures(t *testing.T) {
	r := newRig(t)
	r.pcs.Refuse("fuse blown", x1)
	r.put(x1, on)
	if err := r.pass(r.operator("power-on")); err != nil {
		t.Fatal(err)
	}
	r.takeLog()
	heir := r.operatorOf(r.another(), "power-on")
	for range 2 {
		if err := r.pass(heir); err != nil {
			t.Fatal(err)
		}
	}
	r.wantLog(`BOS [{"id":"x1","error":"pcs on: Failed to apply transition: fuse blown"}]`)
}

// A command that was refused because of an earlier one of ours is sent again by the heir, within the same attempt.
func TestHeirKnowsOwnReservation(t *testing.T) {
	r := newRig(t)
	r.pcs.HoldOpen(true)
	r.put(x1, phase("powering_on"), action(bos.ActionPoweringOn, 1), attempts(1, 0, 0))
	now := time.Now()
	for i, op := range []pcs.Operation{pcs.SoftOff, pcs.On} { // the second is refused
		id, err := r.pcs.Transition(t.Context(), op, []bos.ComponentID{x1})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.bos.PutPowerTransition(t.Context(), bos.PowerTransition{
			ID: string(rune('z' - i)), Service: string(id), Operation: string(op), Operator: []string{"power-off-graceful", "power-on"}[i],
			Accepted: now.Add(time.Duration(i-3) * time.Second).UnixMilli(), Components: []bos.ComponentID{x1},
		}); err != nil {
			t.Fatal(err)
		}
	}
	r.takeLog()
	d := r.another()
	heir := r.operatorOf(d, "power-on")
	if err := r.pass(heir); err != nil {
		t.Fatal(err)
	}
	r.wantLog()
	r.pcs.Complete()
	age(d.Transitions, time.Second)
	if err := r.passIDs(heir, transitionKey); err != nil {
		t.Fatal(err)
	}
	r.wantLog("PCS On x1", `BOS [{"id":"x1","last_action":{"action":"powering_on","failed":false}}]`)
	if n, _, _ := new(r.bos.Get(x1)).Attempts(); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
}

// The abort of one process is no failure of the nodes to the one that follows the transition.
func TestAbortOfAnotherProcess(t *testing.T) {
	r := newRig(t)
	r.put(x1, off)
	r.put(x2, off)
	r.pcs.HoldOpen(true)
	graceful := r.operator("power-off-graceful")
	if err := r.pass(graceful); err != nil {
		t.Fatal(err)
	}
	r.put(x1, on, action(bos.ActionPoweringOffGraceful, 1))
	d := r.another()
	powerOn := r.operatorOf(d, "power-on")
	r.takeLog()
	for range 2 {
		if err := r.pass(powerOn); err != nil {
			t.Fatal(err)
		}
		age(d.Transitions, 10*time.Second)
	}
	r.wantLog("PCS abort transition-1")
	age(r.shared, 10*time.Second)
	if err := r.passIDs(graceful, transitionKey); err != nil {
		t.Fatal(err)
	}
	r.wantLog()
	if err := r.pass(powerOn); err != nil {
		t.Fatal(err)
	}
	if s := r.pcs.State(x1); s != pcs.StateOn {
		t.Errorf("x1 is %s, want on", s)
	}
}

// recordsAPI answers what it is told about transitions.
type recordsAPI struct {
	*operatortest.BOS
	err   error // nil = no answer until the context ends
	mu    sync.Mutex
	calls int
}

func (a *recordsAPI) answer(ctx context.Context) error {
	a.mu.Lock()
	a.calls++
	a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (a *recordsAPI) PowerTransitions(ctx context.Context, _ []string) ([]bos.PowerTransition, error) {
	return nil, a.answer(ctx)
}

func (a *recordsAPI) PutPowerTransition(ctx context.Context, _ bos.PowerTransition) error {
	return a.answer(ctx)
}

func (a *recordsAPI) DeletePowerTransition(ctx context.Context, _ string) error { return a.answer(ctx) }

// A record that cannot be written does not fail the command, nor hold it up for long.
func TestCommandsWithoutRecords(t *testing.T) {
	for name, err := range map[string]error{"reference server": bos.ErrUnsupported, "outage": unavailable, "refused": refused, "no answer": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(x1, off)
				d := r.deps()
				api := &recordsAPI{BOS: r.bos, err: err}
				d.API, d.Transitions = api, NewTransitions(r.pcs, api)
				op := r.operatorOf(d, "power-off-graceful")
				var log strings.Builder
				tick := r.bos.Tick(r.sched)
				tick.Log = textLog(&log)
				begin := time.Now()
				if err := op.Run(bos.WithWriter(t.Context(), op.Name()), tick); err != nil {
					t.Fatal(err)
				}
				r.wantLog("PCS Soft-Off x1", graceful(1, ""))
				if took := time.Since(begin); took > 7*time.Second {
					t.Errorf("the pass took %s", took)
				}
				if quiet := !strings.Contains(log.String(), "level=WARN"); quiet != errors.Is(err, bos.ErrUnsupported) || api.calls == 0 {
					t.Errorf("log after %d calls:\n%s", api.calls, log.String())
				}
				if op, at := d.Transitions.last(x1); op != pcs.SoftOff || at.Before(begin) {
					t.Errorf("the process itself remembers %s at %s", op, at)
				}
			})
		})
	}
}

// What nobody removed is removed by whoever comes upon it, and what was removed holds nobody up.
func TestRecordsAreSwept(t *testing.T) {
	r := newRig(t)
	for id, ago := range map[string]time.Duration{"old": 17 * time.Minute, "young": time.Minute, "ahead": -time.Hour} {
		if err := r.bos.PutPowerTransition(t.Context(), bos.PowerTransition{
			ID: id, Service: "transition-" + id, Operation: "Soft-Off", Operator: "power-off-graceful",
			Accepted: time.Now().Add(-ago).UnixMilli(), Components: []bos.ComponentID{x1},
		}); err != nil {
			t.Fatal(err)
		}
	}
	op := r.operator("power-on")
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	ts, err := r.bos.PowerTransitions(t.Context(), nil)
	if err != nil || len(ts) != 2 || ts[0].ID != "ahead" || ts[1].ID != "young" {
		t.Errorf("remembered are %+v, %v, want all but the old one", ts, err)
	}
	if _, at := r.shared.last(x1); time.Until(at) > 0 {
		t.Errorf("a command is known from the future: %s", at)
	}
	wakes := op.(operator.Waker).Wakes
	for _, id := range []string{"young", "ahead"} {
		wakes(&bos.Change{Kind: bos.ChangePower, ID: id, Deleted: true})
	}
	if len(r.shared.open) != 0 {
		t.Errorf("%d transitions of another process are still open to this one", len(r.shared.open))
	}
	for range 3 * maxUnread { // nobody makes a pass
		wakes(&bos.Change{Kind: bos.ChangePower, ID: strings.Repeat("t", len(r.shared.unread)+1)})
	}
	if n := len(r.shared.unread); n > maxUnread {
		t.Errorf("%d unread records are remembered, want at most %d", n, maxUnread)
	}
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// TestLostAnswerOfSome loses the answer of one of several requests: its node may have been commanded, and is remembered
// like the node whose request was answered.
func TestLostAnswerOfSome(t *testing.T) {
	r := newRig(t)
	for _, id := range []bos.ComponentID{x1, x2, x3} {
		r.put(id, off)
	}
	r.fail = failing("PCS Soft-Off", &bos.BatchError{Failed: map[bos.ComponentID]error{x1: pcs.ErrOutcomeUnknown, x2: refused}})
	_ = r.pass(r.operator("power-off-graceful"))
	for id, want := range map[bos.ComponentID]pcs.Operation{x1: pcs.SoftOff, x2: "", x3: pcs.SoftOff} {
		if op, _ := r.shared.last(id); op != want {
			t.Errorf("last command to %s: %q, want %q", short(string(id)), op, want)
		}
	}
}
