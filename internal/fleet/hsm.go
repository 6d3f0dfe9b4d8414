package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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

func (m *Machine) lockedNode(n *node) bool { return n.locked || m.has(n, "hsm_locked") != nil }

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

// hsmFilter selects components: values of one parameter are alternatives,
// parameters all have to hold, and a leading ! excludes.
type hsmFilter struct {
	ids      map[string]bool // nil: any id
	descend  bool            // ids stand for what is below them, too
	terms    []hsmTerm
	members  []map[string]bool // of the groups and partitions asked for
	from, to int               // NIDs; 0 is open
}

// hsmTerm is a filter on one member of a record.
type hsmTerm struct {
	value func(*hsmComponent) string
	want  []string
	not   []string
}

// hsmTerms are the parameters that compare one member of a record, with their
// vocabularies; nil takes anything.
var hsmTerms = map[string]struct {
	value func(*hsmComponent) string
	known []string
}{
	"type":                {func(c *hsmComponent) string { return c.Type }, nil},
	"state":               {func(c *hsmComponent) string { return c.State }, hsmStates},
	"flag":                {func(c *hsmComponent) string { return c.Flag }, hsmFlags},
	"role":                {func(c *hsmComponent) string { return c.Role }, hsmRoles},
	"subrole":             {func(c *hsmComponent) string { return c.SubRole }, hsmSubRoles},
	"arch":                {func(c *hsmComponent) string { return c.Arch }, hsmArchs},
	"class":               {func(c *hsmComponent) string { return c.Class }, hsmClasses},
	"subtype":             {func(c *hsmComponent) string { return c.Subtype }, nil},
	"softwarestatus":      {func(c *hsmComponent) string { return c.SoftwareStatus }, nil},
	"nid":                 {func(c *hsmComponent) string { return strconv.Itoa(c.NID) }, nil},
	"enabled":             {func(c *hsmComponent) string { return strconv.FormatBool(c.Enabled == nil || *c.Enabled) }, hsmBools},
	"locked":              {func(c *hsmComponent) string { return strconv.FormatBool(c.Locked) }, hsmBools},
	"reservationdisabled": {func(c *hsmComponent) string { return strconv.FormatBool(c.ReservationDisabled) }, hsmBools},
}

var hsmBools = []string{"true", "false"}

// hsmBool spells a boolean as HSM reads it: true, t, 1, false, f, 0 in any case.
func hsmBool(s string) string {
	switch strings.ToLower(s) {
	case "t", "1":
		return "true"
	case "f", "0":
		return "false"
	}
	return s
}

// filter builds a filter from parameters; names are lower case. Those that mean
// nothing to it are left alone. m.mu is held.
func (m *Machine) filter(params map[string][]string) (*hsmFilter, error) {
	f := &hsmFilter{}
	for name, values := range params {
		if term, ok := hsmTerms[name]; ok {
			t := hsmTerm{value: term.value}
			for _, v := range values {
				word, negated := strings.CutPrefix(v, "!")
				switch {
				case name == "type" && !isHMSType(word):
					return nil, fmt.Errorf("bad query param: argument was not a valid HMS Type: %s", word)
				case term.known != nil:
					if name == "enabled" || name == "locked" || name == "reservationdisabled" {
						word = hsmBool(word)
					}
					known, ok := spelled(term.known, word)
					if !ok {
						return nil, fmt.Errorf("bad query param: argument was not a valid HMS %s: %s", name, word)
					}
					word = known
				}
				if negated {
					t.not = append(t.not, word)
				} else {
					t.want = append(t.want, word)
				}
			}
			f.terms = append(f.terms, t)
			continue
		}
		var err error
		switch name {
		case "id":
			err = f.setIDs(values)
		case "nid_start":
			f.from, err = strconv.Atoi(values[len(values)-1])
		case "nid_end":
			f.to, err = strconv.Atoi(values[len(values)-1])
		case "group":
			err = f.setMembers("group", values, m.hsm.groups)
		case "partition":
			err = f.setMembers("partition", values, m.hsm.partitions)
		}
		if err != nil {
			return nil, fmt.Errorf("bad query param: %w", err)
		}
	}
	return f, nil
}

func (f *hsmFilter) setIDs(values []string) error {
	var not []string
	for _, v := range values {
		word, negated := strings.CutPrefix(v, "!")
		id := canonical(word)
		if kind, _ := hmsType(id); kind == "" {
			return fmt.Errorf("argument was not a valid xname: %s", word)
		}
		if negated {
			not = append(not, id)
			continue
		}
		if f.ids == nil {
			f.ids = map[string]bool{}
		}
		f.ids[id] = true
	}
	if not != nil {
		f.terms = append(f.terms, hsmTerm{value: func(c *hsmComponent) string { return c.ID }, not: not})
	}
	return nil
}

func (f *hsmFilter) setMembers(what string, names []string, known map[string]*hsmGroup) error {
	ids := map[string]bool{}
	for _, name := range names {
		g := known[strings.ToLower(name)]
		if g == nil {
			return fmt.Errorf("no such %s: %s", what, name)
		}
		for _, id := range g.ids {
			ids[id] = true
		}
	}
	f.members = append(f.members, ids)
	return nil
}

func (f *hsmFilter) match(c *hsmComponent) bool {
	if f.ids != nil && !f.ids[c.ID] {
		if !f.descend {
			return false
		}
		up := c.ID
		for up != "" && !f.ids[up] {
			up = strings.TrimRight(strings.TrimRight(up, "0123456789"), "abcdefghijklmnopqrstuvwxyz")
		}
		if up == "" {
			return false
		}
	}
	for _, members := range f.members {
		if !members[c.ID] {
			return false
		}
	}
	if f.from > 0 && c.NID < f.from || f.to > 0 && (c.NID > f.to || c.NID == 0) {
		return false
	}
	for _, t := range f.terms {
		v := t.value(c)
		same := func(w string) bool { return strings.EqualFold(w, v) }
		if len(t.want) > 0 && !slices.ContainsFunc(t.want, same) || slices.ContainsFunc(t.not, same) {
			return false
		}
	}
	return true
}

func (f *hsmFilter) appendOthers(out, others []hsmComponent) []hsmComponent {
	for i := range others {
		if f.match(&others[i]) {
			out = append(out, others[i])
		}
	}
	return out
}

// shape cuts records down to what stateonly, flagonly, roleonly or nidonly ask for.
func shape(list []hsmComponent, q url.Values) {
	only := func(name string) bool { return q.Has(name) && hsmBool(q.Get(name)) != "false" }
	for i, c := range list {
		switch {
		case only("stateonly"):
			list[i] = hsmComponent{ID: c.ID, Type: c.Type, State: c.State, Flag: c.Flag}
		case only("flagonly"):
			list[i] = hsmComponent{ID: c.ID, Type: c.Type, Flag: c.Flag}
		case only("roleonly"):
			list[i] = hsmComponent{ID: c.ID, Type: c.Type, Role: c.Role, SubRole: c.SubRole}
		case only("nidonly"):
			list[i] = hsmComponent{ID: c.ID, Type: c.Type, NID: c.NID}
		}
	}
}

// lowerKeys is url.Values with parameter names in lower case.
func lowerKeys(q url.Values) url.Values {
	out := url.Values{}
	for k, v := range q {
		out[strings.ToLower(k)] = append(out[strings.ToLower(k)], v...)
	}
	return out
}

func (m *Machine) routeHSM(mux *http.ServeMux) {
	const base = "/hsm/v2"
	mux.HandleFunc("GET "+base+"/State/Components", m.hsmList)
	mux.HandleFunc("POST "+base+"/State/Components/Query", m.hsmQuery)
	mux.HandleFunc("GET "+base+"/State/Components/{xname}", m.hsmGet)
	mux.HandleFunc("GET "+base+"/State/Components/ByNID/{nid}", m.hsmByNID)
	mux.HandleFunc("PATCH "+base+"/State/Components/{xname}/{field}", m.hsmPatch)
	mux.HandleFunc("GET "+base+"/service/ready", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"code": 0, "message": "HSM is healthy"})
	})
	mux.HandleFunc("GET "+base+"/service/liveness", noContent)
	m.routeGroups(mux, base)
	m.routeLocks(mux, base)
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func (m *Machine) hsmList(w http.ResponseWriter, r *http.Request) {
	q := lowerKeys(r.URL.Query())
	m.mu.Lock()
	f, err := m.filter(q)
	var list []hsmComponent
	if err == nil {
		list = m.components(f)
	}
	m.mu.Unlock()
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	shape(list, q)
	about(w, len(list))
	writeJSON(w, http.StatusOK, map[string]any{"Components": list})
}

// hsmParams decodes a request body whose members are filters: arrays of strings
// (NIDs may be numbers) under names in any letter case.
func hsmParams(r *http.Request) (url.Values, error) {
	var body map[string]json.RawMessage
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	q := url.Values{}
	for k, raw := range body {
		k = strings.ToLower(k)
		var one any
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, err
		}
		list, isList := one.([]any)
		if !isList {
			list = []any{one}
		}
		for _, v := range list {
			switch v := v.(type) {
			case nil:
			case string:
				q.Add(k, v)
			case bool:
				q.Add(k, strconv.FormatBool(v))
			case float64:
				q.Add(k, strconv.FormatFloat(v, 'f', -1, 64))
			default:
				return nil, fmt.Errorf("%s: want strings", k)
			}
		}
	}
	return q, nil
}

func (m *Machine) hsmQuery(w http.ResponseWriter, r *http.Request) {
	q, err := hsmParams(r)
	if err != nil {
		problemf(w, http.StatusInternalServerError, "error decoding JSON %s", err)
		return
	}
	ids := q["componentids"]
	about(w, len(ids))
	if len(ids) == 0 {
		problem(w, http.StatusBadRequest, "Missing IDs")
		return
	}
	m.mu.Lock()
	f, err := m.filter(q)
	var list []hsmComponent
	if err == nil {
		f.ids, f.descend = map[string]bool{}, q.Has("type")
		for _, id := range ids {
			f.ids[canonical(id)] = true
		}
		if f.ids["all"] || f.ids["s0"] {
			f.ids = nil
		}
		list = m.components(f)
	}
	m.mu.Unlock()
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	shape(list, q)
	writeJSON(w, http.StatusOK, map[string]any{"Components": list})
}

func (m *Machine) hsmGet(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	id := canonical(r.PathValue("xname"))
	if kind, _ := hmsType(id); kind == "" {
		problem(w, http.StatusBadRequest, "invalid xname")
		return
	}
	m.mu.Lock()
	list := m.components(&hsmFilter{ids: map[string]bool{id: true}})
	m.mu.Unlock()
	if len(list) == 0 {
		problem(w, http.StatusNotFound, "no such xname.")
		return
	}
	writeJSON(w, http.StatusOK, list[0])
}

func (m *Machine) hsmByNID(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	nid, err := strconv.Atoi(r.PathValue("nid"))
	if err != nil || nid <= 0 {
		problem(w, http.StatusBadRequest, "invalid NID")
		return
	}
	m.mu.Lock()
	list := m.components(&hsmFilter{from: nid, to: nid})
	m.mu.Unlock()
	if len(list) == 0 {
		problem(w, http.StatusNotFound, "no such NID.")
		return
	}
	writeJSON(w, http.StatusOK, list[0])
}

// hsmPatch changes one part of a node's record: Enabled, Role, StateData, NID or
// SoftwareStatus.
func (m *Machine) hsmPatch(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	var p struct {
		Enabled                    *bool
		Role, SubRole, State, Flag string
		SoftwareStatus             *string
		NID                        *int
		Force                      bool
	}
	if err := decode(r, &p); err != nil {
		problemf(w, http.StatusBadRequest, "error decoding JSON %s", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.byXname[canonical(r.PathValue("xname"))]
	if n == nil || !m.inHSM(n) {
		problem(w, http.StatusNotFound, "no such xname.")
		return
	}
	err := errors.New("missing or bad value")
	switch r.PathValue("field") {
	case "Enabled":
		if p.Enabled != nil {
			n.enabled, err = *p.Enabled, nil
		}
	case "Role":
		role, ok := spelled(hsmRoles, p.Role)
		sub, okSub := spelled(append(hsmSubRoles, ""), p.SubRole)
		if ok && okSub {
			n.role, n.subRole, err = role, sub, nil
		}
	case "StateData":
		if state, ok := spelled(hsmStates, p.State); ok {
			if err = nil; !p.Force && !slices.Contains(hsmStarts[state], n.state) {
				err = fmt.Errorf("invalid start state %s for %s", n.state, state)
			} else {
				n.state = state
				m.dirty(n)
			}
		}
	case "NID":
		if p.NID != nil && *p.NID >= 0 {
			n.nid, err = *p.NID, nil
		}
	case "SoftwareStatus":
		if p.SoftwareStatus != nil {
			n.software, err = *p.SoftwareStatus, nil
		}
	default:
		problem(w, http.StatusNotFound, "no such component property")
		return
	}
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// hsmStarts are the states from which software may set a state without force.
var hsmStarts = map[string][]string{
	"Off":     {"Off", "On", "Standby", "Halt", "Ready"},
	"On":      {"On", "Off", "Standby", "Halt"},
	"Ready":   {"Ready", "On", "Off", "Standby", "Halt"},
	"Standby": {"Standby", "Ready"},
	"Halt":    {"Halt", "Ready"},
}
