package fleet

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTenants(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2, Tenants: map[string][]string{"blue": {x0}}})
	w := call(t, m, "GET", "/tapms/v1alpha3/tenants/red", "")
	if w.Code != 404 || strings.TrimSpace(w.Body.String()) != `"Tenant with name/uuid 'red' not found."` {
		t.Errorf("unknown tenant: %d %s", w.Code, w.Body)
	}
	type tenant struct {
		Status struct {
			UUID            string
			TenantResources []struct{ Xnames []string }
		}
	}
	var blue, again, red tenant
	want(t, m, "GET", "/tapms/v1alpha3/tenants/blue", "", 200, &blue)
	want(t, m, "GET", "/tapms/v1alpha3/tenants/"+blue.Status.UUID, "", 200, &again)
	if d := cmp.Diff(blue, again); d != "" || !slices.Equal(blue.Status.TenantResources[0].Xnames, []string{x0}) {
		t.Errorf("%+v %s", blue, d)
	}
	want(t, m, "PUT", "/_sim/tenants/red", `{"xnames":["`+x1+`"],"deploying":true}`, 200, nil)
	if want(t, m, "GET", "/tapms/v1alpha3/tenants/red", "", 200, &red); len(red.Status.TenantResources) != 0 {
		t.Errorf("a tenant that is being deployed has %+v", red)
	}
	var owners []any
	if want(t, m, "POST", "/tapms/v1alpha3/tenants", `["`+x0+`"]`, 200, &owners); len(owners) != 1 {
		t.Errorf("owners %v", owners)
	}
}
