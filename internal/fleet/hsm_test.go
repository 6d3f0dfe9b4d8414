package fleet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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

func TestExtraComponents(t *testing.T) {
	m := newMachine(t, Config{Nodes: 4, ExtraComponents: true})
	all, nodes := ids(t, m, "GET", "/hsm/v2/State/Components", ""), ids(t, m, "GET", "/hsm/v2/State/Components?type=Node", "")
	if len(nodes) != 4 || len(all) != 4+8+2+1+1+1 {
		t.Errorf("%d of %d components are nodes: %v", len(nodes), len(all), all)
	}
	if got := ids(t, m, "POST", "/hsm/v2/State/Components/Query", `{"ComponentIDs":["x1000c0s0b1"],"type":["Processor"]}`); len(got) != 4 {
		t.Errorf("processors below a BMC: %v", got)
	}
	for path, status := range map[string]int{"ByNID/3": 200, "ByNID/9": 404, "ByNID/x": 400, "x1000c0s0b0": 200, "nid1": 400} {
		want(t, m, "GET", "/hsm/v2/State/Components/"+path, "", status, nil)
	}
}

func TestShapeFlags(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	for flag, record := range map[string]string{
		"flagonly": `"Flag":"OK"`, "roleonly": `"Role":"Compute"`, "nidonly": `"NID":1`, "stateonly": `"State":"Off","Flag":"OK"`,
	} {
		w := call(t, m, "GET", "/hsm/v2/State/Components?"+flag+"=true", "")
		if got, want := strings.TrimSpace(w.Body.String()), `{"Components":[{"ID":"`+x0+`","Type":"Node",`+record+`}]}`; got != want {
			t.Errorf("%s: %s, want %s", flag, got, want)
		}
	}
}

func TestGroupFilters(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2, Partitions: map[string][]string{"p1": {x0}}})
	want(t, m, "POST", "/hsm/v2/groups", `{"label":"a","tags":["t"],"members":{"ids":["`+x0+`","`+x1+`"]}}`, 201, nil)
	want(t, m, "POST", "/hsm/v2/groups", `{"label":"b"}`, 201, nil)
	for query, want_ := range map[string]string{"group=A": "a 2", "tag=t": "a 2", "group=b&partition=p1": "b 0", "group=a&partition=p1": "a 1", "tag=none": ""} {
		var list []groupJSON
		want(t, m, "GET", "/hsm/v2/groups?"+query, "", 200, &list)
		var got []string
		for _, g := range list {
			got = append(got, g.Label+" "+string(rune('0'+len(g.Members.IDs))))
		}
		if strings.Join(got, ",") != want_ {
			t.Errorf("?%s: %v, want %s", query, got, want_)
		}
	}
	var members hsmMembers
	if want(t, m, "GET", "/hsm/v2/groups/a/members", "", 200, &members); !slices.Equal(members.IDs, []string{x0, x1}) {
		t.Errorf("members %v", members)
	}
}
