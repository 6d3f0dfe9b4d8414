package bostest

import "fmt"

const applyPath = "/v2/applystaged"

// applied asserts what became of the xnames of POST /v2/applystaged.
func (w *wire) applied(body, succeeded, failed, ignored string) {
	w.t.Helper()
	w.post(applyPath, body).ok().json(fmt.Sprintf(`{"succeeded":%s,"failed":%s,"ignored":%s}`, succeeded, failed, ignored))
}

// staged stores a session st of an operation and a component x1 that carries its stage. The component worked towards
// something else before, with attempts and an old action.
func (w *wire) staged(operation, artifacts string) {
	w.t.Helper()
	w.template("ok", "img1")
	w.post(sessionsPath, fmt.Sprintf(`{"name":"st","operation":%q,"template_name":"ok","stage":true}`, operation)).is(201)
	w.stored(`{"id":"x1","enabled":false,"error":"old","session":"before",
		"actual_state":{"bss_token":"t0","boot_artifacts":{"kernel":"k0","kernel_parameters":"p0","initrd":"i0"},"last_updated":"` + longAgo + `"},
		"desired_state":{"bss_token":"q0","configuration":"c0","boot_artifacts":{"kernel":"k0","kernel_parameters":"p0","initrd":"i0"},"last_updated":"` + longAgo + `"},
		"staged_state":{"session":"st","configuration":"c1","boot_artifacts":` + artifacts + `,"last_updated":"` + longAgo + `"},
		"last_action":{"action":"powering_on","failed":true,"last_updated":"` + longAgo + `"},
		"event_stats":{"power_on_attempts":3,"power_off_graceful_attempts":1,"power_off_forceful_attempts":1},
		"status":{"phase":"","status_override":"failed"}}`)
}

const (
	fullArtifacts  = `{"kernel":"k1","kernel_parameters":"p1","initrd":"i1"}`
	emptyArtifacts = `{"kernel":"","kernel_parameters":"","initrd":""}`
	applyX1        = `{"xnames":["x1"]}`
)

// appliedX1 asserts what a stage that was applied leaves in x1.
func (w *wire) appliedX1(artifacts string) *answer {
	w.t.Helper()
	a := w.get(x1Path).ok().has("enabled", `true`).has("session", `"st"`).
		has("desired_state.boot_artifacts", artifacts).has("desired_state.configuration", `"c1"`).lacks("desired_state.bss_token").
		has("event_stats", `{"power_on_attempts":0,"power_off_graceful_attempts":0,"power_off_forceful_attempts":0}`).
		has("status.status_override", `"on_hold"`).has("last_action.action", `"apply_staged"`).
		has("last_action.failed", `true`).has("error", `"old"`)
	for _, stamp := range []string{"desired_state.last_updated", "last_action.last_updated", "staged_state.last_updated"} {
		if a.text(stamp) == longAgo {
			a.errorf("%s is unchanged", stamp)
		}
	}
	return a
}

// failedX1 asserts what a stage that could not be applied leaves in x1.
func (w *wire) failedX1(reason string) {
	w.t.Helper()
	w.get(x1Path).ok().has("enabled", `false`).has("error", `"`+reason+`"`).has("session", `"st"`).
		has("last_action.action", `"apply_staged"`).has("desired_state.boot_artifacts.kernel", `"k0"`).has("desired_state.configuration", `"c0"`)
}

var stagedCases = []apiCase{
	{"API-137", "nothing to apply", func(w *wire) {
		w.applied(`{}`, `[]`, `[]`, `[]`)
		w.applied(`{"xnames":[]}`, `[]`, `[]`, `[]`)
		w.post(applyPath, `{"xnames":[""]}`).problem(400)
		w.post(applyPath, `{"foo":1}`).problem(400).detailHas("foo")
	}},
	{"API-138", "staged boot", func(w *wire) {
		w.staged("boot", fullArtifacts)
		w.applied(applyX1, `["x1"]`, `[]`, `[]`)
		w.appliedX1(fullArtifacts).has("staged_state.session", `"st"`).has("staged_state.boot_artifacts", fullArtifacts).
			has("actual_state.boot_artifacts.kernel", `"k0"`)
	}},
	{"API-139", "staged reboot", func(w *wire) {
		w.staged("reboot", fullArtifacts)
		w.applied(applyX1, `["x1"]`, `[]`, `[]`)
		w.appliedX1(fullArtifacts).has("staged_state.session", `"st"`).
			has("actual_state.boot_artifacts", emptyArtifacts).has("actual_state.bss_token", `""`)
	}},
	{"API-140", "staged shutdown", func(w *wire) {
		w.staged("shutdown", emptyArtifacts)
		w.applied(applyX1, `["x1"]`, `[]`, `[]`)
		w.appliedX1(emptyArtifacts)

		w.stored(`{"id":"x2","enabled":true,"staged_state":{"session":"st","boot_artifacts":` + fullArtifacts + `},"last_action":{"action":"powering_on"}}`)
		w.applied(`{"xnames":["x2"]}`, `[]`, `["x2"]`, `[]`)
		w.get(componentsPath+"/x2").ok().has("enabled", `false`).has("session", `"st"`).
			has("error", `"Staged operation is shutdown but boot artifacts have been specified (session: st, tenant: )"`)
	}},
	{"API-141", "staged boot without a kernel", func(w *wire) {
		w.staged("boot", `{"kernel":""}`)
		w.applied(applyX1, `[]`, `["x1"]`, `[]`)
		w.failedX1("Staged operation is boot but some boot artifacts have not been specified (session: st, tenant: )")
	}},
	{"API-142", "the staged session is gone", func(w *wire) {
		w.staged("boot", fullArtifacts)
		w.delete(sessionsPath + "/st").is(204)
		w.applied(applyX1, `[]`, `["x1"]`, `[]`)
		w.failedX1("Staged session no longer exists (session: st, tenant: )")
	}},
	{"API-143", "no stage, no component", func(w *wire) {
		w.components(`[{"id":"x1"},{"id":"x2","staged_state":{"session":""}}]`)
		w.applied(`{"xnames":["x1","x2","zz"]}`, `[]`, `[]`, `["x1","x2","zz"]`)
		w.get(x1Path).ok().lacks("last_action")
	}},
	{"API-144", "clear_stage", func(w *wire) {
		w.options(`{"clear_stage":true}`)
		w.staged("boot", fullArtifacts)
		w.applied(applyX1, `["x1"]`, `[]`, `[]`)
		w.appliedX1(fullArtifacts).has("staged_state.boot_artifacts", emptyArtifacts).has("staged_state.configuration", `""`).
			lacks("staged_state.session")
		w.applied(applyX1, `[]`, `[]`, `["x1"]`)
	}},
	{"API-145", "a tenant applies its own", func(w *wire) {
		ten := w.as("ten1")
		ten.template("ok", "img1")
		ten.post(sessionsPath, `{"name":"st","operation":"boot","template_name":"ok","stage":true}`).is(201)
		for _, id := range []string{"x1000c0s0b0n0", "n1"} {
			w.stored(`{"id":"` + id + `","staged_state":{"session":"st","boot_artifacts":` + fullArtifacts + `},"last_action":{"action":"powering_on"}}`)
		}
		ten.applied(`{"xnames":["x1000c0s0b0n0","n1"]}`, `["x1000c0s0b0n0"]`, `[]`, `["n1"]`)
		w.get(componentsPath + "/n1").ok().lacks("session")
	}},
	{"API-146", "an unknown tenant", func(w *wire) {
		w.as("unknown").post(applyPath, applyX1).problem(400).detail("Error parsing the data provided: Data not found for tenant unknown")
	}},
}
