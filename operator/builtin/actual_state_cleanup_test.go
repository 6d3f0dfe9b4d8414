package builtin

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// reported makes a disabled, stable component that reported the artifacts of the fixture so long ago.
func (w *world) reported(id bos.ComponentID, age time.Duration) bos.Component {
	c := owner(id, "s1", false)
	c.ActualState = &bos.ActualState{BootArtifacts: fixtureArtifacts.Fields(), LastUpdated: new(bos.Stamp(w.now.Add(-age)))}
	c.Error = new("keep")
	c.LastAction = &bos.LastAction{Action: new(bos.ActionPoweringOn), LastUpdated: new(bos.Stamp(w.now.Add(-age)))}
	return c
}

func TestOPActualStateCleanup(t *testing.T) {
	const ttl = 4 * time.Hour
	for _, c := range []struct {
		name    string
		option  string // default 4h
		age     time.Duration
		record  func(*bos.Component)
		cleared bool
		action  bos.Action // afterwards; empty = as before
	}{
		{name: "OP-077 expired", age: ttl + time.Second, cleared: true, action: bos.ActionActualStateCleanup},
		{name: "OP-077 not quite expired", age: ttl},
		{name: "OP-077 nothing reported", age: 9 * ttl, record: func(c *bos.Component) { c.ActualState.BootArtifacts = bos.BootArtifacts{}.Fields() }},
		{name: "OP-078 upper case", option: "1H", age: time.Hour + time.Second, cleared: true, action: bos.ActionActualStateCleanup},
		{name: "OP-078 upper case, not expired", option: "1H", age: time.Hour},
		{name: "OP-079 a week", option: "1w", age: 604801 * time.Second, cleared: true, action: bos.ActionActualStateCleanup},
		{
			name: "OP-080 only a token", age: 99 * ttl,
			record: func(c *bos.Component) {
				c.ActualState.BootArtifacts, c.ActualState.BSSToken = nil, new(bos.BSSToken("tok"))
			},
		},
		{
			name: "OP-081 without a stamp", record: func(c *bos.Component) { c.ActualState.LastUpdated = nil },
			cleared: true, action: bos.ActionActualStateCleanup,
		},
		{
			name: "only an initrd", age: ttl + time.Second, cleared: true, action: bos.ActionActualStateCleanup,
			record: func(c *bos.Component) { c.ActualState.BootArtifacts = &bos.ArtifactFields{Initrd: new("i")} },
		},
		{
			name: "OP-141 enabled: the escalation clock is untouched", age: ttl + time.Second, cleared: true,
			record: func(c *bos.Component) {
				c.Enabled = new(true)
				c.Status = &bos.ComponentStatus{Phase: new(bos.PhasePoweringOff)}
				c.LastAction = &bos.LastAction{Action: new(bos.ActionPoweringOffGraceful), LastUpdated: new(bos.Timestamp("2026-03-01T11:59:00"))}
			},
		},
		{
			name: "failed: what was done last stays", age: ttl + time.Second, cleared: true,
			record: func(c *bos.Component) { c.Status = &bos.ComponentStatus{StatusOverride: new(bos.StatusFailed)} },
		},
		{
			name: "enabled, booted with a longer frequency than the option now", option: "1h", age: 2 * time.Hour,
			record: func(c *bos.Component) { c.Enabled = new(true) },
		},
		{
			name: "enabled, older than that frequency too", option: "1h", age: ttl + time.Second, cleared: true,
			record: func(c *bos.Component) { c.Enabled = new(true) },
		},
		{
			name: "enabled, without a frequency", option: "1h", age: 2 * time.Hour, cleared: true,
			record: func(c *bos.Component) {
				c.Enabled = new(true)
				c.ActualState.BootArtifacts.KernelParameters = new("quiet bos_update_frequency=often")
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.option != "" {
				w.options(bos.OptionsPatch{ComponentActualStateTTL: new(c.option)})
			}
			record := w.reported("x1", c.age)
			if c.record != nil {
				c.record(&record)
			}
			w.component(record)
			op := newActualStateCleanup(w.deps())
			w.pass(op)
			after := w.getComponent("x1")
			var writes []string
			if c.cleared {
				writes = []string{"PatchGuarded x1"}
				if !after.ActualArtifacts().Empty() {
					t.Errorf("still there: %+v", after.ActualArtifacts())
				}
			}
			if got := w.api.writes(); !slices.Equal(got, writes) {
				t.Errorf("writes %q, want %q", got, writes)
			}
			if after.ErrorText() != "keep" {
				t.Errorf("error is %q, want it kept", after.ErrorText())
			}
			if c.action == "" {
				if after.Action() != record.Action() || after.ActionTime() != record.ActionTime() {
					t.Errorf("last action is %s at %s, want it untouched", after.Action(), after.ActionTime())
				}
			} else if after.Action() != c.action {
				t.Errorf("last action is %s, want %s", after.Action(), c.action)
			}
			w.settled(op)
		})
	}
}

// TestActualStateCleanupSchedule asks for a pass when the next report expires, and for none when there is no report.
func TestActualStateCleanupSchedule(t *testing.T) {
	w := newWorld(t)
	op := newActualStateCleanup(w.deps())
	w.pass(op)
	if len(w.sched.at) > 0 {
		t.Errorf("wishes without a report: %v", w.sched.at)
	}
	w.component(w.reported("x1", time.Hour))
	w.component(w.reported("x2", 2*time.Hour))
	w.component(w.reported("x3", 5*time.Hour))
	w.pass(op)
	if got, want := w.sched.at[expiryID], w.now.Add(2*time.Hour+time.Second); !got.Equal(want) {
		t.Errorf("looks again at %s, want %s", got, want)
	}
	w.now = w.sched.at[expiryID]
	w.pass(op, expiryID)
	if c := w.getComponent("x2"); !c.ActualArtifacts().Empty() {
		t.Error("x2 is not cleared when its time has come")
	}
	// Those that expire soon after each other are taken together.
	w.component(w.reported("x1", 4*time.Hour-time.Second))
	w.pass(op)
	if got, want := w.sched.at[expiryID], w.now.Add(sweepPause); !got.Equal(want) {
		t.Errorf("looks again at %s, want %s", got, want)
	}
}

// TestActualStateCleanupTakenOver lets a session take the component between reading and writing.
func TestActualStateCleanupTakenOver(t *testing.T) {
	w := newWorld(t)
	w.component(w.reported("x1", 5*time.Hour))
	w.api.before = func(call string) error {
		if isWrite(call) {
			c := w.reported("x1", 5*time.Hour)
			c.Session, c.Enabled = new("s2"), new(true)
			w.component(c)
		}
		return nil
	}
	w.pass(newActualStateCleanup(w.deps()))
	if c := w.getComponent("x1"); c.ActualArtifacts().Empty() || c.Action() != bos.ActionPoweringOn {
		t.Errorf("the component of another session was written: %+v", c)
	}
}

// TestActualStateCleanupHearsLateReports lets nodes report between reading and writing.
func TestActualStateCleanupHearsLateReports(t *testing.T) {
	for _, row := range []struct {
		name string
		read func(*bos.Component) // what the pass reads
	}{
		{"expired", func(*bos.Component) {}},
		{"without a stamp", func(c *bos.Component) { c.ActualState.LastUpdated = nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			for _, id := range []bos.ComponentID{"x1", "x2"} {
				c := w.reported(id, 5*time.Hour)
				row.read(&c)
				w.component(c)
			}
			w.api.before = func(call string) error {
				if isWrite(call) {
					w.component(w.reported("x1", 0))
				}
				return nil
			}
			w.pass(newActualStateCleanup(w.deps()))
			if c := w.getComponent("x1"); c.ActualArtifacts() != fixtureArtifacts || c.Action() != bos.ActionPoweringOn {
				t.Errorf("the report that came meanwhile is lost: %+v, last action %s", c.ActualArtifacts(), c.Action())
			}
			if c := w.getComponent("x2"); !c.ActualArtifacts().Empty() {
				t.Error("the report that did not change is not cleared")
			}
		})
	}
}

func TestActualStateCleanupOutage(t *testing.T) {
	w := newWorld(t)
	w.component(w.reported("x1", 5*time.Hour))
	op := newActualStateCleanup(w.deps())
	for _, call := range []string{"ListComponents", "PatchGuarded"} {
		w.api.before = failOn(call, errAway)
		if err := w.run(op); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("%s: err = %v, want the outage", call, err)
		}
	}
	w.api.before = nil
	w.pass(op)
	w.settled(op)
}

// pruner notes how often, and after what time, unused tokens were to be removed.
type pruner struct {
	API
	asked []time.Duration
	err   error
}

func (p *pruner) PruneBootArtifacts(ctx context.Context, unused time.Duration) (int, error) {
	p.asked = append(p.asked, unused)
	if p.err != nil {
		return 0, p.err
	}
	return p.API.PruneBootArtifacts(ctx, unused)
}

func TestActualStateCleanupPrunesTokens(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for _, row := range []struct {
		name    string
		setting *int
		ttl     string
		err     error
		asked   []time.Duration // by three passes within an hour
		fails   bool
	}{
		{name: "by default after a week", asked: []time.Duration{week}},
		{name: "setting", setting: new(2 * 86400), asked: []time.Duration{48 * time.Hour}},
		{name: "no sooner than nodes repeat their reports", setting: new(60), asked: []time.Duration{4 * time.Hour}},
		{name: "reports once a month", ttl: "4w", asked: []time.Duration{4 * week}},
		{name: "for ever", setting: new(0)},
		{name: "not known to the server", err: bos.ErrUnsupported, asked: []time.Duration{week}},
		{name: "outage", err: errAway, asked: []time.Duration{week, week, week}, fails: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			if row.ttl != "" {
				w.options(bos.OptionsPatch{ComponentActualStateTTL: new(row.ttl)})
			}
			if _, err := w.service.UpdateSettings(t.Context(), bos.SettingsPatch{TokenRetentionTime: row.setting}); err != nil {
				t.Fatal(err)
			}
			spy := &pruner{API: w.api, err: row.err}
			deps := w.deps()
			deps.API = spy
			op := newActualStateCleanup(deps)
			for range 3 {
				if err := w.run(op); (err != nil) != row.fails {
					t.Errorf("err = %v", err)
				}
				w.now = w.now.Add(20 * time.Minute)
			}
			if !slices.Equal(spy.asked, row.asked) {
				t.Errorf("asked %v, want %v", spy.asked, row.asked)
			}
			if err := w.run(op, expiryID); err != nil {
				t.Errorf("err = %v", err)
			}
			if len(spy.asked) != len(row.asked) {
				t.Error("asked in a pass over a few")
			}
			_ = w.run(op)
			if more := len(spy.asked) - len(row.asked); more != min(len(row.asked), 1) {
				t.Errorf("asked %d times after an hour", more)
			}
		})
	}
}

// TestActualStateCleanupKeepsTokensInUse boots, in the records, one node after the other: what stands behind their tokens
// stays while a report may need it.
func TestActualStateCleanupKeepsTokensInUse(t *testing.T) {
	w := newWorld(t)
	op := newActualStateCleanup(w.deps())
	known := func(token bos.BSSToken) bool {
		_, err := w.store.BootArtifacts().Get(t.Context(), token)
		return err == nil
	}
	for _, token := range []bos.BSSToken{"booted", "boots", "gone"} {
		if err := w.service.PutBootArtifacts(t.Context(), token, fixtureArtifacts); err != nil {
			t.Fatal(err)
		}
	}
	w.component(bos.Component{ID: "x1", ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken("booted"))}})
	w.component(bos.Component{ID: "x2", DesiredState: &bos.DesiredState{BSSToken: new(bos.BSSToken("boots"))}})
	for range 9 {
		w.pass(op)
		if !known("booted") || !known("boots") {
			t.Fatalf("the token of a component is gone at %s", w.now)
		}
		if before := w.now.Before(time.Date(2026, 3, 8, 12, 0, 1, 0, time.UTC)); known("gone") != before {
			t.Errorf("the unused token at %s: known %t", w.now, known("gone"))
		}
		w.now = w.now.Add(24 * time.Hour)
	}
}
