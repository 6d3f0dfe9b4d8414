package bostest

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/bootorch/bosgo/store"
)

// defaultOptions are the twenty options and their defaults. Source: BOS v2 API, Options.
const defaultOptions = `{"bss_read_timeout":20,"cfs_read_timeout":20,"hsm_read_timeout":20,"ims_read_timeout":20,
 "pcs_read_timeout":20,"cleanup_completed_session_ttl":"7d","clear_stage":false,"component_actual_state_ttl":"4h",
 "default_retry_policy":3,"discovery_frequency":300,"ims_errors_fatal":false,"ims_images_must_exist":false,
 "logging_level":"INFO","max_boot_wait_time":1200,"max_component_batch_size":2800,"max_power_off_wait_time":300,
 "max_power_on_wait_time":120,"polling_frequency":15,"reject_nids":false,"session_limit_required":false}`

// optionsWith returns the defaults with some of them changed.
func optionsWith(changes map[string]any) string {
	var o map[string]any
	if err := json.Unmarshal([]byte(defaultOptions), &o); err != nil {
		panic(err)
	}
	maps.Copy(o, changes)
	data, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(data)
}

const optionsPath = "/v2/options"

// set changes options of the server.
func (w *wire) options(body string) { w.t.Helper(); w.patch(optionsPath, body).ok() }

var optionsCases = []apiCase{
	{"API-011", "the defaults", func(w *wire) {
		w.get(optionsPath).ok().json(defaultOptions)
	}},
	{"API-012", "one option changes", func(w *wire) {
		want := optionsWith(map[string]any{"polling_frequency": 20})
		w.patch(optionsPath, `{"polling_frequency":20}`).ok().json(want)
		w.get(optionsPath).ok().json(want)
	}},
	{"API-013", "an empty patch", func(w *wire) {
		w.patch(optionsPath, `{}`).problem(400)
	}},
	{"API-014", "an unknown option is echoed and forgotten", func(w *wire) {
		w.patch(optionsPath, `{"foo":1}`).ok().has("foo", `1`).has("polling_frequency", `15`)
		w.get(optionsPath).ok().json(defaultOptions)
	}},
	{"API-015", "wrong types", func(w *wire) {
		for _, v := range []string{`"x"`, `1.5`, `15.0`, `true`, `null`} {
			w.patch(optionsPath, `{"polling_frequency":`+v+`}`).problem(400).detailHas("polling_frequency")
		}
		w.patch(optionsPath, `{"clear_stage":1}`).problem(400).detailHas("clear_stage")
		w.get(optionsPath).ok().json(defaultOptions)
	}},
	{"API-016", "out of range", func(w *wire) {
		w.patch(optionsPath, `{"bss_read_timeout":5}`).problem(400).detailHas("bss_read_timeout")
		w.patch(optionsPath, `{"bss_read_timeout":86401}`).problem(400).detailHas("bss_read_timeout")
	}},
	{"API-017", "component_actual_state_ttl", func(w *wire) {
		w.patch(optionsPath, `{"component_actual_state_ttl":"30m"}`).problem(400).detailHas("component_actual_state_ttl")
		w.patch(optionsPath, `{"component_actual_state_ttl":"0h"}`).problem(400).detailHas("component_actual_state_ttl")
		w.patch(optionsPath, `{"component_actual_state_ttl":"2H"}`).ok().has("component_actual_state_ttl", `"2H"`)
	}},
	{"API-018", "logging_level", func(w *wire) {
		w.patch(optionsPath, `{"logging_level":"debug"}`).ok().has("logging_level", `"debug"`)
		w.patch(optionsPath, `{"logging_level":"bogus"}`).problem(400).detailHas("logging_level")
		w.get(optionsPath).ok().has("logging_level", `"debug"`)
	}},
	{"API-019", "cleanup_completed_session_ttl", func(w *wire) {
		w.patch(optionsPath, `{"cleanup_completed_session_ttl":"0"}`).ok().has("cleanup_completed_session_ttl", `"0"`)
		w.patch(optionsPath, `{"cleanup_completed_session_ttl":"3s"}`).problem(400).detailHas("cleanup_completed_session_ttl")
	}},
	{"API-020", "content type", func(w *wire) {
		w.with("Content-Type", "text/plain").patch(optionsPath, `{"polling_frequency":20}`).
			problem(415, "Unsupported Media Type").detailHas("text/plain")
		w.with("Content-Type", "application/merge-patch+json; charset=utf-8").patch(optionsPath, `{"polling_frequency":20}`).ok()
	}},
	{"API-021", "not JSON", func(w *wire) {
		w.patch(optionsPath, `not json`).problem(400).detail("Request body is not valid JSON")
		w.patch(optionsPath, `null`).problem(400).detail("Request body is not valid JSON")
	}},
	{"API-022", "stored options of an older release", func(w *wire) {
		w.seed(store.BucketOptions, "options", `{"component_actual_state_ttl": "30m", "oldopt": 1, "polling_frequency": 99}`)
		w.get(optionsPath).ok().json(optionsWith(map[string]any{"polling_frequency": 99}))
	}},
}

// sorted is for comparing sets.
func sorted(ids []string) []string { return slices.Sorted(slices.Values(ids)) }
