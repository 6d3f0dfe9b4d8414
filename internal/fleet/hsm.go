package fleet

import (
	"fmt"
	"iter"
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

// hsmState is the state of a component, a place in hsmStates.
type hsmState uint8

const (
	stateUnknown hsmState = iota
	stateEmpty
	statePopulated
	stateOff
	stateOn
	stateStandby
	stateHalt
	stateReady
)

func (s hsmState) String() string { return hsmStates[s] }

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
	extra      bool           // what is around the nodes, too
	groups     map[string]*hsmGroup
	partitions map[string]*hsmGroup
}

var yes, no = new(true), new(false)

func newHSM(m *Machine, inv *Inventory, cfg Config) (hsm, error) {
	h := hsm{others: inv.others, extra: cfg.ExtraComponents, groups: map[string]*hsmGroup{}, partitions: map[string]*hsmGroup{}}
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

// surroundings are the hardware around the nodes, which discovery has to skip. They
// are made when they are asked for: there are many. m.mu is held meanwhile.
func (m *Machine) surroundings() iter.Seq[hsmComponent] {
	return func(yield func(hsmComponent) bool) {
		last := ""
		for i := range m.nodes { // in their order, so that those in one place come together
			x := m.nodes[i].xname
			component := hsmComponent{
				State: "Ready", Flag: "OK", Enabled: yes, NetType: "Sling", Arch: "X86", Class: m.nodes[i].traits.Value().class,
			}
			for _, around := range []struct{ end, kind string }{{"c", "Cabinet"}, {"s", "Chassis"}, {"b", "ComputeModule"}, {"n", "NodeBMC"}} {
				end := strings.Index(x, around.end)
				component.ID, component.Type = x[:end], around.kind
				if !strings.HasPrefix(last, x[:end+1]) && !yield(component) {
					return
				}
			}
			for p := range 2 {
				component.ID, component.Type = x+"p"+strconv.Itoa(p), "Processor"
				if !yield(component) {
					return
				}
			}
			last = x
		}
	}
}

// inHSM reports whether HSM knows the node. m.mu is held.
func (m *Machine) inHSM(n *node) bool { return m.has(n, "hsm_missing") == nil }

// record is what HSM says about a node now. m.mu is held.
func (m *Machine) record(n *node) hsmComponent {
	t := n.traits.Value()
	c := hsmComponent{
		ID: n.xname, Type: "Node", State: n.state.String(), Flag: "OK", Enabled: no, SoftwareStatus: t.software,
		Role: t.role, SubRole: t.subRole, NID: int(n.nid), NetType: "Sling", Arch: t.arch, Class: t.class,
		ReservationDisabled: !n.reservations, Locked: m.lockedNode(n),
	}
	if n.enabled {
		c.Enabled = yes
	}
	if n.state == stateStandby {
		c.Flag = "Alert"
	}
	if !n.faulty {
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

// components are the records that a filter lets through. m.mu is held meanwhile.
func (m *Machine) components(f *hsmFilter) iter.Seq[hsmComponent] {
	if f.ids != nil && !f.descend {
		return slices.Values(m.componentsByID(f))
	}
	return func(yield func(hsmComponent) bool) {
		var c hsmComponent // one for all, which match makes escape
		for i := range m.nodes {
			if n := &m.nodes[i]; m.inHSM(n) {
				if c = m.record(n); f.match(&c) && !yield(c) {
					return
				}
			}
		}
		for c = range m.otherComponents() {
			if f.match(&c) && !yield(c) {
				return
			}
		}
	}
}

// componentsByID is components for a filter with ids: no need to look at every node.
func (m *Machine) componentsByID(f *hsmFilter) []hsmComponent {
	out := make([]hsmComponent, 0, len(f.ids))
	for id := range f.ids {
		if n := m.byXname[id]; n != nil && m.inHSM(n) {
			if c := m.record(n); f.match(&c) {
				out = append(out, c)
			}
		}
	}
	if len(out) < len(f.ids) {
		for c := range m.otherComponents() {
			if f.match(&c) {
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b hsmComponent) int { return compareXnames(a.ID, b.ID) })
	return out
}

// otherComponents are those that are not nodes. m.mu is held meanwhile.
func (m *Machine) otherComponents() iter.Seq[hsmComponent] {
	return func(yield func(hsmComponent) bool) {
		for _, c := range m.hsm.others {
			if !yield(c) {
				return
			}
		}
		if !m.hsm.extra && m.lasting("hsm_extra_components") == nil {
			return
		}
		m.surroundings()(yield)
	}
}
