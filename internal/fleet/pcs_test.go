package fleet

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPowerStatusQuirks(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2, Faults: []Fault{{Kind: "bmc_unreachable", Nodes: []string{x0}}, {Kind: "bmc_garbage", Nodes: []string{x1}}}})
	type entry struct {
		Xname, PowerState, ManagementState, Error string
		SupportedPowerTransitions                 []string
	}
	var out struct{ Status []entry }
	want(t, m, "POST", "/pcs/v1/power-status", `{"xname":["`+x0+`","`+x1+`","`+x0+`","x1c0s0b0n0","x3000"]}`, 200, &out)
	all := everyOperation[:]
	if d := cmp.Diff([]entry{
		{x0, "undefined", "unavailable", "", all}, // no error text for an unreachable BMC
		{x1, "undefined", "available", "", all},
		{"x1c0s0b0n0", "", "", "Component not found in component map.", nil},
		{"x3000", "", "", "Component type Cabinet can not have power state.", nil},
	}, out.Status); d != "" {
		t.Error(d)
	}
	// One bad xname spoils the request; PCS does not normalise.
	for _, bad := range []string{"nid1", "x03000c0s1b0n0", "X1000c0s0b0n0", ""} {
		var p struct{ Detail string }
		body, _ := json.Marshal(map[string]any{"xname": []string{x0, bad}})
		want(t, m, "POST", "/pcs/v1/power-status", string(body), 400, &p)
		if p.Detail != "invalid xnames detected: "+bad {
			t.Errorf("detail %q", p.Detail)
		}
	}
	for _, path := range []string{"/pcs/power-status?xname=" + x0 + "&xname=" + x1, "/pcs/v1/power-status"} {
		if want(t, m, "GET", path, "", 200, &out); len(out.Status) != 2 {
			t.Errorf("%s: %d entries", path, len(out.Status))
		}
	}
	if want(t, m, "POST", "/pcs/power-status", `{"managementStateFilter":"Available"}`, 200, &out); len(out.Status) != 1 || out.Status[0].Xname != x1 {
		t.Errorf("filtered: %+v", out.Status)
	}
	want(t, m, "POST", "/pcs/power-status", `{"powerStateFilter":"warm"}`, 400, nil)
}

// TestPowerStatusIsCached checks that PCS answers from its last sweep.
func TestPowerStatusIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Speed: 1})
		defer run(t, m)()
		transit(t, m, "On", x0)
		time.Sleep(15 * time.Second)
		if s := state(t, m, x0); s.Power != "on" || s.PCSPower != "off" {
			t.Errorf("between sweeps: power %s, PCS says %s", s.Power, s.PCSPower)
		}
		time.Sleep(16 * time.Second)
		if s := state(t, m, x0); s.PCSPower != "on" {
			t.Errorf("after a sweep PCS says %s", s.PCSPower)
		}
	})
}

// transitionOf reads a transition.
func transitionOf(t *testing.T, m *Machine, id string) (tr struct {
	TransitionStatus string
	TaskCounts       map[string]int
	Tasks            []taskJSON
}) {
	t.Helper()
	want(t, m, "GET", "/pcs/v1/transitions/"+id, "", 200, &tr)
	return tr
}

func (j taskJSON) String() string {
	return strings.TrimSuffix(j.Xname+": "+j.Status+": "+j.Description+": "+j.Error, ": ")
}

// TestTransitionTasks checks what becomes of tasks that need or get no command.
// The request is answered with 200 whatever they are.
func TestTransitionTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 10, Faults: []Fault{
			{Kind: "hsm_locked", Nodes: []string{"x1000c0s0b0n1"}},
			{Kind: "hsm_reserved_by_other", Nodes: []string{"x1000c0s0b1n0"}},
			{Kind: "pcs_missing", Nodes: []string{"x1000c0s0b1n1"}},
			{Kind: "bmc_unreachable", Nodes: []string{"x1000c0s1b0n0"}},
			{Kind: "power_on_fails", Nodes: []string{"x1000c0s1b0n1"}, Value: "transport"},
			{Kind: "power_on_fails", Nodes: []string{"x1000c0s1b1n0"}},
			{Kind: "hsm_missing", Nodes: []string{"x1000c0s1b1n1"}},
			{Kind: "hsm_empty", Nodes: []string{"x1000c0s2b0n0"}},
		}})
		defer run(t, m)()
		id := transit(t, m, "on", x0, "x1000c0s0b0n1", "x1000c0s0b1n0", "x1000c0s0b1n1", "x1000c0s1b0n0", "x1000c0s1b0n1", "x1000c0s1b1n0",
			"x1000c0s1b1n1", "x1000c0s2b0n0", "nid1", "x1000", "x1000c0s0b0n0")
		synctest.Wait()
		tr := transitionOf(t, m, id)
		var got []string
		for _, task := range tr.Tasks {
			got = append(got, task.String())
		}
		if d := cmp.Diff([]string{
			"x1000c0s0b0n0: succeeded: Transition confirmed, on",
			"x1000c0s0b0n1: failed: Unable to reserve component",
			"x1000c0s0b1n0: failed: Unable to reserve component",
			"x1000c0s0b1n1: failed: Missing xname",
			"x1000c0s1b0n0: failed: Failed to apply transition, on: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
			"x1000c0s1b0n1: failed: Failed to apply transition, on: EOF",
			"x1000c0s1b1n0: failed: Failed to achieve transition: Timeout waiting for transition, on.",
			"x1000c0s1b1n1: failed: Missing xname",
			"x1000c0s2b0n0: failed: Missing xname",
			"nid1: failed: Invalid xname",
			"x1000: unsupported: No power control for component type Cabinet",
		}, got); d != "" {
			t.Error(d)
		}
		counts := map[string]int{"total": 11, "new": 0, "in-progress": 0, "failed": 9, "succeeded": 1, "un-supported": 1}
		if d := cmp.Diff(counts, tr.TaskCounts); tr.TransitionStatus != "completed" || d != "" {
			t.Error(tr.TransitionStatus, d)
		}
		for _, body := range []string{``, `{}`, `{"operation":"jump","location":[]}`, `{"operation":`} {
			want(t, m, "POST", "/pcs/v1/transitions", body, 400, nil)
		}
		h := want(t, m, "POST", "/pcs/transitions", `{"operation":"ON","location":[]}`, 200, nil)
		if !strings.HasPrefix(h.Get("Location"), "../transitions/") {
			t.Errorf("Location %q", h.Get("Location"))
		}
		want(t, m, "GET", "/pcs/v1/transitions/none", "", 400, nil)
		want(t, m, "GET", "/pcs/v1/transitions/7e8b1a52-0000-4000-8000-000000000000", "", 404, nil)
		want(t, m, "DELETE", "/pcs/v1/transitions/7e8b1a52-0000-4000-8000-000000000000", "", 404, nil)
		want(t, m, "DELETE", "/pcs/v1/transitions/"+id, "", 400, nil)
	})
}

func TestAlreadyInDesiredState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 2, Faults: []Fault{{Kind: "no_soft_off_support", Nodes: []string{x1}}}})
		defer run(t, m)()
		for _, op := range []string{"Off", "Soft-Off", "Force-Off"} {
			id := transit(t, m, op, x0)
			synctest.Wait()
			if got := transitionOf(t, m, id).Tasks[0].String(); got != x0+": succeeded: Component already in desired state" {
				t.Errorf("%s: %s", op, got)
			}
		}
		id := transit(t, m, "Soft-Off", x1)
		synctest.Wait()
		if got := transitionOf(t, m, id).Tasks[0].String(); got != x1+": unsupported: Unsupported for transition operation" {
			t.Error(got)
		}
		if s := state(t, m, x0); len(s.Commands) != 0 || s.Requests["Soft-Off"] != 1 {
			t.Errorf("commands %v after requests %v", s.Commands, s.Requests)
		}
	})
}

// TestReservationIsHeldToTheEnd: one slow node holds all nodes of its transition,
// and a second transition on them fails although it is answered with 200.
func TestReservationIsHeldToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 2, Speed: 1, Faults: []Fault{{Kind: "power_on_fails", Nodes: []string{x1}}}})
		defer run(t, m)()
		first := transit(t, m, "On", x0, x1)
		time.Sleep(50 * time.Second) // x0 is on and PCS knows; x1 never will be
		if s := state(t, m, x0); s.PCSPower != "on" {
			t.Fatalf("%+v", s)
		}
		second := transit(t, m, "Force-Off", x0)
		time.Sleep(5 * time.Second)
		if got := transitionOf(t, m, second).Tasks[0].String(); got != x0+": failed: Unable to reserve component" {
			t.Error(got)
		}
		if got := transitionOf(t, m, first); got.TransitionStatus != "in-progress" || got.TaskCounts["succeeded"] != 1 {
			t.Errorf("%+v", got)
		}
		time.Sleep(15 * time.Second) // past the deadline of a minute
		if got := transitionOf(t, m, first); got.TransitionStatus != "completed" ||
			got.Tasks[1].String() != x1+": failed: Failed to achieve transition: Timeout waiting for transition, on." {
			t.Errorf("%+v", got)
		}
		third := transit(t, m, "Force-Off", x0)
		time.Sleep(50 * time.Second)
		if got := transitionOf(t, m, third).Tasks[0].String(); got != x0+": succeeded: Transition confirmed, forceoff" {
			t.Error(got)
		}
	})
}

// TestAbort: DELETE is accepted at once and takes effect when PCS next looks.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Speed: 1})
		defer run(t, m)()
		id := transit(t, m, "On", x0)
		time.Sleep(10 * time.Second)
		want(t, m, "DELETE", "/pcs/v1/transitions/"+id, "", 202, nil)
		if got := transitionOf(t, m, id).TransitionStatus; got != "abort-signaled" {
			t.Errorf("status %s", got)
		}
		time.Sleep(6 * time.Second)
		tr := transitionOf(t, m, id)
		if tr.TransitionStatus != "aborted" || tr.Tasks[0].Error != "Transition aborted" {
			t.Errorf("%+v", tr)
		}
		want(t, m, "DELETE", "/pcs/v1/transitions/"+id, "", 202, nil) // again
		time.Sleep(20 * time.Second)
		if s := state(t, m, x0); s.PCSPower != "on" {
			t.Errorf("hardware is not told to stop; %+v", s)
		}
	})
}

// TestDeputyKey: who holds the reservation may let PCS act under it, on the node that the
// key came with and on no other.
func TestDeputyKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 2, Faults: []Fault{{Kind: "hsm_reserved_by_other", Nodes: []string{x1}}}})
		defer run(t, m)()
		var made struct{ Success []struct{ DeputyKey string } }
		want(t, m, "POST", "/hsm/v2/locks/service/reservations", `{"ComponentIDs":["`+x0+`"],"ReservationDuration":5}`, 200, &made)
		for _, tc := range []struct{ key, task string }{
			{"x:dk:wrong", "failed: Invalid deputy key and unable to reserve component"},
			{made.Success[0].DeputyKey, "succeeded: Transition confirmed, on"},
		} {
			var out struct{ TransitionID string }
			want(t, m, "POST", "/pcs/v1/transitions", `{"operation":"On","location":[{"xname":"`+x0+`","deputyKey":"`+tc.key+`"},{"xname":"`+x1+`"}]}`, 200, &out)
			synctest.Wait()
			tasks := transitionOf(t, m, out.TransitionID).Tasks
			if got := tasks[0].String(); got != x0+": "+tc.task {
				t.Errorf("key %q: %s", tc.key, got)
			}
			if got := tasks[1].String(); got != x1+": failed: Unable to reserve component" {
				t.Errorf("without a key: %s", got)
			}
		}
		if got := ids(t, m, "GET", "/hsm/v2/locks/status?reserved=true", ""); !slices.Equal(got, []string{x0, x1}) {
			t.Errorf("PCS released a reservation that is not its own: %v", got)
		}
	})
}

func TestCAPMC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 4})
		defer run(t, m)()
		post := func(path, body string, status int) string {
			t.Helper()
			w := call(t, m, "POST", "/capmc/v1/"+path, body)
			if w.Code != status {
				t.Errorf("%s %s = %d, want %d", path, body, w.Code, status)
			}
			return strings.TrimSpace(w.Body.String())
		}
		if got := post("xname_on", `{"xnames":["`+x0+`"],"continue":true}`, 200); got != `{"e":0,"err_msg":"","xnames":[]}` {
			t.Error(got)
		}
		synctest.Wait()
		if got := post("get_xname_status", `{"filter":"show_all","source":"redfish","xnames":["`+x0+`","`+x1+`","x1c0s0b0n0"]}`, 200); got != `{"e":0,"err_msg":"","off":["`+x1+`"],"on":["`+x0+`"]}` {
			t.Error(got)
		}
		if got := post("get_xname_status", `{"source":"hsm","filter":"show_off","xnames":["`+x0+`","`+x1+`"]}`, 200); got != `{"e":0,"err_msg":"","off":["`+x1+`"]}` {
			t.Error(got)
		}
		// A node that cannot be reserved fails the call, with 200.
		want(t, m, "POST", "/hsm/v2/locks/lock", `{"ComponentIDs":["`+x1+`"]}`, 200, nil)
		if got := post("xname_on", `{"xnames":["`+x0+`","`+x1+`"]}`, 200); !strings.HasPrefix(got, `{"e":37,`) {
			t.Error(got)
		}
		// Failed tasks are counted and not named.
		if _, err := m.Inject(Fault{Kind: "bmc_unreachable", Nodes: []string{"x1000c0s0b1n0"}}); err != nil {
			t.Fatal(err)
		}
		if got := post("xname_on", `{"xnames":["`+x0+`","x1000c0s0b1n0"]}`, 200); got != `{"e":-1,"err_msg":"Errors encountered with 1/2 Xnames issued On","xnames":[]}` {
			t.Error(got)
		}
		for _, body := range []string{`{`, `{"xnames":[]}`, `{"xnames":["nid1"]}`, `{"xnames":["` + x0 + `","` + x0 + `"]}`, `{"xnames":["` + x0 + `"],"recursive":true,"prereq":true}`} {
			post("xname_off", body, 400)
		}
		if got := post("xname_off", `{"xnames":["x1c0s0b0n0"],"continue":true}`, 404); got != `{"e":404,"err_msg":"No matching components found"}` {
			t.Error(got)
		}
		if got := post("xname_off", `{"xnames":["`+x0+`","nid1"],"continue":true,"force":true}`, 200); !strings.Contains(got, `"xname":"nid1"`) {
			t.Error(got)
		}
		synctest.Wait()
		if s := state(t, m, x0); s.Power != "off" {
			t.Errorf("%+v", s)
		}
	})
}
