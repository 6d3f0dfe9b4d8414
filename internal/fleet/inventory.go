package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

// maxNodes bounds a generated inventory: 9000 Mountain cabinets are all that
// four-digit cabinet numbers allow, and no machine is near a million nodes.
const maxNodes = 1_000_000

// NodeSpec is what an inventory says about one node.
type NodeSpec struct {
	Xname          string   // canonical location name
	NID            int      // node number; 0 when the inventory has none
	Role           string   // HSM role; default Compute
	SubRole        string   // HSM sub-role; may be empty
	Arch           string   // X86, ARM, Other or UNKNOWN; default X86
	Class          string   // River, Mountain or Hill; default River
	State          string   // HSM state at the start; empty: Off, and Ready for Management
	Disabled       bool     // HSM Enabled is false
	Locked         bool     // administratively locked in HSM
	SoftwareStatus string   // free text that HSM keeps
	Aliases        []string // host names, from SLS
}

// Inventory describes the hardware of a machine.
type Inventory struct {
	Nodes []NodeSpec // ordered by xname, without duplicates

	// others are the components of an HSM document that are not nodes. HSM
	// shows them; nothing else does.
	others []hsmComponent
}

// Generate returns the inventory of a liquid-cooled machine of n compute nodes:
// cabinets from x1000, 256 nodes each (8 chassis, 8 slots, 2 BMCs, 2 nodes), NIDs
// from 1. n must be 1 to 1,000,000.
func Generate(n int) (*Inventory, error) {
	if n < 1 || n > maxNodes {
		return nil, fmt.Errorf("a machine has 1 to %d nodes, not %d", maxNodes, n)
	}
	inv := &Inventory{Nodes: make([]NodeSpec, n)}
	for i := range n {
		inv.Nodes[i] = NodeSpec{
			Xname: fmt.Sprintf("x%dc%ds%db%dn%d", 1000+i/256, i/32%8, i/4%8, i/2%2, i%2),
			NID:   i + 1, Role: "Compute", Arch: "X86", Class: "Mountain",
		}
	}
	return inv, nil
}

// LoadInventory reads an inventory file, see [ParseInventory].
func LoadInventory(path string) (*Inventory, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err // names the file
	}
	return ParseInventory(path, data)
}

// ParseInventory reads an HSM State/Components document ({"Components":[…]}) or
// an SLS dump ({"Hardware":{…}}). Every error names the file, and where there is
// one the byte offset and the line.
func ParseInventory(name string, data []byte) (*Inventory, error) {
	p := inventoryParser{name: name, data: data}
	return p.parse()
}

type inventoryParser struct {
	name string
	data []byte
}

// hsmRecord is one entry of an HSM document.
type hsmRecord struct {
	ID, Type, State, Flag         string
	Enabled                       *bool
	SoftwareStatus, Role, SubRole string
	NID                           int
	Subtype, NetType, Arch, Class string
	ReservationDisabled, Locked   bool
}

// slsRecord is one Hardware entry of an SLS dump.
type slsRecord struct {
	Xname, TypeString, Class string
	ExtraProperties          json.RawMessage // differs by type; read for nodes only
}

func (p *inventoryParser) parse() (*Inventory, error) {
	var doc struct {
		Components *[]hsmRecord
		Hardware   *map[string]slsRecord
	}
	if err := json.Unmarshal(p.data, &doc); err != nil {
		return nil, p.fail(err, 0)
	}
	inv := &Inventory{}
	var err error
	switch {
	case doc.Components != nil && doc.Hardware != nil:
		err = fmt.Errorf("inventory %s: has both Components (HSM) and Hardware (SLS); want one of them", p.name)
	case doc.Components != nil:
		err = p.fromHSM(inv, *doc.Components)
	case doc.Hardware != nil:
		err = p.fromSLS(inv, *doc.Hardware)
	default:
		err = fmt.Errorf("inventory %s: neither an HSM State/Components document (no Components) nor an SLS dump (no Hardware)", p.name)
	}
	if err != nil {
		return nil, err
	}
	return inv, p.check(inv)
}

func (p *inventoryParser) fromHSM(inv *Inventory, records []hsmRecord) error {
	for i, r := range records {
		if r.Type == "Node" {
			inv.Nodes = append(inv.Nodes, NodeSpec{
				Xname: r.ID, NID: r.NID, Role: r.Role, SubRole: r.SubRole, Arch: r.Arch, Class: r.Class,
				State: r.State, Disabled: r.Enabled != nil && !*r.Enabled, Locked: r.Locked, SoftwareStatus: r.SoftwareStatus,
			})
			continue
		}
		if r.ID == "" || r.Type == "" {
			return fmt.Errorf("inventory %s: Components[%d] has no ID or no Type", p.name, i)
		}
		inv.others = append(inv.others, hsmComponent{
			ID: canonical(r.ID), Type: r.Type, State: r.State, Flag: r.Flag, Enabled: r.Enabled, SoftwareStatus: r.SoftwareStatus,
			Subtype: r.Subtype, NetType: r.NetType, Arch: r.Arch, Class: r.Class, ReservationDisabled: r.ReservationDisabled, Locked: r.Locked,
		})
	}
	return nil
}

func (p *inventoryParser) fromSLS(inv *Inventory, records map[string]slsRecord) error {
	for key, r := range records {
		if r.TypeString != "Node" {
			continue
		}
		if r.Xname == "" {
			r.Xname = key
		}
		var extra struct {
			NID           int
			Role, SubRole string
			Aliases       []string
		}
		if len(r.ExtraProperties) > 0 {
			if err := json.Unmarshal(r.ExtraProperties, &extra); err != nil {
				return p.fail(err, max(0, bytes.Index(p.data, r.ExtraProperties)))
			}
		}
		inv.Nodes = append(inv.Nodes, NodeSpec{
			Xname: r.Xname, NID: extra.NID, Role: extra.Role, SubRole: extra.SubRole, Class: r.Class, Aliases: extra.Aliases,
		})
	}
	return nil
}

// check orders the nodes, fills in defaults and refuses what no machine has.
func (p *inventoryParser) check(inv *Inventory) error {
	if err := inv.complete(); err != nil {
		return fmt.Errorf("inventory %s: %w", p.name, err)
	}
	return nil
}

func (inv *Inventory) complete() error {
	if len(inv.Nodes) == 0 {
		return errors.New("lists no nodes")
	}
	if len(inv.Nodes) > maxNodes {
		return fmt.Errorf("lists %d nodes, more than %d", len(inv.Nodes), maxNodes)
	}
	for i := range inv.Nodes {
		x := canonical(inv.Nodes[i].Xname)
		if !nodeXname.MatchString(x) {
			return fmt.Errorf("%q is not the xname of a node", inv.Nodes[i].Xname)
		}
		inv.Nodes[i].Xname = x
	}
	slices.SortFunc(inv.Nodes, func(a, b NodeSpec) int { return compareXnames(a.Xname, b.Xname) })
	for i := range inv.Nodes {
		n := &inv.Nodes[i]
		if i > 0 && inv.Nodes[i-1].Xname == n.Xname {
			return fmt.Errorf("%s is listed twice", n.Xname)
		}
		if n.NID < 0 || n.NID > math.MaxInt32 {
			return fmt.Errorf("%s has NID %d, want a positive number of 31 bits", n.Xname, n.NID)
		}
		for _, f := range []struct {
			what  string
			value *string
			deflt string
			known []string
		}{
			{"role", &n.Role, "Compute", nil},
			{"arch", &n.Arch, "X86", hsmArchs},
			{"class", &n.Class, "River", hsmClasses},
			{"state", &n.State, "", hsmStates},
		} {
			if *f.value == "" {
				*f.value = f.deflt
			} else if f.known != nil {
				word, ok := spelled(f.known, *f.value)
				if !ok {
					return fmt.Errorf("%s has %s %q, want one of %s", n.Xname, f.what, *f.value, strings.Join(f.known, ", "))
				}
				*f.value = word
			}
		}
	}
	return nil
}

// fail describes a decoding error with its place in the file; base is where the
// decoded part starts.
func (p *inventoryParser) fail(err error, base int) error {
	at := int64(-1)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = e.Offset
	} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		at = e.Offset
		if e.Field == "" {
			err = fmt.Errorf("want a JSON object with Components (HSM) or Hardware (SLS), not %s", e.Value)
		} else {
			err = fmt.Errorf("%s must not be %s", e.Field, e.Value)
		}
	}
	if at < 0 {
		return fmt.Errorf("inventory %s: %w", p.name, err)
	}
	offset := min(base+int(at), len(p.data))
	line := 1 + bytes.Count(p.data[:offset], []byte("\n"))
	if offset == len(p.data) && strings.Contains(err.Error(), "unexpected end") {
		err = errors.New("file is empty or cut short: unexpected end of JSON")
	}
	return fmt.Errorf("inventory %s: offset %d (line %d): %w", p.name, offset, line, err)
}
