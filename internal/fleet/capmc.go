package fleet

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// enolck is the errno with which CAPMC reports a node it could not reserve.
const enolck = 37

// capmcAnswer is the answer to a power request. Success is e = 0, not HTTP 200.
type capmcAnswer struct {
	E      int          `json:"e"`
	ErrMsg string       `json:"err_msg"`
	Xnames []capmcError `json:"xnames"`
}

type capmcError struct {
	Xname  string `json:"xname"`
	E      int    `json:"e"`
	ErrMsg string `json:"err_msg"`
}

// capmcRequest is the body of a power request.
type capmcRequest struct {
	Reason    string   `json:"reason"`
	Xnames    []string `json:"xnames"`
	Continue  bool     `json:"continue"`
	Force     bool     `json:"force"`
	Recursive bool     `json:"recursive"`
	Prereq    bool     `json:"prereq"`
}

func (m *Machine) routeCAPMC(mux *http.ServeMux) {
	const base = "/capmc/v1"
	mux.HandleFunc("POST "+base+"/xname_on", func(w http.ResponseWriter, r *http.Request) {
		m.capmcPower(w, r, func(capmcRequest) string { return "On" })
	})
	mux.HandleFunc("POST "+base+"/xname_off", func(w http.ResponseWriter, r *http.Request) {
		m.capmcPower(w, r, func(req capmcRequest) string {
			if req.Force {
				return "Force-Off"
			}
			return "Soft-Off"
		})
	})
	mux.HandleFunc("POST "+base+"/xname_reinit", func(w http.ResponseWriter, r *http.Request) {
		m.capmcPower(w, r, func(capmcRequest) string { return "Init" })
	})
	mux.HandleFunc("POST "+base+"/get_xname_status", m.capmcStatus)
	mux.HandleFunc("GET "+base+"/liveness", noContent)
	mux.HandleFunc("GET "+base+"/readiness", noContent)
	mux.HandleFunc("GET "+base+"/health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"readiness": "Ready"})
	})
}

func capmcFail(w http.ResponseWriter, status, e int, format string, args ...any) {
	writeJSON(w, status, map[string]any{"e": e, "err_msg": fmt.Sprintf(format, args...)})
}

// capmcPower turns a request into a PCS transition and, as CAPMC does, answers
// once no task of it is new any more.
func (m *Machine) capmcPower(w http.ResponseWriter, r *http.Request, operation func(capmcRequest) string) {
	var req capmcRequest
	if err := decode(r, &req); err != nil {
		capmcFail(w, http.StatusBadRequest, http.StatusBadRequest, "Bad Request: JSON: %s", err)
		return
	}
	about(w, len(req.Xnames))
	switch {
	case len(req.Xnames) == 0:
		capmcFail(w, http.StatusBadRequest, http.StatusBadRequest, "Bad Request: Missing required xnames parameter")
		return
	case req.Recursive && req.Prereq:
		capmcFail(w, http.StatusBadRequest, http.StatusBadRequest, "Bad Request: recursive and prereq options are mutually exclusive")
		return
	}
	tr := m.newTransition(operation(req), defaultDeadline)
	name := map[string]string{"On": "On", "Soft-Off": "Off", "Force-Off": "ForceOff", "Init": "Reinit"}[tr.operation]
	answer := capmcAnswer{Xnames: []capmcError{}}

	m.mu.Lock()
	status, text := m.capmcSelect(&req, tr, &answer)
	if text == "" {
		for _, t := range tr.tasks {
			if n := t.n; m.lockedNode(n) || m.reservedNode(n) || !n.reservations {
				m.mu.Unlock()
				writeJSON(w, http.StatusOK, capmcAnswer{E: enolck, ErrMsg: "Error: Failed to reserve components while performing a " + name + ".", Xnames: []capmcError{}})
				return
			}
		}
		m.submit(tr, false)
	}
	m.mu.Unlock()
	if text != "" {
		capmcFail(w, status, status, "%s", text)
		return
	}
	select {
	case <-tr.started:
	case <-r.Context().Done():
		return
	case <-m.stopped:
		return
	}
	// CAPMC looks for failed tasks by a spelling that PCS does not use: it counts
	// what went wrong and names nobody.
	m.mu.Lock()
	failed := len(answer.Xnames)
	for i := range tr.tasks {
		if s := tr.tasks[i].status; s == taskFailed || s == taskUnsupported {
			failed++
		}
	}
	m.mu.Unlock()
	if failed > 0 {
		answer.E = -1
		answer.ErrMsg = fmt.Sprintf("Errors encountered with %d/%d Xnames issued %s", failed, len(req.Xnames), name)
	}
	writeJSON(w, http.StatusOK, answer)
}

// capmcSelect fills the tasks of a transition with the nodes to act on; a text is
// why the whole request is refused. m.mu is held.
func (m *Machine) capmcSelect(req *capmcRequest, tr *transition, answer *capmcAnswer) (status int, text string) {
	var invalid, twice, disabled []string
	seen := map[string]bool{}
	for _, x := range req.Xnames {
		id := canonical(x)
		n := m.byXname[id]
		kind, _ := hmsType(id)
		switch {
		case seen[id]:
			twice = append(twice, id)
			continue
		case kind == "" || n == nil || !m.inHSM(n):
			invalid = append(invalid, x)
			continue
		}
		seen[id] = true
		if c := m.record(n); !*c.Enabled || c.State == "Empty" {
			disabled = append(disabled, id)
			continue
		}
		m.addTask(tr, id, "")
	}
	lenient := req.Continue || req.Force
	switch {
	case len(invalid) > 0 && !lenient:
		return http.StatusBadRequest, "Bad Request: invalid/duplicate xnames: " + strings.Join(invalid, ",")
	case len(twice) > 0 && !lenient:
		return http.StatusBadRequest, "Bad Request: invalid/duplicate xnames: " + strings.Join(twice, ",")
	case len(disabled) > 0 && !lenient:
		return http.StatusBadRequest, "Bad Request: components disabled: " + strings.Join(disabled, ",")
	case len(tr.tasks) == 0:
		return http.StatusNotFound, "No matching components found"
	}
	for _, x := range invalid {
		answer.Xnames = append(answer.Xnames, capmcError{x, -1, "Invalid xname"})
	}
	return 0, ""
}

// capmcStatus groups nodes by power state, or by HSM state on request. A node it
// does not know is in no list.
func (m *Machine) capmcStatus(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Filter string   `json:"filter"`
		Source string   `json:"source"`
		Xnames []string `json:"xnames"`
	}
	if err := decode(r, &req); err != nil {
		capmcFail(w, http.StatusBadRequest, http.StatusBadRequest, "Bad Request: JSON: %s", err)
		return
	}
	about(w, len(req.Xnames))
	var wanted []string // states
	for f := range strings.SplitSeq(req.Filter, "|") {
		if f = strings.TrimPrefix(strings.TrimSpace(f), "show_"); f != "" && f != "all" {
			wanted = append(wanted, f)
		}
	}
	answer := map[string]any{"e": 0, "err_msg": ""}
	lists := map[string][]string{}
	m.mu.Lock()
	if len(req.Xnames) == 0 {
		for i := range m.nodes {
			req.Xnames = append(req.Xnames, m.nodes[i].xname)
		}
	}
	for _, x := range req.Xnames {
		n := m.byXname[canonical(x)]
		if n == nil || !m.inPCS(n) {
			continue
		}
		state := n.cached.power.String()
		if strings.EqualFold(req.Source, "hsm") {
			c := m.record(n)
			if state = strings.ToLower(c.State); !*c.Enabled {
				state = "disabled"
			}
		}
		if wanted == nil || slices.Contains(wanted, state) {
			lists[state] = append(lists[state], n.xname)
		}
	}
	m.mu.Unlock()
	for state, xnames := range lists {
		answer[state] = xnames
	}
	writeJSON(w, http.StatusOK, answer)
}
