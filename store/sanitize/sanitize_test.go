package sanitize_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/sanitize"
)

func key(tenant, name string) string { return bos.TenantKey{Tenant: tenant, Name: name}.DatabaseKey() }

const goodSets = `"boot_sets":{"compute":{"path":"s3://b/m","type":"s3","arch":"X86","node_list":["x1"]}}`

// TestTemplates gives one template each. A want that is empty means that it is deleted, "same" that it is left alone.
func TestTemplates(t *testing.T) {
	set := func(members string) string { return `{"name":"t","boot_sets":{"compute":{` + members + `}}}` }
	fixedSet := func(members string) string {
		return `{"name":"t","boot_sets":{"compute":{"path":"p","type":"s3","arch":"X86",` + members + `}}}`
	}
	for _, row := range []struct{ name, record, want string }{
		{"good", `{"name":"t","tenant":null,"enable_cfs":true,` + goodSets + `}`, "same"},
		{"good, formatted otherwise", `{"name": "t", ` + goodSets + `}`, "same"},
		{"no name", `{` + goodSets + `}`, ""},
		{"name is a number", `{"name":1,` + goodSets + `}`, ""},
		{"no boot sets", `{"name":"t"}`, ""},
		{"empty boot sets", `{"name":"t","boot_sets":{}}`, ""},
		{"boot set is no object", `{"name":"t","boot_sets":{"compute":1}}`, ""},
		{"tenant is a number", `{"name":"t","tenant":1,` + goodSets + `}`, ""},
		{"unknown members", `{"name":"t","links":[],"novel":1,` + goodSets + `}`, `{"name":"t",` + goodSets + `}`},
		{"enable_cfs is null", `{"name":"t","enable_cfs":null,` + goodSets + `}`, ""},
		{"empty description", `{"name":"t","description":"",` + goodSets + `}`, `{"name":"t",` + goodSets + `}`},
		{"description is no text", `{"name":"t","description":5,` + goodSets + `}`, `{"name":"t",` + goodSets + `}`},
		{"long description", `{"name":"t","description":"` + strings.Repeat("é", 1030) + `",` + goodSets + `}`, `{"name":"t","description":"` + strings.Repeat("é", 1023) + `",` + goodSets + `}`},
		{"empty cfs", `{"name":"t","cfs":{"configuration":"","x":1},` + goodSets + `}`, `{"name":"t",` + goodSets + `}`},
		{"null cfs", `{"name":"t","cfs":null,` + goodSets + `}`, `{"name":"t",` + goodSets + `}`},
		{"cfs with more", `{"name":"t","cfs":{"configuration":"c","x":1},` + goodSets + `}`, `{"name":"t","cfs":{"configuration":"c"},` + goodSets + `}`},
		{"cfs is no object", `{"name":"t","cfs":7,` + goodSets + `}`, ""},
		{"no path", set(`"node_list":["x1"]`), ""},
		{"path too long", set(`"path":"` + strings.Repeat("p", 4096) + `","node_list":["x1"]`), ""},
		{"defaults", set(`"path":"p","type":"http","name":"compute","node_list":["x1"]`), fixedSet(`"node_list":["x1"]`)},
		{"empty members", set(`"path":"p","etag":null,"rootfs_provider":"","node_groups":[],"node_list":["x1"],"novel":true`), fixedSet(`"node_list":["x1"]`)},
		{"empty cfs of a boot set", set(`"path":"p","cfs":{},"node_list":["x1"]`), fixedSet(`"node_list":["x1"]`)},
		{"bad cfs of a boot set", set(`"path":"p","cfs":[],"node_list":["x1"]`), ""},
		{"no nodes", set(`"path":"p"`), ""},
		{"empty nodes", set(`"path":"p","node_list":[],"node_groups":null`), ""},
		{"nodes are no list", set(`"path":"p","node_list":"x1"`), ""},
		{"unknown arch", set(`"path":"p","arch":"VAX","node_list":["x1"]`), ""},
		{"boot set name", `{"name":"t","boot_sets":{"a b":{"path":"p","node_list":["x1"]}}}`, ""},
		{"configuration too long", `{"name":"t","cfs":{"configuration":"` + strings.Repeat("c", 128) + `"},` + goodSets + `}`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			actions := sanitize.Templates(sanitize.Records{key("", "t"): []byte(row.record)})
			switch {
			case row.want == "same":
				if len(actions) != 0 {
					t.Errorf("action %v on a good template", actions)
				}
				return
			case len(actions) != 1 || actions[0].Reason == "" || actions[0].Key != key("", "t"):
				t.Fatalf("actions = %v, want one with a reason", actions)
			case row.want == "":
				if actions[0].NewKey != "" || actions[0].New != nil {
					t.Errorf("action %v, want a delete", actions[0])
				}
				return
			}
			var got, want any
			if err := errors.Join(json.Unmarshal(actions[0].New, &got), json.Unmarshal([]byte(row.want), &want)); err != nil {
				t.Fatalf("%v: %v", actions[0], err)
			}
			if diff := cmp.Diff(want, got); diff != "" || actions[0].NewKey != key("", "t") {
				t.Errorf("repaired (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTemplateNames(t *testing.T) {
	template := func(tenant, name, description string) []byte {
		data, _ := json.Marshal(map[string]any{"name": name, "tenant": tenant, "description": description, "boot_sets": json.RawMessage(goodSets[len(`"boot_sets":`):])})
		return data
	}
	long := strings.Repeat("n", 200)
	for _, row := range []struct {
		name, old, tenant string
		others            []string // names that are taken
		want              string   // new name, empty = deleted
		description       string
	}{
		{name: "blank", old: "my template", want: "auto_renamed_my_template", description: "d; Former name: my template"},
		{name: "tenant", old: "a/b", tenant: "ten1", want: "auto_renamed_ab", description: "d; Former name: a/b"},
		{name: "ends with a dash", old: "a-", want: "auto_renamed_a-_a", description: "d; Former name: a-"},
		{name: "taken", old: "a b", others: []string{"auto_renamed_a_b", "auto_renamed_a_b_a"}, want: "auto_renamed_a_b_b", description: "d; Former name: a b"},
		{name: "too long", old: long, want: "auto_renamed_" + strings.Repeat("n", 114), description: "d; Former name: " + long},
		{name: "too long for the description", old: strings.Repeat("n", 1100), want: "auto_renamed_" + strings.Repeat("n", 114), description: "d; Renamed; former name too long for this text"},
		{name: "nothing legal", old: "é/%", want: ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			all := sanitize.Records{key(row.tenant, row.old): template(row.tenant, row.old, "d")}
			for _, other := range row.others {
				all[key(row.tenant, other)] = template(row.tenant, other, "d")
			}
			actions := sanitize.Templates(all)
			if len(actions) != 1 || actions[0].Key != key(row.tenant, row.old) {
				t.Fatalf("actions = %v, want one on the bad name", actions)
			}
			if row.want == "" {
				if actions[0].NewKey != "" {
					t.Errorf("action %v, want a delete", actions[0])
				}
				return
			}
			var got struct{ Name, Tenant, Description string }
			_ = json.Unmarshal(actions[0].New, &got)
			if got.Name != row.want || got.Description != row.description || got.Tenant != row.tenant || actions[0].NewKey != key(row.tenant, row.want) || !bos.ValidName(got.Name) {
				t.Errorf("renamed to %+v under %s, want %q", got, actions[0].NewKey, row.want)
			}
		})
	}

	moved := sanitize.Templates(sanitize.Records{"elsewhere": template("", "t", "d")})
	if len(moved) != 1 || moved[0].NewKey != key("", "t") {
		t.Errorf("a template under a wrong key: %v, want a move", moved)
	}
	blocked := sanitize.Templates(sanitize.Records{"elsewhere": template("", "t", "d"), key("", "t"): template("", "t", "d")})
	if len(blocked) != 1 || blocked[0].Key != "elsewhere" || blocked[0].NewKey != "" {
		t.Errorf("a template under a wrong key beside the right one: %v, want a delete", blocked)
	}
	two := sanitize.Templates(sanitize.Records{key("", "a b"): template("", "a b", "d"), key("", "a  b"): template("", "a  b", "d"), key("", "a b!"): template("", "a b!", "d")})
	names := map[string]bool{}
	for _, a := range two {
		names[a.NewKey] = true
	}
	if len(names) != 3 || names[""] {
		t.Errorf("three renames share names: %v", two)
	}
}

func TestSessionsAndComponents(t *testing.T) {
	long := strings.Repeat("x", 128)
	actions := sanitize.Sessions(sanitize.Records{
		key("", "good"):     []byte(`{"name":"good","tenant":null,"anything":1}`),
		key("ten1", "good"): []byte(`{"name":"good","tenant":"ten1"}`),
		key("", "no-name"):  []byte(`{}`),
		key("", "a b"):      []byte(`{"name":"a b"}`),
		key(long, "s"):      []byte(fmt.Sprintf(`{"name":"s","tenant":%q}`, long)),
		"elsewhere":         []byte(`{"name":"s"}`),
		"unreadable":        []byte(`[]`),
	}, sanitize.Records{key("", "good"): []byte(`{}`), key("", "a b"): []byte(`{}`)})
	var got []string
	for _, a := range actions {
		got = append(got, fmt.Sprint(a.Bucket, " ", a.Key, " ", a.Left))
	}
	want := map[string]bool{
		"sessions " + key("", "no-name") + " false": true, "sessions " + key("", "a b") + " false": true, "statuses " + key("", "a b") + " false": true,
		"sessions " + key(long, "s") + " false": true, "sessions elsewhere false": true, "sessions unreadable true": true,
	}
	for _, line := range got {
		if !want[line] {
			t.Errorf("unexpected action %s", line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("actions %v, want %d", got, len(want))
	}

	actions = sanitize.Components(sanitize.Records{
		"x1": []byte(`{"id":"x1"}`), "x2": []byte(`{}`), "x3": []byte(`{"id":"x1"}`), "x4": []byte(`{"id":7}`), long: []byte(fmt.Sprintf(`{"id":%q}`, long)), "x5": []byte(`{`),
	})
	got = nil
	for _, a := range actions {
		got = append(got, fmt.Sprint(a.Key, " ", a.Left))
	}
	if diff := cmp.Diff([]string{"x2 false", "x3 false", "x4 false", "x5 true", long + " false"}, got); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
}

func TestRun(t *testing.T) {
	ctx := t.Context()
	st := memstore.New()
	records := map[store.Bucket]map[string]string{
		store.BucketTemplates:  {key("", "a b"): `{"name":"a b",` + goodSets + `}`, key("", "ok"): `{"name":"ok",` + goodSets + `}`},
		store.BucketSessions:   {key("", "s 1"): `{"name":"s 1"}`},
		store.BucketStatuses:   {key("", "s 1"): `{}`},
		store.BucketComponents: {"x1": `{"id":"x1"}`, "x2": `{"id":"x9"}`},
	}
	var writes []store.Mutation
	for b, all := range records {
		for k, v := range all {
			writes = append(writes, store.Mutation{Bucket: b, Key: k, New: []byte(v)})
		}
	}
	if _, err := st.Driver().Commit(ctx, writes, true); err != nil {
		t.Fatal(err)
	}
	before, _ := store.ReadSnapshot(ctx, st.Driver())
	would, err := sanitize.Run(ctx, st.Driver(), nil, true)
	if err != nil || len(would) != 4 {
		t.Fatalf("dry run = %v, %v, want four actions", would, err)
	}
	if diff, err := store.Compare(ctx, st.Driver(), before); err != nil || diff.Adds()+diff.Drops() != 0 {
		t.Errorf("a dry run wrote: %+v, %v", diff, err)
	}
	did, err := sanitize.Run(ctx, st.Driver(), nil, false)
	if diff := cmp.Diff(would, did); err != nil || diff != "" {
		t.Errorf("Run = %v, other than the dry run:\n%s", err, diff)
	}
	if _, err := st.Templates().Get(ctx, bos.TenantKey{Name: "auto_renamed_a_b"}); err != nil {
		t.Errorf("the renamed template: %v", err)
	}
	after, _ := store.ReadSnapshot(ctx, st.Driver())
	if after.Len(store.BucketTemplates) != 2 || after.Len(store.BucketSessions) != 0 || after.Len(store.BucketStatuses) != 0 || after.Len(store.BucketComponents) != 1 {
		t.Errorf("left are %d templates, %d sessions, %d statuses, %d components", after.Len(store.BucketTemplates), after.Len(store.BucketSessions), after.Len(store.BucketStatuses), after.Len(store.BucketComponents))
	}
	if again, err := sanitize.Run(ctx, st.Driver(), nil, false); err != nil || len(again) != 0 {
		t.Errorf("second Run = %v, %v, want nothing to do", again, err)
	}
}

func TestRunLogsNoToken(t *testing.T) {
	d := memstore.NewDriver()
	record := []byte(`{"id": "other", "actual_state": {"bss_token": "secret-1"}, "desired_state": {"bss_token" :"secret-2"}}`)
	if _, err := d.Commit(t.Context(), []store.Mutation{{Bucket: store.BucketComponents, Key: "x1", New: record}}, true); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if _, err := sanitize.Run(t.Context(), d, slog.New(slog.NewTextHandler(&log, nil)), true); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, "[redacted]") || !strings.Contains(got, "other") || strings.Contains(got, "secret") {
		t.Errorf("log = %s", got)
	}
}
