package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

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
	defer m.mu.Unlock()
	f, err := m.filter(q)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	about(w, m.writeComponents(w, f, q))
}

// writeComponents answers the records that a filter lets through, and returns how many
// those are. m.mu is held.
func (m *Machine) writeComponents(w http.ResponseWriter, f *hsmFilter, q url.Values) int {
	cut := shape(q)
	return writeItems(w, "Components", m.components(f), func(b []byte, c *hsmComponent) []byte {
		if cut != nil {
			cut(c)
		}
		return appendComponent(b, c)
	})
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
	defer m.mu.Unlock()
	f, err := m.filter(q)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	f.ids, f.descend = map[string]bool{}, q.Has("type")
	for _, id := range ids {
		f.ids[canonical(id)] = true
	}
	if f.ids["all"] || f.ids["s0"] {
		f.ids = nil
	}
	m.writeComponents(w, f, q)
}

func (m *Machine) hsmGet(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	id := canonical(r.PathValue("xname"))
	if kind, _ := hmsType(id); kind == "" {
		problem(w, http.StatusBadRequest, "invalid xname")
		return
	}
	m.mu.Lock()
	list := m.componentsByID(&hsmFilter{ids: map[string]bool{id: true}})
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
	list := slices.Collect(m.components(&hsmFilter{from: nid, to: nid}))
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
			n.alter(func(t *traits) { t.role, t.subRole = role, sub })
			err = nil
		}
	case "StateData":
		if state, ok := spelled(hsmStates, p.State); ok {
			if err = nil; !p.Force && !slices.Contains(hsmStarts[state], n.state.String()) {
				err = fmt.Errorf("invalid start state %s for %s", n.state, state)
			} else {
				n.state = hsmState(slices.Index(hsmStates, state))
				m.dirty(n, false)
			}
		}
	case "NID":
		if p.NID != nil && *p.NID >= 0 && *p.NID <= math.MaxInt32 {
			n.nid, err = int32(*p.NID), nil
		}
	case "SoftwareStatus":
		if p.SoftwareStatus != nil {
			n.alter(func(t *traits) { t.software = *p.SoftwareStatus })
			err = nil
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
