package fleet

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// cfsComponentV2 is a component on the wire of v2. Lists are not paged; a layer's
// status hides in the suffix of its commit.
type cfsComponentV2 struct {
	ID           string            `json:"id"`
	Config       string            `json:"desiredConfig"`
	ErrorCount   int               `json:"errorCount"`
	RetryPolicy  *int              `json:"retryPolicy,omitempty"`
	Enabled      bool              `json:"enabled"`
	Status       string            `json:"configurationStatus"`
	Tags         map[string]string `json:"tags"`
	State        []cfsLayerV2      `json:"state"`
	DesiredState *[]cfsLayerV2     `json:"desiredState,omitempty"`
}

type cfsLayerV2 struct {
	CloneURL    string `json:"cloneUrl"`
	Playbook    string `json:"playbook"`
	Commit      string `json:"commit"`
	LastUpdated string `json:"lastUpdated,omitempty"`
	SessionName string `json:"sessionName,omitempty"`
}

func (l cfsLayerV2) v3() cfsLayer {
	out := cfsLayer{l.CloneURL, l.Playbook, l.Commit, "applied", l.LastUpdated, l.SessionName}
	for _, status := range []string{"failed", "skipped", "incomplete"} {
		if commit, ok := strings.CutSuffix(l.Commit, "_"+status); ok {
			out.Commit, out.Status = commit, status
		}
	}
	return out
}

func layersV2(list []cfsLayer) []cfsLayerV2 {
	out := make([]cfsLayerV2, len(list))
	for i, l := range list {
		out[i] = cfsLayerV2{l.CloneURL, l.Playbook, l.Commit, l.LastUpdated, l.SessionName}
		if l.Status != "" && l.Status != "applied" {
			out[i].Commit += "_" + l.Status
		}
	}
	return out
}

// cfsJSONv2 is the v2 record of a component. m.mu is held.
func (m *Machine) cfsJSONv2(c *node, configDetails bool) cfsComponentV2 {
	v3 := m.cfsJSON(c, false, configDetails)
	j := cfsComponentV2{v3.ID, v3.Config, v3.ErrorCount, v3.RetryPolicy, v3.Enabled, v3.Status, v3.Tags, layersV2(c.cfs.applied()), nil}
	if v3.DesiredState != nil {
		desired := layersV2(*v3.DesiredState)
		j.DesiredState = &desired
	}
	return j
}

func (m *Machine) routeCFSv2(mux *http.ServeMux) {
	mux.HandleFunc("GET /cfs/v2/components", m.cfsGetAllV2)
	mux.HandleFunc("PATCH /cfs/v2/components", func(w http.ResponseWriter, r *http.Request) {
		found, ok := m.cfsBulkPatch(w, r, cfsV2, "configName")
		if !ok {
			return
		}
		about(w, len(found))
		list := make([]cfsComponentV2, len(found))
		m.mu.Lock()
		for i, c := range found {
			list[i] = m.cfsJSONv2(c, false)
		}
		m.mu.Unlock()
		writeJSON(w, http.StatusOK, list)
	})
	mux.HandleFunc("GET /cfs/v2/components/{id}", func(w http.ResponseWriter, r *http.Request) {
		m.withComponent(w, r, func(c *node) { writeJSON(w, http.StatusOK, m.cfsJSONv2(c, false)) })
	})
	mux.HandleFunc("PATCH /cfs/v2/components/{id}", func(w http.ResponseWriter, r *http.Request) {
		p, ok := cfsBody(w, r, cfsV2)
		if !ok {
			return
		}
		m.withComponent(w, r, func(c *node) {
			m.cfsApply(c, p)
			writeJSON(w, http.StatusOK, m.cfsJSONv2(c, false))
		})
	})
	mux.HandleFunc("GET /cfs/v2/configurations", func(w http.ResponseWriter, _ *http.Request) {
		m.mu.Lock()
		configs := slices.SortedFunc(maps.Values(m.cfs.configs), func(a, b *cfsConfig) int { return cmp.Compare(a.Name, b.Name) })
		m.mu.Unlock()
		list := make([]map[string]any, len(configs))
		for i, c := range configs {
			list[i] = c.v2()
		}
		writeJSON(w, http.StatusOK, list)
	})
	mux.HandleFunc("GET /cfs/v2/configurations/{name}", func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		config := m.cfs.configs[r.PathValue("name")]
		m.mu.Unlock()
		if config == nil {
			problemf(w, http.StatusNotFound, "Configuration %s could not be found", r.PathValue("name"))
			return
		}
		writeJSON(w, http.StatusOK, config.v2())
	})
}

func (c *cfsConfig) v2() map[string]any {
	layers := make([]map[string]string, len(c.Layers))
	for i, l := range c.Layers {
		layers[i] = map[string]string{"name": l.Name, "cloneUrl": l.CloneURL, "playbook": l.Playbook, "commit": l.Commit}
	}
	return map[string]any{"name": c.Name, "lastUpdated": c.LastUpdated, "layers": layers}
}

func (m *Machine) cfsGetAllV2(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	enabled, err := queryBool(q, "enabled")
	details, err2 := queryBool(q, "configDetails")
	f, err3 := parseCFSFilter(q.Get("ids"), q.Get("status"), q.Get("configName"), q.Get("tags"), enabled)
	if err = errors.Join(err, err2, err3); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	m.mu.Lock()
	found, more := m.cfsSelect(f, "", m.cfs.option("default_page_size"))
	list := make([]cfsComponentV2, len(found))
	for i, c := range found {
		list[i] = m.cfsJSONv2(c, details != nil && *details)
	}
	m.mu.Unlock()
	if more {
		problem(w, http.StatusBadRequest, "The response size is too large")
		return
	}
	about(w, len(list))
	writeJSON(w, http.StatusOK, list)
}
