package fleet

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/google/uuid"
)

// tapms is the tenant service.
type tapms struct {
	tenants map[string]*tenant
}

// tenant owns nodes. While it is being deployed its status is empty, whatever the
// specification says.
type tenant struct {
	name      string
	uuid      string
	xnames    []string
	deploying bool
}

func newTAPMS(m *Machine, tenants map[string][]string) (tapms, error) {
	t := tapms{tenants: map[string]*tenant{}}
	for name, xnames := range tenants {
		for _, x := range xnames {
			if m.byXname[x] == nil {
				return t, fmt.Errorf("tenant %s: no node %q", name, x)
			}
		}
		t.tenants[name] = newTenant(name, xnames)
	}
	return t, nil
}

func newTenant(name string, xnames []string) *tenant {
	return &tenant{name: name, uuid: uuid.NewSHA1(uuid.NameSpaceDNS, []byte(name)).String(), xnames: append([]string{}, xnames...)}
}

func (t *tenant) json() map[string]any {
	resources := []map[string]any{{"type": "compute", "xnames": t.xnames, "enforceexclusivehsmgroups": true}}
	state, status := "Deployed", map[string]any{"uuid": t.uuid, "childnamespaces": []string{t.name + "-slurm"}, "tenantresources": resources}
	if t.deploying {
		state, status = "Deploying", map[string]any{}
	}
	return map[string]any{
		"apiVersion": "tapms.hpe.com/v1alpha3", "kind": "Tenant",
		"metadata": map[string]string{"name": t.name, "namespace": "tenants"},
		"spec": map[string]any{
			"tenantname": t.name, "state": state, "childnamespaces": []string{"slurm"}, "tenantresources": resources,
			"tenantkms": map[string]any{"enablekms": false, "keyname": "key1", "keytype": "rsa-3072"}, "tenanthooks": []any{},
		},
		"status": status,
	}
}

// sortedTenants returns the tenants by name. m.mu is held.
func (m *Machine) sortedTenants() []*tenant {
	list := make([]*tenant, 0, len(m.tapms.tenants))
	for _, name := range slices.Sorted(maps.Keys(m.tapms.tenants)) {
		list = append(list, m.tapms.tenants[name])
	}
	return list
}

func (m *Machine) routeTAPMS(mux *http.ServeMux) {
	const base = "/tapms/v1alpha3"
	mux.HandleFunc("GET "+base+"/tenants", func(w http.ResponseWriter, _ *http.Request) {
		items := []any{}
		m.mu.Lock()
		for _, t := range m.sortedTenants() {
			items = append(items, t.json())
		}
		m.mu.Unlock()
		about(w, len(items))
		writeJSON(w, http.StatusOK, map[string]any{"metadata": map[string]any{}, "items": items})
	})
	mux.HandleFunc("GET "+base+"/tenants/{id}", func(w http.ResponseWriter, r *http.Request) {
		about(w, 1)
		id := r.PathValue("id")
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, t := range m.tapms.tenants {
			if t.name == id || t.uuid == id && !t.deploying {
				writeJSON(w, http.StatusOK, t.json())
				return
			}
		}
		writeJSON(w, http.StatusNotFound, fmt.Sprintf("Tenant with name/uuid '%s' not found.", id)) // a bare string
	})
	mux.HandleFunc("POST "+base+"/tenants", func(w http.ResponseWriter, r *http.Request) {
		var xnames []string
		if err := decode(r, &xnames); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
			return
		}
		about(w, len(xnames))
		owners := []any{}
		m.mu.Lock()
		for _, t := range m.sortedTenants() {
			if slices.ContainsFunc(xnames, func(x string) bool { return slices.Contains(t.xnames, x) }) {
				owners = append(owners, t.json())
			}
		}
		m.mu.Unlock()
		writeJSON(w, http.StatusOK, owners)
	})
	mux.HandleFunc("/tapms/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]string{"message": "Page not found"})
	})
}
