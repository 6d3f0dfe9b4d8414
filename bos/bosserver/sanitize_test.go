package bosserver

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
)

// sanitized runs the steps of writing a template that need nobody else.
func sanitized(t *bos.SessionTemplate, name string, rejectNIDs bool, images map[imageKey]imageReport) ([]string, error) {
	if err := prepareBootSets(t); err != nil {
		return nil, err
	}
	notes, err := checkBootSets(t, rejectNIDs, images)
	if err != nil {
		return notes, err
	}
	t.Name, t.CFS = name, cleanCFS(t.CFS)
	return notes, checkTemplate(t)
}

func TestSanitizeTemplate(t *testing.T) {
	const set = `"path":"s3://b/i/manifest.json","type":"s3"`
	for _, tt := range []struct {
		name, in   string
		rejectNIDs bool
		images     map[imageKey]imageReport
		want       string // the template, or the error when it does not begin with a brace
		notes      int
	}{
		{"everything at once",
			`{"boot_sets":{"compute":{` + set + `,"name":"compute","node_list":["X01000C0S0B0N00","Nodes-X3000C00S1B0N0"],"cfs":{}}},"cfs":{"configuration":""},"enable_cfs":true}`, false, nil,
			`{"name":"t1","tenant":null,"enable_cfs":true,"boot_sets":{"compute":{` + set + `,"arch":"X86","node_list":["x1000c0s0b0n0","nodes-x3000c0s1b0n0"]}}}`, 0},
		{"name and key differ", `{"boot_sets":{"a":{` + set + `,"name":"b","node_groups":["g"]}}}`, false, nil,
			"boot_sets key (a) does not match 'name' field of corresponding boot set (b)", 0},
		{"no nodes", `{"boot_sets":{"a":{` + set + `}}}`, false, nil, "Boot set a: No hardware specifier fields ({'node_groups', 'node_list', 'node_roles_groups'})", 0},
		{"empty lists", `{"boot_sets":{"a":{` + set + `,"node_list":[],"node_groups":[]}}}`, false, nil,
			"Boot set a: No non-empty hardware specifier fields ({'node_groups', 'node_list', 'node_roles_groups'})", 0},
		{"a NID is noted", `{"boot_sets":{"a":{` + set + `,"node_list":["nid000001"]}}}`, false, nil,
			`{"name":"t1","tenant":null,"boot_sets":{"a":{` + set + `,"arch":"X86","node_list":["nid000001"]}}}`, 1},
		{"a NID is refused in any case", `{"boot_sets":{"a":{` + set + `,"node_list":["NID000001"]}}}`, true, nil, "Boot set a: Has NID in 'node_list'", 0},
		{"the key is no name", `{"boot_sets":{"-bad":{` + set + `,"node_groups":["g"]}}}`, false, nil,
			"'-bad' does not match '^[a-zA-Z0-9](?:[-._a-zA-Z0-9]{0,125}[a-zA-Z0-9])?$' - 'boot_sets.-bad.name'", 0},
		{"a broken image is noted", `{"boot_sets":{"a":{` + set + `,"node_groups":["g"]}}}`, false,
			map[imageKey]imageReport{{"s3", "s3://b/i/manifest.json", "X86"}: {artifacts: failure("broken"), ims: warning("unknown")}},
			`{"name":"t1","tenant":null,"boot_sets":{"a":{` + set + `,"arch":"X86","node_groups":["g"]}}}`, 2},
		{"the wrong architecture is refused", `{"boot_sets":{"a":{` + set + `,"arch":"ARM"}}}`, false,
			map[imageKey]imageReport{{"s3", "s3://b/i/manifest.json", "ARM"}: {ims: failure("wrong arch")}}, "wrong arch", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			template := fromJSON[bos.SessionTemplate](t, tt.in)
			notes, err := sanitized(&template, "t1", tt.rejectNIDs, tt.images)
			switch {
			case strings.HasPrefix(tt.want, "{") && err != nil:
				t.Fatal(err)
			case strings.HasPrefix(tt.want, "{"):
				sameJSON(t, template, tt.want)
			case err == nil || err.Error() != tt.want:
				t.Errorf("error = %v, want %s", err, tt.want)
			}
			if len(notes) != tt.notes {
				t.Errorf("notes = %q, want %d", notes, tt.notes)
			}
		})
	}
}

func TestLimitNIDs(t *testing.T) {
	for limit, want := range map[string]bool{
		"": false, "*": false, "x1,x2": false, "x1,!nid001": true, "x1, nid001": true, "&!nid1": true, "Nidhogg": false, "anid": false,
	} {
		if got := limitNIDs(limit); got != want {
			t.Errorf("limitNIDs(%q) = %v", limit, got)
		}
	}
}

func TestImageID(t *testing.T) {
	for path, want := range map[string]string{
		"s3://boot-images/img1/manifest.json": "img1", "s3://boot-images/a/b/c": "a",
		"s3://boot-images/img1": "", "s3://boot-images/img1/": "", "s3://boot-images//x": "", "img1/manifest.json": "", "": "",
	} {
		got, ok := imageID(path)
		if ok != (want != "") || ok && got != want {
			t.Errorf("imageID(%q) = %q, %v", path, got, ok)
		}
	}
}

// FuzzTemplate takes a body through everything that a PUT does to it without other services.
func FuzzTemplate(f *testing.F) {
	f.Add([]byte(`{"boot_sets":{"compute":{"path":"p","type":"s3","name":"compute","node_list":["X01000C0S0B0N00"],"cfs":{}}},"cfs":{"configuration":""}}`))
	f.Add([]byte(`{"boot_sets":{"a":{"path":"p","type":"s3","node_groups":["g"],"arch":"Other"},"b":{"path":"p","type":"t","node_roles_groups":["Compute"]}},"enable_cfs":false}`))
	f.Add([]byte(`{"boot_sets":{"":{"path":"p","type":"s3","node_list":["nid1"]}},"description":"\u0000"}`))
	check := loadDocument().ops["PUT /v2/sessiontemplates/{session_template_id}"].body
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkBody(body, check) != nil {
			return
		}
		template, err := decode[bos.SessionTemplate](body)
		if err != nil {
			t.Fatalf("%s passes the schema but: %v", body, err)
		}
		if _, err := sanitized(&template, "t1", false, nil); err != nil {
			return
		}
		once, err := json.Marshal(template)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sanitized(&template, "t1", false, nil); err != nil {
			t.Fatalf("%s is refused the second time: %v", once, err)
		}
		if twice, _ := json.Marshal(template); string(once) != string(twice) {
			t.Errorf("%s becomes %s the second time", once, twice)
		}
	})
}
