package builtin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// TestCancelDuringSetUp cancels a session at each call of its set-up, before it is made and after: whichever came first,
// the session ends as canceled and BOS works on none of its nodes.
func TestCancelDuringSetUp(t *testing.T) {
	for _, stage := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("stage %t, after %t", stage, after), func(t *testing.T) {
				n := 1
				for cancelDuringSetUp(t, n, stage, after) {
					n++
				}
				if n < 8 {
					t.Errorf("%d calls: the set-up did not go its whole way", n-1)
				}
			})
		}
	}
}

// cancelDuringSetUp cancels at the n-th call; false = there was none.
func cancelDuringSetUp(t *testing.T, n int, stage, after bool) (reached bool) {
	w := newWorld(t)
	ids := w.discovered(6, "n%d")
	w.template("t", nodes(ids...))
	w.options(bos.OptionsPatch{MaxComponentBatchSize: new(2)})
	if _, err := w.service.CreateSession(t.Context(), "", bos.SessionCreate{Name: "s1", Operation: bos.OperationBoot, TemplateName: "t", Stage: stage}); err != nil {
		t.Fatal(err)
	}
	calls, at := 0, ""
	cancel := func(call string) error {
		if calls++; calls == n {
			at = call
			if _, err := w.service.CancelSession(t.Context(), bos.TenantKey{Name: "s1"}, "no"); err != nil {
				t.Errorf("at %s: %v", call, err)
			}
		}
		return nil
	}
	if after {
		w.api.after = cancel
	} else {
		w.api.before = cancel
	}
	op := newSessionSetup(w.deps())
	w.pass(op)
	if at == "" {
		return false
	}
	w.sched.elapse()
	w.pass(op)
	s := w.getSession("", "s1")
	if s.State() != bos.SessionComplete || s.Status.Error != "canceled: no" {
		t.Errorf("at %s: session %+v", at, s.Status)
	}
	w.wantEnded("", "s1")
	for _, id := range ids {
		if c := w.getComponent(bos.ComponentID(id)); c.IsEnabled() || c.StagedSession() != "" {
			t.Errorf("at %s: component %+v", at, c)
		}
	}
	return true
}

// TestCompletionFinishesCancellations finds a session whose cancellation broke off.
func TestCompletionFinishesCancellations(t *testing.T) {
	w := newWorld(t)
	w.component(owner("x1", "s1", true))
	w.component(owner("x2", "s1", false))
	s := running("", "s1", "x1,x2")
	s.Status.Error = "canceled: no"
	w.session(s)
	op := newSessionCompletion(w.deps())
	w.pass(op, "x2") // whoever canceled may be at it
	w.wantState("", "s1", bos.SessionRunning)
	w.pass(op)
	w.wantEnded("", "s1")
	if got := w.getSession("", "s1").Status.Error; got != "canceled: no" {
		t.Errorf("error %q", got)
	}
	if c := w.getComponent("x1"); c.IsEnabled() || c.ErrorText() != "canceled: no" {
		t.Errorf("component %+v", c)
	}
	w.settled(op)
}

func TestMaxSessionTime(t *testing.T) {
	const text = "canceled: deadline of 1h30m0s exceeded, nodes still on their way: 2"
	for _, row := range []struct {
		name    string
		change  func(w *world, s *bos.Session)
		elapsed time.Duration // since the start of the session
		want    bos.NullString
		ends    bool
		wish    bool // to look again at the deadline
	}{
		{name: "in time", elapsed: 90 * time.Minute, wish: true},
		{name: "too late", elapsed: 90*time.Minute + time.Second, want: text, ends: true},
		{name: "no limit", elapsed: 1000 * time.Hour, change: func(w *world, _ *bos.Session) { w.settings(bos.SettingsPatch{MaxSessionTime: new(0)}) }},
		{name: "staged", elapsed: 1000 * time.Hour, change: func(_ *world, s *bos.Session) { s.Stage = true }},
		{name: "paused", elapsed: 1000 * time.Hour, change: func(w *world, _ *bos.Session) { w.settings(bos.SettingsPatch{Paused: new(true)}) }},
		{name: "since a pause", elapsed: 3 * time.Hour, wish: true, change: func(w *world, _ *bos.Session) {
			w.settings(bos.SettingsPatch{Paused: new(true)})
			w.settings(bos.SettingsPatch{Paused: new(false)})
		}},
		{name: "of a tenant", elapsed: 2 * time.Hour, want: bos.NullString(text[:len(text)-1] + "1"), ends: true, change: func(w *world, s *bos.Session) {
			w.tenants.Set("red", "x1", "x3")
			s.Tenant = "red"
		}},
		{name: "nothing left", elapsed: 2 * time.Hour, ends: true, change: func(w *world, _ *bos.Session) {
			w.component(owner("x1", "s1", false))
			w.component(owner("x2", "s1", false))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.settings(bos.SettingsPatch{MaxSessionTime: new(5400)})
			w.component(owner("x1", "s1", true))
			w.component(owner("x2", "s1", true))
			w.component(owner("x3", "s1", false))
			s := running("", "s1", "x1,x2,x3")
			start, _ := s.Status.StartTime.Time()
			w.now = start.Add(row.elapsed)
			if row.change != nil {
				row.change(w, &s)
			}
			w.session(s)
			op := newSessionCompletion(w.deps())
			w.pass(op, "x9") // no full pass is needed
			if !row.ends {
				w.wantState(string(s.Tenant), "s1", bos.SessionRunning)
			} else {
				w.wantEnded(string(s.Tenant), "s1")
			}
			if got := w.getSession(string(s.Tenant), "s1").Status.Error; got != row.want {
				t.Errorf("error %q, want %q", got, row.want)
			}
			if _, wish := w.sched.at["deadline of "+scheduleID(&s)]; wish != row.wish {
				t.Errorf("wishes %v", w.sched.at)
			}
			w.settled(op)
		})
	}
}

// TestCancelDuringPowerOn disables the component while power-on is at each service on its way to PCS: no command follows.
func TestCancelDuringPowerOn(t *testing.T) {
	for _, call := range []string{"BOS [" + preWrite, "IMS", "BSS", "TOKEN", "BOS [{\"id\":\"x1\",\"desired_state\"", "CFS"} {
		t.Run(call, func(t *testing.T) {
			r := newRig(t)
			r.put(x1, on)
			canceled := false
			r.fail = func(text string) error {
				if !canceled && strings.HasPrefix(text, call) {
					canceled = true
					p := bos.ComponentPatch{Enabled: new(false), Error: new("canceled")}
					if _, err := r.bos.PatchComponent(t.Context(), "", x1, p); err != nil {
						t.Error(err)
					}
				}
				return nil
			}
			op := r.operator("power-on")
			if err := r.pass(op); err != nil {
				t.Error(err)
			}
			if !canceled {
				t.Fatal("not called")
			}
			for _, text := range r.takeLog() {
				if strings.HasPrefix(text, "PCS") {
					t.Errorf("sent %s", text)
				}
			}
			if c := r.bos.Get(x1); c.IsEnabled() || c.ErrorText() != "canceled" {
				t.Errorf("component %s", jsonOf(t, c))
			}
		})
	}
}
