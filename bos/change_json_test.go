package bos

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// plainChange is a Change as encoding/json would do it.
type plainChange Change

func TestChangeJSON(t *testing.T) {
	for _, c := range []Change{
		{},
		{Cursor: Cursor{Epoch: "e-1", Revision: 7}, Kind: ChangeResync},
		{
			Cursor: Cursor{Epoch: "e", Revision: 1 << 60}, Kind: ChangeComponent, Deleted: true, ID: "x\"1", Tenant: "t", Writer: "status",
			Fields: []string{"enabled", "é<"}, Heartbeat: true, Enabled: true, Status: StatusStable, Phase: PhaseConfiguring, Session: "s", StagedSession: "s2",
		},
	} {
		want, err := json.Marshal(plainChange(c))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(c)
		if err != nil || string(got) != string(want) {
			t.Errorf("written as\n%s (%v), want\n%s", got, err, want)
		}
	}
}

// plainly reads a change with encoding/json. That takes "ID" for "id", and the first of two members unless the second is
// null, so that it is shown the members that count.
func plainly(data []byte) (c plainChange, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return c, err
	}
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { return name != strings.ToLower(strings.ToUpper(name)) })
	text, err := json.Marshal(members)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

func FuzzChangeJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"cursor":"e-1","kind":"component","id":"x1","fields":["a","b"],"enabled":true}`, `{"fields":[]}`, `{"fields":[null, "a" ]}`, `{"fields":["a",]}`,
		`{"fields":["a"`, `{"fields":{}}`, `{"fields":null,"kind":null,"deleted":null}`, `{"cursor":"x"}`, `{"cursor":1}`, `{"more":[1,{}],"id":"a"}`, `{"more":tru}`, `{"CursoR":0}`, `{"ſession":0}`, `{"id":"a","id":null}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Change
		if c.UnmarshalJSON(data) != nil {
			return
		}
		plain, err := plainly(data)
		if err != nil {
			t.Fatalf("%q is taken, by encoding/json: %v", data, err)
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again Change
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatalf("%q became %s: %v", data, out, err)
		}
		if len(c.Fields) == 0 {
			c.Fields, plain.Fields = nil, nil
		}
		if !reflect.DeepEqual(c, Change(plain)) {
			t.Errorf("%q became %+v, by encoding/json %+v", data, c, plain)
		}
		if !reflect.DeepEqual(c, again) {
			t.Errorf("%q became %+v, and then %+v", data, c, again)
		}
	})
}
