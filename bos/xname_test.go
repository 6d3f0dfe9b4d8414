package bos

import "testing"

func TestCanonicalXname(t *testing.T) {
	for name, want := range map[string]string{
		"X03000C00S01B00N0": "x3000c0s1b0n0",
		"x3000c0s1b0n0":     "x3000c0s1b0n0",
		"!X1C0S0B0N00":      "!x1c0s0b0n0",
		"x1000c0s00b0":      "x1000c0s00b0", // no node
		"GROUP-01":          "group-01",
		"":                  "",
	} {
		if got := CanonicalXname(name); got != want {
			t.Errorf("CanonicalXname(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzCanonicalXname canonicalises any text: doing it again changes nothing, and what is a node afterwards is a valid id.
func FuzzCanonicalXname(f *testing.F) {
	for _, seed := range []string{"X03000C00S01B00N0", "nid000001", "x0c0s0b0n0x00c00s00b00n00", "\u212A", "x1c\u0660s0b0n0", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		once := CanonicalXname(name)
		if twice := CanonicalXname(once); twice != once {
			t.Errorf("%q becomes %q and then %q", name, once, twice)
		}
		if IsNodeXname(ComponentID(once)) && !ValidName(once) && len(once) <= 127 {
			t.Errorf("%q becomes the node %q, which is no valid name", name, once)
		}
	})
}
