package bostest

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

const (
	sessionsPath = "/v2/sessions"
	s1Path       = sessionsPath + "/s1"
	bootOK       = `{"operation":"boot","template_name":"ok"}`
)

var uuidText = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// session creates a session of the template ok.
func (w *wire) session(name string) *answer {
	w.t.Helper()
	return w.post(sessionsPath, fmt.Sprintf(`{"name":%q,"operation":"boot","template_name":"ok"}`, name)).is(201)
}

// setState changes the state of a session.
func (w *wire) setState(name, state string) {
	w.t.Helper()
	w.patch(sessionsPath+"/"+name, fmt.Sprintf(`{"status":{"status":%q}}`, state)).ok()
}

// lists asserts the names that a list of sessions holds, in any order.
func (w *wire) lists(path string, want ...string) {
	w.t.Helper()
	a := w.get(path).ok()
	if got := sorted(a.members("name")); strings.Join(got, ",") != strings.Join(want, ",") {
		a.errorf("names %q, want %q", got, want)
	}
}

var sessionCases = []apiCase{
	{"API-059", "POST with the least", func(w *wire) {
		w.template("ok", "img1")
		a := w.post(sessionsPath, bootOK).is(201).set("status.start_time").
			keys("name", "tenant", "operation", "template_name", "limit", "stage", "components", "include_disabled", "status").
			has("tenant", `null`).has("operation", `"boot"`).has("template_name", `"ok"`).has("limit", `""`).
			has("stage", `false`).has("components", `""`).has("include_disabled", `false`).
			has("status.status", `"pending"`).has("status.end_time", `null`).has("status.error", `null`)
		if name := a.text("name"); !uuidText.MatchString(name) {
			a.errorf("name %q is no UUID", name)
		}
		w.get(sessionsPath + "/" + a.text("name")).ok().same(a)
	}},
	{"API-060", "POST with everything", func(w *wire) {
		w.template("ok", "img1")
		w.post(sessionsPath, `{"name":"s1","operation":"boot","template_name":"ok","limit":null,"stage":true,"include_disabled":true}`).is(201).
			has("name", `"s1"`).has("limit", `""`).has("stage", `true`).has("include_disabled", `true`)
	}},
	{"API-061", "names are unique per tenant", func(w *wire) {
		w.template("ok", "img1")
		w.as("ten1").template("ok", "img1")
		const title = "The resource to be created already exists"
		body := `{"name":"s1","operation":"boot","template_name":"ok"}`
		w.session("s1")
		w.post(sessionsPath, body).problem(409, title).detail("Session 's1' already exists")
		w.as("ten1").post(sessionsPath, body).is(201).has("tenant", `"ten1"`)
		w.as("ten1").post(sessionsPath, body).problem(409, title).detail("Session 's1' already exists for tenant 'ten1'")
	}},
	{"API-062", "POST of an unknown template", func(w *wire) {
		w.post(sessionsPath, `{"operation":"boot","template_name":"nosuch"}`).problem(400).detail("Session Template Name invalid: nosuch")
	}},
	{"API-063", "POST of somebody else's template", func(w *wire) {
		w.template("ok", "img1")
		w.as("ten1").post(sessionsPath, bootOK).problem(400).detail("Session Template Name invalid: ok")
	}},
	{"API-064", "POST against the schema", func(w *wire) {
		w.template("ok", "img1")
		for _, body := range []string{
			`{"operation":"Boot","template_name":"ok"}`,
			`{"template_name":"ok"}`,
			`{"operation":"boot"}`,
			`{"operation":"boot","template_name":"ok","name":""}`,
			`{"operation":"boot","template_name":"ok","name":"-x"}`,
			`{"operation":"boot","template_name":"ok","zz":1}`,
			`{"operation":"boot","template_name":"ok","stage":null}`,
		} {
			w.post(sessionsPath, body).problem(400)
		}
		w.post(sessionsPath, "").problem(415)
		w.with("Content-Type", "application/json").post(sessionsPath, "").problem(400)
		w.get(sessionsPath).ok().json(`[]`)
	}},
	{"API-065", "boot without a kernel", func(w *wire) {
		w.template("nokern", "nokern")
		w.post(sessionsPath, `{"operation":"boot","template_name":"nokern"}`).problem(400).detailHas("^Session template fails check: ")
		w.post(sessionsPath, `{"operation":"shutdown","template_name":"nokern"}`).is(201)
	}},
	{"API-066", "boot without an initrd", func(w *wire) {
		w.template("noinitrd", "noinitrd")
		w.post(sessionsPath, `{"operation":"boot","template_name":"noinitrd"}`).is(201)
	}},
	{"API-067", "session_limit_required", func(w *wire) {
		w.template("ok", "img1")
		w.options(`{"session_limit_required":true}`)
		const detail = "session_limit_required option is set, but this session has no limit specified"
		w.post(sessionsPath, bootOK).problem(400).detail(detail)
		w.post(sessionsPath, `{"operation":"boot","template_name":"ok","limit":""}`).problem(400).detail(detail)
		w.post(sessionsPath, `{"operation":"boot","template_name":"ok","limit":"*"}`).is(201).has("limit", `"*"`)
	}},
	{"API-068", "NIDs in the limit", func(w *wire) {
		w.template("ok", "img1")
		body := `{"operation":"boot","template_name":"ok","limit":"x1,!nid001"}`
		w.post(sessionsPath, body).is(201)
		w.options(`{"reject_nids":true}`)
		w.post(sessionsPath, body).problem(400).detail("reject_nids: session limit appears to contain NIDs: x1,!nid001")
	}},
	{"API-069", "POST of an unknown tenant", func(w *wire) {
		w.template("ok", "img1")
		w.as("unknown").post(sessionsPath, bootOK).problem(400, "Invalid tenant").detail("The provided tenant does not exist")
	}},
	{"API-070", "lists per tenant", func(w *wire) {
		w.template("ok", "img1")
		w.as("ten1").template("ok", "img1")
		w.session("s1")
		w.as("ten1").session("s2")
		w.lists(sessionsPath, "s1", "s2")
		w.as("ten1").lists(sessionsPath, "s2")
		w.as("unknown").get(sessionsPath).ok().json(`[]`)
	}},
	{"API-071", "list by status", func(w *wire) {
		w.template("ok", "img1")
		w.session("s1")
		w.session("s2")
		w.setState("s2", "running")
		w.lists(sessionsPath+"?status=pending", "s1")
		w.get(sessionsPath + "?status=bogus").problem(400)
		w.get(sessionsPath + "?status=").problem(400)
	}},
	{"API-072", "list by age", func(w *wire) {
		w.template("ok", "img1")
		w.session("s1")
		w.lists(sessionsPath + "?min_age=1d")
		w.lists(sessionsPath+"?max_age=1d", "s1")
		w.lists(sessionsPath+"?min_age=0", "s1")
		w.lists(sessionsPath + "?max_age=0")
	}},
	{"API-073", "illegal ages", func(w *wire) {
		w.get(sessionsPath + "?min_age=1s").problem(400)
		w.get(sessionsPath + "?min_age=100000000d").problem(400)
		w.delete(sessionsPath + "?min_age=99999999d").problem(400)
	}},
	{"API-074", "no such session", func(w *wire) {
		w.template("ok", "img1")
		w.session("s1")
		w.get(sessionsPath+"/nosuch").problem(404, titleNotFound).detail("Session 'nosuch' does not exist")
		w.as("unknown").get(s1Path).problem(404, titleNotFound).detail("Session for tenant 'unknown' 's1' does not exist")
	}},
	{"API-075", "PATCH", func(w *wire) {
		w.template("ok", "img1")
		start := w.session("s1").text("status.start_time")
		w.patch(s1Path, `{"status":{"status":"running"},"components":"a,b"}`).ok().
			has("status", `{"start_time":"`+start+`","end_time":null,"error":null,"status":"running"}`).has("components", `"a,b"`)
	}},
	{"API-076", "PATCH against the schema", func(w *wire) {
		w.template("ok", "img1")
		post := w.session("s1")
		w.patch(s1Path, `{}`).ok().same(post)
		w.patch(s1Path, `{"name":"x"}`).problem(400)
		w.patch(s1Path, `{"status":{"status":"bogus"}}`).problem(400)
		w.patch(sessionsPath+"/nosuch", `{}`).problem(404, titleNotFound)
	}},
	{"API-077", "PATCH of nulls", func(w *wire) {
		w.template("ok", "img1")
		w.session("s1")
		w.patch(s1Path, `{"status":{"end_time":"2026-01-01T00:00:00","error":"E"}}`).ok().has("status.error", `"E"`)
		w.patch(s1Path, `{"status":{"end_time":null,"error":null}}`).ok().has("status.end_time", `null`).has("status.error", `null`)
	}},
	{"API-078", "DELETE", func(w *wire) {
		w.template("ok", "img1")
		w.session("s1")
		w.delete(s1Path).is(204)
		w.delete(s1Path).problem(404, titleNotFound)
	}},
	{"API-079", "bulk DELETE by status", func(w *wire) {
		w.template("ok", "img1")
		w.session("a")
		w.session("b")
		w.setState("a", "complete")
		w.delete(sessionsPath + "?status=complete").is(204)
		w.lists(sessionsPath, "b")
	}},
	{"API-080", "bulk DELETE deletes each session under its own tenant", func(w *wire) {
		w.twoS1()
		w.delete(sessionsPath + "?status=complete").is(204)
		w.get(s1Path).ok()
		w.as("ten1").get(s1Path).problem(404, titleNotFound)
	}},
	{"API-081", "bulk DELETE of a tenant", func(w *wire) {
		w.twoS1()
		w.setState("s1", "complete")
		w.as("ten1").session("s2")
		w.as("ten1").delete(sessionsPath + "?status=complete").is(204)
		w.lists(sessionsPath, "s1", "s2")
		w.get(s1Path).ok()
	}},
	{"API-082", "bulk DELETE of all", func(w *wire) {
		w.twoS1()
		w.delete(sessionsPath).is(204)
		w.get(sessionsPath).ok().json(`[]`)
	}},
}

// twoS1 makes two sessions s1: a pending one of nobody and a complete one of ten1.
func (w *wire) twoS1() {
	w.t.Helper()
	w.template("ok", "img1")
	w.as("ten1").template("ok", "img1")
	w.session("s1")
	w.as("ten1").session("s1")
	w.as("ten1").setState("s1", "complete")
}

// raceForName sends the same POST from two clients at once and returns the sorted status codes.
func (w *wire) raceForName(name string) (codes []int) {
	w.t.Helper()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		start = make(chan struct{})
	)
	for range 2 {
		wg.Go(func() {
			<-start
			a, err := w.try(http.MethodPost, sessionsPath, fmt.Sprintf(`{"name":%q,"operation":"boot","template_name":"ok"}`, name))
			if err != nil {
				w.t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			codes = append(codes, a.code)
		})
	}
	close(start)
	wg.Wait()
	return codes
}
