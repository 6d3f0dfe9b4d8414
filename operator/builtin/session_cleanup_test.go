package builtin

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// ended stores a session that began at start.
func (w *world) ended(tenant, name string, start time.Time, state bos.SessionState) {
	w.t.Helper()
	w.session(bos.Session{Name: name, Tenant: bos.NullString(tenant), Status: &bos.SessionStatus{StartTime: bos.Stamp(start), Status: state}})
}

// sessions returns the names of the sessions there are.
func (w *world) sessions() string {
	w.t.Helper()
	all, err := w.service.ListSessions(w.t.Context(), bos.SessionFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Key().String())
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func TestOPSessionCleanup(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name  string
		ttl   string
		write string // the call that is made
		left  string
		next  time.Duration // when the operator wants to look again, after now; 0 = at no time
	}{
		{"OP-082 seven days", "7d", "DeleteSessions complete 168h0m0s", "new, running", 6 * day},
		{"OP-082 one day", "24h", "DeleteSessions complete 24h0m0s", "running", 0},
		{"OP-082 upper case", "7D", "DeleteSessions complete 168h0m0s", "new, running", 6 * day},
		{"OP-083 zero", "0", "", "new, old, old (tenant red), running", 0},
		{"OP-083 zero days", "0d", "", "new, old, old (tenant red), running", 0},
		{"OP-083 zero hours", "0h", "", "new, old, old (tenant red), running", 0},
		{"nothing is old enough", "9w", "", "new, old, old (tenant red), running", 63*day - 8*day},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.tenants.Set("red")
			w.options(bos.OptionsPatch{CleanupCompletedSessionTTL: new(c.ttl)})
			w.ended("", "old", w.now.Add(-8*day), bos.SessionComplete)
			w.ended("red", "old", w.now.Add(-8*day), bos.SessionComplete) // operators Q-10
			w.ended("", "new", w.now.Add(-day-time.Second), bos.SessionComplete)
			w.ended("", "running", w.now.Add(-30*day), bos.SessionRunning)
			op := newSessionCleanup(w.deps())
			w.pass(op)
			if got := strings.Join(w.api.writes(), "; "); got != c.write {
				t.Errorf("wrote %q, want %q", got, c.write)
			}
			if got := w.sessions(); got != c.left {
				t.Errorf("left are %s; want %s", got, c.left)
			}
			if c.next == 0 {
				if at, ok := w.sched.at[expiryID]; ok {
					t.Errorf("looks again at %s, want never", at)
				}
			} else if d := w.sched.at[expiryID].Sub(w.now); d < c.next-time.Minute || d > c.next+time.Minute {
				t.Errorf("looks again in %s, want about %s", d, c.next)
			}
			w.settled(op)
		})
	}
}

func TestSessionCleanupOutage(t *testing.T) {
	w := newWorld(t)
	w.ended("", "old", w.now.Add(-10*24*time.Hour), bos.SessionComplete)
	op := newSessionCleanup(w.deps())
	for _, call := range []string{"ListSessions", "DeleteSessions"} {
		w.api.before = failOn(call, errAway)
		if err := w.run(op); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("%s: err = %v, want the outage", call, err)
		}
	}
	w.api.before = nil
	w.pass(op)
	if got := w.sessions(); got != "" {
		t.Errorf("left are %s", got)
	}
}

func TestSweepPeriods(t *testing.T) {
	cleanup, actual := &sessionCleanup{}, &actualStateCleanup{}
	for _, row := range []struct {
		sessions, reports         string
		polling                   time.Duration
		wantSessions, wantReports time.Duration
	}{
		{"7d", "4h", 15 * time.Second, 5 * time.Minute, 15 * time.Minute},
		{"1m", "1h", 15 * time.Second, 15 * time.Second, 450 * time.Second},
		{"0", "1h", time.Hour, time.Hour, time.Hour},
		{"0", "1h", time.Second, 5 * time.Minute, 450 * time.Second},
		{"x", "x", 20 * time.Second, 20 * time.Second, 20 * time.Second},
	} {
		o := bos.Options{CleanupCompletedSessionTTL: row.sessions, ComponentActualStateTTL: row.reports, PollingFrequency: row.polling}
		if got := cleanup.Period(o); got != row.wantSessions {
			t.Errorf("sessions %s, polling %s: period %s, want %s", row.sessions, row.polling, got, row.wantSessions)
		}
		if got := actual.Period(o); got != row.wantReports {
			t.Errorf("reports %s, polling %s: period %s, want %s", row.reports, row.polling, got, row.wantReports)
		}
	}
}
