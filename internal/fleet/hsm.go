package fleet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The vocabularies of HSM: any letter case on input, this spelling on output.
var (
	hsmStates   = []string{"Unknown", "Empty", "Populated", "Off", "On", "Standby", "Halt", "Ready"}
	hsmFlags    = []string{"OK", "Warning", "Alert", "Locked", "Unknown"}
	hsmRoles    = []string{"Compute", "Service", "System", "Application", "Storage", "Management"}
	hsmSubRoles = []string{"Master", "Worker", "Storage", "UAN", "Gateway", "LNETRouter", "Visualization", "UserDefined"}
	hsmArchs    = []string{"X86", "ARM", "Other", "UNKNOWN"}
	hsmClasses  = []string{"River", "Mountain", "Hill"}
)

// spelled returns the canonical spelling of a word of a vocabulary.
func spelled(known []string, word string) (string, bool) {
	for _, k := range known {
		if strings.EqualFold(k, word) {
			return k, true
		}
	}
	return "", false
}

// hsmComponent is a component record of HSM. Members without a value are left out.
type hsmComponent struct {
	ID                  string `json:"ID"`
	Type                string `json:"Type"`
	State               string `json:"State,omitempty"`
	Flag                string `json:"Flag,omitempty"`
	Enabled             *bool  `json:"Enabled,omitempty"`
	SoftwareStatus      string `json:"SoftwareStatus,omitempty"`
	Role                string `json:"Role,omitempty"`
	SubRole             string `json:"SubRole,omitempty"`
	NID                 int    `json:"NID,omitempty"`
	Subtype             string `json:"Subtype,omitempty"`
	NetType             string `json:"NetType,omitempty"`
	Arch                string `json:"Arch,omitempty"`
	Class               string `json:"Class,omitempty"`
	ReservationDisabled bool   `json:"ReservationDisabled,omitempty"`
	Locked              bool   `json:"Locked,omitempty"`
}

// hsm is what the Hardware State Manager keeps besides the nodes themselves.
type hsm struct {
	others     []hsmComponent // components that are not nodes
	groups     map[string]*hsmGroup
	partitions map[string]*hsmGroup
}

var yes, no = new(true), new(false)

func newHSM(m *Machine, inv *Inventory, cfg Config) (hsm, error) {
	h := hsm{others: inv.others, groups: map[string]*hsmGroup{}, partitions: map[string]*hsmGroup{}}
	if cfg.ExtraComponents {
		h.others = append(slices.Clone(h.others), extraComponents(m.nodes)...)
	}
	for _, set := range []struct {
		what string
		from map[string][]string
		to   map[string]*hsmGroup
	}{{"group", cfg.Groups, h.groups}, {"partition", cfg.Partitions, h.partitions}} {
		for name, xnames := range set.from {
			for _, x := range xnames {
				if m.byXname[x] == nil {
					return h, fmt.Errorf("%s %s: no node %q", set.what, name, x)
				}
			}
			set.to[strings.ToLower(name)] = &hsmGroup{Label: strings.ToLower(name), ids: slices.Clone(xnames)}
		}
	}
	return h, nil
}

// extraComponents makes the hardware around the nodes: what discovery has to skip.
func extraComponents(nodes []node) []hsmComponent {
	var out []hsmComponent
	seen := map[string]bool{}
	add := func(id, kind, class string) {
		if !seen[id] {
			seen[id] = true
			out = append(out, hsmComponent{ID: id, Type: kind, State: "Ready", Flag: "OK", Enabled: yes, NetType: "Sling", Arch: "X86", Class: class})
		}
	}
	for i := range nodes {
		x, class := nodes[i].spec.Xname, nodes[i].spec.Class
		c, s, b, n := strings.Index(x, "c"), strings.Index(x, "s"), strings.Index(x, "b"), strings.Index(x, "n")
		add(x[:c], "Cabinet", class)
		add(x[:s], "Chassis", class)
		add(x[:b], "ComputeModule", class)
		add(x[:n], "NodeBMC", class)
		for p := range 2 {
			add(x+"p"+strconv.Itoa(p), "Processor", class)
		}
	}
	return out
}

// inHSM reports whether HSM knows the node. m.mu is held.
func (m *Machine) inHSM(n *node) bool { return m.has(n, "hsm_missing") == nil }

// record is what HSM says about a node now. m.mu is held.
func (m *Machine) record(n *node) hsmComponent {
	c := hsmComponent{
		ID: n.spec.Xname, Type: "Node", State: n.state, Flag: "OK", Enabled: no, SoftwareStatus: n.software,
		Role: n.role, SubRole: n.subRole, NID: n.nid, NetType: "Sling", Arch: n.spec.Arch, Class: n.spec.Class,
		ReservationDisabled: !n.reservations, Locked: m.lockedNode(n),
	}
	if n.enabled {
		c.Enabled = yes
	}
	if c.State == "Standby" {
		c.Flag = "Alert"
	}
	if len(n.faults) == 0 {
		return c
	}
	if m.has(n, "hsm_disabled") != nil {
		c.Enabled = no
	}
	if m.has(n, "hsm_empty") != nil {
		c.State = "Empty"
	}
	if m.has(n, "hsm_no_arch") != nil {
		c.Arch = ""
	}
	if f := m.has(n, "arch_mismatch"); f != nil {
		c.Arch = f.Value
	}
	return c
}

func (m *Machine) lockedNode(n *node) bool {
	return n.locked || m.has(n, "hsm_locked") != nil || m.has(n, "locked_at") != nil
}

// components returns the records that a filter lets through. m.mu is held.
func (m *Machine) components(f *hsmFilter) []hsmComponent {
	if f.ids != nil && !f.descend { // by id: no need to look at every node
		out := make([]hsmComponent, 0, len(f.ids))
		for id := range f.ids {
			if n := m.byXname[id]; n != nil && m.inHSM(n) {
				if c := m.record(n); f.match(&c) {
					out = append(out, c)
				}
			}
		}
		if len(out) < len(f.ids) {
			out = f.appendOthers(out, m.hsm.others)
		}
		slices.SortFunc(out, func(a, b hsmComponent) int { return compareXnames(a.ID, b.ID) })
		return out
	}
	out := make([]hsmComponent, 0, len(m.nodes)+len(m.hsm.others))
	for i := range m.nodes {
		if n := &m.nodes[i]; m.inHSM(n) {
			if c := m.record(n); f.match(&c) {
				out = append(out, c)
			}
		}
	}
	return f.appendOthers(out, m.hsm.others)
}
