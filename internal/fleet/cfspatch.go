package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// cfsChange is a patch of a component. Unknown members and nulls are refused, as
// the schema of CFS does.
type cfsChange struct {
	ID          *string
	Config      *string
	ErrorCount  *int32
	RetryPolicy *int
	Enabled     *bool
	Tags        map[string]string
	State       *[]cfsLayer
	StateAppend *cfsLayer

	made map[*cfsAssignment]*cfsAssignment // of the old ones
}

// cfsNames are the member names of a dialect, in the order of cfsChange.
type cfsNames struct{ config, errorCount, retryPolicy, stateAppend string }

var (
	cfsV3 = cfsNames{"desired_config", "error_count", "retry_policy", "state_append"}
	cfsV2 = cfsNames{"desiredConfig", "errorCount", "retryPolicy", "stateAppend"}
)

func (names cfsNames) parse(data json.RawMessage) (*cfsChange, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return nil, errors.New("a component is not of type 'object'")
	}
	p := &cfsChange{}
	for name, raw := range members {
		if bytes.Equal(raw, []byte("null")) {
			return nil, fmt.Errorf("None is not of the type of '%s'", name) //nolint:staticcheck // the words of CFS
		}
		var err error
		switch name {
		case "id":
			err = json.Unmarshal(raw, &p.ID)
		case names.config:
			err = json.Unmarshal(raw, &p.Config)
			if err == nil && len(*p.Config) > maxConfigName {
				err = fmt.Errorf("longer than %d characters", maxConfigName)
			}
		case names.errorCount:
			err = json.Unmarshal(raw, &p.ErrorCount)
		case names.retryPolicy:
			err = json.Unmarshal(raw, &p.RetryPolicy)
		case "enabled":
			err = json.Unmarshal(raw, &p.Enabled)
		case "tags":
			err = json.Unmarshal(raw, &p.Tags)
		case "state":
			p.State, err = names.layers(raw)
		case names.stateAppend:
			var one *[]cfsLayer
			if one, err = names.layers(json.RawMessage("[" + string(raw) + "]")); err == nil {
				p.StateAppend = &(*one)[0]
			}
		case "configurationStatus", "configuration_status", "desired_state", "desiredState", "logs":
			return nil, fmt.Errorf("Property is read-only - '%s'", name) //nolint:staticcheck // the words of CFS
		default:
			return nil, fmt.Errorf("Additional properties are not allowed ('%s' was unexpected)", name) //nolint:staticcheck // the words of CFS
		}
		if err != nil {
			return nil, fmt.Errorf("'%s': %w", name, err)
		}
	}
	return p, nil
}

// layers reads applied layers in either dialect.
func (names cfsNames) layers(raw json.RawMessage) (*[]cfsLayer, error) {
	if names == cfsV3 {
		var list []cfsLayer
		err := json.Unmarshal(raw, &list)
		return &list, err
	}
	var old []cfsLayerV2
	if err := json.Unmarshal(raw, &old); err != nil {
		return nil, err
	}
	list := make([]cfsLayer, len(old))
	for i, l := range old {
		list[i] = l.v3()
	}
	return &list, nil
}

// cfsApply changes a component. Giving it a configuration, or wiping its state,
// forgives its failures. m.mu is held.
func (m *Machine) cfsApply(n *node, p *cfsChange) {
	c := &n.cfs
	c.given = p.assignment(c.given)
	if p.Enabled != nil {
		c.enabled = *p.Enabled
	}
	if p.State != nil {
		if c.layers = p.State; len(*p.State) == 0 {
			c.layers = nil
		}
	}
	if p.StateAppend != nil {
		l := *p.StateAppend
		if l.LastUpdated == "" {
			l.LastUpdated = m.cfsTime()
		}
		c.layers = new(append(slices.Clip(c.applied()), l))
	}
	switch {
	case p.ErrorCount != nil:
		c.errorCount = *p.ErrorCount
	case p.Config != nil || p.State != nil && len(*p.State) == 0:
		c.errorCount = 0
	}
	m.reconsider(n)
}

// assignment is what a component that had old is given by the change. Components that
// shared theirs do so afterwards.
func (p *cfsChange) assignment(old *cfsAssignment) *cfsAssignment {
	if p.Config == nil && p.RetryPolicy == nil && len(p.Tags) == 0 {
		return old
	}
	if p.made[old] != nil {
		return p.made[old]
	}
	a := *old
	if p.Config != nil {
		a.config = *p.Config
	}
	if p.RetryPolicy != nil {
		a.retries = p.RetryPolicy
	}
	if len(p.Tags) > 0 {
		a.tags = map[string]string{}
		maps.Copy(a.tags, old.tags)
		for k, v := range p.Tags {
			if a.tags[k] = v; v == "" {
				delete(a.tags, k)
			}
		}
	}
	if p.made == nil {
		p.made = map[*cfsAssignment]*cfsAssignment{}
	}
	p.made[old] = &a
	return &a
}

// cfsBulk is the object form of a bulk PATCH.
type cfsBulk struct {
	Patch   json.RawMessage            `json:"patch"`
	Filters map[string]json.RawMessage `json:"filters"`
}

func (b cfsBulk) filter(configName string) (*cfsFilter, error) {
	var ids, status, config, tags string
	var enabled *bool
	for name, raw := range b.Filters {
		var err error
		switch name {
		case "ids":
			err = json.Unmarshal(raw, &ids)
		case "status":
			err = json.Unmarshal(raw, &status)
		case "enabled":
			err = json.Unmarshal(raw, &enabled)
		case configName:
			err = json.Unmarshal(raw, &config)
		case "tags":
			err = json.Unmarshal(raw, &tags)
		default:
			err = errors.New("additional properties are not allowed")
		}
		if err != nil {
			return nil, fmt.Errorf("filters: '%s': %w", name, err)
		}
	}
	return parseCFSFilter(ids, status, config, tags, enabled)
}

// cfsBulkPatch applies a bulk PATCH in a dialect and returns the components that
// were patched; on an error it has answered.
func (m *Machine) cfsBulkPatch(w http.ResponseWriter, r *http.Request, names cfsNames, configName string) ([]*node, bool) {
	var body json.RawMessage
	if err := decode(r, &body); err != nil {
		problemf(w, http.StatusBadRequest, "Request body is not valid JSON: %s", err)
		return nil, false
	}
	switch body[0] {
	case '{':
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		var bulk cfsBulk
		err := dec.Decode(&bulk)
		if err == nil && bulk.Patch == nil {
			err = errors.New("'patch' is a required property")
		}
		var p *cfsChange
		var f *cfsFilter
		if err == nil {
			p, err = names.parse(bulk.Patch)
		}
		if err == nil {
			f, err = bulk.filter(configName)
		}
		if err != nil {
			problem(w, http.StatusBadRequest, err.Error())
			return nil, false
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		found, _ := m.cfsSelect(f, "", 0) // unknown ids are passed over in silence
		for _, c := range found {
			m.cfsApply(c, p)
		}
		return found, true
	case '[':
		return m.cfsListPatch(w, body, names)
	}
	problemf(w, http.StatusBadRequest, "Unexpected data type %c", body[0])
	return nil, false
}

// cfsListPatch applies a list of patches, each with its own id: all or none.
func (m *Machine) cfsListPatch(w http.ResponseWriter, body json.RawMessage, names cfsNames) ([]*node, bool) {
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return nil, false
	}
	patches := make([]*cfsChange, len(list))
	for i, raw := range list {
		p, err := names.parse(raw)
		if err == nil && p.ID == nil {
			err = errors.New("'id' is a required property")
		}
		if err != nil {
			problem(w, http.StatusBadRequest, err.Error())
			return nil, false
		}
		patches[i] = p
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := make([]*node, len(patches))
	for i, p := range patches {
		if found[i] = m.cfsComponent(*p.ID); !m.inCFS(found[i]) {
			problemf(w, http.StatusNotFound, "Component %s could not be found", *p.ID)
			return nil, false
		}
	}
	for i, p := range patches {
		m.cfsApply(found[i], p)
	}
	return found, true
}

func componentIDs(list []*node) map[string][]string {
	return map[string][]string{"component_ids": xnamesOf(list)}
}

func (m *Machine) cfsPatchAll(w http.ResponseWriter, r *http.Request) {
	if found, ok := m.cfsBulkPatch(w, r, cfsV3, "config_name"); ok {
		about(w, len(found))
		writeJSON(w, http.StatusOK, componentIDs(found))
	}
}

// cfsPutAll replaces or creates components.
func (m *Machine) cfsPutAll(w http.ResponseWriter, r *http.Request) {
	var list []json.RawMessage
	if err := decode(r, &list); err != nil {
		problemf(w, http.StatusBadRequest, "Request body is not valid JSON: %s", err)
		return
	}
	patches := make([]*cfsChange, len(list))
	for i, raw := range list {
		p, err := cfsV3.parse(raw)
		if err == nil && (p.ID == nil || *p.ID == "") {
			err = errors.New("'id' is a required property")
		}
		if err != nil {
			problem(w, http.StatusBadRequest, err.Error())
			return
		}
		patches[i] = p
	}
	about(w, len(patches))
	m.mu.Lock()
	found := make([]*node, len(patches))
	for i, p := range patches {
		found[i] = m.cfsReplace(*p.ID, p)
	}
	m.mu.Unlock()
	writeJSON(w, http.StatusOK, componentIDs(found))
}

// cfsReplace makes a component as new, with what the change says. m.mu is held.
func (m *Machine) cfsReplace(id string, p *cfsChange) *node {
	n := m.cfsComponent(id)
	if n == nil {
		n = stranger(id)
		m.cfs.strangers[id] = n
		i, _ := slices.BinarySearchFunc(m.cfs.list, id, func(n *node, id string) int { return strings.Compare(n.xname, id) })
		m.cfs.list = slices.Insert(m.cfs.list, i, n)
	}
	n.cfs.given, n.cfs.layers, n.cfs.errorCount, n.cfs.enabled = &nothingGiven, nil, 0, true
	m.cfsApply(n, p)
	return n
}

// withComponent finds the component of the path and holds the lock meanwhile.
func (m *Machine) withComponent(w http.ResponseWriter, r *http.Request, h func(*node)) {
	about(w, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.cfsComponent(r.PathValue("id"))
	if !m.inCFS(c) {
		problemf(w, http.StatusNotFound, "Component %s could not be found", r.PathValue("id"))
		return
	}
	h(c)
}
