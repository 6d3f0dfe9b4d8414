package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ids runs a request and returns the ID members of its Components.
func ids(t *testing.T, m *Machine, method, path, body string) []string {
	t.Helper()
	var out struct{ Components []struct{ ID string } }
	want(t, m, method, path, body, 200, &out)
	if out.Components == nil {
		t.Errorf("%s: Components is null", path)
	}
	list := []string{}
	for _, c := range out.Components {
		list = append(list, c.ID)
	}
	return list
}

func TestHSMFilters(t *testing.T) {
	inv, err := LoadInventory("testdata/hsm.json")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, Config{Inventory: inv, Groups: map[string][]string{"Blue": {"x1000c7s7b1n1"}}, Partitions: map[string][]string{"p1": {"x1000c7s7b0n0"}}})
	const empty, arm, worker, bmc, cpu = "x1000c7s7b0n0", "x1000c7s7b1n1", "x3000c0s19b1n0", "x1000c7s7b0", "x1000c7s7b0n0p0"
	for query, want := range map[string][]string{
		"":                                  {empty, arm, worker, bmc, cpu},
		"type=Node":                         {empty, arm, worker},
		"type=node&type=NodeBMC":            {empty, arm, worker, bmc},
		"type=!Node":                        {bmc, cpu},
		"Role=Compute":                      {empty, arm},
		"role=Management&subrole=worker":    {worker},
		"state=ready":                       {worker, bmc},
		"type=Node&state=!Ready":            {empty, arm},
		"enabled=False":                     {empty},
		"enabled=1&type=Node":               {arm, worker},
		"locked=t":                          {empty},
		"arch=ARM":                          {arm},
		"class=Mountain&type=Node":          {arm},
		"nid=1256":                          {arm},
		"nid_start=1000&nid_end=2000":       {arm},
		"group=blue":                        {arm},
		"partition=p1":                      {empty},
		"id=x03000c00s19b1n0&id=x1c0s0b0n0": {worker},
		"type=Node&id=!" + arm:              {empty, worker},
		"role=Storage":                      {},
	} {
		if got := ids(t, m, "GET", "/hsm/v2/State/Components?"+query, ""); !slices.Equal(got, want) {
			t.Errorf("?%s = %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{"role=Cook", "state=Sleeping", "type=Toaster", "enabled=perhaps", "id=nid1", "group=none", "partition=p9", "nid_start=x"} {
		var p struct{ Detail string }
		want(t, m, "GET", "/hsm/v2/State/Components?"+query, "", 400, &p)
		if !strings.HasPrefix(p.Detail, "bad query param: ") {
			t.Errorf("?%s: detail %q", query, p.Detail)
		}
	}
}

func TestHSMQuery(t *testing.T) {
	inv, err := LoadInventory("testdata/hsm.json")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, Config{Inventory: inv})
	for body, want := range map[string][]string{
		`{"ComponentIDs":["x1000c7s7b1n1","x1c0s0b0n0","x1000c7s7b1n1"]}`:       {"x1000c7s7b1n1"}, // unknown ids are dropped, duplicates collapse
		`{"componentids":["X01000c7s7b1n1"]}`:                                   {"x1000c7s7b1n1"}, // any letter case, normalised
		`{"ComponentIDs":["x1c0s0b0n0"]}`:                                       {},
		`{"ComponentIDs":["x1000c7s7b0n0","x1000c7s7b1n1"],"enabled":["True"]}`: {"x1000c7s7b1n1"},
		`{"ComponentIDs":["x1000c7s7b0"],"type":["Node"]}`:                      {"x1000c7s7b0n0"}, // with a type, ids stand for what is below
		`{"ComponentIDs":["x1000c7s7b0"]}`:                                      {"x1000c7s7b0"},
		`{"ComponentIDs":["s0"],"type":["Node"]}`:                               {"x1000c7s7b0n0", "x1000c7s7b1n1", "x3000c0s19b1n0"},
		`{"ComponentIDs":["all"],"role":["Management"]}`:                        {"x3000c0s19b1n0"},
	} {
		if got := ids(t, m, "POST", "/hsm/v2/State/Components/Query", body); !slices.Equal(got, want) {
			t.Errorf("%s = %v, want %v", body, got, want)
		}
	}
	for body, status := range map[string]int{`{"ComponentIDs":[]}`: 400, `{}`: 400, `{"ComponentIDs":`: 500, ``: 500, `{"ComponentIDs":["s0"],"role":["Cook"]}`: 400} {
		if w := call(t, m, "POST", "/hsm/v2/State/Components/Query", body); w.Code != status {
			t.Errorf("%q = %d, want %d", body, w.Code, status)
		}
	}
}

func TestHSMOmitsEmptyMembers(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	want(t, m, "PATCH", "/hsm/v2/State/Components/"+x0+"/NID", `{"NID":0}`, 204, nil)
	w := call(t, m, "GET", "/hsm/v2/State/Components/"+x0, "")
	const record = `{"ID":"x1000c0s0b0n0","Type":"Node","State":"Off","Flag":"OK","Enabled":true,"Role":"Compute","NetType":"Sling","Arch":"X86","Class":"Mountain"}`
	if got := strings.TrimSpace(w.Body.String()); got != record {
		t.Errorf("record is\n%s, want\n%s", got, record)
	}
}

func TestHSMPatch(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	const base = "/hsm/v2/State/Components/" + x0
	want(t, m, "PATCH", base+"/Enabled", `{"Enabled":false}`, 204, nil)
	want(t, m, "PATCH", base+"/Role", `{"Role":"application","SubRole":"uan"}`, 204, nil)
	want(t, m, "PATCH", base+"/StateData", `{"State":"Standby"}`, 400, nil) // not from Off
	want(t, m, "PATCH", base+"/StateData", `{"State":"Ready"}`, 204, nil)
	want(t, m, "PATCH", base+"/Role", `{"Role":"Cook"}`, 400, nil)
	want(t, m, "PATCH", "/hsm/v2/State/Components/x1c0s0b0n0/Enabled", `{"Enabled":false}`, 404, nil)
	var c hsmComponent
	want(t, m, "GET", base, "", 200, &c)
	if *c.Enabled || c.Role != "Application" || c.SubRole != "UAN" || c.State != "Ready" {
		t.Errorf("record is %+v", c)
	}
}

func TestGroups(t *testing.T) {
	m := newMachine(t, Config{Nodes: 4})
	h := want(t, m, "POST", "/hsm/v2/groups", `{"label":"Blue","exclusiveGroup":"colours"}`, 201, nil)
	if h.Get("Location") != "/hsm/v2/groups/blue" {
		t.Errorf("Location %q", h.Get("Location"))
	}
	if w := call(t, m, "GET", "/hsm/v2/groups", ""); !strings.Contains(w.Body.String(), `"members":{"ids":null}`) {
		t.Errorf("an empty group has null members; got %s", w.Body)
	}
	want(t, m, "POST", "/hsm/v2/groups", `{"label":"blue"}`, 409, nil)
	want(t, m, "POST", "/hsm/v2/groups", `{"label":"no blanks"}`, 400, nil)
	want(t, m, "POST", "/hsm/v2/groups/blue/members", `{"id":"`+x0+`"}`, 201, nil)
	want(t, m, "POST", "/hsm/v2/groups/blue/members", `{"id":"`+x0+`"}`, 409, nil)
	want(t, m, "POST", "/hsm/v2/groups", `{"label":"red","exclusiveGroup":"colours","members":{"ids":["`+x0+`"]}}`, 409, nil)
	want(t, m, "DELETE", "/hsm/v2/groups/blue/members/"+x1, "", 404, nil)
	want(t, m, "DELETE", "/hsm/v2/groups/blue/members/"+x0, "", 200, nil)
	want(t, m, "DELETE", "/hsm/v2/groups/blue", "", 200, nil)
	want(t, m, "DELETE", "/hsm/v2/groups/blue", "", 404, nil)
	var list []any
	if want(t, m, "GET", "/hsm/v2/groups", "", 200, &list); list == nil || len(list) != 0 {
		t.Errorf("groups %v, want an empty list", list)
	}
}

func TestLocks(t *testing.T) {
	m := newMachine(t, Config{Nodes: 3})
	const status = "/hsm/v2/locks/status?type=Node&locked=True"
	if got := ids(t, m, "GET", status, ""); len(got) != 0 {
		t.Errorf("locked at the start: %v", got)
	}
	lock := func(ids, more string) string { return `{"ComponentIDs":[` + ids + `]` + more + `}` }
	want(t, m, "POST", "/hsm/v2/locks/lock", lock(`"`+x0+`"`, ""), 200, nil)
	if got := ids(t, m, "GET", "/hsm/v2/locks/status?Type=Node&Locked=true", ""); !slices.Equal(got, []string{x0}) {
		t.Errorf("locked: %v", got)
	}
	// Rigid is all or nothing, flexible does what it can and still answers 200.
	want(t, m, "POST", "/hsm/v2/locks/lock", lock(`"`+x1+`","`+x0+`"`, ""), 400, nil)
	if got := ids(t, m, "GET", status, ""); !slices.Equal(got, []string{x0}) {
		t.Errorf("a rigid request that fails left %v locked", got)
	}
	var out struct {
		Counts  struct{ Total, Success, Failure int }
		Success struct{ ComponentIDs []string }
		Failure []struct{ ID, Reason string }
	}
	want(t, m, "POST", "/hsm/v2/locks/lock", lock(`"`+x1+`","`+x0+`","x1c0s0b0n0"`, `,"ProcessingModel":"flexible"`), 200, &out)
	if out.Counts.Total != 3 || !slices.Equal(out.Success.ComponentIDs, []string{x1}) || fmt.Sprint(out.Failure) != "[{x1c0s0b0n0 NotFound} {"+x0+" Locked}]" {
		t.Errorf("flexible lock: %+v", out)
	}
	want(t, m, "POST", "/hsm/v2/locks/lock", lock(`"x1c0s0b0n0"`, ""), 400, nil)

	// A service reserves what is unlocked, for 1 to 15 minutes.
	const service = "/hsm/v2/locks/service/reservations"
	const x2 = "x1000c0s0b1n0"
	want(t, m, "POST", service, lock(`"`+x2+`"`, ""), 400, nil)
	want(t, m, "POST", service, lock(`"`+x2+`"`, `,"ReservationDuration":16`), 400, nil)
	want(t, m, "POST", service, lock(`"`+x0+`"`, `,"ReservationDuration":1`), 400, nil)
	var made struct {
		Success []struct{ ID, DeputyKey, ReservationKey string }
		Failure []struct{ ID, Reason string }
	}
	want(t, m, "POST", service, lock(`"`+x2+`","`+x0+`"`, `,"ReservationDuration":1,"ProcessingModel":"flexible"`), 200, &made)
	if len(made.Success) != 1 || !strings.HasPrefix(made.Success[0].ReservationKey, x2+":rk:") || !strings.HasPrefix(made.Success[0].DeputyKey, x2+":dk:") ||
		fmt.Sprint(made.Failure) != "[{"+x0+" Locked}]" {
		t.Fatalf("reservations: %+v", made)
	}
	if got := ids(t, m, "GET", "/hsm/v2/locks/status?reserved=true", ""); !slices.Equal(got, []string{x2}) {
		t.Errorf("reserved: %v", got)
	}
	want(t, m, "POST", "/hsm/v2/locks/lock", lock(`"`+x2+`"`, ""), 400, nil) // while it is reserved
	w := call(t, m, "POST", service+"/check", `{"DeputyKeys":[{"ID":"`+x2+`","Key":"`+strings.ToUpper(made.Success[0].DeputyKey)+`"}]}`)
	if w.Code != 200 || !strings.Contains(w.Body.String(), made.Success[0].DeputyKey) || strings.Contains(w.Body.String(), ":rk:") {
		t.Errorf("check: %d %s; want the deputy key and never the reservation key", w.Code, w.Body)
	}
	want(t, m, "POST", service+"/release", `{"ReservationKeys":[{"ID":"`+x2+`","Key":"wrong"}]}`, 400, nil)
	want(t, m, "POST", service+"/renew", `{"ReservationKeys":[{"ID":"`+x2+`","Key":"`+made.Success[0].ReservationKey+`"}],"ReservationDuration":5}`, 200, nil)
	want(t, m, "POST", service+"/release", `{"ReservationKeys":[{"ID":"`+x2+`","Key":"`+made.Success[0].ReservationKey+`"}]}`, 200, nil)
	want(t, m, "POST", "/hsm/v2/locks/lock", lock(`"`+x2+`"`, ""), 200, nil)

	// An administrator reserves what is locked; disable drops it.
	want(t, m, "POST", "/hsm/v2/locks/reservations", lock(`"`+x2+`"`, ""), 200, nil)
	want(t, m, "POST", "/hsm/v2/locks/disable", lock(`"`+x2+`"`, ""), 200, nil)
	want(t, m, "POST", "/hsm/v2/locks/unlock", lock(`"`+x2+`"`, ""), 400, nil)
	want(t, m, "POST", "/hsm/v2/locks/repair", lock(`"`+x2+`"`, ""), 200, nil)
	want(t, m, "POST", "/hsm/v2/locks/unlock", lock(`"`+x2+`"`, ""), 200, nil)
}

func TestReservationExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1})
		const body = `{"ComponentIDs":["` + x0 + `"],"ReservationDuration":2}`
		want(t, m, "POST", "/hsm/v2/locks/service/reservations", body, 200, nil)
		time.Sleep(119 * time.Second)
		want(t, m, "POST", "/hsm/v2/locks/service/reservations", body, 400, nil)
		time.Sleep(2 * time.Second)
		want(t, m, "POST", "/hsm/v2/locks/service/reservations", body, 200, nil)
	})
}

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

// TestDeputyKey: who holds the reservation may let PCS act under it.
func TestDeputyKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1})
		defer run(t, m)()
		var made struct{ Success []struct{ DeputyKey string } }
		want(t, m, "POST", "/hsm/v2/locks/service/reservations", `{"ComponentIDs":["`+x0+`"],"ReservationDuration":5}`, 200, &made)
		for key, task := range map[string]string{
			"x:dk:wrong":              "failed: Invalid deputy key and unable to reserve component",
			made.Success[0].DeputyKey: "succeeded: Transition confirmed, on",
		} {
			var out struct{ TransitionID string }
			want(t, m, "POST", "/pcs/v1/transitions", `{"operation":"On","location":[{"xname":"`+x0+`","deputyKey":"`+key+`"}]}`, 200, &out)
			synctest.Wait()
			if got := transitionOf(t, m, out.TransitionID).Tasks[0].String(); got != x0+": "+task && !strings.HasSuffix(got, "already in desired state") {
				t.Errorf("key %q: %s", key, got)
			}
		}
		if got := ids(t, m, "GET", "/hsm/v2/locks/status?reserved=true", ""); !slices.Equal(got, []string{x0}) {
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

func TestCFSPaging(t *testing.T) {
	m := newMachine(t, Config{Nodes: 25})
	seen := []string{}
	query, pages := "limit=10", 0
	for query != "" {
		var page struct {
			Components []struct{ ID string }
			Next       map[string]any
		}
		want(t, m, "GET", "/cfs/v3/components?"+query, "", 200, &page)
		for _, c := range page.Components {
			seen = append(seen, c.ID)
		}
		pages++
		q := url.Values{}
		for k, v := range page.Next { // the whole object, without nulls
			if v != nil {
				q.Set(k, fmt.Sprint(v))
			}
		}
		query = q.Encode()
	}
	if pages != 3 || len(seen) != 25 || !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != 25 {
		t.Errorf("%d pages, components %v", pages, seen)
	}
	// Filters hold together; unknown ids are silently absent.
	var out struct {
		Components []struct{ ID string }
		Next       any
	}
	want(t, m, "GET", "/cfs/v3/components?ids="+x0+",x1c0s0b0n0&enabled=true&status=unconfigured,pending", "", 200, &out)
	if len(out.Components) != 1 || out.Next != nil {
		t.Errorf("%+v", out)
	}
	for _, q := range []string{"limit=0", "limit=x", "status=fine", "tags=a", "enabled=perhaps"} {
		want(t, m, "GET", "/cfs/v3/components?"+q, "", 400, nil)
	}
	want(t, m, "PATCH", "/cfs/v3/options", `{"default_page_size":7}`, 200, nil)
	if want(t, m, "GET", "/cfs/v3/components", "", 200, &out); len(out.Components) != 7 || out.Next == nil {
		t.Errorf("%d components in a page of 7", len(out.Components))
	}
	// v2 has no pages.
	want(t, m, "GET", "/cfs/v2/components", "", 400, nil)
	var list []map[string]any
	if want(t, m, "GET", "/cfs/v2/components?ids="+x0, "", 200, &list); len(list) != 1 || list[0]["desiredConfig"] != "" {
		t.Errorf("v2: %v", list)
	}
}

func TestCFSBulkPatch(t *testing.T) {
	m := newMachine(t, Config{Nodes: 3})
	get := func(id string) (c cfsComponentJSON) {
		t.Helper()
		want(t, m, "GET", "/cfs/v3/components/"+id+"?state_details=true", "", 200, &c)
		return c
	}
	var out struct {
		IDs []string `json:"component_ids"`
	}
	// Unknown ids are ignored.
	want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","enabled":false,"tags":{"bos_session":"s","b":"2"}},"filters":{"ids":"`+x0+`,x1c0s0b0n0"}}`, 200, &out)
	if !slices.Equal(out.IDs, []string{x0}) {
		t.Errorf("patched %v", out.IDs)
	}
	c := get(x0)
	if c.Config != "compute-24.7.0" || c.Enabled || c.Status != "pending" || !maps.Equal(c.Tags, map[string]string{"bos_session": "s", "b": "2"}) {
		t.Errorf("%+v", c)
	}
	// Tags merge, and go with an empty value. An error count is forgiven.
	want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"error_count":2},"filters":{"ids":"`+x0+`"}}`, 200, nil)
	want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"tags":{"b":"","c":"3"}},"filters":{"ids":"`+x0+`"}}`, 200, nil)
	if c = get(x0); c.ErrorCount != 2 || !maps.Equal(c.Tags, map[string]string{"bos_session": "s", "c": "3"}) {
		t.Errorf("%+v", c)
	}
	want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"state":[]},"filters":{"ids":"`+x0+`"}}`, 200, nil)
	if c = get(x0); c.ErrorCount != 0 {
		t.Errorf("wiping the state left %d errors", c.ErrorCount)
	}
	// An empty filter is everybody.
	for _, filters := range []string{`{}`, `{"ids":""}`} {
		if want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"enabled":true},"filters":`+filters+`}`, 200, &out); len(out.IDs) != 3 {
			t.Errorf("filters %s hit %v", filters, out.IDs)
		}
	}
	if want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"enabled":true}}`, 200, &out); len(out.IDs) != 3 {
		t.Errorf("no filters hit %v", out.IDs)
	}
	// A patch.id is dropped; what the schema does not have is refused.
	want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"id":"other"},"filters":{"ids":"`+x0+`"}}`, 200, nil)
	for _, body := range []string{
		`{"patch":{"colour":"red"},"filters":{}}`, `{"patch":{"desired_config":null},"filters":{}}`, `{"patch":{"enabled":"yes"},"filters":{}}`, `{"filters":{}}`,
		`{"patch":{},"filters":{"colour":"red"}}`, `{"patch":{},"filter":{}}`, `{"patch":{"desired_config":"` + strings.Repeat("x", 61) + `"}}`, `"text"`, `{`, ``,
		`{"patch":{"configuration_status":"configured"}}`, `[{"enabled":true}]`,
	} {
		want(t, m, "PATCH", "/cfs/v3/components", body, 400, nil)
	}
	// The list form is all or nothing.
	want(t, m, "PATCH", "/cfs/v3/components", `[{"id":"`+x1+`","enabled":false},{"id":"x1c0s0b0n0","enabled":false}]`, 404, nil)
	if c = get(x1); !c.Enabled {
		t.Error("a list with an unknown id was applied")
	}
	want(t, m, "PATCH", "/cfs/v3/components", `[{"id":"`+x1+`","enabled":false}]`, 200, nil)
	if c = get(x1); c.Enabled {
		t.Error("a list was not applied")
	}
	var p struct{ Detail string }
	if want(t, m, "PATCH", "/cfs/v3/components/x1c0s0b0n0", `{"state":[],"enabled":true}`, 404, &p); p.Detail != "Component x1c0s0b0n0 could not be found" {
		t.Error(p.Detail)
	}
}

func TestCFSv2Dialect(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2})
	var list []cfsComponentV2
	want(t, m, "PATCH", "/cfs/v2/components", `{"patch":{"desiredConfig":"compute-24.7.0","state":[{"cloneUrl":"u","playbook":"p","commit":"abc_failed"}]},"filters":{"ids":"`+x0+`"}}`, 200, &list)
	if len(list) != 1 || list[0].Config != "compute-24.7.0" || list[0].State[0].Commit != "abc_failed" {
		t.Errorf("%+v", list)
	}
	var c cfsComponentJSON
	if want(t, m, "GET", "/cfs/v3/components/"+x0+"?state_details=true", "", 200, &c); (*c.State)[0].Commit != "abc" || (*c.State)[0].Status != "failed" {
		t.Errorf("%+v", c)
	}
	want(t, m, "PATCH", "/cfs/v2/components", `{"patch":{"desired_config":"x"},"filters":{}}`, 400, nil)
	want(t, m, "PATCH", "/cfs/v2/components/"+x0, `{"enabled":false,"state":[]}`, 200, nil)
	if want(t, m, "GET", "/cfs/v2/components?configName=compute-24.7.0&enabled=false", "", 200, &list); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestCFSStatus(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	c := m.cfs.byID[x0]
	full := m.sessionLayers("compute-24.7.0", "s")
	m.cfs.configs["incomplete"] = &cfsConfig{Layers: []cfsConfigLayer{{CloneURL: "u", Playbook: "p"}}}
	for _, tc := range []struct {
		name   string
		config string
		state  []cfsLayer
		errors int
		want   string
	}{
		{"no configuration", "", nil, 0, "unconfigured"},
		{"no configuration any more", "", full["applied"], 0, "configured"},
		{"a configuration that does not exist", "gone", nil, 0, "unconfigured"},
		{"nothing applied", "compute-24.7.0", nil, 0, "pending"},
		{"one layer of two", "compute-24.7.0", full["applied"][:1], 0, "pending"},
		{"everything", "compute-24.7.0", full["applied"], 0, "configured"},
		{"failed, may be tried again", "compute-24.7.0", full["failed"], 1, "pending"},
		{"failed too often", "compute-24.7.0", full["failed"], 3, "failed"},
		{"pending too often", "compute-24.7.0", nil, 3, "failed"},
		{"incomplete", "compute-24.7.0", full["incomplete"], 0, "pending"},
		{"layers of another configuration", "compute-24.11.0", full["applied"], 0, "pending"},
		{"a layer without a commit", "incomplete", nil, 0, "unconfigured"},
	} {
		c.config, c.state, c.errorCount = tc.config, tc.state, tc.errors
		if got := m.cfsStatus(c); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestBSSTokens(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2})
	const path = "/bss/boot/v1/bootparameters"
	w := call(t, m, "PUT", path, `{"hosts":["`+x0+`","`+x1+`","anybody"],"params":"quiet","kernel":"s3://k","initrd":"s3://i","cloud-init":{"meta-data":{"a":1}}}`)
	first := w.Header().Get("BSS-Referral-Token")
	if w.Code != 200 || w.Body.Len() != 0 || first == "" {
		t.Fatalf("PUT = %d %q, token %q; want 200, an empty body and a token", w.Code, w.Body, first)
	}
	h := want(t, m, "PUT", path, `{"hosts":["`+x0+`"],"params":"quiet","kernel":"s3://k","initrd":"s3://i"}`, 200, nil)
	second := h.Get("BSS-Referral-Token")
	if second == "" || second == first {
		t.Errorf("a PUT of the same data has token %q after %q; want a new one", second, first)
	}
	script := func(x string) string {
		t.Helper()
		w := call(t, m, "GET", "/bss/boot/v1/bootscript?name="+x, "")
		if w.Code != 200 {
			t.Fatalf("bootscript of %s: %d %s", x, w.Code, w.Body)
		}
		return w.Body.String()
	}
	// All hosts of a request share its token; fetching does not change it.
	if s := script(x1); !strings.Contains(s, "bss_referral_token="+first) || s != script(x1) {
		t.Errorf("script of %s:\n%s", x1, s)
	}
	if s := script(x0); !strings.Contains(s, "kernel --name kernel http://example.com/s3/k?X-Amz-") || !strings.Contains(s, " initrd=initrd quiet xname="+x0+" nid=1 bss_referral_token="+second+" ds=nocloud-net;s=") {
		t.Errorf("script of %s:\n%s", x0, s)
	}
	// PUT replaces, cloud-init included; a list never shows the token.
	w = call(t, m, "GET", path+"?name="+x0+","+x1, "")
	if got, want := strings.TrimSpace(w.Body.String()), `[{"hosts":["`+x0+`"],"params":"quiet","kernel":"s3://k","initrd":"s3://i"},`+
		`{"hosts":["`+x1+`"],"params":"quiet","kernel":"s3://k","initrd":"s3://i","cloud-init":{"meta-data":{"a":1}}}]`; got != want {
		t.Errorf("bootparameters\n%s, want\n%s", got, want)
	}
	// PATCH keeps the token, POST refuses what exists.
	want(t, m, "PATCH", path, `{"hosts":["`+x0+`"],"params":"loud"}`, 200, nil)
	if s := script(x0); !strings.Contains(s, " loud xname=") || !strings.Contains(s, second) {
		t.Errorf("after PATCH:\n%s", s)
	}
	want(t, m, "PATCH", path, `{"hosts":["nobody"],"params":"loud"}`, 404, nil)
	want(t, m, "POST", path, `{"hosts":["`+x0+`"],"kernel":"k"}`, 400, nil)
	if h := want(t, m, "POST", path, `{"hosts":["new"],"kernel":"k"}`, 201, nil); h.Get("BSS-Referral-Token") == "" {
		t.Error("POST has no token")
	}
	want(t, m, "DELETE", path, `{"hosts":["new"]}`, 200, nil)
	want(t, m, "DELETE", path, `{"hosts":["new"]}`, 400, nil)
	// Without hosts there is no token, and 200 all the same.
	for _, body := range []string{`{}`, `{"kernel":"k","params":"p"}`} {
		if h := want(t, m, "PUT", path, body, 200, nil); h.Get("BSS-Referral-Token") != "" {
			t.Errorf("PUT %s has a token", body)
		}
	}
	want(t, m, "PUT", path, `{"hosts":`, 400, nil)
	want(t, m, "GET", path+"?nid=x", "", 400, nil)
	want(t, m, "GET", path+"?nid=99", "", 404, nil)
	if w := call(t, m, "TRACE", path, ""); w.Code != 405 || w.Header().Get("Allow") == "" {
		t.Errorf("TRACE = %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestBootScript(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2})
	put := func(host, params string) string {
		h := want(t, m, "PUT", "/bss/boot/v1/bootparameters", `{"hosts":["`+host+`"],"params":"`+params+`","kernel":"k","initrd":"i"}`, 200, nil)
		return h.Get("BSS-Referral-Token")
	}
	line := func(query string) string {
		t.Helper()
		w := call(t, m, "GET", "/bss/boot/v1/bootscript?"+query, "")
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		return strings.Split(w.Body.String(), "\n")[1]
	}
	want(t, m, "GET", "/bss/boot/v1/bootscript", "", 400, nil)
	want(t, m, "GET", "/bss/boot/v1/bootscript?name="+x0, "", 404, nil)
	want(t, m, "GET", "/bss/boot/v1/bootscript?name=nobody", "", 404, nil)
	// The order: own entry, NID, role, Default.
	for _, host := range []string{"Default", "Compute", "nid1", x0} {
		token := put(host, "from="+host)
		for _, query := range []string{"name=" + x0, "nid=1", "mac=02:00:00:00:00:00"} {
			if l := line(query); !strings.Contains(l, "from="+host) || !strings.Contains(l, "bss_referral_token="+token) {
				t.Errorf("with an entry for %s, %s gets %s", host, query, l)
			}
		}
	}
	if l := line("name=" + x1); !strings.Contains(l, "from=Compute") {
		t.Errorf("a node without an entry of its own gets %s", l)
	}
	// A parameter of the user masks what BSS would add.
	put(x0, "bss_referral_token=mine nid=7 join=${SPIRE_JOIN_TOKEN} initrd=other rest")
	l := line("name=" + x0)
	if strings.Count(l, "bss_referral_token=") != 1 || strings.Count(l, "nid=") != 1 || strings.Contains(l, "SPIRE") || strings.Contains(l, "initrd=other") || !strings.Contains(l, "rest xname=") {
		t.Errorf("line %s", l)
	}
	if other := line("name=" + x0); other == l {
		t.Error("the join token is the same for two requests")
	}
	var history []struct {
		Name, Endpoint string
		Last           int64 `json:"last_epoch"`
	}
	if want(t, m, "GET", "/bss/boot/v1/endpoint-history?name="+x0+"&endpoint=bootscript", "", 200, &history); len(history) != 1 || history[0].Name != x0 || history[0].Last == 0 {
		t.Errorf("history %+v", history)
	}
}

func TestIMS(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	images := m.Images()
	archs := map[string]int{}
	for _, img := range images {
		archs[img.Arch]++
		path := "/ims/v3/images/" + img.ID
		want(t, m, "PATCH", path, `{"metadata":{"operation":"set","key":"sbps-project","value":"true"}}`, 200, nil)
		want(t, m, "PATCH", path, `{"metadata":{"operation":"set","key":"sbps-project","value":"true"}}`, 200, nil)
		var got Image
		if want(t, m, "GET", path, "", 200, &got); got.Metadata["sbps-project"] != "true" {
			t.Errorf("metadata %v", got.Metadata)
		}
		want(t, m, "PATCH", path, `{"metadata":{"operation":"remove","key":"sbps-project"}}`, 200, nil)
		want(t, m, "PATCH", path, `{"metadata":{"operation":"remove","key":"absent"}}`, 200, nil)
		want(t, m, "PATCH", path, `{"link":{"path":"s3://elsewhere","etag":"","type":"s3"}}`, 409, nil)
		want(t, m, "PATCH", path, `{"metadata":{"operation":"add","key":"k"}}`, 422, nil)
		want(t, m, "PATCH", path, ``, 400, nil)
		// The manifest and all it names are in S3, with the ETags it says.
		link, _ := strings.CutPrefix(img.Link.Path, "s3://")
		var manifest struct {
			Artifacts []struct {
				Type string
				Link Link
			}
		}
		want(t, m, "GET", "/s3/"+link, "", 200, &manifest)
		kinds := map[string]bool{}
		for _, a := range manifest.Artifacts {
			kinds[strings.TrimPrefix(a.Type, "application/vnd.cray.image.")] = true
			key, _ := strings.CutPrefix(a.Link.Path, "s3://")
			w := call(t, m, "HEAD", "/s3/"+key, "")
			if w.Code != 200 || w.Header().Get("ETag") != `"`+a.Link.ETag+`"` || w.Body.Len() != 0 {
				t.Errorf("HEAD %s = %d, ETag %s, want %q", key, w.Code, w.Header().Get("ETag"), a.Link.ETag)
			}
		}
		if !kinds["kernel"] || !kinds["initrd"] || !kinds["rootfs.squashfs"] || !kinds["parameters.boot"] {
			t.Errorf("%s has %v", img.Name, kinds)
		}
	}
	if archs["x86_64"] < 2 || archs["aarch64"] < 1 {
		t.Errorf("architectures %v", archs)
	}
	want(t, m, "DELETE", "/ims/v3/images/"+images[0].ID, "", 204, nil)
	want(t, m, "GET", "/ims/v3/images/"+images[0].ID, "", 404, nil)
	want(t, m, "GET", "/s3/boot-images/deleted/"+images[0].ID+"/manifest.json", "", 200, nil)
	want(t, m, "GET", "/s3/boot-images/"+images[0].ID+"/manifest.json", "", 404, nil)
	want(t, m, "POST", "/ims/v3/images", `{"name":"a","arch":"vax"}`, 422, nil)
}

func TestS3(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	for path, code := range map[string]string{"/s3/boot-images/none": "NoSuchKey", "/s3/none/key": "NoSuchBucket"} {
		w := call(t, m, "GET", path, "")
		if w.Code != 404 || !strings.Contains(w.Body.String(), "<Code>"+code+"</Code>") {
			t.Errorf("GET %s = %d %s", path, w.Code, w.Body)
		}
		if w = call(t, m, "HEAD", path, ""); w.Code != 404 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s = %d %q", path, w.Code, w.Body)
		}
	}
	h := want(t, m, "PUT", "/s3/mine/a/b", "hello", 200, nil)
	if h.Get("ETag") != `"5d41402abc4b2a76b9719d911017c592"` {
		t.Errorf("ETag %s", h.Get("ETag"))
	}
	r := httptest.NewRequest("PUT", "/s3/mine/chunked", strings.NewReader("5;chunk-signature=0\r\nhello\r\n0;chunk-signature=0\r\n\r\n"))
	r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
	m.Handler().ServeHTTP(httptest.NewRecorder(), r)
	for _, key := range []string{"a/b", "chunked"} {
		if w := call(t, m, "GET", "/s3/mine/"+key, ""); w.Body.String() != "hello" || w.Header().Get("Content-Length") != "5" {
			t.Errorf("%s holds %q", key, w.Body)
		}
	}
}

func TestTenants(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2, Tenants: map[string][]string{"blue": {x0}}})
	w := call(t, m, "GET", "/tapms/v1alpha3/tenants/red", "")
	if w.Code != 404 || strings.TrimSpace(w.Body.String()) != `"Tenant with name/uuid 'red' not found."` {
		t.Errorf("unknown tenant: %d %s", w.Code, w.Body)
	}
	type tenant struct {
		Status struct {
			UUID            string
			TenantResources []struct{ Xnames []string }
		}
	}
	var blue, again, red tenant
	want(t, m, "GET", "/tapms/v1alpha3/tenants/blue", "", 200, &blue)
	want(t, m, "GET", "/tapms/v1alpha3/tenants/"+blue.Status.UUID, "", 200, &again)
	if d := cmp.Diff(blue, again); d != "" || !slices.Equal(blue.Status.TenantResources[0].Xnames, []string{x0}) {
		t.Errorf("%+v %s", blue, d)
	}
	want(t, m, "PUT", "/_sim/tenants/red", `{"xnames":["`+x1+`"],"deploying":true}`, 200, nil)
	if want(t, m, "GET", "/tapms/v1alpha3/tenants/red", "", 200, &red); len(red.Status.TenantResources) != 0 {
		t.Errorf("a tenant that is being deployed has %+v", red)
	}
	var owners []any
	if want(t, m, "POST", "/tapms/v1alpha3/tenants", `["`+x0+`"]`, 200, &owners); len(owners) != 1 {
		t.Errorf("owners %v", owners)
	}
}
