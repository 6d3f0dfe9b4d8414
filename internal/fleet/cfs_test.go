package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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

// TestSharedRecords: components that one request wrote share what it said, and what one
// of them is told later is not told to the others.
func TestSharedRecords(t *testing.T) {
	m := newMachine(t, Config{Nodes: 4})
	const layer = `{"clone_url":"u","playbook":"p","commit":"c"}`
	patch := func(ids, what string) {
		t.Helper()
		want(t, m, "PATCH", "/cfs/v3/components", `{"patch":`+what+`,"filters":{"ids":"`+ids+`"}}`, 200, nil)
	}
	check := func(x, config string, retries int, tags map[string]string, last string) {
		t.Helper()
		var c cfsComponentJSON
		want(t, m, "GET", "/cfs/v3/components/"+x+"?state_details=true", "", 200, &c)
		layers := *c.State
		if c.Config != config || c.RetryPolicy == nil || *c.RetryPolicy != retries || !maps.Equal(c.Tags, tags) || layers[len(layers)-1].Playbook != last {
			t.Errorf("%s: %+v, layers %+v; want %s, %d, %v, %s", x, c, layers, config, retries, tags, last)
		}
	}
	patch(x0+","+x1, `{"desired_config":"a","retry_policy":5,"tags":{"k":"v"},"state":[`+layer+`,`+layer+`,`+layer+`]}`)
	patch(x0, `{"desired_config":"b","retry_policy":2,"tags":{"k":"mine"}}`)
	patch(x0, `{"state_append":{"clone_url":"u","playbook":"of x0","commit":"c"}}`)
	check(x1, "a", 5, map[string]string{"k": "v"}, "p")
	patch(x1, `{"state_append":{"clone_url":"u","playbook":"of x1","commit":"c"}}`)
	patch(x0+","+x1, `{"tags":{"more":"1"}}`)
	check(x0, "b", 2, map[string]string{"k": "mine", "more": "1"}, "of x0")
	check(x1, "a", 5, map[string]string{"k": "v", "more": "1"}, "of x1")
	var fresh map[string]any
	want(t, m, "GET", "/cfs/v3/components/"+m.nodes[3].xname, "", 200, &fresh)
	if fresh["desired_config"] != "" || fresh["retry_policy"] != nil || fmt.Sprint(fresh["tags"]) != "map[]" {
		t.Errorf("a component that nobody wrote to: %v", fresh)
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
	c := m.byXname[x0]
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
		{"no configuration any more", "", *full["applied"], 0, "configured"},
		{"a configuration that does not exist", "gone", nil, 0, "unconfigured"},
		{"nothing applied", "compute-24.7.0", nil, 0, "pending"},
		{"one layer of two", "compute-24.7.0", (*full["applied"])[:1], 0, "pending"},
		{"everything", "compute-24.7.0", *full["applied"], 0, "configured"},
		{"failed, may be tried again", "compute-24.7.0", *full["failed"], 1, "pending"},
		{"failed too often", "compute-24.7.0", *full["failed"], 3, "failed"},
		{"pending too often", "compute-24.7.0", nil, 3, "failed"},
		{"incomplete", "compute-24.7.0", *full["incomplete"], 0, "pending"},
		{"layers of another configuration", "compute-24.11.0", *full["applied"], 0, "pending"},
		{"a layer without a commit", "incomplete", nil, 0, "unconfigured"},
	} {
		c.cfs.given, c.cfs.layers, c.cfs.errorCount = &cfsAssignment{config: tc.config}, &tc.state, int32(tc.errors)
		if got := m.cfsStatus(c); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// TestBatcher: a full group goes at the next check, the rest after the window.
func TestBatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 25, Speed: 1})
		defer run(t, m)()
		want(t, m, "PATCH", "/cfs/v3/options", `{"batch_size":10,"batch_window":60,"batcher_check_interval":10}`, 200, nil)
		time.Sleep(time.Second)
		want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","enabled":true},"filters":{}}`, 200, nil)
		type sessions struct{ Sessions []json.RawMessage }
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{8 * time.Second, 0}, {2 * time.Second, 2}, {49 * time.Second, 2}, {11 * time.Second, 3}} {
			time.Sleep(step.wait)
			var s sessions
			if want(t, m, "GET", "/cfs/v3/sessions", "", 200, &s); len(s.Sessions) != step.want {
				t.Errorf("%d sessions, want %d", len(s.Sessions), step.want)
			}
		}
		// The nodes are off: the sessions fail, until the retries are used up.
		time.Sleep(24 * time.Hour)
		var c cfsComponentJSON
		if want(t, m, "GET", "/cfs/v3/components/"+x0, "", 200, &c); c.Status != "failed" || c.ErrorCount != 3 {
			t.Errorf("%+v", c)
		}
		want(t, m, "PATCH", "/cfs/v3/options", `{"batch_size":"many"}`, 400, nil)
		want(t, m, "PATCH", "/cfs/v3/options", `{"colour":1}`, 400, nil)
		want(t, m, "PATCH", "/cfs/v3/options", `{"batch_size":0}`, 400, nil)
	})
}

// TestReconfigure: another commit in a configuration makes its components pending,
// and they are configured again.
func TestReconfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1})
		defer run(t, m)()
		status := func() string {
			t.Helper()
			synctest.Wait()
			return state(t, m, x0).CFS
		}
		putBoot(t, m, x0, "quiet")
		want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"mine"},"filters":{}}`, 200, nil)
		transit(t, m, "On", x0)
		if got := status(); got != "unconfigured" {
			t.Errorf("with a configuration that does not exist: %s", got)
		}
		want(t, m, "PUT", "/cfs/v3/configurations/mine", `{"layers":[{"clone_url":"u","playbook":"p","commit":"1"}]}`, 200, nil)
		if got := status(); got != "configured" {
			t.Errorf("once it exists: %s", got)
		}
		want(t, m, "DELETE", "/cfs/v3/configurations/mine", "", 400, nil)
		if _, err := m.Inject(Fault{Kind: "cfs_never_runs"}); err != nil {
			t.Fatal(err)
		}
		want(t, m, "PUT", "/cfs/v3/configurations/mine", `{"layers":[{"clone_url":"u","playbook":"p","commit":"2"}]}`, 200, nil)
		if got := status(); got != "pending" {
			t.Errorf("with another commit: %s", got)
		}
		if err := m.Clear("fault-1"); err != nil {
			t.Fatal(err)
		}
		if got := status(); got != "configured" {
			t.Errorf("after a session: %s", got)
		}
	})
}

func TestCFSRecords(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	// PUT makes a component as new.
	var c cfsComponentJSON
	want(t, m, "PATCH", "/cfs/v3/components/"+x0, ` {"enabled":false,"tags":{"a":"b"}}`, 200, nil)
	if want(t, m, "PUT", "/cfs/v3/components/"+x0, `{"desired_config":"compute-24.7.0"}`, 200, &c); !c.Enabled || len(c.Tags) != 0 || c.Status != "pending" {
		t.Errorf("%+v", c)
	}
	if want(t, m, "PUT", "/cfs/v3/components/new", `{"enabled":false}`, 200, &c); c.ID != "new" || c.Enabled {
		t.Errorf("%+v", c)
	}
	want(t, m, "PUT", "/cfs/v3/components", `[{"id":""}]`, 400, nil)
	want(t, m, "PUT", "/cfs/v3/components/new", `[]`, 400, nil)
	var page struct{ Components []struct{ ID string } }
	if want(t, m, "GET", "/cfs/v3/components", "", 200, &page); len(page.Components) != 2 || page.Components[0].ID != "new" {
		t.Errorf("%+v", page)
	}
	// A layer at a time, and filters by tag and configuration.
	want(t, m, "PATCH", "/cfs/v3/components", "\n"+`{"patch":{"state_append":{"clone_url":"u","playbook":"p","commit":"c","status":"applied"},"tags":{"k":"v"}},"filters":{"config_name":"compute-24.7.0"}}`, 200, nil)
	if want(t, m, "GET", "/cfs/v3/components?tags=k=v&state_details=true", "", 200, &page); len(page.Components) != 1 || page.Components[0].ID != x0 {
		t.Errorf("%+v", page)
	}
	want(t, m, "PATCH", "/cfs/v3/options", `{"include_ara_links":true}`, 200, nil)
	if want(t, m, "GET", "/cfs/v3/components/"+x0, "", 200, &c); c.Logs != "https://ara.cmn.example/hosts?name="+x0 {
		t.Errorf("logs %q", c.Logs)
	}
	// Configurations.
	if got := m.Configurations(); !slices.Contains(got, "compute-24.7.0") || len(got) < 2 {
		t.Errorf("configurations %v", got)
	}
	for body, status := range map[string]int{
		`{"layers":[{"clone_url":"u","playbook":"p","branch":"main"}]}`: 200, `{"layers":[{"playbook":"p"}]}`: 400, `{}`: 400, `{`: 400,
	} {
		want(t, m, "PUT", "/cfs/v3/configurations/mine", body, status, nil)
	}
	var config cfsConfig
	if want(t, m, "GET", "/cfs/v3/configurations/mine", "", 200, &config); len(config.Layers[0].Commit) != 40 {
		t.Errorf("a branch is resolved to %q", config.Layers[0].Commit)
	}
	want(t, m, "GET", "/cfs/v2/configurations/mine", "", 200, nil)
	want(t, m, "DELETE", "/cfs/v3/configurations/mine", "", 204, nil)
	want(t, m, "DELETE", "/cfs/v3/configurations/mine", "", 404, nil)
	want(t, m, "GET", "/cfs/v3/configurations/mine", "", 404, nil)
	want(t, m, "GET", "/cfs/v2/configurations/mine", "", 404, nil)
	want(t, m, "GET", "/cfs/v3/sessions/none", "", 404, nil)
}

// TestRebootDuringSession: a session that a node was rebooted under has configured nothing
// of the boot that is there now; the next session does.
func TestRebootDuringSession(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2, Speed: 1, Manual: true, ConfigureTime: time.Hour})
	defer run(t, m)()
	want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0"},"filters":{}}`, 200, nil)
	putBoot(t, m, "Compute", "quiet")
	transit(t, m, "On", x0, x1)
	advance(t, m, 20*time.Minute)
	transit(t, m, "Hard-Restart", x0)
	for _, after := range []struct {
		d      time.Duration
		status string
	}{{20 * time.Minute, "pending"}, {40 * time.Minute, "pending"}, {time.Hour, "configured"}} {
		advance(t, m, after.d)
		n := m.byXname[x0]
		if s := state(t, m, x0); s.Phase != "up" || s.Boots != 2 || s.CFS != after.status || n.cfs.errorCount != 0 {
			t.Errorf("at %v %s, boots %d, CFS %s, %d errors; want %s", m.now(), s.Phase, s.Boots, s.CFS, n.cfs.errorCount, after.status)
		}
	}
	if s := state(t, m, x1); s.CFS != "configured" || m.byXname[x1].cfs.errorCount != 0 {
		t.Errorf("the other node of the session: %s", s.CFS)
	}
}

// TestOtherConfigurationWhileWaiting: a component that is given another configuration
// while it waits for a session gets that one, and no session with the first.
func TestOtherConfigurationWhileWaiting(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Speed: 1, Manual: true})
	defer run(t, m)()
	putBoot(t, m, "Compute", "quiet")
	transit(t, m, "On", x0)
	advance(t, m, time.Hour)
	for _, config := range []string{"compute-24.7.0", "compute-24.11.0"} {
		want(t, m, "PATCH", "/cfs/v3/components/"+x0, `{"desired_config":"`+config+`"}`, 200, nil)
		advance(t, m, 20*time.Second)
	}
	advance(t, m, time.Hour)
	if s := state(t, m, x0); s.CFS != "configured" || len(m.cfs.sessions) != 1 || m.cfs.sessions[0].Config != "compute-24.11.0" {
		t.Errorf("CFS %s after %d sessions", s.CFS, len(m.cfs.sessions))
	}
}
