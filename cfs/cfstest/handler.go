package cfstest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
)

// Handler serves what f holds in the shapes of version 3 of CFS, in pages of pageSize components at most; the URL of the
// server is the base URL. Errors of f.OnCall are answered with the status of their sentinel.
func Handler(f *Fake, pageSize int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /components", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		found, err := f.Components(r.Context(), idList(q.Get("ids")))
		limit := pageSize
		if n, convErr := strconv.Atoi(q.Get("limit")); convErr == nil {
			limit = n
		}
		out, last := []map[string]any{}, bos.ComponentID("")
		var next map[string]any
		for _, id := range slices.Sorted(maps.Keys(found)) {
			if string(id) <= q.Get("after_id") {
				continue
			}
			if len(out) == limit {
				next = map[string]any{
					"limit": limit, "after_id": last, "ids": q.Get("ids"), "status": "", "enabled": nil, "config_name": "",
					"state_details": false, "config_details": false, "tags": "",
				}
				break
			}
			c := found[id]
			out, last = append(out, map[string]any{
				"id": id, "desired_config": c.DesiredConfig, "error_count": c.ErrorCount, "retry_policy": 3, "enabled": c.Enabled,
				"configuration_status": c.Status, "tags": map[string]string{"bos_session": f.Session(id)}, "logs": c.LogsURL,
			}), id
		}
		answer(w, map[string]any{"components": out, "next": next}, err)
	})
	mux.HandleFunc("PATCH /components", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Patch struct {
				Enabled       bool              `json:"enabled"`
				DesiredConfig string            `json:"desired_config"`
				Tags          map[string]string `json:"tags"`
				State         *[]any            `json:"state"`
			} `json:"patch"`
			Filters struct {
				IDs string `json:"ids"`
			} `json:"filters"`
		}
		if !decode(w, r, &q) {
			return
		}
		done, err := f.patch(r, idList(q.Filters.IDs), cfs.Assignment{
			Configuration: q.Patch.DesiredConfig, Session: q.Patch.Tags["bos_session"], Enabled: q.Patch.Enabled, ClearState: q.Patch.State != nil,
		})
		answer(w, map[string]any{"component_ids": done}, err)
	})
	return mux
}

// V2Handler is Handler for version 2: no pages, other spellings.
func V2Handler(f *Fake) http.Handler {
	mux := http.NewServeMux()
	record := func(c cfs.Component) map[string]any {
		return map[string]any{
			"id": c.ID, "desiredConfig": c.DesiredConfig, "errorCount": c.ErrorCount, "retryPolicy": 3, "enabled": c.Enabled,
			"configurationStatus": c.Status, "tags": map[string]string{}, "state": []any{},
		}
	}
	mux.HandleFunc("GET /v2/components", func(w http.ResponseWriter, r *http.Request) {
		found, err := f.Components(r.Context(), idList(r.URL.Query().Get("ids")))
		out := []map[string]any{}
		for _, c := range found {
			out = append(out, record(c))
		}
		answer(w, out, err)
	})
	mux.HandleFunc("PATCH /v2/components", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Patch struct {
				Enabled       bool              `json:"enabled"`
				DesiredConfig string            `json:"desiredConfig"`
				Tags          map[string]string `json:"tags"`
				State         *[]any            `json:"state"`
			} `json:"patch"`
			Filters struct {
				IDs string `json:"ids"`
			} `json:"filters"`
		}
		if !decode(w, r, &q) {
			return
		}
		done, err := f.patch(r, idList(q.Filters.IDs), cfs.Assignment{
			Configuration: q.Patch.DesiredConfig, Session: q.Patch.Tags["bos_session"], Enabled: q.Patch.Enabled, ClearState: q.Patch.State != nil,
		})
		out := []map[string]any{}
		for _, id := range done {
			c, _ := f.Get(id)
			out = append(out, record(c))
		}
		answer(w, out, err)
	})
	return mux
}

// patch assigns as CFS does: unknown ids are passed over in silence, no ids at all mean every component.
func (f *Fake) patch(r *http.Request, ids []bos.ComponentID, a cfs.Assignment) (done []bos.ComponentID, err error) {
	done = []bos.ComponentID{}
	known, err := f.Components(r.Context(), ids)
	if err != nil {
		return nil, err
	}
	for id := range known {
		done = append(done, id)
	}
	if len(done) == 0 {
		return done, nil
	}
	return done, f.Assign(r.Context(), done, a)
}

func idList(text string) []bos.ComponentID {
	if text == "" {
		return nil
	}
	var ids []bos.ComponentID
	for id := range strings.SplitSeq(text, ",") {
		ids = append(ids, bos.ComponentID(id))
	}
	return ids
}

func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return false
	}
	return true
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		se := bos.AsStatus(err)
		problem(w, se.Status, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client notices
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(bos.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
}
