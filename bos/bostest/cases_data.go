package bostest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// Records as the reference writes them: ASCII, ", " and ": " between members, in order of insertion.
// Source: BOS v2, Redis layout.
const (
	noTenantT1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709-e5353879bd69bfddcb465dad176ff52db8319d6f"
	tenantT1S1 = "e5353879bd69bfddcb465dad176ff52db8319d6f-640d87e741e6aa4c669a82a4cd304787960513ab"

	refOptions = `{"polling_frequency": 30, "clear_stage": true, "cleanup_completed_session_ttl": "3d", "disable_components_on_completion": true}`

	refComponent = `{"id": "x1000c0s0b0n0", "enabled": false, "error": "caf\u00e9", "session": "s1", "retry_policy": 5, "actual_state": {"boot_artifacts": {"kernel": "k", "kernel_parameters": "p", "initrd": "i", "timestamp": "2026-01-31T09:00:00"}, "bss_token": "tok", "last_updated": "2026-01-31T10:00:00"}, "desired_state": {"configuration": "c", "boot_artifacts": {"kernel": "k", "kernel_parameters": "p", "initrd": "i"}, "bss_token": "tok", "last_updated": "2026-01-31T10:00:00"}, "staged_state": {"last_updated": "2026-01-31T10:00:00"}, "last_action": {"action": "newly_discovered", "failed": false, "last_updated": "2026-01-31T10:00:00"}, "event_stats": {"power_on_attempts": 1, "power_off_graceful_attempts": 0, "power_off_forceful_attempts": 0}, "status": {"phase": "", "status_override": "", "status": "configuring"}}`

	refComponentAnswer = `{"id":"x1000c0s0b0n0","enabled":false,"error":"café","session":"s1","retry_policy":5,
		"actual_state":{"boot_artifacts":{"kernel":"k","kernel_parameters":"p","initrd":"i"},"bss_token":"tok","last_updated":"2026-01-31T10:00:00"},
		"desired_state":{"configuration":"c","boot_artifacts":{"kernel":"k","kernel_parameters":"p","initrd":"i"},"bss_token":"tok","last_updated":"2026-01-31T10:00:00"},
		"staged_state":{"last_updated":"2026-01-31T10:00:00"},
		"last_action":{"action":"newly_discovered","failed":false,"last_updated":"2026-01-31T10:00:00"},
		"event_stats":{"power_on_attempts":1,"power_off_graceful_attempts":0,"power_off_forceful_attempts":0},
		"status":{"phase":"","status_override":"","status":"stable"}}`

	refTemplate = `{"boot_sets": {"compute": {"path": "s3://boot-images/img1/manifest.json", "type": "s3", "node_groups": ["g"], "arch": "X86"}}, "enable_cfs": true, "name": "t1", "tenant": null}`

	refSession = `{"name": "s1", "tenant": "t1", "operation": "boot", "template_name": "t1", "limit": "", "stage": false, "components": "x1000c0s0b0n0", "include_disabled": false, "status": {"start_time": "2026-01-31T10:00:00", "end_time": "2026-01-31T10:05:00", "status": "complete", "error": null}}`

	refStatus = `{"status": "complete", "managed_components_count": 1, "phases": {"percent_complete": 100.0, "percent_powering_on": 0, "percent_powering_off": 0, "percent_configuring": 0}, "percent_staged": 0, "percent_successful": 100.0, "percent_failed": 0.0, "error_summary": {}, "timing": {"start_time": "2026-01-31T10:00:00", "end_time": "2026-01-31T10:05:00", "duration": "0:05:00"}}`

	refArtifacts = `{"kernel": "k2", "kernel_parameters": "p2", "initrd": "i2", "timestamp": "2026-01-31T10:00:00"}`
)

var dataCases = []apiCase{
	{"API-147", "data of the reference", func(w *wire) {
		w.seed(store.BucketOptions, "options", refOptions)
		w.seed(store.BucketComponents, "x1000c0s0b0n0", refComponent)
		w.seed(store.BucketTemplates, noTenantT1, refTemplate)
		w.seed(store.BucketSessions, tenantT1S1, refSession)
		w.seed(store.BucketArtifacts, "tok2", refArtifacts)
		w.seed(store.BucketStatuses, tenantT1S1, refStatus)

		w.get(optionsPath).ok().json(optionsWith(map[string]any{"polling_frequency": 30, "clear_stage": true, "cleanup_completed_session_ttl": "3d"}))
		w.get(componentsPath).ok().json("[" + refComponentAnswer + "]")
		w.get(componentsPath + "/x1000c0s0b0n0").ok().json(refComponentAnswer)
		w.get(t1Path).ok().json(refTemplate)
		w.get(templatesPath).ok().json("[" + refTemplate + "]")
		w.get(validPath + "t1").ok().json(`"Valid"`)
		w.as("t1").get(s1Path).ok().json(refSession)
		w.get(sessionsPath).ok().json("[" + refSession + "]")
		w.as("ten1").get(s1Path).problem(404, titleNotFound)

		w.patch(componentsPath+"/x1000c0s0b0n0", `{"actual_state":{"bss_token":"tok2"}}`).ok()
		w.get(componentsPath+"/x1000c0s0b0n0").ok().has("actual_state.boot_artifacts", `{"kernel":"k2","kernel_parameters":"p2","initrd":"i2"}`).
			has("error", `"café"`).has("retry_policy", `5`)
		w.owners("t1", "x1000c0s0b0n0")
		w.as("t1").get(s1Status).ok().json(refStatus)
	}},
	{"API-148", "keys and values in the database", func(w *wire) {
		w.needRaw()
		w.f.Tenants.Set("t1", "x1000c0s0b0n0")
		w.options(`{"polling_frequency":20}`)
		w.put(componentsPath+"/x1000c0s0b0n0", `{"enabled":false,"error":"caf\u00e9"}`).ok()
		w.put(t1Path, okTemplate).ok()
		w.as("t1").template("ok", "img1")
		w.as("t1").session("s1")
		w.as("t1").post(s1Status, "").ok()
		if err := w.f.Service.PutBootArtifacts(w.t.Context(), "tok", bos.BootArtifacts{Kernel: "k", Initrd: "i"}); err != nil {
			w.t.Fatal(err)
		}

		w.record(store.BucketOptions, "options").has("polling_frequency", `20`)
		w.record(store.BucketComponents, "x1000c0s0b0n0").json(`{"id":"x1000c0s0b0n0","enabled":false,"error":"café"}`)
		w.record(store.BucketTemplates, noTenantT1).
			json(`{"name":"t1","tenant":null,"boot_sets":{"compute":{$BS,"node_groups":["g"],"arch":"X86"}}}`)
		w.record(store.BucketSessions, tenantT1S1).has("name", `"s1"`).has("tenant", `"t1"`).has("limit", `""`).
			has("status.end_time", `null`).has("status.error", `null`).
			keys("name", "tenant", "operation", "template_name", "limit", "stage", "components", "include_disabled", "status")
		w.record(store.BucketStatuses, tenantT1S1).has("managed_components_count", `0`)
		w.record(store.BucketArtifacts, "tok").has("kernel", `"k"`).has("kernel_parameters", `""`).has("initrd", `"i"`).set("timestamp")
		w.onlyRecords()
	}},
	{"API-149", "a hundred concurrent patches of one component", func(w *wire) {
		w.put(x1Path, `{"enabled":false}`).ok()
		w.concurrentPatches(5)
	}},
	{"API-150", "two concurrent sessions of one name", func(w *wire) {
		w.template("ok", "img1")
		for i := range 10 {
			name := fmt.Sprintf("race%d", i)
			codes := w.raceForName(name)
			if len(codes) != 2 || codes[0]+codes[1] != 201+409 {
				w.t.Errorf("session %s: statuses %v, want one 201 and one 409", name, codes)
			}
		}
	}},
	{"API-151", "a corrupt record", func(w *wire) {
		w.components(listedThree)
		for _, value := range []string{`[1]`, `{"id":`, `null`, `"text"`} {
			w.seed(store.BucketComponents, "b", value)
			w.get(componentsPath).ok().list("id", "a", "c")
			w.get(componentsPath + "/b").problem(500).detail(bos.DetailInternalError)
		}
		w.put(componentsPath+"/b", `{"enabled":false}`).ok()
		w.get(componentsPath).ok().list("id", "a", "b", "c")
	}},
	{"API-152", "POST of a session, store down", func(w *wire) {
		w.template("ok", "img1")
		w.storeDown()
		w.post(sessionsPath, bootOK).problem(503, "Unable to connect to the Redis database")
		w.patch(componentsPath, `[{"id":"a","error":"E"}]`).problem(503, "Unable to connect to the Redis database")
	}},
}

// storeDown makes the store unreachable for the rest of the case.
func (w *wire) storeDown() {
	w.t.Helper()
	if w.f.StoreDown == nil {
		w.t.Skip("the fixture cannot take its store down")
	}
	w.f.StoreDown()
}

func (w *wire) needRaw() {
	w.t.Helper()
	if w.f.Raw == nil {
		w.t.Skip("the fixture has no access to raw records")
	}
}

// seed writes a record as another BOS would, past the store.
func (w *wire) seed(b store.Bucket, key, value string) {
	w.t.Helper()
	w.needRaw()
	if err := w.f.Raw.Set(w.t.Context(), b, key, []byte(value)); err != nil {
		w.t.Fatal(err)
	}
}

// record reads a record past the store, for the questions that an answer takes.
func (w *wire) record(b store.Bucket, key string) *answer {
	w.t.Helper()
	value, err := w.f.Raw.Get(w.t.Context(), b, key)
	if err != nil {
		w.t.Fatal(err)
	}
	if value == nil {
		w.t.Fatalf("database %d has no key %q", b, key)
	}
	return &answer{w: w, asked: fmt.Sprintf("database %d key %q", b, key), body: value}
}

// onlyRecords asserts that the reference's databases hold JSON objects under the keys that API-148 wrote, no others.
func (w *wire) onlyRecords() {
	w.t.Helper()
	want := map[store.Bucket]int{
		store.BucketOptions: 1, store.BucketComponents: 1, store.BucketTemplates: 2,
		store.BucketSessions: 1, store.BucketArtifacts: 1, store.BucketStatuses: 1,
	}
	for b, n := range want {
		keys, err := w.f.Raw.Keys(w.t.Context(), b)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(keys) != n {
			w.t.Errorf("database %d holds %q, want %d keys", b, keys, n)
		}
		for _, key := range keys {
			var object map[string]any
			if err := json.Unmarshal(w.record(b, key).body, &object); err != nil || object == nil {
				w.t.Errorf("database %d key %q is no JSON object: %v", b, key, err)
			}
		}
	}
}

// owners gives a tenant some nodes.
func (w *wire) owners(tenant string, ids ...bos.ComponentID) { w.f.Tenants.Set(tenant, ids...) }

// field is a member of a component that no write of another member touches.
type field struct {
	path string // where it is in an answer
	body string // the patch, with %s for the value
	word string // how a value is written: "%q" or "%d"
}

// fields are the members that concurrent writers own one each. Those of the desired state, which blank the session and
// the counters, are not among them.
var fields = []field{
	{"actual_state.boot_artifacts.kernel", `"actual_state":{"boot_artifacts":{"kernel":%s}}`, `"v%d"`},
	{"actual_state.boot_artifacts.kernel_parameters", `"actual_state":{"boot_artifacts":{"kernel_parameters":%s}}`, `"v%d"`},
	{"actual_state.boot_artifacts.initrd", `"actual_state":{"boot_artifacts":{"initrd":%s}}`, `"v%d"`},
	{"actual_state.bss_token", `"actual_state":{"bss_token":%s}`, `"v%d"`},
	{"staged_state.boot_artifacts.kernel", `"staged_state":{"boot_artifacts":{"kernel":%s}}`, `"v%d"`},
	{"staged_state.boot_artifacts.kernel_parameters", `"staged_state":{"boot_artifacts":{"kernel_parameters":%s}}`, `"v%d"`},
	{"staged_state.boot_artifacts.initrd", `"staged_state":{"boot_artifacts":{"initrd":%s}}`, `"v%d"`},
	{"staged_state.configuration", `"staged_state":{"configuration":%s}`, `"v%d"`},
	{"staged_state.session", `"staged_state":{"session":%s}`, `"v%d"`},
	{"event_stats.power_on_attempts", `"event_stats":{"power_on_attempts":%s}`, `%d`},
	{"event_stats.power_off_graceful_attempts", `"event_stats":{"power_off_graceful_attempts":%s}`, `%d`},
	{"event_stats.power_off_forceful_attempts", `"event_stats":{"power_off_forceful_attempts":%s}`, `%d`},
	{"retry_policy", `"retry_policy":%s`, `%d`},
	{"error", `"error":%s`, `"v%d"`},
	{"session", `"session":%s`, `"v%d"`},
	{"status.status_override", `"status":{"status_override":%s}`, `"v%d"`},
	{"last_action.action", `"last_action":{"action":%s}`, `"powering_on"`},
	{"last_action.failed", `"last_action":{"failed":%s}`, `true`},
	{"status.phase", `"status":{"phase":%s}`, `"configuring"`},
	{"enabled", `"enabled":%s`, `false`},
}

// value returns the JSON of the n-th value of the field.
func (f field) value(n int) string {
	if strings.Contains(f.word, "%") {
		return fmt.Sprintf(f.word, n)
	}
	return f.word
}

// patch returns the members that set the n-th value.
func (f field) patch(n int) string { return fmt.Sprintf(f.body, f.value(n)) }

// concurrentPatches lets twenty clients write a member of x1 each, rounds times, and read it back each time: a client
// that finds another value than its own has lost an update.
func (w *wire) concurrentPatches(rounds int) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, f := range fields {
		wg.Go(func() {
			for n := 1; n <= rounds && ctx.Err() == nil; n++ {
				if err := w.writeAndRead("x1", f, n); err != nil {
					w.t.Error(err)
					cancel()
				}
			}
		})
	}
	wg.Wait()
	a := w.get(x1Path).ok()
	for _, f := range fields {
		a.has(f.path, f.value(rounds))
	}
}

// writeAndRead patches one member and reads it back.
func (w *wire) writeAndRead(id string, f field, n int) error {
	path := componentsPath + "/" + id
	a, err := w.try("PATCH", path, "{"+f.patch(n)+"}")
	if err != nil {
		return err
	}
	if a.code != 200 {
		return fmt.Errorf("%s: status %d: %s", a.asked, a.code, clip(string(a.body)))
	}
	if a, err = w.try("GET", path, ""); err != nil {
		return err
	}
	return a.holds(f, n)
}

// holds returns an error unless the answer, one component, has the n-th value of the field.
func (a *answer) holds(f field, n int) error {
	var doc any
	if err := json.Unmarshal(a.body, &doc); err != nil {
		return fmt.Errorf("%s: %w", a.asked, err)
	}
	got, _ := a.at(f.path)
	text, err := json.Marshal(got)
	if err != nil {
		return err
	}
	if string(text) != f.value(n) {
		return fmt.Errorf("%s: %s is %s, want %s: an update was lost", a.asked, f.path, text, f.value(n))
	}
	return nil
}
