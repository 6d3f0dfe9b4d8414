package fleet

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

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

// shape returns what cuts a record down to what stateonly, flagonly, roleonly or nidonly
// ask for; nil when nothing does.
func shape(q url.Values) func(c *hsmComponent) {
	only := func(name string) bool { return q.Has(name) && hsmBool(q.Get(name)) != "false" }
	switch {
	case only("stateonly"):
		return func(c *hsmComponent) { *c = hsmComponent{ID: c.ID, Type: c.Type, State: c.State, Flag: c.Flag} }
	case only("flagonly"):
		return func(c *hsmComponent) { *c = hsmComponent{ID: c.ID, Type: c.Type, Flag: c.Flag} }
	case only("roleonly"):
		return func(c *hsmComponent) {
			*c = hsmComponent{ID: c.ID, Type: c.Type, Role: c.Role, SubRole: c.SubRole}
		}
	case only("nidonly"):
		return func(c *hsmComponent) { *c = hsmComponent{ID: c.ID, Type: c.Type, NID: c.NID} }
	}
	return nil
}

// lowerKeys is url.Values with parameter names in lower case.
func lowerKeys(q url.Values) url.Values {
	out := url.Values{}
	for k, v := range q {
		out[strings.ToLower(k)] = append(out[strings.ToLower(k)], v...)
	}
	return out
}
