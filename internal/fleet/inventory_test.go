package fleet

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGenerate(t *testing.T) {
	inv, err := Generate(600)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range []int{0, 1, 2, 4, 31, 32, 255, 256, 599} {
		n := inv.Nodes[i]
		got = append(got, fmt.Sprintf("%s %d", n.Xname, n.NID))
	}
	want := []string{"x1000c0s0b0n0 1", "x1000c0s0b0n1 2", "x1000c0s0b1n0 3", "x1000c0s1b0n0 5", "x1000c0s7b1n1 32", "x1000c1s0b0n0 33",
		"x1000c7s7b1n1 256", "x1001c0s0b0n0 257", "x1002c2s5b1n1 600"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(NodeSpec{Xname: "x1000c0s0b0n0", NID: 1, Role: "Compute", Arch: "X86", Class: "Mountain"}, inv.Nodes[0]); d != "" {
		t.Error(d)
	}
	for _, n := range []int{0, -1, maxNodes + 1} {
		if _, err := Generate(n); err == nil {
			t.Errorf("Generate(%d) has no error", n)
		}
	}
	if err := inv.complete(); err != nil {
		t.Errorf("a generated inventory is not complete: %v", err)
	}
}

func TestLoadInventory(t *testing.T) {
	hsm, err := LoadInventory("testdata/hsm.json")
	if err != nil {
		t.Fatal(err)
	}
	want := []NodeSpec{
		{Xname: "x1000c7s7b0n0", Role: "Compute", Arch: "X86", Class: "River", State: "Empty", Disabled: true, Locked: true},
		{Xname: "x1000c7s7b1n1", NID: 1256, Role: "Compute", Arch: "ARM", Class: "Mountain", State: "Off"},
		{Xname: "x3000c0s19b1n0", NID: 100001, Role: "Management", SubRole: "Worker", Arch: "X86", Class: "River", State: "Ready", SoftwareStatus: "DvsAvailable"},
	}
	if d := cmp.Diff(want, hsm.Nodes); d != "" {
		t.Error(d)
	}
	if len(hsm.others) != 2 {
		t.Errorf("%d other components, want the BMC and the processor", len(hsm.others))
	}
	sls, err := LoadInventory("testdata/sls.json")
	if err != nil {
		t.Fatal(err)
	}
	want = []NodeSpec{
		{Xname: "x1000c0s0b0n0", NID: 1000, Role: "Compute", Arch: "X86", Class: "Mountain", Aliases: []string{"nid001000"}},
		{Xname: "x3000c0s1b0n0", NID: 100001, Role: "Management", SubRole: "Master", Arch: "X86", Class: "River", Aliases: []string{"ncn-m001"}},
		{Xname: "x3000c0s9b0n0", Role: "Application", SubRole: "UAN", Arch: "X86", Class: "River", Aliases: []string{"uan01"}},
	}
	if d := cmp.Diff(want, sls.Nodes); d != "" {
		t.Error(d)
	}
	m := newMachine(t, Config{Inventory: sls})
	if a, b := state(t, m, "x3000c0s1b0n0"), state(t, m, "x3000c0s9b0n0"); a.Power != "on" || a.HSMState != "Ready" || b.Power != "off" {
		t.Errorf("management nodes are up and others off at the start; got %+v and %+v", a, b)
	}
}

// TestRealInventories reads published SLS dumps where they are at hand.
func TestRealInventories(t *testing.T) {
	for file, want := range map[string][3]int{ // Compute, Application, Management
		"EX4000_River.json":         {257, 2, 10},
		"EX2500_Mixed_Cabinet.json": {33, 2, 10},
		"River.json":                {1, 2, 10},
	} {
		path := "../../../shared/data/sls/" + file
		if _, err := os.Stat(path); err != nil {
			t.Skip("no published dumps here")
		}
		inv, err := LoadInventory(path)
		if err != nil {
			t.Error(err)
			continue
		}
		got := map[string]int{}
		for _, n := range inv.Nodes {
			got[n.Role]++
		}
		if got["Compute"] != want[0] || got["Application"] != want[1] || got["Management"] != want[2] || len(inv.Nodes) != want[0]+want[1]+want[2] {
			t.Errorf("%s: %v, want %v", file, got, want)
		}
	}
}

func TestInventoryErrors(t *testing.T) {
	whole, err := os.ReadFile("testdata/sls.json")
	if err != nil {
		t.Fatal(err)
	}
	node := func(fields string) string { return `{"Components":[{"Type":"Node",` + fields + `}]}` }
	for _, tc := range []struct{ name, data, want string }{
		{"empty", "", "offset 0 (line 1): file is empty or cut short"},
		{"cut short", string(whole[:400]), "offset 400 (line 8): file is empty or cut short"},
		{"not JSON", "Hardware:\n  x1000:", "offset 1 (line 1): invalid character 'H'"},
		{"wrong character", "{\n\"Hardware\": {,}\n}", "offset 16 (line 2): invalid character ','"},
		{"a list", `[{"ID":"x1000c0s0b0n0"}]`, "offset 1 (line 1): want a JSON object with Components (HSM) or Hardware (SLS), not array"},
		{"null", "null", "neither an HSM State/Components document (no Components) nor an SLS dump (no Hardware)"},
		{"another document", `{"status":"ok"}`, "neither an HSM"},
		{"both", `{"Components":[],"Hardware":{}}`, "both Components (HSM) and Hardware (SLS)"},
		{"no nodes", `{"Components":[{"ID":"x1000","Type":"Cabinet"}]}`, "lists no nodes"},
		{"no nodes in SLS", `{"Hardware":{}}`, "lists no nodes"},
		{"text for a NID", node(`"ID":"x1000c0s0b0n0",` + "\n" + `"NID":"1"`), "offset 61 (line 2): Components.NID must not be string"},
		{"text for a NID in SLS", `{"Hardware":{"x1000c0s0b0n0":{"TypeString":"Node",` + "\n" + `"ExtraProperties":{"NID":"1"}}}}`, "offset 79 (line 2): NID must not be string"},
		{"negative NID", node(`"ID":"x1000c0s0b0n0","NID":-1`), "x1000c0s0b0n0 has NID -1"},
		{"not an xname", node(`"ID":"nid000001"`), `"nid000001" is not the xname of a node`},
		{"a BMC for a node", node(`"ID":"x1000c0s0b0"`), `"x1000c0s0b0" is not the xname of a node`},
		{"twice", `{"Components":[{"ID":"x1000c0s0b0n0","Type":"Node"},{"ID":"x1000c00s0b0n0","Type":"Node"}]}`, "x1000c0s0b0n0 is listed twice"},
		{"wrong state", node(`"ID":"x1000c0s0b0n0","State":"Sleeping"`), `x1000c0s0b0n0 has state "Sleeping", want one of Unknown`},
		{"wrong arch", node(`"ID":"x1000c0s0b0n0","Arch":"x86_64"`), `arch "x86_64"`},
		{"component without type", `{"Components":[{"ID":"x1000"}]}`, "Components[0] has no ID or no Type"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseInventory("my.json", []byte(tc.data))
			if err == nil || !strings.Contains(err.Error(), "my.json") || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with my.json and %q", err, tc.want)
			}
		})
	}
	if _, err := LoadInventory("testdata/none.json"); err == nil || !strings.Contains(err.Error(), "testdata/none.json") {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := LoadInventory("testdata"); err == nil || !strings.Contains(err.Error(), "testdata") {
		t.Errorf("a directory: %v", err)
	}
}

func FuzzParseInventory(f *testing.F) {
	for _, file := range []string{"testdata/hsm.json", "testdata/sls.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte(`{"Components":[{"ID":"x1c0s0b0n0","Type":"Node","NID":1e3}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := ParseInventory("f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "inventory f: ") {
				t.Errorf("error does not name the file: %v", err)
			}
			return
		}
		if !slices.IsSortedFunc(inv.Nodes, func(a, b NodeSpec) int { return compareXnames(a.Xname, b.Xname) }) {
			t.Error("nodes are not in order")
		}
		if _, err := New(Config{Inventory: inv}); err != nil {
			t.Errorf("an inventory that can be read makes no machine: %v", err)
		}
	})
}

func TestXnames(t *testing.T) {
	for in, want := range map[string]string{
		"x03000c00s01b00n0": "x3000c0s1b0n0", "X1000C7S7B1N3": "x1000c7s7b1n3", "\tx1000c0s10b0n0\n": "x1000c0s10b0n0", "x1000c0s00b0n0": "x1000c0s0b0n0", "": "", "0": "0", "000": "0",
	} {
		if got := canonical(in); got != want {
			t.Errorf("canonical(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"x3000c0s1b0n0": "Node", "x3000c0s1b0": "NodeBMC", "x3000c0s1": "ComputeModule", "x1000c0r3b0": "RouterBMC", "x3000m0p0v1": "CabinetPDUPowerConnector", "s0": "System", "p1.2": "Partition",
		"d0w1": "CDUMgmtSwitch", "x03000c0s1b0n0": "", "x10000c0s1b0n0": "", "nid1": "", "": "", "x1c8": "", "x3000c0s1b0n0p0": "Processor",
	} {
		if got, _ := hmsType(in); got != want {
			t.Errorf("hmsType(%q) = %q, want %q", in, got, want)
		}
	}
	if compareXnames("x1000c0s9b0n0", "x1000c0s10b0n0") >= 0 || compareXnames("x1000", "x1000") != 0 || compareXnames("x1", "x1c0") >= 0 {
		t.Error("xnames are not ordered by number")
	}
}
