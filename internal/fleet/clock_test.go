package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// advance lets time pass on a manual clock or ends the test.
func advance(t testing.TB, m *Machine, d time.Duration) {
	t.Helper()
	if err := m.Advance(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// TestManualClock boots and stops a node on a clock that stands still by itself.
func TestManualClock(t *testing.T) {
	var r reports
	m := newMachine(t, Config{Nodes: 2, Speed: 1, Manual: true, Report: r.send})
	defer run(t, m)()
	want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","enabled":false,"state":[]},"filters":{"ids":"`+x0+`"}}`, 200, nil)
	token := putBoot(t, m, x0, "quiet")
	id := transit(t, m, "On", x0)
	if tr := transitionOf(t, m, id); tr.TransitionStatus != "new" {
		t.Errorf("time passed by itself: %+v", tr)
	}
	advance(t, m, 499*time.Millisecond)
	if s := state(t, m, x0); s.Phase != "off" {
		t.Errorf("before PCS acts: %+v", s)
	}
	advance(t, m, time.Millisecond)
	if s := state(t, m, x0); s.Phase != "powering_on" {
		t.Errorf("when PCS acts: %+v", s)
	}
	if m.Clock().Idle {
		t.Error("a machine with a node that powers on is idle")
	}
	passed, err := m.AdvanceUntilIdle(t.Context(), time.Hour)
	if s := state(t, m, x0); err != nil || passed < 5*time.Minute || passed > 25*time.Minute || s.Phase != "up" || !s.Reported || s.CFS != "configured" {
		t.Errorf("idle after %v, %v: %+v", passed, err, s)
	}
	if got := r.list(); !slices.Equal(got, []string{x0 + " " + token}) {
		t.Errorf("reports %q", got)
	}
	if again, err := m.AdvanceUntilIdle(t.Context(), time.Hour); again != 0 || err != nil {
		t.Errorf("an idle machine went on for %v, %v", again, err)
	}
	advance(t, m, 3*time.Hour) // the report is due again every 3 h, the first time earlier
	if got := r.list(); len(got) < 2 || !m.Clock().Idle {
		t.Errorf("reports %q", got)
	}
	transit(t, m, "Soft-Off", x0)
	if _, err := m.AdvanceUntilIdle(t.Context(), time.Hour); err != nil || state(t, m, x0).Phase != "off" {
		t.Errorf("shutdown: %v, %+v", err, state(t, m, x0))
	}
	transit(t, m, "On", x1) // which has no boot script
	if passed, err := m.AdvanceUntilIdle(t.Context(), time.Hour); passed != time.Hour || !errors.Is(err, ErrNotIdle) {
		t.Errorf("a node that asks for ever was idle after %v, %v", passed, err)
	}
}

// TestRecordedTime: whatever the machine writes down is on its own clock, and so is
// what expires.
func TestRecordedTime(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Speed: 1, Manual: true, Faults: []Fault{{Kind: "bmc_unreachable", After: 10 * time.Hour, For: time.Hour}}})
	defer run(t, m)()
	start := m.Clock().Time
	advance(t, m, 9*time.Hour)
	id := transit(t, m, "On", x0)
	if at := m.Calls("pcs")[0].Time; at.Sub(start) != 9*time.Hour {
		t.Errorf("call log: %v", at)
	}
	var tr struct{ CreateTime time.Time }
	want(t, m, "GET", "/pcs/v1/transitions/"+id, "", 200, &tr)
	if at := tr.CreateTime; at.Before(start.Add(9*time.Hour-time.Second)) || at.After(start.Add(9*time.Hour)) {
		t.Errorf("transition: %v, the machine started at %v", at, start)
	}
	reserve := `{"ComponentIDs":["` + x0 + `"],"ReservationDuration":2}`
	advance(t, m, 5*time.Minute)
	want(t, m, "POST", "/hsm/v2/locks/service/reservations", reserve, 200, nil)
	advance(t, m, 2*time.Minute-1)
	want(t, m, "POST", "/hsm/v2/locks/service/reservations", reserve, 400, nil)
	advance(t, m, 1)
	want(t, m, "POST", "/hsm/v2/locks/service/reservations", reserve, 200, nil)
	advance(t, m, time.Hour)
	if got := state(t, m, x0).PCSPower; got != "undefined" {
		t.Errorf("power %s during the fault", got)
	}
	advance(t, m, time.Hour)
	if got := state(t, m, x0).PCSPower; got != "on" {
		t.Errorf("power %s after the fault", got)
	}
}

// TestTimeStandsStill: time does not pass while a report is under way, however long
// BOS takes; reports that are due together go out together.
func TestTimeStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var m *Machine
		now, most := 0, 0
		m = newMachine(t, Config{Nodes: 8, Manual: true, ReportWorkers: 8, Report: func(context.Context, string, string) (int, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			before := m.Clock()
			time.Sleep(time.Minute)
			mu.Lock()
			now--
			mu.Unlock()
			if after := m.Clock(); after.Elapsed != before.Elapsed || after.Idle {
				t.Errorf("during a report: %+v, then %+v", before, after)
			}
			return 200, nil
		}})
		defer run(t, m)()
		putBoot(t, m, "Compute", "quiet")
		bootAll(t, m)
		passed, err := m.AdvanceUntilIdle(t.Context(), time.Hour)
		if err != nil || passed > time.Second || most != 8 || m.count.reports != 8 {
			t.Errorf("%v %v: at most %d at once, %d accepted", passed, err, most, m.count.reports)
		}
	})
}

func TestAdvanceErrors(t *testing.T) {
	running := newMachine(t, Config{Nodes: 1, Speed: 60})
	if err := running.Advance(t.Context(), time.Second); !errors.Is(err, ErrNotManual) {
		t.Errorf("a clock that runs: %v", err)
	}
	m := newMachine(t, Config{Nodes: 1, Manual: true})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Advance(canceled, time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("before Run: %v", err)
	}
	stop := run(t, m)
	if err := m.Advance(t.Context(), -1); err == nil || errors.Is(err, ErrNotManual) {
		t.Errorf("backwards: %v", err)
	}
	if err := m.Advance(canceled, time.Second); !errors.Is(err, context.Canceled) || m.now() != 0 {
		t.Errorf("canceled: %v at %v", err, m.now())
	}
	stop()
	if err := m.Advance(t.Context(), time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("after Run: %v", err)
	}
}

// TestClockOverHTTP reads and moves the clock through the control API.
func TestClockOverHTTP(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Speed: 1, Manual: true})
	defer run(t, m)()
	var c ClockState
	want(t, m, "POST", "/_sim/clock", `{"advance":"30s"}`, 200, &c)
	if c.Clock != "manual" || c.Elapsed != "30s" || !c.Idle || c.Speed != 1 {
		t.Errorf("%+v", c)
	}
	transit(t, m, "On", x0)
	want(t, m, "POST", "/_sim/clock", `{"advance":"1h","until_idle":true}`, 200, &c)
	if c.Idle || c.Elapsed != "1h0m30s" {
		t.Errorf("a node that asks for a boot script for ever: %+v", c)
	}
	for _, body := range []string{``, `{}`, `{"advance":"soon"}`, `{"advance":"-1s"}`, `{"advance":30}`} {
		want(t, m, "POST", "/_sim/clock", body, 400, nil)
	}
	for speed, name := range map[float64]string{1: "real", 60: "scaled", 0: "scaled"} {
		m := newMachine(t, Config{Nodes: 1, Speed: speed})
		want(t, m, "POST", "/_sim/clock", `{"advance":"30s"}`, 409, nil)
		if want(t, m, "GET", "/_sim/clock", "", 200, &c); c.Clock != name {
			t.Errorf("speed %v: %+v", speed, c)
		}
	}
}

// eventLog is all that happened to a machine, in its order: what the nodes went
// through and what the services were asked.
func eventLog(m *Machine) []string {
	type entry struct {
		at   time.Time
		text string
	}
	var log []entry
	for _, n := range m.Nodes() {
		s, _ := m.Node(n.Xname)
		for _, h := range s.History {
			log = append(log, entry{h.Time, s.Xname + " " + h.Phase + " " + h.Note})
		}
		log = append(log, entry{m.time(), fmt.Sprintln(s.Xname, s.Boots, s.Reported, s.CFS, s.HSMState, s.PCSPower, s.Commands, s.Requests, s.Hardware)})
	}
	for _, c := range m.Calls("") {
		log = append(log, entry{c.Time, fmt.Sprintln(c.Service, c.Method, c.Path, c.Items, c.Status)})
	}
	for _, s := range m.cfs.sessions {
		log = append(log, entry{m.time(), fmt.Sprintln(s.Name, s.Config, s.Succeed, xnamesOf(s.members))})
	}
	slices.SortStableFunc(log, func(a, b entry) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.text, b.text)) })
	out := make([]string, len(log))
	for i, e := range log {
		out[i] = e.at.Sub(m.epoch).String() + " " + e.text
	}
	return out
}

// TestSameSeedSameLog: on a manual clock everything that happens to a whole machine,
// failures of every kind included, is decided by the seed.
func TestSameSeedSameLog(t *testing.T) {
	play := func(seed uint64) []string {
		var r reports
		m := newMachine(t, Config{Nodes: 64, Speed: 1, Manual: true, Seed: seed, Report: r.send, Faults: []Fault{
			{Kind: "kernel_panic", Fraction: 0.1}, {Kind: "soft_off_ignored", Fraction: 0.1}, {Kind: "random_power_loss", Value: "2h", Fraction: 0.3},
			{Kind: "random_crash", Value: "2h", Fraction: 0.3}, {Kind: "cfs_fail", Fraction: 0.2}, {Kind: "bmc_flaps", Value: "7m", Fraction: 0.1},
			{Kind: "error_rate", Service: "pcs", Probability: 0.5}, {Kind: "power_on_fails", Probability: 0.2}, {Kind: "outage", Service: "bss", After: 3 * time.Minute, For: 5 * time.Minute},
		}})
		defer run(t, m)()
		want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","enabled":false},"filters":{}}`, 200, nil)
		putBoot(t, m, "Compute", "quiet bos_update_frequency=20m")
		for range 4 {
			for _, operation := range []string{"On", "Soft-Off", "Force-Off", "On"} {
				body := `{"operation":"` + operation + `","taskDeadlineMinutes":1,"location":[`
				for i, n := range m.Nodes() {
					if i > 0 {
						body += ","
					}
					body += `{"xname":"` + n.Xname + `"}`
				}
				call(t, m, "POST", "/pcs/v1/transitions", body+"]}")
				advance(t, m, 13*time.Minute)
			}
		}
		return eventLog(m)
	}
	one := play(7)
	if d := gocmp.Diff(one, play(7)); d != "" {
		t.Error(d)
	}
	if slices.Equal(one, play(8)) {
		t.Error("two seeds make the same log")
	}
	if len(one) < 500 {
		t.Errorf("only %d entries", len(one))
	}
}
