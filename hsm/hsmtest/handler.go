package hsmtest

import (
	"encoding/json"
	"net/http"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/hsm"
)

// component is a record as HSM writes it: empty members are left out. Source: HSM API, Component.100_Component.
type component struct {
	ID      string `json:"ID"`
	Type    string `json:"Type"`
	State   string `json:"State,omitempty"`
	Flag    string `json:"Flag,omitempty"`
	Enabled *bool  `json:"Enabled,omitempty"`
	Role    string `json:"Role,omitempty"`
	SubRole string `json:"SubRole,omitempty"`
	NID     int    `json:"NID,omitempty"`
	NetType string `json:"NetType,omitempty"`
	Arch    string `json:"Arch,omitempty"`
	Class   string `json:"Class,omitempty"`
}

func wire(n hsm.Node) component {
	return component{
		ID: string(n.ID), Type: "Node", State: n.State, Flag: "OK", Enabled: &n.Enabled, Role: n.Role, SubRole: n.SubRole,
		NID: n.NID, NetType: "Sling", Arch: n.Arch, Class: n.Class,
	}
}

// Handler serves what f holds in the shapes of HSM; the URL of the server is the base URL. Errors of f.OnCall are
// answered with the status of their sentinel.
func Handler(f *Fake) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /State/Components", func(w http.ResponseWriter, r *http.Request) {
		nodes, err := f.Nodes(r.Context())
		out := []component{}
		if r.URL.Query().Get("type") == "" {
			out = append(out, component{ID: "x3000", Type: "Cabinet", Class: "River"}, component{ID: "x3000c0s1b0", Type: "NodeBMC", State: "Ready"})
		}
		for _, n := range nodes {
			out = append(out, wire(n))
		}
		answer(w, map[string]any{"Components": out}, err)
	})
	mux.HandleFunc("POST /State/Components/Query", func(w http.ResponseWriter, r *http.Request) {
		var q struct{ ComponentIDs []bos.ComponentID }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			problem(w, http.StatusInternalServerError, "error decoding JSON")
			return
		}
		if len(q.ComponentIDs) == 0 {
			problem(w, http.StatusBadRequest, "Missing IDs")
			return
		}
		nodes, err := f.Query(r.Context(), q.ComponentIDs)
		out := []component{}
		for _, n := range nodes {
			out = append(out, wire(n))
		}
		answer(w, map[string]any{"Components": out}, err)
	})
	mux.HandleFunc("GET /groups", func(w http.ResponseWriter, r *http.Request) {
		groups, err := f.Groups(r.Context())
		answer(w, sets("label", groups), err)
	})
	mux.HandleFunc("GET /partitions", func(w http.ResponseWriter, r *http.Request) {
		partitions, err := f.Partitions(r.Context())
		answer(w, sets("name", partitions), err)
	})
	mux.HandleFunc("GET /locks/status", func(w http.ResponseWriter, r *http.Request) {
		locked, err := f.LockedNodes(r.Context())
		out := []map[string]any{}
		for id := range locked {
			out = append(out, map[string]any{"ID": id, "Locked": true, "Reserved": false, "ReservationDisabled": false})
		}
		answer(w, map[string]any{"Components": out}, err)
	})
	return mux
}

// sets writes groups or partitions; one without members has null, as an empty group of HSM may.
func sets(key string, members map[string][]bos.ComponentID) []map[string]any {
	out := []map[string]any{}
	for name, ids := range members {
		if len(ids) == 0 {
			ids = nil
		}
		out = append(out, map[string]any{key: name, "description": "", "members": map[string]any{"ids": ids}})
	}
	return out
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
