package bostest

import (
	"fmt"
	"strings"
)

const s1Status = s1Path + "/status"

// zeroStatus is the body of the status of a session without components, apart from its state and timing.
const zeroPhases = `{"percent_complete":0,"percent_powering_on":0,"percent_powering_off":0,"percent_configuring":0}`

// sixComponents stores a session s1 and the six components of API-083.
func (w *wire) sixComponents() {
	w.t.Helper()
	w.template("ok", "img1")
	w.session("s1")
	w.put(componentsPath, `[
		{"id":"a","enabled":true,"error":"E1","session":"s1"},
		{"id":"b","enabled":false,"error":"E1","session":"s1","status":{"status_override":"failed"}},
		{"id":"c","enabled":false,"session":"s1"},
		{"id":"d","enabled":true,"session":"s1","status":{"phase":"powering_on"}},
		{"id":"e","staged_state":{"session":"s1"}},
		{"id":"f","session":"s1"}]`).ok()
	w.patch(componentsPath+"/d", `{"status":{"status_override":""}}`).ok()
}

var statusCases = []apiCase{
	{"API-083", "six components", func(w *wire) {
		w.sixComponents()
		w.get(s1Status).ok().
			has("status", `"pending"`).
			has("managed_components_count", `6`).
			has("percent_successful", `33.33`).has("percent_failed", `16.67`).has("percent_staged", `16.67`).
			has("phases", `{"percent_complete":50,"percent_powering_on":16.67,"percent_powering_off":0,"percent_configuring":0}`).
			has("error_summary", `{"E1":{"count":2,"list":"a,b"}}`).
			has("timing.end_time", `null`).set("timing.start_time", "timing.duration")
	}},
	{"API-084", "no components", func(w *wire) {
		w.template("ok", "img1")
		w.session("s1")
		w.get(s1Status).ok().has("managed_components_count", `0`).has("phases", zeroPhases).
			has("percent_successful", `0`).has("percent_failed", `0`).has("percent_staged", `0`).has("error_summary", `{}`)
	}},
	{"API-085", "twelve components with one error", func(w *wire) {
		w.template("ok", "img1")
		w.session("s1")
		var items []string
		for i := range 12 {
			items = append(items, fmt.Sprintf(`{"id":"n%02d","session":"s1","error":"E"}`, i))
		}
		w.put(componentsPath, "["+strings.Join(items, ",")+"]").ok()
		w.get(s1Status).ok().has("error_summary", `{"E":{"count":12,"list":"n00,n01,n02,n03,n04,n05,n06,n07,n08,n09..."}}`)
	}},
	{"API-086", "duration", func(w *wire) {
		w.template("ok", "img1")
		w.session("s1")
		w.patch(s1Path, `{"status":{"start_time":"2026-01-01T00:00:00","end_time":"2026-01-02T01:02:03","status":"complete"}}`).ok()
		w.get(s1Status).ok().
			has("timing", `{"start_time":"2026-01-01T00:00:00","end_time":"2026-01-02T01:02:03","duration":"1 day, 1:02:03"}`)
	}},
	{"API-087", "a saved status is not used while the session runs", func(w *wire) {
		w.sixComponents()
		w.setState("s1", "running")
		w.post(s1Status, "").ok().has("percent_failed", `16.67`)
		w.patch(componentsPath+"/b", `{"status":{"status_override":""}}`).ok()
		w.get(s1Status).ok().has("percent_failed", `0`)
	}},
	{"API-088", "a saved status is final once the session is complete", func(w *wire) {
		w.sixComponents()
		w.setState("s1", "complete")
		saved := w.post(s1Status, "").ok().has("percent_failed", `16.67`)
		w.patch(componentsPath+"/b", `{"status":{"status_override":""}}`).ok()
		w.get(s1Status).ok().same(saved)
	}},
	{"API-089", "a complete session without a saved status", func(w *wire) {
		w.sixComponents()
		w.setState("s1", "complete")
		w.patch(componentsPath+"/b", `{"status":{"status_override":""}}`).ok()
		w.get(s1Status).ok().has("status", `"complete"`).has("percent_failed", `0`).has("managed_components_count", `6`)
	}},
	{"API-090", "a saved status goes with its session", func(w *wire) {
		w.sixComponents()
		w.setState("s1", "complete")
		w.post(s1Status, "").ok().has("percent_failed", `16.67`)
		w.delete(s1Path).is(204)
		w.delete(componentsPath + "/b").is(204)
		w.session("s1")
		w.setState("s1", "complete")
		w.get(s1Status).ok().has("percent_failed", `0`)
	}},
	{"API-091", "no such session", func(w *wire) {
		w.get(sessionsPath+"/nosuch/status").problem(404, titleNotFound)
		w.post(sessionsPath+"/nosuch/status", "").problem(404, titleNotFound)
	}},
}
