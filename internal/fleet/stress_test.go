package fleet

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// everyEndpoint are the requests with a body that a machine takes.
var everyEndpoint = []string{
	"POST /hsm/v2/State/Components/Query", "PATCH /hsm/v2/State/Components/" + x0 + "/Enabled", "PATCH /hsm/v2/State/Components/" + x0 + "/Role",
	"PATCH /hsm/v2/State/Components/" + x0 + "/StateData", "PATCH /hsm/v2/State/Components/" + x0 + "/NID", "PATCH /hsm/v2/State/Components/" + x0 + "/SoftwareStatus",
	"POST /hsm/v2/groups", "POST /hsm/v2/groups/blue/members", "POST /hsm/v2/locks/status", "POST /hsm/v2/locks/lock", "POST /hsm/v2/locks/unlock",
	"POST /hsm/v2/locks/disable", "POST /hsm/v2/locks/repair", "POST /hsm/v2/locks/reservations", "POST /hsm/v2/locks/reservations/remove", "POST /hsm/v2/locks/reservations/release",
	"POST /hsm/v2/locks/service/reservations", "POST /hsm/v2/locks/service/reservations/check", "POST /hsm/v2/locks/service/reservations/renew", "POST /hsm/v2/locks/service/reservations/release",
	"POST /pcs/v1/transitions", "POST /pcs/v1/power-status", "DELETE /pcs/v1/transitions/7", "POST /capmc/v1/xname_on", "POST /capmc/v1/xname_off", "POST /capmc/v1/xname_reinit",
	"POST /capmc/v1/get_xname_status", "PATCH /cfs/v3/components", "PUT /cfs/v3/components", "PATCH /cfs/v3/components/" + x0, "PUT /cfs/v3/components/" + x0,
	"PUT /cfs/v3/configurations/mine", "PATCH /cfs/v3/options", "PATCH /cfs/v2/components", "PATCH /cfs/v2/components/" + x0, "PUT /bss/boot/v1/bootparameters",
	"POST /bss/boot/v1/bootparameters", "PATCH /bss/boot/v1/bootparameters", "DELETE /bss/boot/v1/bootparameters", "GET /bss/boot/v1/bootparameters", "POST /ims/v3/images",
	"PATCH /ims/v3/images/06901f40-f2a6-4a64-bc26-772a5cc9d321", "POST /tapms/v1alpha3/tenants", "POST /_sim/faults", "POST /_sim/clock", "PUT /_sim/tenants/blue",
}

// badBodies are no requests: not JSON, of a wrong type, or with a value that no member
// can have; in are the forms in which the latter come.
func badBodies(in ...string) []string {
	out := []string{
		"", " ", "{", "}", "[", "nul", "null", "true", "1", "-1", `"x"`, "[]", "[null]", "[[]]", "[1]", `[{}]`, "{}", `{"":null}`, "\x00", "\xff\xfe", `{"a":1}{"b":2}`,
		strings.Repeat("[", 20_000), strings.Repeat(`{"patch":`, 20_000), "{\n \"hosts\" : [\n",
	}
	members := []string{
		"ComponentIDs", "componentids", "NID", "Type", "State", "Enabled", "Role", "SubRole", "Flag", "Force", "SoftwareStatus", "label", "members", "tags", "id", "exclusiveGroup",
		"ProcessingModel", "ReservationDuration", "DeputyKeys", "ReservationKeys", "Group", "Partition", "operation", "taskDeadlineMinutes", "location", "xname", "powerStateFilter",
		"managementStateFilter", "xnames", "reason", "continue", "force", "filter", "source", "patch", "filters", "desired_config", "desiredConfig", "error_count", "retry_policy",
		"enabled", "state", "state_append", "layers", "batch_size", "batch_window", "default_page_size", "hosts", "macs", "nids", "params", "kernel", "initrd", "cloud-init",
		"name", "link", "arch", "metadata", "kind", "nodes", "fraction", "service", "methods", "probability", "count", "after", "for", "value", "advance", "until_idle", "deploying",
	}
	for _, m := range members {
		for _, v := range []string{"null", "-1", "1e300", "0.5", "true", `"-1"`, `"x9c9s9b9n9"`, "[null]", "[-1]", `["x9c9s9b9n9",""]`, `{"ids":[null]}`, `[{"xname":""}]`, `{"ids":"x9c9s9b9n9"}`} {
			for _, form := range in {
				out = append(out, fmt.Sprintf(form, fmt.Sprintf("%q:%s", m, v)))
			}
		}
	}
	return out
}

// TestBadBodies sends what is no request to everything that takes a body: it is answered
// with a 4xx, or has a meaning after all, and never a panic or a 5xx.
func TestBadBodies(t *testing.T) {
	m := newMachine(t, Config{Nodes: 4, Manual: true, Groups: map[string][]string{"blue": {x1}}})
	defer run(t, m)()
	plain := badBodies("{%s}")
	bulk := badBodies("{%s}", `{"patch":{%s},"filters":{"ids":"`+x0+`"}}`, `[{"id":"`+x0+`",%s}]`)
	for _, endpoint := range everyEndpoint {
		method, path, _ := strings.Cut(endpoint, " ")
		bodies := plain
		if strings.HasSuffix(path, "/components") {
			bodies = bulk
		}
		for _, body := range bodies {
			w := call(t, m, method, path, body)
			real := path == "/hsm/v2/State/Components/Query" && w.Code == 500 // for what it cannot decode
			if w.Code >= 500 && !real {
				t.Errorf("%s with %.80q = %d %s", endpoint, body, w.Code, w.Body)
			}
			if w.Code >= 400 && w.Body.Len() == 0 {
				t.Errorf("%s with %.80q = %d without a word", endpoint, body, w.Code)
			}
		}
	}
	for _, f := range m.Faults() {
		if err := m.Clear(f.ID); err != nil {
			t.Error(err)
		}
	}
	advance(t, m, 3600e9) // what was accepted does no harm later
}

// TestBadQueries does the same with parameters.
func TestBadQueries(t *testing.T) {
	m := newMachine(t, Config{Nodes: 4})
	for _, path := range []string{
		"/hsm/v2/State/Components", "/hsm/v2/State/Components/ByNID/-1", "/hsm/v2/State/Components/ByNID/99999999999999999999", "/hsm/v2/State/Components/%00", "/hsm/v2/groups",
		"/hsm/v2/locks/status", "/hsm/v2/partitions", "/pcs/v1/power-status", "/pcs/v1/transitions/none", "/cfs/v3/components", "/cfs/v2/components", "/cfs/v3/components/none",
		"/bss/boot/v1/bootparameters", "/bss/boot/v1/bootscript", "/bss/boot/v1/endpoint-history", "/ims/v3/images/none", "/s3/none/none", "/s3/boot-images/", "/tapms/v1alpha3/tenants/none",
		"/_sim/nodes/none", "/_sim/nodes/" + x0, "/_sim/nodes/none/token",
	} {
		for _, name := range []string{"", "id", "type", "state", "flag", "role", "subrole", "enabled", "arch", "class", "nid", "nid_start", "nid_end", "partition", "group", "locked", "xname", "powerStateFilter",
			"managementStateFilter", "ids", "status", "config_name", "tags", "limit", "after_id", "state_details", "name", "mac", "endpoint", "since", "until", "service"} {
			for _, value := range []string{"", "-1", "0", "99999999999999999999", "x9c9s9b9n9", "!", "%00", "%FF", ",", "=", "true", strings.Repeat("a", 5000)} {
				w := call(t, m, "GET", path+"?"+name+"="+value, "")
				if w.Code >= 500 || w.Code >= 400 && w.Body.Len() == 0 {
					t.Errorf("GET %s?%s=%.20s = %d %s", path, name, value, w.Code, w.Body)
				}
			}
		}
	}
}

// TestBadControl: the control API says what is wrong, and what would be right.
func TestBadControl(t *testing.T) {
	m := newMachine(t, Config{Nodes: 4, Manual: true})
	defer run(t, m)()
	for _, tc := range []struct {
		request, body string
		status        int
		want          string
	}{
		{"POST /_sim/faults", `{"kind":"gremlins"}`, 400, "known are arch_mismatch, auth_401"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","node":["` + x0 + `"]}`, 400, `unknown member "node"; known are id, kind, nodes`},
		{"POST /_sim/faults", `{"kind":"kernel_panic","nodes":"` + x0 + `"}`, 400, "nodes: want an array, not string"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","count":"3"}`, 400, "count: want a number, not string"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","count":-3}`, 400, "count, after and for must not be negative"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","after":"-3s"}`, 400, "count, after and for must not be negative"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","for":"long"}`, 400, `for: want a duration such as 90s, not "long"`},
		{"POST /_sim/faults", `{"kind":"kernel_panic","fraction":2}`, 400, "fraction 2, want 0 to 1"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","fraction":0}`, 400, "fraction 0: want more than 0"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","probability":0}`, 400, "probability 0: want more than 0"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","nodes":[]}`, 400, "nodes: want at least one; leave it out for every node"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","probability":-0.1}`, 400, "probability -0.1, want 0 to 1"},
		{"POST /_sim/faults", `{"kind":"kernel_panic","nodes":["x9c9s9b9n9"]}`, 400, `no node "x9c9s9b9n9"; the machine has 4, from x1000c0s0b0n0 to x1000c0s0b1n1`},
		{"POST /_sim/faults", `{"kind":"power_on_fails","value":"perhaps"}`, 400, "want one of stays_off, transport"},
		{"POST /_sim/faults", `{"kind":"outage","service":"dns"}`, 400, "want one of hsm, pcs, capmc, cfs, bss, ims, s3, tapms, gateway, auth"},
		{"POST /_sim/faults", `{"kind":"redirect","value":"200"}`, 400, "want one of 308, 301, 302, 303, 307"},
		{"POST /_sim/faults", `{"kind":"retry_after","value":"5/200"}`, 400, "status from 400 to 599 such as 5/429"},
		{"POST /_sim/faults", `{"kind":"clock_skew","value":"an hour"}`, 400, "such as 90s or -5m"},
		{"POST /_sim/faults", `{"kind":"hsm_locked","count":1}`, 400, "lasts: it takes no count"},
		{"POST /_sim/faults", `{"kind":"outage","methods":["FETCH"]}`, 400, "want some of GET, HEAD, POST"},
		{"POST /_sim/faults", `{`, 400, "unexpected end of JSON"},
		{"POST /_sim/faults", ``, 400, "empty body"},
		{"DELETE /_sim/faults/none", ``, 404, `no such fault: "none"; there are none`},
		{"POST /_sim/clock", `{"advance":"soon"}`, 400, "want a duration such as 30s"},
		{"POST /_sim/clock", `{"advance":30}`, 400, "advance: want a string, not number"},
		{"POST /_sim/clock", `{"advanced":"30s"}`, 400, `unknown member "advanced"; known are advance, until_idle`},
		{"PUT /_sim/tenants/blue", `{"nodes":[]}`, 400, `unknown member "nodes"; known are xnames, deploying`},
		{"PUT /_sim/tenants/blue", `{"xnames":["x9c9s9b9n9"]}`, 400, `no node "x9c9s9b9n9"; the machine has 4`},
		{"GET /_sim/nodes/nid000001", ``, 404, `no node "nid000001"; the machine has 4`},
		{"GET /_sim/nodes/" + x0 + "?since=now", ``, 400, "want an RFC 3339 time"},
		{"GET /_sim/calls?service=dns", ``, 400, "want one of hsm, pcs"},
	} {
		method, path, _ := strings.Cut(tc.request, " ")
		w := call(t, m, method, path, tc.body)
		var p struct{ Detail string }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != tc.status || !strings.Contains(p.Detail, tc.want) {
			t.Errorf("%s %s = %d %s; want %d with %q", tc.request, tc.body, w.Code, w.Body, tc.status, tc.want)
		}
	}
	if got := m.Faults(); len(got) != 0 {
		t.Errorf("refused faults are in the machine: %+v", got)
	}
}

// TestLongListsAreJSON: what is encoded by hand is what encoding/json makes of it.
func TestLongListsAreJSON(t *testing.T) {
	texts := []string{"", "plain", `quote " and \`, "<a&b>", "tab\tand\x00", "ü and \xff", "\u2028"}
	for i, s := range texts {
		next := texts[(i+1)%len(texts)]
		c := hsmComponent{ID: s, Type: next, State: s, Flag: next, Enabled: []*bool{nil, yes, no}[i%3], SoftwareStatus: s, Role: s, SubRole: next, NID: i,
			Subtype: s, NetType: s, Arch: s, Class: next, ReservationDisabled: i%2 == 0, Locked: i%3 == 0}
		p := powerStatus{Xname: s, Power: next, Management: s, Error: next, Operations: [][]string{nil, {}, {s}, {s, next}}[i%4], LastUpdated: s}
		for _, pair := range []struct {
			v    any
			mine []byte
		}{{c, appendComponent(nil, &c)}, {p, appendPowerStatus(nil, &p)}} {
			if want, err := json.Marshal(pair.v); err != nil || string(want) != string(pair.mine) {
				t.Errorf("%s, want %s", pair.mine, want)
			}
		}
	}
	for _, list := range [][]hsmComponent{nil, {{ID: "a"}}, slices.Repeat([]hsmComponent{{ID: "a"}}, 10_000)} {
		w := httptest.NewRecorder()
		if n := writeItems(w, "Components", slices.Values(list), appendComponent); n != len(list) {
			t.Errorf("%d items of %d", n, len(list))
		}
		want, err := json.Marshal(map[string][]hsmComponent{"Components": append([]hsmComponent{}, list...)})
		if got := w.Body.String(); err != nil || got != string(want)+"\n" {
			t.Errorf("a list of %d items is %.100q", len(list), got)
		}
	}
}
