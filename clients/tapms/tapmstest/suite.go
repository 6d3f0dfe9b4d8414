package tapmstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/tapms"
)

// Handler serves f in the shapes of TAPMS, the nodes of a tenant spread over two resources; the URL of the server is the
// base URL. Errors of f.OnCall are answered with the status of their sentinel.
func Handler(f *Fake) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tenants/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		nodes, err := f.TenantNodes(r.Context(), name)
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(bos.AsStatus(err).Status)
			_ = json.NewEncoder(w).Encode(fmt.Sprintf("Tenant with name/uuid '%s' not found.", name)) // the client notices
			return
		}
		type resource struct {
			Type   string            `json:"type"`
			Xnames []bos.ComponentID `json:"xnames"`
		}
		resources := []resource{{Type: "compute"}, {Type: "application"}}
		for id := range nodes {
			r := &resources[len(resources[0].Xnames)%2]
			r.Xnames = append(r.Xnames, id)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"metadata": map[string]string{"name": name, "namespace": "tenants"},
			"spec":     map[string]any{"tenantname": name, "state": "Deployed", "tenantresources": []any{}},
			"status":   map[string]any{"uuid": "550e8400-e29b-41d4-a716-446655440000", "tenantresources": resources},
		})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": "Page not found"})
	})
	return mux
}

// Subject is a tenant service under test.
type Subject struct {
	Client  tapms.TenantClient
	Tenants map[string][]bos.ComponentID // some of its tenants, at least one
}

// Run checks that an implementation of tapms.TenantClient keeps the promises of the interface.
func Run(t *testing.T, s Subject) {
	t.Helper()
	for tenant, ids := range s.Tenants {
		t.Run("nodes of "+tenant, func(t *testing.T) {
			want := map[bos.ComponentID]bool{}
			for _, id := range ids {
				want[id] = true
			}
			for range 3 { // a later answer must not show what earlier callers did to theirs
				got, err := s.Client.TenantNodes(t.Context(), tenant)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("nodes (-want +got):\n%s", diff)
				}
				clear(got)
			}
		})
	}
	for _, tenant := range []string{"no-such-tenant", "", "..", "a/b"} {
		t.Run("unknown tenant "+tenant, func(t *testing.T) {
			_, err := s.Client.TenantNodes(t.Context(), tenant)
			if !errors.Is(err, bos.ErrNotFound) || errors.Is(err, bos.ErrUnavailable) {
				t.Errorf("error %v, want ErrNotFound", err)
			}
		})
	}
	t.Run("a caller that gave up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Client.TenantNodes(ctx, "somebody"); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
}
