package builtin

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/cfs/cfstest"
)

// configuring makes an enabled component in phase configuring.
func configuring(id bos.ComponentID, session, configuration, errorText string) bos.Component {
	return bos.Component{
		ID: id, Enabled: new(true), Session: new(session), Error: new(errorText),
		DesiredState: &bos.DesiredState{BootArtifacts: fixtureArtifacts.Fields(), Configuration: new(configuration)},
		ActualState:  &bos.ActualState{BootArtifacts: fixtureArtifacts.Fields()},
		Status:       &bos.ComponentStatus{Phase: new(bos.PhaseConfiguring)},
	}
}

// assignments returns what CFS was told.
func (w *world) assignments() []cfstest.Call {
	return slices.DeleteFunc(w.cfs.Calls(), func(c cfstest.Call) bool { return c.Method != "Assign" })
}

// errorOf returns the error of a component.
func (w *world) errorOf(id bos.ComponentID) string {
	w.t.Helper()
	c := w.getComponent(id)
	return c.ErrorText()
}

func TestOPConfiguration(t *testing.T) {
	assign := func(configuration, session string, ids ...bos.ComponentID) cfstest.Call {
		return cfstest.Call{Method: "Assign", IDs: ids, Assignment: cfs.Assignment{Configuration: configuration, Session: session, Enabled: true}}
	}
	for _, c := range []struct {
		name       string
		components []bos.Component
		known      []cfs.Component
		assigned   []cfstest.Call
		writes     []string
	}{
		{
			name: "OP-069 another configuration", components: []bos.Component{configuring("x1", "s1", "cfg1", "z")},
			known:    []cfs.Component{{ID: "x1", DesiredConfig: "old"}},
			assigned: []cfstest.Call{assign("cfg1", "s1", "x1")}, writes: []string{"PatchGuarded x1"},
		},
		{
			name: "OP-069 without an error nothing is written", components: []bos.Component{configuring("x1", "s1", "cfg1", "")},
			known: []cfs.Component{{ID: "x1", DesiredConfig: "old"}}, assigned: []cfstest.Call{assign("cfg1", "s1", "x1")},
		},
		{
			name: "OP-070 the same configuration", components: []bos.Component{configuring("x1", "s1", "cfg1", "z")},
			known: []cfs.Component{{ID: "x1", DesiredConfig: "cfg1"}},
		},
		{
			name:       "OP-071 a neighbour that cfs does not know",
			components: []bos.Component{configuring("x1", "s1", "cfg1", ""), configuring("x2", "s1", "cfg1", "")},
			known:      []cfs.Component{{ID: "x1", DesiredConfig: "old"}}, assigned: []cfstest.Call{assign("cfg1", "s1", "x1")},
		},
		{
			name: "grouped by configuration and session",
			components: []bos.Component{
				configuring("x1", "s1", "b", ""), configuring("x2", "s1", "a", ""), configuring("x3", "s2", "b", ""), configuring("x4", "s1", "b", ""),
			},
			known:    []cfs.Component{{ID: "x1"}, {ID: "x2"}, {ID: "x3"}, {ID: "x4"}},
			assigned: []cfstest.Call{assign("a", "s1", "x2"), assign("b", "s1", "x1", "x4"), assign("b", "s2", "x3")},
		},
		{
			name: "no configuration any more", components: []bos.Component{configuring("x1", "s1", "", "")},
			known: []cfs.Component{{ID: "x1", DesiredConfig: "old"}}, assigned: []cfstest.Call{assign("", "s1", "x1")},
		},
		{
			name:       "neither disabled nor in another phase",
			components: []bos.Component{owner("x1", "s1", true), func() bos.Component { c := configuring("x2", "s1", "c", ""); c.Enabled = new(false); return c }()},
			known:      []cfs.Component{{ID: "x1"}, {ID: "x2"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			for _, comp := range c.components {
				w.component(comp)
			}
			w.cfs.Set(c.known...)
			op := newConfiguration(w.deps())
			w.pass(op)
			if diff := gocmp.Diff(c.assigned, w.assignments()); diff != "" && len(c.assigned)+len(w.assignments()) > 0 {
				t.Errorf("assignments (-want +got)\n%s", diff)
			}
			if got := w.api.writes(); !slices.Equal(got, c.writes) {
				t.Errorf("writes %q, want %q", got, c.writes)
			}
			w.settled(op)
		})
	}
}

func TestConfigurationEnables(t *testing.T) {
	for _, tc := range []struct {
		name  string
		known cfs.Component
		after time.Duration
		want  int // assignments
	}{
		{"the node enables it itself", cfs.Component{ID: "x1", DesiredConfig: "cfg1", Status: cfs.StatusPending}, disabledLimit, 0},
		{"nobody enabled it", cfs.Component{ID: "x1", DesiredConfig: "cfg1", Status: cfs.StatusPending}, disabledLimit + time.Second, 1},
		{"cfs is at it", cfs.Component{ID: "x1", DesiredConfig: "cfg1", Status: cfs.StatusPending, Enabled: true}, time.Hour, 0},
		{"cfs is done", cfs.Component{ID: "x1", DesiredConfig: "cfg1", Status: "configured"}, time.Hour, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.component(configuring("x1", "s1", "cfg1", ""))
			w.cfs.Set(tc.known)
			op := newConfiguration(w.deps())
			w.pass(op)
			w.now = w.now.Add(tc.after)
			w.pass(op)
			got := w.assignments()
			if len(got) != tc.want || len(got) > 0 && !got[0].Assignment.Enabled {
				t.Errorf("assignments %+v, want %d", got, tc.want)
			}
			w.settled(op)
		})
	}
	t.Run("another boot", func(t *testing.T) {
		w := newWorld(t)
		w.cfs.Set(cfs.Component{ID: "x1", DesiredConfig: "cfg1", Status: cfs.StatusPending})
		op := newConfiguration(w.deps())
		for range 2 {
			w.component(configuring("x1", "s1", "cfg1", ""))
			w.pass(op)
			w.component(owner("x1", "s1", false))
			w.now = w.now.Add(time.Hour)
			w.pass(op)
		}
		if got := w.assignments(); len(got) > 0 {
			t.Errorf("it counts from the boot before: %+v", got)
		}
	})
}

func TestOPConfigurationFailure(t *testing.T) {
	boom := fmt.Errorf("Non-2XX response (500) to PATCH http://cray-cfs-api/v3/components; INTERNAL SERVER ERROR boom: %w", bos.ErrUnavailable)
	t.Run("OP-072 cfs fails", func(t *testing.T) {
		w, on := newWorld(t), true
		w.component(configuring("x1", "s1", "cfg1", ""))
		w.component(configuring("x2", "s1", "cfg2", ""))
		w.cfs.Set(cfs.Component{ID: "x1"}, cfs.Component{ID: "x2"})
		w.cfs.OnCall = func(c cfstest.Call) error {
			if on && c.Method == "Assign" && c.Assignment.Configuration == "cfg1" {
				return boom
			}
			return nil
		}
		op := newConfiguration(w.deps())
		if err := w.run(op); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("err = %v, want the outage", err)
		}
		if got := w.errorOf("x1"); got != boom.Error() {
			t.Errorf("error of x1 is %q", got)
		}
		if got := w.errorOf("x2"); got != "" {
			t.Errorf("x2 of the other configuration is blamed: %q", got)
		}
		before := len(w.cfs.Calls())
		w.pass(op, "x1") // in its back-off
		if n := len(w.cfs.Calls()); n != before {
			t.Error("cfs was asked during the back-off")
		}
		// The same failure again changes nothing at BOS.
		writes := len(w.api.writes())
		w.sched.elapse()
		if err := w.run(op); err == nil {
			t.Error("the outage is no error")
		}
		if got := w.api.writes()[writes:]; len(got) > 0 {
			t.Errorf("an unchanged error was written again: %q", got)
		}
		on = false
		w.sched.elapse()
		w.pass(op)
		if got := w.errorOf("x1"); got != "" {
			t.Errorf("error of x1 is still %q", got)
		}
		w.settled(op)
	})
	t.Run("OP-073 many nodes, one assignment", func(t *testing.T) {
		w := newWorld(t)
		var ids []bos.ComponentID
		for i := range 450 {
			id := bos.ComponentID(fmt.Sprintf("n%03d", i))
			ids = append(ids, id)
			w.component(configuring(id, "s1", "cfg1", ""))
			w.cfs.Set(cfs.Component{ID: id})
		}
		w.pass(newConfiguration(w.deps()))
		got := w.assignments()
		if len(got) != 1 || !slices.Equal(got[0].IDs, ids) {
			t.Errorf("%d assignments, want one of 450 nodes", len(got))
		}
	})
	t.Run("cfs cannot be read", func(t *testing.T) {
		w := newWorld(t)
		w.component(configuring("x1", "s1", "cfg1", ""))
		w.cfs.OnCall = func(cfstest.Call) error { return errAway }
		op := newConfiguration(w.deps())
		if err := w.run(op); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("err = %v, want the outage", err)
		}
		if got := w.api.writes(); len(got) > 0 || w.sched.retries() != 1 {
			t.Errorf("wrote %q, %d back-offs", got, w.sched.retries())
		}
	})
	t.Run("one of many is refused", func(t *testing.T) {
		w := newWorld(t)
		var components []bos.ComponentID
		for i := range 50 {
			id := bos.ComponentID(fmt.Sprintf("n%02d", i))
			components = append(components, id)
			w.component(configuring(id, "s1", "cfg1", ""))
			w.cfs.Set(cfs.Component{ID: id})
		}
		w.cfs.OnCall = func(c cfstest.Call) error {
			if c.Method == "Assign" && slices.Contains(c.IDs, "n33") {
				return fmt.Errorf("no such thing: %w", bos.ErrInvalid)
			}
			return nil
		}
		op := newConfiguration(w.deps())
		if err := w.run(op); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("err = %v, want the refusal", err)
		}
		for _, id := range components {
			c, _ := w.cfs.Get(id)
			if failed := id == "n33"; failed != (w.errorOf(id) != "") || failed == (c.DesiredConfig == "cfg1") {
				t.Errorf("%s: configuration %q, error %q", id, c.DesiredConfig, w.errorOf(id))
			}
		}
	})
	t.Run("all are refused", func(t *testing.T) {
		w := newWorld(t)
		for i := range 300 {
			id := bos.ComponentID(fmt.Sprintf("n%03d", i))
			w.component(configuring(id, "s1", "cfg1", ""))
			w.cfs.Set(cfs.Component{ID: id})
		}
		w.cfs.OnCall = func(c cfstest.Call) error {
			if c.Method == "Assign" {
				return fmt.Errorf("no such configuration: %w", bos.ErrInvalid)
			}
			return nil
		}
		if err := w.run(newConfiguration(w.deps())); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("err = %v, want the refusal", err)
		}
		if n := len(w.assignments()); n > 40 {
			t.Errorf("%d requests for one group", n)
		}
		if got := w.errorOf("n299"); got == "" {
			t.Error("n299 has no error")
		}
	})
	t.Run("taken over while cfs was told", func(t *testing.T) {
		w := newWorld(t)
		w.component(configuring("x1", "s1", "cfg1", "old error"))
		w.cfs.Set(cfs.Component{ID: "x1"})
		w.cfs.OnCall = func(c cfstest.Call) error {
			if c.Method == "Assign" {
				w.component(configuring("x1", "s2", "cfg2", "its own"))
			}
			return nil
		}
		w.pass(newConfiguration(w.deps()))
		if got := w.errorOf("x1"); got != "its own" {
			t.Errorf("error of x1 is %q, want that of the new session untouched", got)
		}
	})
	t.Run("without the lease cfs is not told", func(t *testing.T) {
		w := newWorld(t)
		w.component(configuring("x1", "s1", "cfg1", ""))
		w.cfs.Set(cfs.Component{ID: "x1"})
		tick := w.tick()
		tick.Lease = lostLease{}
		if err := newConfiguration(w.deps()).Run(t.Context(), tick); !errors.Is(err, bos.ErrConflict) {
			t.Errorf("err = %v, want ErrConflict", err)
		}
		if got := w.assignments(); len(got) > 0 {
			t.Errorf("cfs was told %v", got)
		}
		if got := w.errorOf("x1"); got != "" {
			t.Errorf("x1 is blamed: %q", got)
		}
	})
}

// lostLease is a lease that somebody else has.
type lostLease struct{}

func (lostLease) Check() error { return bos.ErrConflict }
func (lostLease) Token() int64 { return 1 }

// TestConfigurationOfSomeIDs makes a pass over what has changed only.
func TestConfigurationOfSomeIDs(t *testing.T) {
	w := newWorld(t)
	w.component(configuring("x1", "s1", "cfg1", ""))
	w.component(configuring("x2", "s1", "cfg1", ""))
	w.cfs.Set(cfs.Component{ID: "x1"}, cfs.Component{ID: "x2"})
	w.pass(newConfiguration(w.deps()), "x2", "x6")
	if got := w.assignments(); len(got) != 1 || !slices.Equal(got[0].IDs, []bos.ComponentID{"x2"}) {
		t.Errorf("assigned %v, want x2 alone", got)
	}
}

// TestConfigurationForgets drops the failures of a component that is configuring no more.
func TestConfigurationForgets(t *testing.T) {
	w := newWorld(t)
	w.component(configuring("x1", "s1", "cfg1", ""))
	w.cfs.OnCall = func(cfstest.Call) error { return errAway }
	op := newConfiguration(w.deps())
	if err := w.run(op); err == nil || w.sched.retries() != 1 {
		t.Fatalf("err = %v, %d back-offs", err, w.sched.retries())
	}
	w.component(owner("x1", "s1", false))
	w.pass(op, "x1")
	if w.sched.retries() != 0 {
		t.Error("the failures of x1 are kept")
	}
}

func TestConfigurationWakes(t *testing.T) {
	op := &configuration{}
	for _, row := range []struct {
		change bos.Change
		want   bool
	}{
		{bos.Change{Kind: bos.ChangeComponent, Enabled: true, Status: bos.StatusConfiguring}, true},
		{bos.Change{Kind: bos.ChangeComponent, Enabled: false, Status: bos.StatusConfiguring}, false},
		{bos.Change{Kind: bos.ChangeComponent, Enabled: true, Status: bos.StatusPowerOnCalled}, false},
		{bos.Change{Kind: bos.ChangeComponent, Enabled: true, Status: bos.StatusConfiguring, Deleted: true}, false},
		{bos.Change{Kind: bos.ChangeSession, Enabled: true, Status: bos.StatusConfiguring}, false},
	} {
		if got := op.Wakes(&row.change); got != row.want {
			t.Errorf("Wakes(%+v) = %v", row.change, got)
		}
	}
}
