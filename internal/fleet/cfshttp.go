package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

func (m *Machine) routeCFS(mux *http.ServeMux) {
	v3 := func(pattern string, h http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /cfs/v3"+path, func(w http.ResponseWriter, r *http.Request) {
			if m.faultNow("cfs", "cfs_v2_only", r, nil) != nil {
				problem(w, http.StatusNotFound, "The requested URL was not found on the server.")
				return
			}
			h(w, r)
		})
	}
	v3("GET /components", m.cfsGetAll)
	v3("PATCH /components", m.cfsPatchAll)
	v3("PUT /components", m.cfsPutAll)
	v3("GET /components/{id}", m.cfsGet)
	v3("PATCH /components/{id}", m.cfsPatch)
	v3("PUT /components/{id}", m.cfsPut)
	v3("GET /configurations", m.cfsConfigs)
	v3("GET /configurations/{name}", m.cfsConfigGet)
	v3("PUT /configurations/{name}", m.cfsConfigPut)
	v3("DELETE /configurations/{name}", m.cfsConfigDelete)
	v3("GET /options", m.cfsOptions)
	v3("PATCH /options", m.cfsOptionsPatch)
	v3("GET /sessions", m.cfsSessions)
	v3("GET /sessions/{name}", m.cfsSessionGet)
	healthy := func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"db_status": "ok", "kafka_status": "ok"})
	}
	mux.HandleFunc("GET /cfs/healthz", healthy)
	mux.HandleFunc("GET /cfs/v3/healthz", healthy)
	m.routeCFSv2(mux)
}

// cfsNext is the next object of a page: the parameters of the next request.
type cfsNext struct {
	Limit         int    `json:"limit"`
	AfterID       string `json:"after_id"`
	IDs           string `json:"ids"`
	Status        string `json:"status"`
	Enabled       *bool  `json:"enabled"`
	ConfigName    string `json:"config_name"`
	StateDetails  bool   `json:"state_details"`
	ConfigDetails bool   `json:"config_details"`
	Tags          string `json:"tags"`
}

// queryBool reads an optional boolean parameter.
func queryBool(q url.Values, name string) (*bool, error) {
	switch strings.ToLower(q.Get(name)) {
	case "":
		return nil, nil
	case "true":
		return yes, nil
	case "false":
		return no, nil
	}
	return nil, fmt.Errorf("Wrong type, expected 'boolean' for query parameter '%s'", name) //nolint:staticcheck // the words of CFS
}

func (m *Machine) cfsGetAll(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	next := cfsNext{AfterID: q.Get("after_id"), IDs: q.Get("ids"), Status: q.Get("status"), ConfigName: q.Get("config_name"), Tags: q.Get("tags")}
	enabled, err := queryBool(q, "enabled")
	state, err2 := queryBool(q, "state_details")
	config, err3 := queryBool(q, "config_details")
	f, err4 := parseCFSFilter(next.IDs, next.Status, next.ConfigName, next.Tags, enabled)
	if limit := q.Get("limit"); limit != "" {
		if n, bad := strconv.Atoi(limit); bad != nil || n < 1 {
			err = errors.Join(err, fmt.Errorf("%s is less than the minimum of 1 for query parameter 'limit'", limit))
		} else {
			next.Limit = n
		}
	}
	if err = errors.Join(err, err2, err3, err4); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	next.Enabled, next.StateDetails, next.ConfigDetails = enabled, state != nil && *state, config != nil && *config

	m.mu.Lock()
	if next.Limit == 0 {
		next.Limit = m.cfs.option("default_page_size")
	}
	if f := m.requestFault("cfs", "page_size", "", func(f *activeFault) bool { return f.number < next.Limit }); f != nil {
		next.Limit = max(1, f.number)
	}
	loops := m.serviceFault("cfs", "page_loop") != nil
	found, more := m.cfsSelect(f, next.AfterID, next.Limit)
	list := make([]cfsComponentJSON, len(found))
	for i, c := range found {
		list[i] = m.cfsJSON(c, next.StateDetails, next.ConfigDetails)
	}
	m.mu.Unlock()

	about(w, len(list))
	answer := map[string]any{"components": list, "next": nil}
	switch {
	case loops && len(list) > 0:
		answer["next"] = next // again
		if next.AfterID == "" {
			next.AfterID = list[len(list)-1].ID
			answer["next"] = next
		}
	case more:
		next.AfterID = list[len(list)-1].ID
		answer["next"] = next
	}
	writeJSON(w, http.StatusOK, answer)
}

func (m *Machine) cfsGet(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	state, err := queryBool(q, "state_details")
	config, err2 := queryBool(q, "config_details")
	if err = errors.Join(err, err2); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	m.withComponent(w, r, func(c *node) {
		writeJSON(w, http.StatusOK, m.cfsJSON(c, state != nil && *state, config != nil && *config))
	})
}

func (m *Machine) cfsPatch(w http.ResponseWriter, r *http.Request) {
	p, ok := cfsBody(w, r, cfsV3)
	if !ok {
		return
	}
	m.withComponent(w, r, func(c *node) {
		m.cfsApply(c, p)
		writeJSON(w, http.StatusOK, m.cfsJSON(c, true, false))
	})
}

func (m *Machine) cfsPut(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	p, ok := cfsBody(w, r, cfsV3)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	writeJSON(w, http.StatusOK, m.cfsJSON(m.cfsReplace(r.PathValue("id"), p), true, false))
}

// cfsBody reads the patch of one component.
func cfsBody(w http.ResponseWriter, r *http.Request, names cfsNames) (*cfsChange, bool) {
	var raw json.RawMessage
	err := decode(r, &raw)
	var p *cfsChange
	if err == nil {
		p, err = names.parse(raw)
	}
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return nil, false
	}
	return p, true
}
