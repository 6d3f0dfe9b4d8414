package bos

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// componentShape is what a component's JSON looks like: the known members of each object.
var componentShape = map[string]any{
	"id": nil, "enabled": nil, "error": nil, "session": nil, "retry_policy": nil,
	"actual_state":  map[string]any{"boot_artifacts": artifactShape, "bss_token": nil, "last_updated": nil},
	"desired_state": map[string]any{"boot_artifacts": artifactShape, "configuration": nil, "bss_token": nil, "last_updated": nil},
	"staged_state":  map[string]any{"boot_artifacts": artifactShape, "configuration": nil, "session": nil, "last_updated": nil},
	"last_action":   map[string]any{"action": nil, "failed": nil, "last_updated": nil},
	"event_stats":   map[string]any{"power_on_attempts": nil, "power_off_graceful_attempts": nil, "power_off_forceful_attempts": nil},
	"status":        map[string]any{"phase": nil, "status": nil, "status_override": nil},
}

var artifactShape = map[string]any{"kernel": nil, "kernel_parameters": nil, "initrd": nil, "timestamp": nil}

// withoutNulls removes what a record does not tell from an absent member: nulls of known members, and an empty id.
func withoutNulls(v, shape map[string]any) map[string]any {
	for name, sub := range shape {
		switch value := v[name].(type) {
		case nil:
			delete(v, name)
		case string:
			if name == "id" && value == "" {
				delete(v, name)
			}
		case json.Number:
			if value == "-0" {
				v[name] = json.Number("0")
			}
		case map[string]any:
			if sub, ok := sub.(map[string]any); ok {
				v[name] = withoutNulls(value, sub)
			}
		}
	}
	return v
}

func asMap(t *testing.T, data []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return m
}

const storedComponent = `{"id": "x1000c0s0b0n0", "enabled": false, "error": "caf\u00e9 <&> \"q\"", "session": "", "retry_policy": -1,
 "actual_state": {"boot_artifacts": {"kernel": "", "kernel_parameters": "a=b\tc", "initrd": "", "timestamp": "2026-01-31T10:00:00"}, "bss_token": "", "last_updated": "2026-01-31T10:00:00"},
 "desired_state": {"configuration": "ü", "boot_artifacts": {}, "bss_token": "t", "new_in_next_release": [1, 2.50, {"a": null}]},
 "staged_state": {"last_updated": "x", "session": "s1"}, "last_action": {"action": "newly_discovered", "failed": true},
 "event_stats": {"power_on_attempts": 3, "power_off_graceful_attempts": 0, "power_off_forceful_attempts": 1048576},
 "status": {"phase": "", "status_override": "on_hold", "status": "stale"}, "Enabled": "another member", "": {}}`

func TestComponentJSONKeepsEverything(t *testing.T) {
	var c Component
	if err := json.Unmarshal([]byte(storedComponent), &c); err != nil {
		t.Fatal(err)
	}
	if c.IsEnabled() || c.ErrorText() != `café <&> "q"` || Value(c.RetryPolicy) != -1 || c.Extra["Enabled"] == nil {
		t.Errorf("read as %+v", c)
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := asMap(t, data), asMap(t, []byte(storedComponent)); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestComponentJSONRefusesOtherKinds(t *testing.T) {
	for _, text := range []string{
		`[]`, `"x"`, `5`, `{"id":5}`, `{"enabled":"true"}`, `{"enabled":1}`, `{"retry_policy":1.5}`, `{"retry_policy":"1"}`,
		`{"retry_policy":99999999999999999999}`, `{"status":[]}`, `{"status":{"phase":{}}}`, `{"actual_state":{"boot_artifacts":""}}`,
	} {
		var c Component
		if err := json.Unmarshal([]byte(text), &c); err == nil {
			t.Errorf("%s is taken for %+v", text, c)
		}
	}
}

func TestComponentJSONLastOfDuplicatesCounts(t *testing.T) {
	var c Component
	if err := json.Unmarshal([]byte(`{"error":"a","error":"b","status":{"phase":"configuring"},"status":{}}`), &c); err != nil {
		t.Fatal(err)
	}
	if c.ErrorText() != "b" || c.CurrentPhase() != PhaseNone {
		t.Errorf("read as %+v", c)
	}
}

func FuzzComponentJSON(f *testing.F) {
	for _, seed := range []string{
		storedComponent, `{}`, ` { } `, `{"id":"","enabled":null,"status":null}`, `{"a\u0062":1}`, `{"error":"\ud800"}`, "{\"error\":\"\xff\"}",
		`{"actual_state":{"boot_artifacts":{"kernel":null}}}`, `{"retry_policy":-0}`, `null`,
		`{"retry_policy":+1}`, `{"retry_policy":01}`, `{"retry_policy":-}`, `{,}`, `{"id":"a",}`, `{"id" "a"}`, `{"id":"a"}}`,
		`{"id":"a"`, `{"id":"a`, `{"id":"a\`, `nul`, `{"enabled":truex}`, `{"status":{}{}}`, `{"x":{]}`, "{\"id\":\"\\n\"}",
		"{\"id\":\"\n\"}", `{"id":"\x"}`, `{"a":1 "b":2}`, `{"status":{"phase":""} "id":""}`, ``, ` `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Component
		direct := c.UnmarshalJSON(data)
		c = Component{}
		err := json.Unmarshal(data, &c)
		if (err == nil) != (direct == nil) {
			t.Fatalf("%q: read directly %v, by encoding/json %v", data, direct, err)
		}
		if err != nil || bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
			return
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%q cannot be written again: %v", data, err)
		}
		if got, want := asMap(t, out), withoutNulls(asMap(t, data), componentShape); !reflect.DeepEqual(got, want) {
			t.Errorf("%q became %s", data, out)
		}
		var again Component
		if err := json.Unmarshal(out, &again); err != nil || !reflect.DeepEqual(c, again) && len(c.Extra) == 0 && c.ActualState == nil {
			t.Errorf("%s read again: %v", out, err)
		}
	})
}

func BenchmarkComponentJSON(b *testing.B) {
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var c Component
			if err := c.UnmarshalJSON([]byte(storedComponent)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		var c Component
		if err := json.Unmarshal([]byte(storedComponent), &c); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.MarshalJSON(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func FuzzUnmarshalComponents(f *testing.F) {
	for _, seed := range []string{
		`[]`, ` [ ] `, `[` + storedComponent + `, {"id":"x1"} ]`, `[null]`, `[{}]`, `[{},]`, `[,{}]`, `[{} {}]`, `[{}`, `[`, `]`, `[{}]]`, `[[]]`, `[1]`, `{}`, ``, `[{"id":1}]`, `[nul]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []Component
		wantErr := json.Unmarshal(data, &want)
		if wantErr == nil && !bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
			return // a null
		}
		got, err := UnmarshalComponents(data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, by encoding/json %v", data, err, wantErr)
		}
		if err == nil && (len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want)) {
			t.Errorf("%q:\n%+v, by encoding/json\n%+v", data, got, want)
		}
	})
}

func TestGuardedPatchesJSON(t *testing.T) {
	type plainGuard Guard
	type plainPatch struct {
		ID    ComponentID    `json:"id"`
		If    *plainGuard    `json:"if,omitempty"`
		Patch ComponentPatch `json:"patch"`
	}
	type plainPatches struct {
		Lease   int64        `json:"lease,omitempty"`
		Patches []plainPatch `json:"patches"`
	}
	c := Component{ID: "x1", Session: new("s\"1"), DesiredState: &DesiredState{BootArtifacts: &ArtifactFields{Kernel: new("k")}, Configuration: new("c")}}
	guard := GuardOf(&c)
	guard.Phase, guard.Reported = new(PhaseConfiguring), new(Timestamp("2026-03-01T12:00:00"))
	guard.StatusOverride, guard.Action = new(StatusOnHold), new(ActionPoweringOn)
	for _, p := range []GuardedPatches{
		{},
		{Lease: 7, Patches: []GuardedPatch{}},
		{Lease: -1, Patches: []GuardedPatch{{ID: "x1", If: guard, Patch: ComponentPatch{Error: new("é<&>")}}, {ID: "", If: &Guard{}}}},
	} {
		plain := plainPatches{Lease: p.Lease, Patches: []plainPatch{}}
		for _, item := range p.Patches {
			plain.Patches = append(plain.Patches, plainPatch{item.ID, (*plainGuard)(item.If), item.Patch})
		}
		want, err := json.Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(p)
		if err != nil || string(got) != string(want) {
			t.Errorf("written as\n%s (%v), want\n%s", got, err, want)
		}
		var back GuardedPatches
		if err := json.Unmarshal(got, &back); err != nil || back.Lease != p.Lease || len(back.Patches) != len(p.Patches) ||
			len(p.Patches) > 0 && !reflect.DeepEqual(back.Patches, p.Patches) {
			t.Errorf("%s read again: %+v, %v", got, back, err)
		}
	}
	for _, bad := range []string{`{"id":1}`, `{"if":[]}`, `{"patch":"x"}`, `{"if":{"enabled":1}}`, `{"more":tru}`, `{"id":"x1"`, `[]`} {
		if err := new(GuardedPatch).UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s is taken for a patch", bad)
		}
	}
	if err := new(GuardedPatch).UnmarshalJSON([]byte(`{"id":"x1","more":[1,{"a":null}],"if":{"more":1}}`)); err != nil {
		t.Errorf("members that are not known: %v", err)
	}
}
