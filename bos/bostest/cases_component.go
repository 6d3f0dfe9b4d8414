package bostest

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/bootorch/bosgo/bos"
)

const (
	componentsPath = "/v2/components"
	x1Path         = componentsPath + "/x1"
	longAgo        = "2020-01-01T00:00:00"
)

// stored puts a record into the store as it is, without what the API adds.
func (w *wire) stored(record string) {
	w.t.Helper()
	var c bos.Component
	if err := c.UnmarshalJSON([]byte(record)); err != nil {
		w.t.Fatal(err)
	}
	if err := w.f.Store.Components().Put(w.t.Context(), c.ID, c); err != nil {
		w.t.Fatal(err)
	}
}

// components puts records through the API.
func (w *wire) components(list string) { w.t.Helper(); w.put(componentsPath, list).ok() }

// pages follows start_after_id until a short page and returns the ids of each page.
func (w *wire) pages(query string, size int) (pages []string) {
	w.t.Helper()
	after := ""
	for range 100 {
		path := fmt.Sprintf("%s?page_size=%d&%s", componentsPath, size, query)
		if after != "" {
			path += "&start_after_id=" + url.QueryEscape(after)
		}
		ids := w.get(path).ok().members("id")
		if len(ids) > 0 {
			pages = append(pages, strings.Join(ids, " "))
		}
		if len(ids) < size {
			return pages
		}
		after = ids[len(ids)-1]
	}
	w.t.Fatalf("pages of %q never end", query)
	return nil
}

// statusRows is the table of the computed status. Source: BOS v2 API, computed status.
var statusRows = []struct{ members, want string }{
	{`"status":{"status_override":"on_hold","phase":"powering_on"}`, "on_hold"},
	{`"status":{"status_override":"anything","phase":"configuring"}`, "anything"},
	{`"status":{"phase":"powering_on"},"last_action":{"action":"powering_on","failed":false}`, "power_on_called"},
	{`"status":{"phase":"powering_on"},"last_action":{"action":"powering_on"}`, "power_on_called"},
	{`"status":{"phase":"powering_on"},"last_action":{"action":"powering_on","failed":true}`, "power_on_pending"},
	{`"status":{"phase":"powering_on"},"last_action":{"action":"session_setup"}`, "power_on_pending"},
	{`"status":{"phase":"powering_on"}`, "power_on_pending"},
	{`"status":{"phase":"powering_off"},"last_action":{"action":"powering_off_gracefully","failed":true}`, "power_off_gracefully_called"},
	{`"status":{"phase":"powering_off"},"last_action":{"action":"powering_off_forcefully"}`, "power_off_forcefully_called"},
	{`"status":{"phase":"powering_off"},"last_action":{"action":"powering_on"}`, "power_off_pending"},
	{`"status":{"phase":"powering_off"}`, "power_off_pending"},
	{`"status":{"phase":"configuring"},"last_action":{"action":"powering_on"}`, "configuring"},
	{`"status":{"phase":""}`, "stable"},
	{`"status":{}`, "stable"},
	{`"enabled":false`, "stable"},
}

const listedThree = `[{"id":"b"},{"id":"a"},{"id":"c"}]`

var componentCases = []apiCase{
	{"API-092", "an empty list", func(w *wire) {
		w.get(componentsPath).ok().json(`[]`)
	}},
	{"API-093", "no such component", func(w *wire) {
		w.get(componentsPath+"/x").problem(404, titleNotFound).detail("Component 'x' does not exist")
	}},
	{"API-094", "enabled puts on hold", func(w *wire) {
		w.put(x1Path, `{"enabled":true}`).ok().json(`{"enabled":true,"id":"x1","status":{"status_override":"on_hold"}}`)
		w.get(x1Path).ok().has("status.status", `"on_hold"`)
	}},
	{"API-095", "PUT replaces", func(w *wire) {
		w.put(x1Path, `{"enabled":true,"error":"E"}`).ok()
		w.put(x1Path, `{"id":"other"}`).ok().json(`{"id":"x1"}`)
		w.get(x1Path).ok().lacks("enabled", "error")
		w.get(componentsPath).ok().list("id", "x1")
	}},
	{"API-096", "PUT against the schema", func(w *wire) {
		for _, body := range []string{
			`{}`,
			`{"bogus":1}`,
			`{"error":null}`,
			`{"status":{"status":"stable"}}`,
			`{"desired_state":{"last_updated":"x"}}`,
			`{"status":{"phase":"zzz"}}`,
			`{"last_action":{"action":"zzz"}}`,
			`{"last_action":{"action":""}}`,
			`{"session":"-bad"}`,
			`{"enabled":1}`,
			`{"retry_policy":1.5}`,
		} {
			w.put(x1Path, body).problem(400)
		}
		w.get(componentsPath).ok().json(`[]`)
	}},
	{"API-097", "a desired state resets the counters and the session", func(w *wire) {
		w.put(x1Path, `{"desired_state":{"boot_artifacts":{"kernel":"k","kernel_parameters":"p","initrd":"i"},"configuration":"c"},
			"event_stats":{"power_on_attempts":5,"power_off_graceful_attempts":5,"power_off_forceful_attempts":5}}`).ok().
			has("event_stats", `{"power_on_attempts":0,"power_off_graceful_attempts":0,"power_off_forceful_attempts":0}`).
			has("session", `""`).set("desired_state.last_updated")
	}},
	{"API-098", "PUT of a list", func(w *wire) {
		w.put(componentsPath, listedThree).ok().list("id", "b", "a", "c")
		w.get(componentsPath).ok().list("id", "a", "b", "c")
	}},
	{"API-099", "PUT of a duplicate", func(w *wire) {
		w.put(componentsPath, `[{"id":"a","enabled":false},{"id":"a","error":"dup"}]`).ok().json(`[{"id":"a","error":"dup"}]`)
		w.get(componentsPath).ok().list("id", "a").lacks("0.enabled").has("0.error", `"dup"`)
	}},
	{"API-100", "PUT of odd lists", func(w *wire) {
		w.put(componentsPath, `[]`).ok().json(`[]`)
		w.put(componentsPath, `[{"enabled":true}]`).problem(400)
		w.put(componentsPath, `{"id":"a"}`).problem(400)
	}},
	{"API-101", "list by id and by enabled", func(w *wire) {
		w.components(`[{"id":"a","enabled":true},{"id":"b","enabled":false},{"id":"c","enabled":true},{"id":"d"}]`)
		w.get(componentsPath+"?ids=a,c,zz").ok().list("id", "a", "c")
		w.get(componentsPath+"?ids=a,,c,").ok().list("id", "a", "c")
		w.get(componentsPath + "?ids=").problem(400)
		w.get(componentsPath+"?enabled=true").ok().list("id", "a", "c")
		w.get(componentsPath+"?enabled=True").ok().list("id", "a", "c")
		w.get(componentsPath + "?enabled=1").problem(400)
		w.get(componentsPath+"?ids=a&ids=b").ok().list("id", "b")
		w.get(componentsPath+"?bogus=1&ids=a").ok().list("id", "a")
		w.get(componentsPath+"?ids=a,"+strings.Repeat("x", 1000)).ok().list("id", "a")
	}},
	{"API-102", "list of the disabled", func(w *wire) {
		w.components(`[{"id":"a","enabled":true},{"id":"b","enabled":false},{"id":"c"}]`)
		w.get(componentsPath+"?enabled=false").ok().list("id", "b")
		w.get(componentsPath+"?enabled=FALSE&ids=a,b,c").ok().list("id", "b")
	}},
	{"API-103", "list by session, stage and phase", func(w *wire) {
		w.components(`[{"id":"a","session":"s1"},{"id":"b","staged_state":{"session":"s2"}},{"id":"c","status":{"phase":"powering_on"}}]`)
		w.get(componentsPath+"?session=s1").ok().list("id", "a")
		w.get(componentsPath+"?staged_session=s2").ok().list("id", "b")
		w.get(componentsPath+"?phase=powering_on").ok().list("id", "c")
		w.get(componentsPath+"?phase=").ok().list("id", "a", "b", "c")
		w.get(componentsPath + "?phase=bogus").problem(400)
		w.get(componentsPath + "?session=").problem(400)
	}},
	{"API-104", "list by status", func(w *wire) {
		w.components(`[{"id":"a","enabled":true},{"id":"b","status":{"phase":"powering_on"},"last_action":{"action":"powering_on"}},{"id":"c"}]`)
		w.get(componentsPath+"?status=on_hold,power_on_called").ok().list("id", "a", "b")
		w.get(componentsPath+"?status=on_hold,%20power_on_called").ok().list("id", "a")
		w.get(componentsPath+"?status=").ok().list("id", "a", "b", "c")
	}},
	{"API-105", "pages", func(w *wire) {
		w.components(`[{"id":"a"},{"id":"B"},{"id":"c"},{"id":"x10"},{"id":"x9"}]`)
		if got := strings.Join(w.pages("", 1), " "); got != "B a c x10 x9" {
			w.t.Errorf("pages of one: %s, want B a c x10 x9", got)
		}
		w.get(componentsPath+"?page_size=0").ok().list("id", "B", "a", "c", "x10", "x9")
		for _, size := range []string{"-1", "x", "1048577", "1.0"} {
			w.get(componentsPath + "?page_size=" + size).problem(400)
		}
	}},
	{"API-106", "pages of matches", func(w *wire) {
		var items []string
		for i := range 30 {
			item := fmt.Sprintf(`{"id":"n%02d"}`, i)
			if i%3 == 0 {
				item = fmt.Sprintf(`{"id":"n%02d","session":"s1"}`, i)
			}
			items = append(items, item)
		}
		w.components("[" + strings.Join(items, ",") + "]")
		if got := strings.Join(w.pages("session=s1", 4), " | "); got != "n00 n03 n06 n09 | n12 n15 n18 n21 | n24 n27" {
			w.t.Errorf("pages: %s", got)
		}
	}},
	{"API-107", "a page beyond the end", func(w *wire) {
		w.components(listedThree)
		w.get(componentsPath + "?start_after_id=zz").ok().json(`[]`)
		w.get(componentsPath+"?start_after_id=aa").ok().list("id", "b", "c")
	}},
	{"API-108", "the computed status", func(w *wire) {
		for i, row := range statusRows {
			id := fmt.Sprintf("n%02d", i)
			w.put(componentsPath+"/"+id, "{"+row.members+"}").ok().lacks("status.status")
			if got := w.get(componentsPath + "/" + id).ok().text("status.status"); got != row.want {
				w.t.Errorf("{%s}: status %q, want %q", row.members, got, row.want)
			}
		}
		a := w.get(componentsPath).ok()
		for i, row := range statusRows {
			a.has(fmt.Sprintf("%d.status.status", i), `"`+row.want+`"`)
		}
	}},
	{"API-109", "a token stands for artifacts", func(w *wire) {
		artifacts := bos.BootArtifacts{Kernel: "k1", KernelParameters: "p1", Initrd: "i1", Timestamp: longAgo}
		if err := w.f.Store.BootArtifacts().Put(w.t.Context(), "tok1", artifacts); err != nil {
			w.t.Fatal(err)
		}
		w.put(x1Path, `{"enabled":false}`).ok()
		w.patch(x1Path, `{"actual_state":{"bss_token":"tok1"}}`).ok()
		w.get(x1Path).ok().has("actual_state.boot_artifacts", `{"kernel":"k1","kernel_parameters":"p1","initrd":"i1"}`).
			has("actual_state.bss_token", `"tok1"`).set("actual_state.last_updated")
		w.get(componentsPath).ok().has("0.actual_state.boot_artifacts", `{"kernel":"k1","kernel_parameters":"p1","initrd":"i1"}`)
	}},
	{"API-110", "an unknown token", func(w *wire) {
		w.oldActual()
		w.patch(x1Path, `{"actual_state":{"bss_token":"nope"}}`).ok()
		w.get(x1Path).ok().has("actual_state",
			`{"bss_token":"nope","boot_artifacts":{"kernel":"k0","kernel_parameters":"p0","initrd":"i0"},"last_updated":"`+longAgo+`"}`)
	}},
	{"API-111", "an unknown token and artifacts", func(w *wire) {
		w.oldActual()
		w.patch(x1Path, `{"actual_state":{"bss_token":"nope","boot_artifacts":{"kernel":"k"}}}`).ok()
		a := w.get(x1Path).ok().has("actual_state.boot_artifacts", `{"kernel":"k","kernel_parameters":"p0","initrd":"i0"}`)
		if a.text("actual_state.last_updated") == longAgo {
			a.errorf("actual_state.last_updated is unchanged")
		}
	}},
	{"API-112", "no actual state while BOS acts", func(w *wire) {
		w.put(x1Path, `{"enabled":true,"last_action":{"action":"session_setup"}}`).ok()
		w.patch(x1Path, `{"actual_state":{"bss_token":"t"}}`).problem(409, "Actual state can not be updated.").
			detail("BOS is currently changing the state of the node, and the actual state can not be accurately recorded")
		w.get(x1Path).ok().lacks("actual_state")
	}},
	{"API-113", "when an actual state is taken", func(w *wire) {
		const report = `{"actual_state":{"boot_artifacts":{"kernel":"k"}}}`
		w.put(x1Path, `{"enabled":true,"last_action":{"action":"powering_on"}}`).ok()
		w.patch(x1Path, report).ok()
		w.put(x1Path, `{"enabled":false,"status":{"phase":"powering_off"},"last_action":{"action":"powering_off_gracefully"}}`).ok()
		w.patch(x1Path, report).ok()
		w.put(x1Path, `{"enabled":true,"last_action":{"action":"session_setup"}}`).ok()
		w.patch(x1Path, `{"status":{"status_override":""}}`).ok()
		w.patch(x1Path, report).ok().has("actual_state.boot_artifacts.kernel", `"k"`)
	}},
	{"API-114", "an actual state for a record without enabled", func(w *wire) {
		w.put(x1Path, `{"error":""}`).ok()
		w.patch(x1Path, `{"actual_state":{"boot_artifacts":{"kernel":"k"}}}`).ok()
	}},
	{"API-115", "a desired token clears the session", func(w *wire) {
		w.owned()
		w.patch(x1Path, `{"desired_state":{"bss_token":"q"}}`).ok()
		w.get(x1Path).ok().has("session", `""`).has("desired_state.last_updated", `"`+longAgo+`"`).has("desired_state.bss_token", `"q"`).
			has("event_stats.power_on_attempts", `2`)
	}},
	{"API-116", "unless the session is given", func(w *wire) {
		w.owned()
		w.patch(x1Path, `{"desired_state":{"bss_token":"q"},"session":"s1"}`).ok().has("session", `"s1"`)
	}},
	{"API-117", "an empty desired state", func(w *wire) {
		w.owned()
		w.patch(x1Path, `{"desired_state":{}}`).ok()
		a := w.get(x1Path).ok().has("session", `""`).has("event_stats.power_on_attempts", `2`).has("desired_state.configuration", `"c"`)
		if a.text("desired_state.last_updated") == longAgo {
			a.errorf("desired_state.last_updated is unchanged")
		}
	}},
	{"API-118", "enabled overrides a given override", func(w *wire) {
		w.put(x1Path, `{"enabled":false}`).ok()
		w.patch(x1Path, `{"enabled":true,"status":{"status_override":"failed"}}`).ok().has("status.status_override", `"on_hold"`)
	}},
	{"API-119", "disabling keeps the override", func(w *wire) {
		w.put(x1Path, `{"enabled":true}`).ok()
		w.patch(x1Path, `{"enabled":false}`).ok().has("status.status_override", `"on_hold"`).has("enabled", `false`)
	}},
	{"API-120", "counters are merged", func(w *wire) {
		w.put(x1Path, `{"event_stats":{"power_on_attempts":1,"power_off_graceful_attempts":2,"power_off_forceful_attempts":3}}`).ok()
		w.patch(x1Path, `{"event_stats":{"power_on_attempts":4}}`).ok().
			has("event_stats", `{"power_on_attempts":4,"power_off_graceful_attempts":2,"power_off_forceful_attempts":3}`)
	}},
	{"API-121", "the last action is merged", func(w *wire) {
		w.stored(`{"id":"x1","last_action":{"action":"powering_on","failed":false,"last_updated":"` + longAgo + `"}}`)
		a := w.patch(x1Path, `{"last_action":{"failed":true}}`).ok().has("last_action.action", `"powering_on"`).has("last_action.failed", `true`)
		if a.text("last_action.last_updated") == longAgo {
			a.errorf("last_action.last_updated is unchanged")
		}
	}},
	{"API-122", "PATCH of nothing", func(w *wire) {
		w.patch(componentsPath+"/nosuch", `{"error":""}`).problem(404, titleNotFound).detail("Component 'nosuch' does not exist")
	}},
	{"API-123", "bulk PATCH with an unknown id", func(w *wire) {
		w.components(listedThree)
		const list = `[{"id":"a","error":"E"},{"id":"zz","error":"E"},{"id":"b","error":"E"}]`
		w.patch(componentsPath, list).problem(404, titleNotFound).detail("Component 'zz' does not exist")
		w.get(componentsPath).ok().lacks("0.error", "1.error")
		w.patch(componentsPath+"?skip_bad_ids=true", list).ok().list("id", "a", "b")
		w.get(componentsPath).ok().has("0.error", `"E"`).has("1.error", `"E"`).lacks("2.error")
		w.patch(componentsPath+"?skip_bad_ids=true", `[{"id":"zz","error":"E"}]`).ok().json(`[]`)
		w.patch(componentsPath, `[]`).ok().json(`[]`)
	}},
	{"API-124", "one patch for ids", func(w *wire) {
		w.components(listedThree)
		w.patch(componentsPath, `{"patch":{"error":"E"},"filters":{"ids":"b,a"}}`).ok().list("id", "b", "a").list("error", "E", "E")
		w.get(componentsPath).ok().list("error", "E", "E", "")
	}},
	{"API-125", "one patch for ids, one unknown", func(w *wire) {
		w.components(listedThree)
		const body = `{"patch":{"error":"E"},"filters":{"ids":"a,zz"}}`
		w.patch(componentsPath, body).problem(404, titleNotFound).detail("Component 'zz' does not exist")
		w.get(componentsPath + "/a").ok().lacks("error")
		w.patch(componentsPath+"?skip_bad_ids=True", body).ok().list("id", "a")
		const comma = `{"patch":{"error":"E"},"filters":{"ids":"a,"}}`
		w.patch(componentsPath, comma).problem(404, titleNotFound).detail("Component '' does not exist")
		w.patch(componentsPath+"?skip_bad_ids=true", comma).ok().list("id", "a")
	}},
	{"API-126", "one patch for a session", func(w *wire) {
		w.components(`[{"id":"b","session":"s1"},{"id":"a","session":"s1"},{"id":"c","staged_state":{"session":"s1"}}]`)
		w.patch(componentsPath, `{"patch":{"error":"E"},"filters":{"session":"s1"}}`).ok().list("id", "a", "b")
		w.get(componentsPath + "/c").ok().lacks("error")
		w.patch(componentsPath, `{"patch":{"error":"E"},"filters":{"session":"nosuch"}}`).ok().json(`[]`)
	}},
	{"API-127", "bulk PATCH against the schema", func(w *wire) {
		w.components(listedThree)
		for _, body := range []string{
			`{"patch":{"error":"E"},"filters":{"ids":"a","session":"s1"}}`,
			`{"patch":{"error":"E"},"filters":{}}`,
			`{}`,
			`{"patch":{},"filters":{"ids":"a"}}`,
			`{"filters":{"ids":"a"}}`,
			`{"patch":{"error":"E"},"filters":{"ids":""}}`,
			`"text"`,
			`[{"error":"E"}]`,
		} {
			w.patch(componentsPath, body).problem(400)
		}
		w.get(componentsPath).ok().lacks("0.error", "1.error", "2.error")
	}},
	{"API-128", "bulk PATCH with an empty second filter", func(w *wire) {
		w.components(`[{"id":"a","session":"s1"}]`)
		for _, filters := range []string{`{"ids":"a","session":null}`, `{"ids":null,"session":"s1"}`, `{"ids":"a","session":""}`} {
			w.patch(componentsPath, `{"patch":{"error":"E"},"filters":`+filters+`}`).ok().list("id", "a")
		}
	}},
	{"API-129", "bulk PATCH takes any actual state", func(w *wire) {
		w.components(`[{"id":"a","enabled":true,"last_action":{"action":"powering_off_gracefully"}}]`)
		w.patch(componentsPath+"/a", `{"status":{"phase":"powering_off","status_override":""}}`).ok()
		w.patch(componentsPath, `[{"id":"a","actual_state":{"boot_artifacts":{"kernel":""}}}]`).ok().list("id", "a")
	}},
	{"API-130", "an id inside the one patch", func(w *wire) {
		w.components(listedThree)
		w.patch(componentsPath, `{"patch":{"id":"zz","error":"E"},"filters":{"ids":"a,b"}}`).ok().list("id", "a", "b")
		w.get(componentsPath).ok().list("id", "a", "b", "c")
	}},
	{"API-131", "DELETE", func(w *wire) {
		w.components(listedThree)
		w.delete(componentsPath + "/a").is(204)
		w.delete(componentsPath+"/a").problem(404, titleNotFound)
		w.get(componentsPath).ok().list("id", "b", "c")
	}},
	{"API-132", "a tenant sees its own", func(w *wire) {
		w.tenanted()
		ten := w.as("ten1")
		ten.get(componentsPath).ok().list("id", "x1000c0s0b0n0", "x1000c0s0b0n1")
		ten.get(componentsPath + "?ids=n1").ok().json(`[]`)
		ten.get(componentsPath+"?ids=n1,x1000c0s0b0n1").ok().list("id", "x1000c0s0b0n1")
		ten.get(componentsPath+"/n1").problem(404, titleNotFound)
		ten.patch(componentsPath+"/n1", `{"error":"E"}`).problem(404, titleNotFound)
		ten.delete(componentsPath+"/n1").problem(404, titleNotFound)
		w.get(componentsPath + "/n1").ok().lacks("error")
		ten.patch(componentsPath+"/x1000c0s0b0n0", `{"error":"E"}`).ok().has("error", `"E"`)
	}},
	{"API-133", "an unknown tenant", func(w *wire) {
		w.tenanted()
		const detail = "Data not found for tenant unknown"
		who := w.as("unknown")
		who.get(componentsPath).problem(400, "Invalid tenant").detail(detail)
		who.get(componentsPath+"/n1").problem(400, "Invalid tenant").detail(detail)
		who.patch(componentsPath+"/n1", `{"error":"E"}`).problem(400, "Invalid tenant").detail(detail)
		who.delete(componentsPath+"/n1").problem(400, "Invalid tenant").detail(detail)
		who.patch(componentsPath, `[{"id":"n1","error":"E"}]`).problem(400, "Bad Request", "Invalid tenant").detailHas(detail)
		who.patch(componentsPath, `{"patch":{"error":"E"},"filters":{"ids":"n1"}}`).problem(400, "Bad Request", "Invalid tenant").detailHas(detail)
		who.patch(componentsPath, `{"patch":{"error":"E"},"filters":{"session":"s1"}}`).problem(400, "Bad Request", "Invalid tenant").detailHas(detail)
	}},
	{"API-134", "bulk PATCH of somebody else's", func(w *wire) {
		w.tenanted()
		ten := w.as("ten1")
		ten.patch(componentsPath, `[{"id":"n1","error":"E"}]`).problem(404, titleNotFound).detail("Component 'n1' does not exist")
		ten.patch(componentsPath+"?skip_bad_ids=true", `[{"id":"n1","error":"E"}]`).ok().json(`[]`)
		w.get(componentsPath + "/n1").ok().lacks("error")
	}},
	{"API-135", "PUT looks at no tenant", func(w *wire) {
		w.as("unknown").put(x1Path, `{"enabled":false}`).ok()
		w.as("unknown").put(componentsPath, `[{"id":"x2"}]`).ok()
	}},
	{"API-136", "a tenant name that is too long", func(w *wire) {
		w.as(strings.Repeat("t", 128)).get(componentsPath).problem(400)
		w.as(strings.Repeat("t", 128)).get(sessionsPath).problem(400)
		w.as(strings.Repeat("t", 127)).get(sessionsPath).ok()
	}},
}

// oldActual stores x1 with an actual state of long ago.
func (w *wire) oldActual() {
	w.t.Helper()
	w.stored(`{"id":"x1","enabled":false,"actual_state":{"bss_token":"t0","last_updated":"` + longAgo + `",
		"boot_artifacts":{"kernel":"k0","kernel_parameters":"p0","initrd":"i0"}}}`)
}

// owned stores x1 as a component of session s1 that has made attempts.
func (w *wire) owned() {
	w.t.Helper()
	w.stored(`{"id":"x1","enabled":true,"session":"s1","desired_state":{"configuration":"c","last_updated":"` + longAgo + `"},
		"event_stats":{"power_on_attempts":2,"power_off_graceful_attempts":0,"power_off_forceful_attempts":0}}`)
}

// tenanted stores two nodes of ten1 and n1, which nobody owns.
func (w *wire) tenanted() {
	w.t.Helper()
	w.components(`[{"id":"x1000c0s0b0n0"},{"id":"x1000c0s0b0n1"},{"id":"n1"}]`)
}
