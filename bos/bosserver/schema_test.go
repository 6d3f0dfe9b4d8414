package bosserver

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store/memstore"
)

func TestDocumentHasTheRoutesOfTheHandler(t *testing.T) {
	st := memstore.New()
	defer st.Close()
	h := &handler{api: New(st, Config{}), doc: loadDocument()}
	routes := map[string]bool{}
	for _, rt := range h.routes() {
		name := rt.method + " " + rt.path
		if routes[name] {
			t.Errorf("%s is there twice", name)
		}
		routes[name] = true
		if h.doc.ops[name] == nil {
			t.Errorf("the document lacks %s", name)
		}
	}
	for name := range h.doc.ops {
		if !routes[name] {
			t.Errorf("nobody answers %s", name)
		}
	}
}

// TestDocumentMarksExtensions holds the document to the reference's paths: whatever else there is says so.
func TestDocumentMarksExtensions(t *testing.T) {
	reference := strings.Fields(`/ /v2 /v2/version /v2/healthz /v2/options /v2/sessiontemplatetemplate /v2/sessiontemplates
		/v2/sessiontemplates/{session_template_id} /v2/sessiontemplatesvalid/{session_template_id} /v2/sessions /v2/sessions/{session_id}
		/v2/sessions/{session_id}/status /v2/components /v2/components/{component_id} /v2/applystaged /openapi.json`)
	doc, err := openapi3.NewLoader().LoadFromData(bos.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			marked := op.Extensions["x-bosgo-extension"] == true
			if marked == slices.Contains(reference, path) {
				t.Errorf("%s %s: marked as an extension: %v", method, path, marked)
			}
			if op.Responses.Default() == nil || op.Summary == "" || op.OperationID == "" {
				t.Errorf("%s %s lacks a summary, an id or a default answer", method, path)
			}
			for _, code := range []int{400, 413, 415} {
				if op.RequestBody != nil && op.Responses.Status(code) == nil {
					t.Errorf("%s %s has a body, but no answer %d", method, path, code)
				}
			}
		}
	}
}

func TestCheckBody(t *testing.T) {
	const bootSet = `"path":"p","type":"s3","node_list":["x1"]`
	for _, tt := range []struct{ op, body, want string }{
		{"PATCH /v2/options", ``, "None is not of type 'object'"},
		{"PUT /v2/components", ` `, "None is not of type 'array'"},
		{"PATCH /v2/options", `null`, "Request body is not valid JSON"},
		{"PATCH /v2/options", `{`, "Request body is not valid JSON"},
		{"PATCH /v2/options", `{} x`, "Request body is not valid JSON"},
		{"PATCH /v2/options", "{\"a\":\"\xff\"}", "Request body is not valid JSON"},
		{"PATCH /v2/options", strings.Repeat("[", 65) + strings.Repeat("]", 65), "Request body is not valid JSON: it is nested deeper than 64 levels"},
		{"PATCH /v2/options", `[]`, "[] is not of type 'object'"},
		{"PATCH /v2/options", `{}`, "{} should be non-empty"},
		{"PATCH /v2/options", `{"polling_frequency":"x"}`, "'x' is not of type 'integer' - 'polling_frequency'"},
		{"PATCH /v2/options", `{"polling_frequency":15.0}`, "15.0 is not of type 'integer' - 'polling_frequency'"},
		{"PATCH /v2/options", `{"polling_frequency":1e2}`, "1e2 is not of type 'integer' - 'polling_frequency'"},
		{"PATCH /v2/options", `{"polling_frequency":true}`, "True is not of type 'integer' - 'polling_frequency'"},
		{"PATCH /v2/options", `{"polling_frequency":null}`, "None is not of type 'integer' - 'polling_frequency'"},
		{"PATCH /v2/options", `{"clear_stage":1}`, "1 is not of type 'boolean' - 'clear_stage'"},
		{"PATCH /v2/options", `{"bss_read_timeout":5}`, "5 is less than the minimum of 10 - 'bss_read_timeout'"},
		{"PATCH /v2/options", `{"bss_read_timeout":99999999999999999999999}`, "99999999999999999999999 is greater than the maximum of 86400 - 'bss_read_timeout'"},
		{"PATCH /v2/options", `{"component_actual_state_ttl":"30m"}`, "'30m' does not match '^[1-9][0-9]*[hHdDwW]$' - 'component_actual_state_ttl'"},
		{"PATCH /v2/options", `{"logging_level":"DEBUG\n"}`, "'DEBUG\n' does not match '" + schemaOf("V2Options").properties["logging_level"].pattern.String() + "' - 'logging_level'"},
		{"PATCH /v2/options", `{"foo":[1,{"a":null}],"polling_frequency":0}`, ""},
		{"PUT /v2/sessiontemplates/{session_template_id}", `{}`, "'boot_sets' is a required property"},
		{"PUT /v2/sessiontemplates/{session_template_id}", `{"boot_sets":{}}`, "{} should be non-empty - 'boot_sets'"},
		{"PUT /v2/sessiontemplates/{session_template_id}", `{"name":null,"boot_sets":{"c":{` + bootSet + `}}}`, "Property is read-only - 'name'"},
		{"PUT /v2/sessiontemplates/{session_template_id}", `{"boot_sets":{"c":{"type":"s3"}}}`, "'path' is a required property - 'boot_sets.c'"},
		{"PUT /v2/sessiontemplates/{session_template_id}", `{"boot_sets":{"c":{` + bootSet + `,"zz":1}}}`, "Additional properties are not allowed ('zz' was unexpected) - 'boot_sets.c'"},
		{"PUT /v2/sessiontemplates/{session_template_id}", `{"boot_sets":{"c":{` + bootSet + `,"arch":"x86"}}}`, "'x86' is not one of ['X86', 'ARM', 'Other', 'Unknown'] - 'boot_sets.c.arch'"},
		{"PUT /v2/sessiontemplates/{session_template_id}", `{"boot_sets":{"c":{"path":"p","type":"s3","node_list":[]}}}`, "[] should be non-empty - 'boot_sets.c.node_list'"},
		{"PUT /v2/sessiontemplates/{session_template_id}", `{"description":"","boot_sets":{"c":{` + bootSet + `}}}`, "'' should be non-empty - 'description'"},
		{"PUT /v2/sessiontemplates/{session_template_id}", `{"boot_sets":{"c":{` + bootSet + `,"name":"c","cfs":{"configuration":""}}}}`, ""},
		{"POST /v2/sessions", `{"operation":"boot"}`, "'template_name' is a required property"},
		{"POST /v2/sessions", `{"operation":"boot","template_name":"t","limit":null,"stage":false}`, ""},
		{"POST /v2/sessions", `{"operation":"boot","template_name":"t","stage":null}`, "None is not of type 'boolean' - 'stage'"},
		{"PUT /v2/components", `[{"id":"a"},{"enabled":true}]`, "'id' is a required property - '1'"},
		{"PUT /v2/components", `[{"id":"a","status":{"status":null}}]`, "Property is read-only - '0.status.status'"},
		{"PATCH /v2/components", `[{"id":5}]`, "5 is not of type 'string' - '0.id'"},
		{"PATCH /v2/components", `"x"`, "'x' is not valid under any of the given schemas"},
		{"PATCH /v2/components", `{"patch":{"error":"e"},"filters":{}}`, "{} is not valid under any of the given schemas - 'filters'"},
		{"PATCH /v2/components", `{"patch":{"error":"e"},"filters":{"ids":"a","session":"s"}}`, `{"ids":"a","session":"s"} is not valid under any of the given schemas - 'filters'`},
		{"PATCH /v2/components", `{"patch":{"error":"e"},"filters":{"ids":"a","session":null}}`, ""},
		{"PATCH /v2/components", `{"patch":{},"filters":{"ids":"a"}}`, "{} should be non-empty - 'patch'"},
		{"PATCH /v2/components/{component_id}", `{"session":"-bad"}`, "'-bad' is not valid under any of the given schemas - 'session'"},
		{"PATCH /v2/components/{component_id}", `{"session":""}`, ""},
		{"PATCH /v2/components/{component_id}", `{"event_stats":{"power_on_attempts":-1}}`, "-1 is less than the minimum of 0 - 'event_stats.power_on_attempts'"},
		{"POST /v2/applystaged", `{"xnames":[""]}`, "'' should be non-empty - 'xnames.0'"},
	} {
		t.Run(tt.op+" "+clip(tt.body), func(t *testing.T) {
			got := ""
			if err := checkBody([]byte(tt.body), loadDocument().ops[tt.op].body); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// valueOf makes a random value that mostly follows the schema.
func valueOf(r *rand.Rand, s *openapi3.Schema, depth int) any {
	if r.IntN(25) == 0 || depth > 6 { // something else
		return []any{nil, true, 7, -1, 1 << 30, 2.5, "", "x", "-bad", "X86", "30m", strings.Repeat("é", 128), []any{}, []any{"a"}, map[string]any{}, map[string]any{"zz": 1}}[r.IntN(16)]
	}
	for _, list := range []openapi3.SchemaRefs{s.OneOf, s.AllOf} {
		if len(list) > 0 {
			return valueOf(r, list[r.IntN(len(list))].Value, depth)
		}
	}
	if len(s.Enum) > 0 {
		return s.Enum[r.IntN(len(s.Enum))]
	}
	switch {
	case s.Type == nil:
		return 1
	case s.Type.Is("object"):
		m := map[string]any{}
		for name, p := range s.Properties {
			if !p.Value.ReadOnly && (r.IntN(3) == 0 || slices.Contains(s.Required, name) && r.IntN(10) > 0) {
				m[name] = valueOf(r, p.Value, depth+1)
			}
		}
		if ap := s.AdditionalProperties.Schema; ap != nil {
			for range r.IntN(3) {
				m[fmt.Sprint("n", r.IntN(9))] = valueOf(r, ap.Value, depth+1)
			}
		}
		return m
	case s.Type.Is("array"):
		list := []any{}
		for range r.IntN(3) {
			list = append(list, valueOf(r, s.Items.Value, depth+1))
		}
		return list
	case s.Type.Is("integer"):
		return []any{0, 1, 10, 3600, 1 << 20, 1<<20 + 1}[r.IntN(6)]
	case s.Type.Is("number"):
		return r.Float64()
	case s.Type.Is("boolean"):
		return r.IntN(2) == 0
	}
	return []any{"", "a", "s1", "7d", "4h", "INFO", "a b", strings.Repeat("a", 127), strings.Repeat("a", 128), strings.Repeat("é", 100)}[r.IntN(10)]
}

// TestCheckerAgreesWithKinOpenAPI compares verdicts on random values. The generated values avoid the two points where
// the API is stricter: readOnly properties, and whole numbers with a fraction.
func TestCheckerAgreesWithKinOpenAPI(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(bos.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	good, bad := 0, 0
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		for method, op := range doc.Paths.Find(path).Operations() {
			if op.RequestBody == nil {
				continue
			}
			kin := op.RequestBody.Value.Content["application/json"].Schema.Value
			ours := loadDocument().ops[method+" "+path].body
			for range 1500 {
				data, err := json.Marshal(valueOf(r, kin, 0))
				if err != nil {
					t.Fatal(err)
				}
				var v any
				if err := json.Unmarshal(data, &v); err != nil {
					t.Fatal(err)
				}
				kinErr := kin.VisitJSON(v, openapi3.VisitAsRequest())
				ourErr := ours.checkRequest(data)
				if (kinErr == nil) != (ourErr == nil) {
					t.Fatalf("%s %s: %s\nkin-openapi: %v\nours: %v", method, path, data, kinErr, ourErr)
				}
				if ourErr == nil {
					good++
				} else {
					bad++
				}
			}
		}
	}
	if good < 1000 || bad < 1000 {
		t.Errorf("%d good and %d bad values prove little", good, bad)
	}
}

// TestTypedChecksAgreeWithTheSchema compares the checks of typed components with the schema, which sees their JSON.
func TestTypedChecksAgreeWithTheSchema(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(bos.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	bad := 0
	for range 20_000 {
		data, err := json.Marshal(valueOf(r, doc.Components.Schemas["V2Component"].Value, 0))
		if err != nil {
			t.Fatal(err)
		}
		var c bos.Component
		if json.Unmarshal(data, &c) != nil {
			continue
		}
		c.ID = ""                                    // checked apart
		if data, err = json.Marshal(c); err != nil { // nulls are gone
			t.Fatal(err)
		}
		typed := checkComponent(&c)
		if isEmpty(&c) {
			continue
		}
		wire := schemaOf("V2Component").checkRequest(data)
		if (typed == nil) != (wire == nil) {
			t.Fatalf("%s\ntyped: %v\nschema: %v", data, typed, wire)
		}
		if wire != nil {
			bad++
		}
	}
	if bad < 500 {
		t.Errorf("only %d bad values", bad)
	}
}

func TestClipKeepsCharactersWhole(t *testing.T) {
	long := "a" + strings.Repeat("é", 100)
	if got := clip(long); got != "a"+strings.Repeat("é", 59)+"…" {
		t.Errorf("got %q", got)
	}
}
