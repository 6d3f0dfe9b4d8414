package builtin

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/pcs"
)

// TestPauseStartsNothing pauses BOS while a component waits for each operator that begins something: it stays as it is,
// uses no attempt, and is acted on after the pause.
func TestPauseStartsNothing(t *testing.T) {
	for _, row := range []struct {
		op     string
		change []change
		after  string // a call after the pause
	}{
		{"power-on", []change{on}, "PCS On x1"},
		{"power-off-graceful", []change{off}, "PCS Soft-Off x1"},
		{"power-off-forceful", []change{off, action(bos.ActionPoweringOffGraceful, 301)}, "PCS Force-Off x1"},
		{"configuration", []change{phase(bos.PhaseConfiguring), desired(artifacts, "cfg2")}, `CFS x1 config="cfg2"`},
	} {
		t.Run(row.op, func(t *testing.T) {
			r := newRig(t)
			r.put(x1, row.change...)
			before := r.bos.Get(x1)
			op := r.operator(row.op)
			r.bos.SetSettings(bos.SettingsPatch{Paused: new(true)})
			for range 2 {
				if err := r.pass(op); err != nil {
					t.Error(err)
				}
				if err := r.passIDs(op, string(x1)); err != nil {
					t.Error(err)
				}
				r.later(time.Hour)
			}
			r.wantLog()
			if got := r.bos.Get(x1); jsonOf(t, got) != jsonOf(t, before) {
				t.Errorf("paused: %s, before %s", jsonOf(t, got), jsonOf(t, before))
			}
			r.bos.SetSettings(bos.SettingsPatch{Paused: new(false)})
			if err := r.pass(op); err != nil {
				t.Error(err)
			}
			if got := strings.Join(r.takeLog(), "\n"); !strings.Contains(got, row.after) {
				t.Errorf("calls after the pause:\n%s\nwant %s", got, row.after)
			}
		})
	}
}

// TestPauseGoesOn holds that status goes on judging nodes during a pause.
func TestPauseGoesOn(t *testing.T) {
	r := newRig(t)
	r.put(x1, on, action(bos.ActionPoweringOn, 30), actual(artifacts))
	r.pcs.SetState(pcs.StateOn, x1)
	r.cfs.Set(cfs.Component{ID: x1, DesiredConfig: "cfg1", Status: cfs.StatusConfigured, Enabled: true})
	r.bos.SetSettings(bos.SettingsPatch{Paused: new(true)})
	if err := r.pass(r.operator("status")); err != nil {
		t.Fatal(err)
	}
	if c := r.bos.Get(x1); c.IsEnabled() || c.ComputeStatus() != bos.StatusStable {
		t.Errorf("paused: %s", jsonOf(t, c))
	}
}

// TestSessionSetupWaitsOutAPause lets a session wait for longer than its set-up may be retried: the pause does not count.
func TestSessionSetupWaitsOutAPause(t *testing.T) {
	w := newWorld(t)
	w.session(bos.Session{Name: "s1"})
	op := newSessionSetup(w.deps())
	w.settings(bos.SettingsPatch{Paused: new(true)})
	w.pass(op)
	if calls := w.api.calls; len(calls) > 0 {
		t.Errorf("calls during a pause: %q", calls)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.settings(bos.SettingsPatch{Paused: new(false)})
	w.api.before = failOn("GetTemplate", errAway)
	_ = w.run(op) // the outage
	w.wantState("", "s1", bos.SessionPending)
	w.api.before = nil
	w.sched.elapse()
	w.pass(op)
	w.wantRunning("", "s1", "x1")
}

// TestUnpausingWakes runs a loop with a long polling period: what waited is done as soon as the pause is over.
func TestUnpausingWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.clock = time.Now
		w.options(bos.OptionsPatch{PollingFrequency: new(3600)})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		l := &operator.Loop{Operator: newSessionSetup(w.deps()), API: w.service, Holder: "test"}
		wg.Go(func() { _ = l.Run(ctx) })
		defer wg.Wait()
		defer stop()
		time.Sleep(10 * time.Second)
		if _, err := w.service.CreateSession(t.Context(), "", bos.SessionCreate{Name: "s0", Operation: bos.OperationBoot, TemplateName: "t"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		w.wantState("", "s0", bos.SessionRunning)

		w.settings(bos.SettingsPatch{Paused: new(true)})
		time.Sleep(time.Second)
		w.session(bos.Session{Name: "s1", Status: &bos.SessionStatus{StartTime: bos.Stamp(time.Now()), Status: bos.SessionPending}})
		time.Sleep(time.Minute)
		w.wantState("", "s1", bos.SessionPending)

		w.settings(bos.SettingsPatch{Paused: new(false)})
		time.Sleep(time.Second)
		w.wantState("", "s1", bos.SessionRunning)
	})
}
