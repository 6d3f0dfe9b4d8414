package fleet

import (
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// hsmGroup is a group or a partition of HSM.
type hsmGroup struct {
	Label       string
	Description string
	Tags        []string
	Exclusive   string
	ids         []string
}

// hsmMembers is the members object of a group; ids is null for an empty group.
type hsmMembers struct {
	IDs []string `json:"ids"`
}

// groupLabel is what a group may be called.
var groupLabel = regexp.MustCompile(`^[-a-z0-9:._]+$`)

// groupJSON and partitionJSON are the two on the wire.
type groupJSON struct {
	Label          string     `json:"label"`
	Description    string     `json:"description"`
	Tags           []string   `json:"tags,omitempty"`
	ExclusiveGroup string     `json:"exclusiveGroup,omitempty"`
	Members        hsmMembers `json:"members"`
}

type partitionJSON struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Tags        []string   `json:"tags,omitempty"`
	Members     hsmMembers `json:"members"`
}

func (g *hsmGroup) group() groupJSON {
	return groupJSON{g.Label, g.Description, g.Tags, g.Exclusive, hsmMembers{slices.Clone(g.ids)}}
}

func (g *hsmGroup) partition() partitionJSON {
	return partitionJSON{g.Label, g.Description, g.Tags, hsmMembers{slices.Clone(g.ids)}}
}

func (m *Machine) routeGroups(mux *http.ServeMux, base string) {
	mux.HandleFunc("GET "+base+"/groups", m.groupList)
	mux.HandleFunc("POST "+base+"/groups", m.groupCreate)
	mux.HandleFunc("GET "+base+"/groups/labels", m.groupLabels)
	mux.HandleFunc("GET "+base+"/groups/{label}", m.withGroup(func(w http.ResponseWriter, _ *http.Request, g *hsmGroup) {
		writeJSON(w, http.StatusOK, g.group())
	}))
	mux.HandleFunc("DELETE "+base+"/groups/{label}", m.withGroup(func(w http.ResponseWriter, _ *http.Request, g *hsmGroup) {
		delete(m.hsm.groups, g.Label)
		writeJSON(w, http.StatusOK, map[string]any{"code": 0, "message": "deleted 1 entry"})
	}))
	mux.HandleFunc("GET "+base+"/groups/{label}/members", m.withGroup(func(w http.ResponseWriter, _ *http.Request, g *hsmGroup) {
		writeJSON(w, http.StatusOK, hsmMembers{slices.Clone(g.ids)})
	}))
	mux.HandleFunc("POST "+base+"/groups/{label}/members", m.withGroup(m.memberAdd))
	mux.HandleFunc("DELETE "+base+"/groups/{label}/members/{xname}", m.withGroup(m.memberRemove))
	mux.HandleFunc("GET "+base+"/partitions", m.partitionList)
}

// withGroup finds the group of the path and holds the lock meanwhile.
func (m *Machine) withGroup(h func(http.ResponseWriter, *http.Request, *hsmGroup)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		about(w, 1)
		m.mu.Lock()
		defer m.mu.Unlock()
		g := m.hsm.groups[strings.ToLower(r.PathValue("label"))]
		if g == nil {
			problemf(w, http.StatusNotFound, "no such group: %s", r.PathValue("label"))
			return
		}
		h(w, r, g)
	}
}

// sortedGroups returns the groups or partitions by name.
func sortedGroups(all map[string]*hsmGroup) []*hsmGroup {
	return slices.SortedFunc(maps.Values(all), func(a, b *hsmGroup) int { return cmp.Compare(a.Label, b.Label) })
}

func (m *Machine) groupList(w http.ResponseWriter, r *http.Request) {
	q := lowerKeys(r.URL.Query())
	list := []groupJSON{}
	m.mu.Lock()
	for _, g := range sortedGroups(m.hsm.groups) {
		j := g.group()
		if labels := q["group"]; labels != nil && !slices.ContainsFunc(labels, func(l string) bool { return strings.EqualFold(l, g.Label) }) {
			continue
		}
		if tags := q["tag"]; tags != nil && !slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(g.Tags, t) }) {
			continue
		}
		if names := q["partition"]; names != nil {
			j.Members.IDs = slices.DeleteFunc(j.Members.IDs, func(id string) bool {
				return !slices.ContainsFunc(names, func(name string) bool {
					p := m.hsm.partitions[strings.ToLower(name)]
					return p != nil && slices.Contains(p.ids, id)
				})
			})
		}
		list = append(list, j)
	}
	m.mu.Unlock()
	about(w, len(list))
	writeJSON(w, http.StatusOK, list)
}

func (m *Machine) groupLabels(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	labels := slices.Sorted(maps.Keys(m.hsm.groups))
	m.mu.Unlock()
	if labels == nil {
		labels = []string{}
	}
	writeJSON(w, http.StatusOK, labels)
}

func (m *Machine) partitionList(w http.ResponseWriter, _ *http.Request) {
	list := []partitionJSON{}
	m.mu.Lock()
	for _, g := range sortedGroups(m.hsm.partitions) {
		list = append(list, g.partition())
	}
	m.mu.Unlock()
	about(w, len(list))
	writeJSON(w, http.StatusOK, list)
}

func (m *Machine) groupCreate(w http.ResponseWriter, r *http.Request) {
	var j groupJSON
	if err := decode(r, &j); err != nil {
		problemf(w, http.StatusBadRequest, "error decoding JSON %s", err)
		return
	}
	about(w, len(j.Members.IDs))
	g := &hsmGroup{Label: strings.ToLower(j.Label), Description: j.Description, Tags: j.Tags, Exclusive: strings.ToLower(j.ExclusiveGroup)}
	if !groupLabel.MatchString(g.Label) {
		problemf(w, http.StatusBadRequest, "invalid group label %q", j.Label)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hsm.groups[g.Label] != nil {
		problem(w, http.StatusConflict, "operation would conflict with an existing group that has the same label.")
		return
	}
	for _, id := range j.Members.IDs {
		if status, detail := m.joinGroup(g, id); status != 0 {
			problem(w, status, detail)
			return
		}
	}
	m.hsm.groups[g.Label] = g
	uri := "/hsm/v2/groups/" + g.Label
	w.Header().Set("Location", uri)
	writeJSON(w, http.StatusCreated, []map[string]string{{"URI": uri}})
}

// joinGroup adds a component to a group; a status other than 0 says why not. m.mu
// is held.
func (m *Machine) joinGroup(g *hsmGroup, id string) (int, string) {
	id = canonical(id)
	if kind, _ := hmsType(id); kind == "" {
		return http.StatusBadRequest, "invalid xname " + id
	}
	if slices.Contains(g.ids, id) {
		return http.StatusConflict, "operation would conflict with an existing member in the same group."
	}
	for _, o := range m.hsm.groups {
		if g.Exclusive != "" && o != g && o.Exclusive == g.Exclusive && slices.Contains(o.ids, id) {
			return http.StatusConflict, "operation would conflict with an existing member in another group of the exclusive group " + g.Exclusive
		}
	}
	g.ids = append(g.ids, id)
	return 0, ""
}

func (m *Machine) memberAdd(w http.ResponseWriter, r *http.Request, g *hsmGroup) {
	var body struct{ ID string }
	if err := decode(r, &body); err != nil {
		problemf(w, http.StatusBadRequest, "error decoding JSON %s", err)
		return
	}
	if status, detail := m.joinGroup(g, body.ID); status != 0 {
		problem(w, status, detail)
		return
	}
	uri := "/hsm/v2/groups/" + g.Label + "/members/" + canonical(body.ID)
	w.Header().Set("Location", uri)
	writeJSON(w, http.StatusCreated, []map[string]string{{"URI": uri}})
}

func (m *Machine) memberRemove(w http.ResponseWriter, r *http.Request, g *hsmGroup) {
	id := canonical(r.PathValue("xname"))
	i := slices.Index(g.ids, id)
	if i < 0 {
		problem(w, http.StatusNotFound, "group has no such member.")
		return
	}
	g.ids = slices.Delete(g.ids, i, i+1)
	writeJSON(w, http.StatusOK, map[string]any{"code": 0, "message": "deleted 1 entry"})
}
