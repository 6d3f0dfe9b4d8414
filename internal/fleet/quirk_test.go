package fleet

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// quirks are what clients trip over, as the real services have it: one test each.
var quirks = map[string]func(t *testing.T, m *Machine){
	"PCS answers 200 for a locked node, whose task fails": func(t *testing.T, m *Machine) {
		inject(t, m, Fault{Kind: "hsm_locked", Nodes: []string{x0}})
		id := transit(t, m, "On", x0, x1)
		advance(t, m, time.Hour)
		tasks := transitionOf(t, m, id).Tasks
		if len(tasks) != 2 || tasks[0].Status != "failed" || tasks[0].Description != "Unable to reserve component" || tasks[1].Status != "succeeded" {
			t.Errorf("%+v", tasks)
		}
	},
	"PCS calls a transition completed although every task failed": func(t *testing.T, m *Machine) {
		inject(t, m, Fault{Kind: "hsm_locked"})
		id := transit(t, m, "On", x0)
		advance(t, m, time.Hour)
		if tr := transitionOf(t, m, id); tr.TransitionStatus != "completed" || tr.TaskCounts["failed"] != 1 {
			t.Errorf("%+v", tr)
		}
	},
	"PCS has no error for a management controller that it cannot reach": func(t *testing.T, m *Machine) {
		inject(t, m, Fault{Kind: "bmc_unreachable", Nodes: []string{x0}})
		advance(t, m, time.Minute)
		var a struct{ Status []map[string]any }
		want(t, m, "POST", "/pcs/v1/power-status", `{"xname":["`+x0+`"]}`, 200, &a)
		if s := a.Status[0]; s["powerState"] != "undefined" || s["managementState"] != "unavailable" || s["error"] != "" {
			t.Errorf("%v", s)
		}
	},
	"PCS refuses a whole request for one bad xname": func(t *testing.T, m *Machine) {
		w := call(t, m, "POST", "/pcs/v1/power-status", `{"xname":["`+x0+`","x03000c0s0b0n0","nid1"]}`)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "invalid xnames detected: x03000c0s0b0n0 nid1") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	},
	"PCS has an entry with an error for a component that is not in its map": func(t *testing.T, m *Machine) {
		var a struct{ Status []map[string]any }
		want(t, m, "POST", "/pcs/v1/power-status", `{"xname":["x9c0s0b0n0"]}`, 200, &a)
		if s := a.Status[0]; s["powerState"] != "" || s["error"] != "Component not found in component map." || s["supportedPowerTransitions"] != nil {
			t.Errorf("%v", s)
		}
	},
	"PCS spells the count of unsupported tasks un-supported": func(t *testing.T, m *Machine) {
		id := transit(t, m, "On", "x1000")
		advance(t, m, time.Hour)
		if tr := transitionOf(t, m, id); tr.TaskCounts["un-supported"] != 1 || tr.Tasks[0].Status != "unsupported" {
			t.Errorf("%+v", tr)
		}
	},
	"PCS leaves the tasks out of a list of transitions": func(t *testing.T, m *Machine) {
		transit(t, m, "On", x0)
		var a struct{ Transitions []map[string]any }
		want(t, m, "GET", "/pcs/v1/transitions", "", 200, &a)
		if _, ok := a.Transitions[0]["tasks"]; ok || len(a.Transitions) != 1 {
			t.Errorf("%v", a)
		}
	},
	"BSS answers a PUT with a header and no body": func(t *testing.T, m *Machine) {
		w := call(t, m, "PUT", "/bss/boot/v1/bootparameters", `{"hosts":["`+x0+`"],"kernel":"k"}`)
		if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("BSS-Referral-Token") == "" {
			t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
		}
	},
	"BSS answers 200 without a token to a PUT without hosts": func(t *testing.T, m *Machine) {
		w := call(t, m, "PUT", "/bss/boot/v1/bootparameters", `{}`)
		if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("BSS-Referral-Token") != "" {
			t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
		}
	},
	"BSS erases what a PUT does not say": func(t *testing.T, m *Machine) {
		want(t, m, "PUT", "/bss/boot/v1/bootparameters", `{"hosts":["`+x0+`"],"kernel":"k","initrd":"i","cloud-init":{"meta-data":{"a":1}}}`, 200, nil)
		want(t, m, "PUT", "/bss/boot/v1/bootparameters", `{"hosts":["`+x0+`"],"kernel":"k2"}`, 200, nil)
		var a []map[string]any
		want(t, m, "GET", "/bss/boot/v1/bootparameters?name="+x0, "", 200, &a)
		if len(a) != 1 || a[0]["kernel"] != "k2" || a[0]["initrd"] != nil || a[0]["cloud-init"] != nil || a[0]["token"] != nil {
			t.Errorf("%v", a)
		}
	},
	"CFS passes over unknown ids in silence": func(t *testing.T, m *Machine) {
		var a map[string][]string
		want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"enabled":true},"filters":{"ids":"x9c0s0b0n0,`+x0+`"}}`, 200, &a)
		if !slices.Equal(a["component_ids"], []string{x0}) {
			t.Errorf("%v", a)
		}
	},
	"CFS takes an empty filter for everything": func(t *testing.T, m *Machine) {
		for _, filters := range []string{`{}`, `{"ids":""}`} {
			var a map[string][]string
			want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"enabled":true},"filters":`+filters+`}`, 200, &a)
			if len(a["component_ids"]) != m.Size() {
				t.Errorf("%s: %v", filters, a)
			}
		}
	},
	"CFS answers 404, and applies nothing, when a list of patches has an unknown id": func(t *testing.T, m *Machine) {
		want(t, m, "PATCH", "/cfs/v3/components", `[{"id":"`+x0+`","desired_config":"a"},{"id":"x9c0s0b0n0","desired_config":"a"}]`, 404, nil)
		if got := m.byXname[x0].cfs.given.config; got != "" {
			t.Errorf("configuration %q", got)
		}
	},
	"CFS pages with the whole next object as the query": func(t *testing.T, m *Machine) {
		query, got := "limit=3&enabled=true&tags=", []string{}
		for range 10 {
			var a struct {
				Components []struct{ ID string }
				Next       map[string]any
			}
			want(t, m, "GET", "/cfs/v3/components?"+query, "", 200, &a)
			for _, c := range a.Components {
				got = append(got, c.ID)
			}
			if a.Next == nil {
				break
			}
			query = ""
			for _, name := range []string{"limit", "after_id", "ids", "status", "enabled", "config_name", "state_details", "config_details", "tags"} {
				v, ok := a.Next[name]
				if !ok {
					t.Errorf("next lacks %s", name)
				}
				if v != nil {
					query += fmt.Sprintf("&%s=%v", name, v)
				}
			}
		}
		if want := xnamesOf(m.cfs.list); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	},
	"HSM passes over unknown ids in silence": func(t *testing.T, m *Machine) {
		if got := ids(t, m, "POST", "/hsm/v2/State/Components/Query", `{"ComponentIDs":["x9c0s0b0n0","`+x0+`","`+x0+`"]}`); !slices.Equal(got, []string{x0}) {
			t.Errorf("%v", got)
		}
	},
	"HSM answers 500 to a query that is not JSON, and 400 to one without ids": func(t *testing.T, m *Machine) {
		want(t, m, "POST", "/hsm/v2/State/Components/Query", `{`, 500, nil)
		want(t, m, "POST", "/hsm/v2/State/Components/Query", `{"ComponentIDs":[]}`, 400, nil)
	},
	"HSM has an empty list where nothing matches, not null": func(t *testing.T, m *Machine) {
		for _, path := range []string{"/hsm/v2/State/Components?role=Management", "/hsm/v2/locks/status?type=Node&locked=True"} {
			if body := call(t, m, "GET", path, "").Body.String(); !strings.Contains(body, `"Components":[]`) {
				t.Errorf("%s: %s", path, body)
			}
		}
	},
	"HSM has null for the members of an empty group": func(t *testing.T, m *Machine) {
		want(t, m, "POST", "/hsm/v2/groups", `{"label":"Empty"}`, 201, nil)
		if body := call(t, m, "GET", "/hsm/v2/groups", "").Body.String(); !strings.Contains(body, `"label":"empty"`) || !strings.Contains(body, `"members":{"ids":null}`) {
			t.Error(body)
		}
	},
	"HSM leaves out members without a value": func(t *testing.T, m *Machine) {
		var record map[string]any
		want(t, m, "GET", "/hsm/v2/State/Components/"+x0, "", 200, &record)
		for _, name := range []string{"Locked", "ReservationDisabled", "SubRole", "SoftwareStatus", "Subtype"} {
			if v, ok := record[name]; ok {
				t.Errorf("%s is %v", name, v)
			}
		}
	},
	"PCS leaves out the error of a task that has none": func(t *testing.T, m *Machine) {
		id := transit(t, m, "On", x0)
		if body := call(t, m, "GET", "/pcs/v1/transitions/"+id, "").Body.String(); strings.Contains(body, `"error"`) || !strings.Contains(body, `"taskStatus":"new"`) {
			t.Error(body)
		}
	},
	"TAPMS answers 404 with a bare string": func(t *testing.T, m *Machine) {
		w := call(t, m, "GET", "/tapms/v1alpha3/tenants/nobody", "")
		var text string
		if err := json.Unmarshal(w.Body.Bytes(), &text); err != nil || w.Code != 404 || text != "Tenant with name/uuid 'nobody' not found." {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	},
	"TAPMS has an empty status while a tenant is deployed": func(t *testing.T, m *Machine) {
		want(t, m, "PUT", "/_sim/tenants/blue", `{"xnames":["`+x0+`"],"deploying":true}`, 200, nil)
		var a struct{ Status map[string]any }
		want(t, m, "GET", "/tapms/v1alpha3/tenants/blue", "", 200, &a)
		if len(a.Status) != 0 {
			t.Errorf("%v", a)
		}
	},
	"CAPMC answers 200 to what failed, and names nobody for a locked node": func(t *testing.T, m *Machine) {
		inject(t, m, Fault{Kind: "hsm_locked", Nodes: []string{x0}})
		var a capmcAnswer
		want(t, m, "POST", "/capmc/v1/xname_on", `{"xnames":["`+x0+`","`+x1+`"]}`, 200, &a)
		if a.E != enolck || len(a.Xnames) != 0 {
			t.Errorf("%+v", a)
		}
	},
	"S3 quotes the ETag, and has an XML error with GET but not with HEAD": func(t *testing.T, m *Machine) {
		if tag := call(t, m, "HEAD", kernelObject, "").Header().Get("ETag"); !strings.HasPrefix(tag, `"`) || !strings.HasSuffix(tag, `"`) {
			t.Errorf("ETag %s", tag)
		}
		if w := call(t, m, "GET", "/s3/boot-images/none", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "<Code>NoSuchKey</Code>") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := call(t, m, "HEAD", "/s3/boot-images/none", ""); w.Code != 404 || w.Body.Len() != 0 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	},
	"IMS takes the metadata of a new image in another form than it has it": func(t *testing.T, m *Machine) {
		var img Image
		want(t, m, "POST", "/ims/v3/images", `{"name":"mine","metadata":{"key":"k","value":"v"}}`, 201, &img)
		if img.Metadata["k"] != "v" || len(img.Metadata) != 1 {
			t.Errorf("%+v", img)
		}
	},
}

func TestQuirks(t *testing.T) {
	for name, check := range quirks {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, Config{Nodes: 8, Speed: 1, Manual: true})
			t.Cleanup(run(t, m))
			check(t, m)
		})
	}
}

// TestHeaderCase looks at the header as it is on the wire, before a client spells it.
func TestHeaderCase(t *testing.T) {
	for value, name := range map[string]string{"lower": "bss-referral-token", "upper": "BSS-REFERRAL-TOKEN", "canonical": "Bss-Referral-Token"} {
		m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "header_case", Value: value}}})
		s := httptest.NewServer(m.Handler())
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		const body = `{"hosts":["a"]}`
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: sim\r\nContent-Length: %d\r\n\r\n%s", bootParameters, len(body), body)
		var head []string
		for in := bufio.NewReader(conn); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == "\r\n" {
				break
			}
			before, _, _ := strings.Cut(line, ":")
			head = append(head, before)
		}
		if !slices.Contains(head, name) {
			t.Errorf("%s: header %q", value, head)
		}
		conn.Close()
		s.Close()
	}
}

// TestRedirects: a client that follows gets its answer, with its method and body where
// the status keeps them, at the service and through the gateway.
func TestRedirects(t *testing.T) {
	for _, tc := range []struct {
		status, method, path, body string
		want                       []string // methods, as they arrive
	}{
		{"308", "PATCH", "/cfs/v3/components", `{"patch":{"enabled":true},"filters":{}}`, []string{"PATCH", "PATCH"}},
		{"307", "POST", "/pcs/v1/power-status", `{"xname":["` + x0 + `"]}`, []string{"POST", "POST"}},
		{"301", "PATCH", "/cfs/v3/components", `{"patch":{"enabled":true},"filters":{}}`, []string{"PATCH", "GET"}},
		{"303", "POST", "/pcs/v1/power-status", `{}`, []string{"POST", "GET"}},
		{"302", "GET", "/hsm/v2/State/Components?type=Node", "", []string{"GET", "GET"}},
	} {
		m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "redirect", Value: tc.status}}})
		s := httptest.NewServer(m.Handler())
		req, err := http.NewRequestWithContext(t.Context(), tc.method, s.URL+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		s.Close()
		var methods []string
		for _, c := range m.Calls("") {
			methods = append(methods, c.Method)
		}
		if resp.StatusCode != 200 || !strings.Contains(string(body), x0) || !slices.Equal(methods, tc.want) {
			t.Errorf("%s of %s: %d %s, requests %q", tc.status, tc.method, resp.StatusCode, body, methods)
		}
	}
}

// TestRedirectingGateway: BOS sees nothing of a redirection.
func TestRedirectingGateway(t *testing.T) {
	bos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) }))
	defer bos.Close()
	m := newMachine(t, Config{Nodes: 1, BOSURL: bos.URL, Faults: []Fault{{Kind: "redirect", Service: "gateway"}, {Kind: "require_auth", Service: "gateway", Value: "off"}}})
	s := httptest.NewServer(m.Gateway())
	defer s.Close()
	resp, err := s.Client().Get(s.URL + "/apis/bos/v2/components?ids=a")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "/v2/components?ids=a" {
		t.Errorf("%s %v", body, err)
	}
}

// TestSkewedClock: stamps of one service are wrong, those of its neighbours are not.
func TestSkewedClock(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Speed: 1, Manual: true})
	defer run(t, m)()
	inject(t, m, Fault{Kind: "clock_skew", Service: "pcs", Value: "1h"})
	inject(t, m, Fault{Kind: "clock_skew", Service: "hsm", Value: "-1h"})
	inject(t, m, Fault{Kind: "clock_skew", Service: "auth", Value: "-3h"})
	off := func(stamp string) time.Duration {
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			t.Fatal(err)
		}
		return at.Sub(m.epoch).Round(time.Minute)
	}
	var tr struct{ CreateTime, AutomaticExpirationTime string }
	want(t, m, "GET", "/pcs/v1/transitions/"+transit(t, m, "On", x0), "", 200, &tr)
	if off(tr.CreateTime) != time.Hour || off(tr.AutomaticExpirationTime) != 25*time.Hour {
		t.Errorf("%+v", tr)
	}
	var r struct{ Success []reservationRecord }
	want(t, m, "POST", "/hsm/v2/locks/service/reservations", `{"ComponentIDs":["`+x0+`"],"ReservationDuration":5}`, 200, &r)
	if off(r.Success[0].CreationTime) != -time.Hour || off(r.Success[0].ExpirationTime) != -55*time.Minute {
		t.Errorf("%+v", r)
	}
	want(t, m, "PUT", "/cfs/v3/configurations/mine", `{"layers":[]}`, 200, nil)
	var c cfsConfig
	want(t, m, "GET", "/cfs/v3/configurations/mine", "", 200, &c)
	if off(c.LastUpdated) != 0 {
		t.Errorf("%+v", c)
	}
	// The gateway finds tokens of a token endpoint that is three hours slow expired.
	token := ask(m, "POST", tokenPath, "", map[string][]string{"grant_type": {"client_credentials"}, "client_id": {"c"}, "client_secret": {"s"}})
	var issued struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(token.Body.Bytes(), &issued); err != nil {
		t.Fatal(err)
	}
	if w := ask(m, "GET", "/apis/smd/hsm/v2/groups", issued.AccessToken, nil); w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestDeletedForNodes: the image is gone for some nodes only.
func TestDeletedForNodes(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2, Speed: 1, Manual: true})
	defer run(t, m)()
	f, err := ParseFault("image_deleted:" + x0 + ":compute-24.7.0-x86_64")
	if err != nil {
		t.Fatal(err)
	}
	inject(t, m, f)
	want(t, m, "GET", kernelObject, "", 200, nil)
	putBoot(t, m, "Compute", "quiet")
	transit(t, m, "On", x0, x1)
	advance(t, m, time.Hour)
	if a, b := state(t, m, x0), state(t, m, x1); a.Phase == "up" || b.Phase != "up" {
		t.Errorf("%s and %s", a.Phase, b.Phase)
	}
}
