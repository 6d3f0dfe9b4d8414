package limit_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/limit"
)

func set(ids ...bos.ComponentID) limit.Set {
	s := limit.Set{}
	for _, id := range ids {
		s[id] = true
	}
	return s
}

// inventory has groups g1 and g2, an empty group, partition p1 and role Compute; x9 is in no boot set below.
var inventory = map[string]limit.Set{
	"g1": set("x1", "x3", "x9"), "g2": set("x3", "x4"), "empty": {}, "p1": set("x1", "x2"), "Compute": set("x1", "x2", "x3", "x5"),
}

func members(name string) (limit.Set, bool) {
	s, ok := inventory[name]
	return s, ok
}

func TestSelect(t *testing.T) {
	base := set("x1", "x2", "x3", "x4", "x5")
	for _, row := range []struct{ limit, want string }{
		{"", "x1 x2 x3 x4 x5"},
		{"x1,x4", "x1 x4"},
		{"x9", ""},
		{"g1", "x1 x3"},
		{"all", "x1 x2 x3 x4 x5"},
		{"*", "x1 x2 x3 x4 x5"},
		{"all,!x1", "x2 x3 x4 x5"},
		{"*,&g2", "x3 x4"},
		{"!x1", ""},
		{"&g1", ""},
		{"!all", ""},
		{"all,!all", ""},
		{"!x1,all", "x1 x2 x3 x4 x5"}, // order matters
		{"g1,&g2", "x3"},
		{"g1,!g2,g2", "x1 x3 x4"},
		{"Compute,!g1", "x2 x5"},
		{"all,&Compute,!x1", "x2 x3 x5"},
		{"compute", ""}, // case-sensitive
		{"p1", "x1 x2"},
		{"empty", ""},
		{"all,!empty", "x1 x2 x3 x4 x5"},
		{"all,&empty", ""},
		{"g1, g2", "x1 x3"}, // the blank belongs to the name
		{" x1", ""},
		{"nid1", ""},
		{"x1,", "x1"},
		{",,x1,,x2", "x1 x2"},
		{",", ""},
		{"all,&", ""}, // a sign alone is the node without a name
		{"all,!", "x1 x2 x3 x4 x5"},
		{"all,&!x1", ""}, // only the first sign is one
		{"all,!!x1", "x1 x2 x3 x4 x5"},
	} {
		t.Run(row.limit, func(t *testing.T) {
			e, err := limit.Parse(row.limit)
			if err != nil {
				t.Fatal(err)
			}
			if got := text(e.Select(base, members)); got != row.want {
				t.Errorf("Select = %q, want %q", got, row.want)
			}
			if len(base) != 5 || len(inventory["g1"]) != 3 {
				t.Fatal("Select changed its arguments")
			}
		})
	}
}

func TestSelectIgnoresAbsentMembers(t *testing.T) {
	e, _ := limit.Parse("all,!g")
	got := e.Select(limit.Set{"x1": true, "x2": false}, func(string) (limit.Set, bool) { return limit.Set{"x1": false}, true })
	if want := set("x1"); !maps.Equal(got, want) {
		t.Errorf("Select = %v, want %v", got, want)
	}
}

func TestString(t *testing.T) {
	for text, want := range map[string]string{
		"": "", ",": ",", "x1,": "x1", ",&g1,,!x2,": "&g1,!x2", "g1, g2": "g1, g2", "&,!": "&,!",
	} {
		e, err := limit.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.String(); got != want {
			t.Errorf("Parse(%q).String() = %q, want %q", text, got, want)
		}
	}
}

func TestUnlimited(t *testing.T) {
	for text, want := range map[string]bool{"": true, ",": false, "all": false} {
		if e, _ := limit.Parse(text); e.Unlimited() != want {
			t.Errorf("Parse(%q).Unlimited() = %v", text, e.Unlimited())
		}
	}
	if !(limit.Expr{}).Unlimited() {
		t.Error("the zero expression limits")
	}
}

func TestNames(t *testing.T) {
	e, _ := limit.Parse("all,!x1,g1,&*,x1, g1")
	if got, want := e.Names(), []string{"x1", "g1", " g1"}; !slices.Equal(got, want) {
		t.Errorf("Names = %q, want %q", got, want)
	}
}

func TestNIDs(t *testing.T) {
	for text, want := range map[string][]string{
		"x1,!nid001": {"nid001"}, "x1, nid1": {" nid1"}, "NID7": {"NID7"}, "&!nid1": {"!nid1"}, "unidentified": nil, "": nil,
	} {
		e, _ := limit.Parse(text)
		if got := e.NIDs(); !slices.Equal(got, want) {
			t.Errorf("Parse(%q).NIDs() = %q, want %q", text, got, want)
		}
	}
}

func TestParseRefusesBadText(t *testing.T) {
	if _, err := limit.Parse("x1,\xff"); !errors.Is(err, bos.ErrInvalid) {
		t.Errorf("err = %v, want ErrInvalid", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", ",", "x1,", "all,!x1", "*,&g2", "g1, g2", "Compute,!g1", "&", "!!x1", "x1,\xff"} {
		f.Add(seed)
	}
	base := set("x1", "x2", "")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := limit.Parse(text)
		if err != nil {
			return
		}
		again, err := limit.Parse(e.String())
		if err != nil {
			t.Fatal(err)
		}
		if again.Unlimited() != e.Unlimited() || !slices.Equal(again.Elements(), e.Elements()) {
			t.Errorf("Parse(%q) = %q, Parse(%[2]q) = %q", text, e, again)
		}
		got := e.Select(base, members)
		for id := range got {
			if !base[id] {
				t.Errorf("%q selects %q, which is outside the boot set", text, id)
			}
		}
		if want := fold(e, base); !maps.Equal(got, want) {
			t.Errorf("%q selects %v, want %v", text, got, want)
		}
	})
}

// fold is the definition of a limit, word by word: over all nodes there are, cut to the boot set at the end.
func fold(e limit.Expr, base limit.Set) limit.Set {
	r := limit.Set{}
	for _, el := range e.Elements() {
		s, ok := members(el.Name)
		if el.Name == "all" || el.Name == "*" {
			s, ok = base, true
		}
		if !ok {
			s = set(bos.ComponentID(el.Name))
		}
		switch el.Op {
		case limit.Add:
			maps.Copy(r, s)
		case limit.Keep:
			maps.DeleteFunc(r, func(id bos.ComponentID, _ bool) bool { return !s[id] })
		case limit.Remove:
			maps.DeleteFunc(r, func(id bos.ComponentID, _ bool) bool { return s[id] })
		}
	}
	if e.Unlimited() {
		return maps.Clone(base)
	}
	maps.DeleteFunc(r, func(id bos.ComponentID, _ bool) bool { return !base[id] })
	return r
}

func text(s limit.Set) string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(s)) {
		ids = append(ids, string(id))
	}
	return strings.Join(ids, " ")
}

func Example() {
	groups := map[string]limit.Set{"rack1": {"x1": true, "x2": true}}
	bootSet := limit.Set{"x1": true, "x2": true, "x3": true}

	e, err := limit.Parse("all,&rack1,!x1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Select(bootSet, func(name string) (limit.Set, bool) {
		members, ok := groups[name]
		return members, ok
	}))
	// Output: map[x2:true]
}
