package pcstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/pcs"
)

// Handler serves what f holds in the shapes of PCS; the URL of the server is the base URL. Errors of f.OnCall and
// f.OnAnswer are answered with the status of their sentinel.
func Handler(f *Fake) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /power-status", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Xname []bos.ComponentID `json:"xname"`
		}
		if !decode(w, r, &q) {
			return
		}
		var bad []string
		for _, id := range q.Xname {
			if !bos.IsNodeXname(id) {
				bad = append(bad, string(id))
			}
		}
		if len(bad) > 0 {
			problem(w, http.StatusBadRequest, "invalid xnames detected: "+strings.Join(bad, " "))
			return
		}
		statuses, err := f.PowerStatus(r.Context(), q.Xname)
		out := []map[string]any{}
		for _, id := range q.Xname {
			s, known := statuses[id]
			entry := map[string]any{
				"xname": id, "powerState": s.State, "managementState": "unavailable", "error": s.Error,
				"supportedPowerTransitions": []string{"On", "Force-Off", "Soft-Off"}, "lastUpdated": s.LastUpdated.Format(time.RFC3339Nano),
			}
			switch {
			case !known:
				entry["managementState"], entry["error"], entry["supportedPowerTransitions"] = "", NotInMap, nil
			case s.Available:
				entry["managementState"] = "available"
			}
			out = append(out, entry)
		}
		answer(w, http.StatusOK, map[string]any{"status": out}, err)
	})
	mux.HandleFunc("POST /transitions", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Operation pcs.Operation `json:"operation"`
			Location  []struct {
				Xname bos.ComponentID `json:"xname"`
			} `json:"location"`
		}
		if !decode(w, r, &q) {
			return
		}
		var ids []bos.ComponentID
		for _, l := range q.Location {
			ids = append(ids, l.Xname)
		}
		id, err := f.Transition(r.Context(), q.Operation, ids)
		answer(w, http.StatusOK, map[string]any{"transitionID": id, "operation": q.Operation}, err)
	})
	mux.HandleFunc("GET /transitions/{id}", func(w http.ResponseWriter, r *http.Request) {
		t, err := f.ReadTransition(r.Context(), pcs.TransitionID(r.PathValue("id")))
		counts := map[string]int{"total": len(t.Tasks), "new": 0, "in-progress": 0, "failed": 0, "succeeded": 0, "un-supported": 0}
		tasks := []map[string]any{}
		for id, task := range t.Tasks {
			key := string(task.State)
			if task.State == pcs.TaskUnsupported {
				key = "un-supported"
			}
			counts[key]++
			entry := map[string]any{"xname": id, "taskStatus": task.State, "taskStatusDescription": task.Description}
			if task.Error != "" {
				entry["error"] = task.Error
			}
			tasks = append(tasks, entry)
		}
		status := "in-progress"
		if t.Done {
			status = "completed"
		}
		answer(w, http.StatusOK, map[string]any{
			"transitionID": t.ID, "operation": t.Operation, "transitionStatus": status, "taskCounts": counts, "tasks": tasks,
		}, err)
	})
	mux.HandleFunc("DELETE /transitions/{id}", func(w http.ResponseWriter, r *http.Request) {
		err := f.AbortTransition(r.Context(), pcs.TransitionID(r.PathValue("id")))
		answer(w, http.StatusAccepted, map[string]string{"abortStatus": "Accepted - abort initiated"}, err)
	})
	return mux
}

// CAPMCHandler serves what f holds in the shapes of CAPMC; the URL of the server is the base URL. A task that fails is
// an entry of the answer's list.
func CAPMCHandler(f *Fake) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /get_xname_status", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Xnames []bos.ComponentID `json:"xnames"`
		}
		if !decode(w, r, &q) {
			return
		}
		statuses, err := f.PowerStatus(r.Context(), q.Xnames)
		out := map[string]any{"e": 0, "err_msg": ""}
		for _, state := range []pcs.State{pcs.StateOn, pcs.StateOff, pcs.StateUndefined} {
			var ids []bos.ComponentID
			for id, s := range statuses {
				if s.State == state {
					ids = append(ids, id)
				}
			}
			if ids != nil {
				out[string(state)] = ids
			}
		}
		answer(w, http.StatusOK, out, err)
	})
	operate := func(op func(force bool) pcs.Operation) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var q struct {
				Xnames []bos.ComponentID `json:"xnames"`
				Force  bool              `json:"force"`
			}
			if !decode(w, r, &q) {
				return
			}
			id, err := f.Transition(r.Context(), op(q.Force), q.Xnames)
			var t pcs.Transition
			for _, known := range f.Transitions() {
				if known.ID == id {
					t = known
				}
			}
			failed := []map[string]any{}
			for xname, task := range t.Tasks {
				if task.State == pcs.TaskFailed {
					failed = append(failed, map[string]any{"xname": xname, "e": -1, "err_msg": task.Reason()})
				}
			}
			out := map[string]any{"e": 0, "err_msg": "", "xnames": failed}
			if len(failed) > 0 {
				out["e"], out["err_msg"] = -1, fmt.Sprintf("Errors encountered with %d/%d Xnames issued", len(failed), len(q.Xnames))
			}
			answer(w, http.StatusOK, out, err)
		}
	}
	mux.HandleFunc("POST /xname_on", operate(func(bool) pcs.Operation { return pcs.On }))
	mux.HandleFunc("POST /xname_off", operate(func(force bool) pcs.Operation {
		if force {
			return pcs.ForceOff
		}
		return pcs.SoftOff
	}))
	return mux
}

func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		problem(w, http.StatusBadRequest, "error decoding JSON")
		return false
	}
	return true
}

func answer(w http.ResponseWriter, status int, v any, err error) {
	if err != nil {
		se := bos.AsStatus(err)
		problem(w, se.Status, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client notices
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(bos.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
}
