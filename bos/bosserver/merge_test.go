package bosserver

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
)

// fromJSON decodes a test's literal.
func fromJSON[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// sameJSON compares a value with its JSON form.
func sameJSON(t testing.TB, got any, want string) {
	t.Helper()
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON[any](t, want), fromJSON[any](t, string(data))); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

func TestMergeComponent(t *testing.T) {
	for _, tt := range []struct{ name, stored, patch, want string }{
		{"a missing object is taken over", `{"id":"a"}`, `{"status":{"phase":"configuring"}}`, `{"id":"a","status":{"phase":"configuring"}}`},
		{"an object is merged by member", `{"id":"a","last_action":{"action":"powering_on","failed":false}}`, `{"last_action":{"failed":true}}`,
			`{"id":"a","last_action":{"action":"powering_on","failed":true}}`},
		{"artifacts are merged one level deeper",
			`{"id":"a","actual_state":{"bss_token":"t","boot_artifacts":{"kernel":"k","initrd":"i","timestamp":"then"}}}`,
			`{"actual_state":{"boot_artifacts":{"kernel":"k2"}}}`,
			`{"id":"a","actual_state":{"bss_token":"t","boot_artifacts":{"kernel":"k2","initrd":"i","timestamp":"then"}}}`},
		{"other members are replaced", `{"id":"a","error":"e","session":"s1","retry_policy":3}`, `{"error":"","session":"s2"}`,
			`{"id":"a","error":"","session":"s2","retry_policy":3}`},
		{"the id stays", `{"id":"a"}`, `{"id":"b","error":"e"}`, `{"id":"a","error":"e"}`},
		{"unknown members survive", `{"id":"a","new":1,"status":{"phase":"","more":[1]}}`, `{"status":{"phase":"configuring"}}`,
			`{"id":"a","new":1,"status":{"phase":"configuring","more":[1]}}`},
		{"a stored computed status goes", `{"id":"a","status":{"status":"stable","phase":""}}`, `{"error":"e"}`,
			`{"id":"a","error":"e","status":{"phase":""}}`},
		{"enabling gives the attempts back", `{"id":"a","enabled":false,"event_stats":{"power_on_attempts":3}}`, `{"enabled":true}`,
			`{"id":"a","enabled":true,"event_stats":{"power_on_attempts":0}}`},
		{"enabling an enabled one does not", `{"id":"a","enabled":true,"event_stats":{"power_on_attempts":3}}`, `{"enabled":true}`,
			`{"id":"a","enabled":true,"event_stats":{"power_on_attempts":3}}`},
		{"an empty object changes nothing", `{"id":"a","event_stats":{"power_on_attempts":3}}`, `{"event_stats":{}}`,
			`{"id":"a","event_stats":{"power_on_attempts":3}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := fromJSON[bos.Component](t, tt.stored)
			mergeComponent(&c, new(fromJSON[bos.ComponentPatch](t, tt.patch)))
			sameJSON(t, c, tt.want)
		})
	}
}

func TestMergeComponentSharesNothing(t *testing.T) {
	patch := fromJSON[bos.ComponentPatch](t, `{"error":"e","status":{"phase":"configuring"},"desired_state":{"boot_artifacts":{"kernel":"k"}}}`)
	var a, b bos.Component
	mergeComponent(&a, &patch)
	mergeComponent(&b, &patch)
	*a.Error, *a.Status.Phase, *a.DesiredState.BootArtifacts.Kernel = "x", "x", "x"
	sameJSON(t, b, `{"error":"e","status":{"phase":"configuring"},"desired_state":{"boot_artifacts":{"kernel":"k"}}}`)
}

func TestMergeTemplate(t *testing.T) {
	const stored = `{"name":"t","tenant":null,"cfs":{"configuration":"c"},"boot_sets":{"compute":{"path":"p","type":"s3","node_groups":["g"],"cfs":{"configuration":"d"}}}}`
	for _, tt := range []struct{ name, patch, want string }{
		{"nothing", `{}`, stored},
		{"an empty cfs keeps the configuration", `{"cfs":{}}`, stored},
		{"a description", `{"description":"d","enable_cfs":false}`,
			`{"name":"t","tenant":null,"description":"d","enable_cfs":false,"cfs":{"configuration":"c"},"boot_sets":{"compute":{"path":"p","type":"s3","node_groups":["g"],"cfs":{"configuration":"d"}}}}`},
		{"a boot set is merged by member, lists as a whole", `{"boot_sets":{"compute":{"path":"q","type":"s3","node_groups":["h","i"],"cfs":{}}}}`,
			`{"name":"t","tenant":null,"cfs":{"configuration":"c"},"boot_sets":{"compute":{"path":"q","type":"s3","node_groups":["h","i"],"cfs":{"configuration":"d"}}}}`},
		{"a new boot set", `{"boot_sets":{"uan":{"path":"q","type":"s3"}}}`,
			`{"name":"t","tenant":null,"cfs":{"configuration":"c"},"boot_sets":{"compute":{"path":"p","type":"s3","node_groups":["g"],"cfs":{"configuration":"d"}},"uan":{"path":"q","type":"s3"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			template := fromJSON[bos.SessionTemplate](t, stored)
			mergeTemplate(&template, new(fromJSON[bos.TemplatePatch](t, tt.patch)))
			sameJSON(t, template, tt.want)
		})
	}
}

func TestMergeSession(t *testing.T) {
	s := fromJSON[bos.Session](t, `{"name":"s","tenant":null,"operation":"boot","template_name":"t","status":{"start_time":"then","status":"pending","error":"e","end_time":null}}`)
	mergeSession(&s, &bos.SessionPatch{Components: new("a,b"), Status: &bos.SessionStatusPatch{Status: new(bos.SessionRunning), Error: new(bos.NullString(""))}})
	sameJSON(t, s, `{"name":"s","tenant":null,"operation":"boot","template_name":"t","limit":"","stage":false,"include_disabled":false,"components":"a,b",
		"status":{"start_time":"then","status":"running","error":null,"end_time":null}}`)
}

// FuzzMergeComponent merges whatever the API would take into whatever may be stored.
func FuzzMergeComponent(f *testing.F) {
	f.Add(`{"id":"a","enabled":false,"status":{"status":"x"}}`, `{"enabled":true,"desired_state":{}}`)
	f.Add(`{}`, fullRecord(1))
	f.Add(fullRecord(2), `{"actual_state":{"boot_artifacts":{"kernel":""}},"event_stats":{"power_on_attempts":4}}`)
	check := schemaOf("V2Component")
	f.Fuzz(func(t *testing.T, stored, body string) {
		var c bos.Component
		if json.Unmarshal([]byte(stored), &c) != nil || checkBody([]byte(body), check) != nil {
			return
		}
		p, err := decode[bos.ComponentPatch]([]byte(body))
		if err != nil {
			t.Fatalf("%s passes the schema but: %v", body, err)
		}
		if err := checkComponent((*bos.Component)(&p)); err != nil {
			t.Fatalf("%s passes the schema but: %v", body, err)
		}
		patch := bos.Component(p).Clone()
		autoFields(&patch, "now", func(bos.BSSToken) *bos.BootArtifacts { return nil })
		mergeComponent(&c, (*bos.ComponentPatch)(&patch))
		once := c.Clone()
		if bos.Value(patch.Enabled) && c.Override() != bos.StatusOnHold {
			t.Errorf("enabled but not on hold: %+v", c)
		}
		if c.Status != nil && c.Status.Status != nil {
			t.Error("a computed status is stored")
		}
		mergeComponent(&c, (*bos.ComponentPatch)(&patch))
		if diff := cmp.Diff(once, c); diff != "" {
			t.Errorf("a second merge changes something:\n%s", diff)
		}
	})
}
