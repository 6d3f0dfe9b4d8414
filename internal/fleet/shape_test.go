package fleet

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// shapeOf lists the members of a JSON value with their types: what a client can
// rely on, without the values.
func shapeOf(path string, v any, out map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			out[path+" {}"] = true
		}
		for k, e := range v {
			shapeOf(path+"."+k, e, out)
		}
	case []any:
		if len(v) == 0 {
			out[path+"[] (none)"] = true
		}
		for _, e := range v {
			shapeOf(path+"[]", e, out)
		}
	case nil:
		out[path+" null"] = true
	case float64:
		out[path+" number"] = true
	default:
		out[fmt.Sprintf("%s %T", path, v)] = true
	}
}

// minimalEndpoints are those that the specification of the simulator asks for.
var minimalEndpoints = []string{
	"GET /hsm/v2/State/Components", "POST /hsm/v2/State/Components/Query", "GET /hsm/v2/State/Components/{xname}", "PATCH /hsm/v2/State/Components/{xname}/{field}",
	"GET /hsm/v2/groups", "POST /hsm/v2/groups", "DELETE /hsm/v2/groups/{label}", "POST /hsm/v2/groups/{label}/members", "DELETE /hsm/v2/groups/{label}/members/{xname}",
	"GET /hsm/v2/partitions", "GET /hsm/v2/locks/status", "POST /hsm/v2/locks/status", "POST /hsm/v2/locks/lock", "POST /hsm/v2/locks/unlock",
	"POST /hsm/v2/locks/service/reservations", "POST /hsm/v2/locks/service/reservations/release", "POST /hsm/v2/locks/service/reservations/renew",
	"POST /hsm/v2/locks/service/reservations/check", "GET /hsm/v2/service/ready", "GET /hsm/v2/service/liveness",
	"POST /pcs/v1/transitions", "GET /pcs/v1/transitions", "GET /pcs/v1/transitions/{id}", "DELETE /pcs/v1/transitions/{id}",
	"GET /pcs/v1/power-status", "POST /pcs/v1/power-status", "GET /pcs/liveness", "GET /pcs/readiness", "GET /pcs/health", "GET /pcs/v1/health", "GET /pcs/transitions", "GET /pcs/power-status",
	"POST /capmc/v1/xname_on", "POST /capmc/v1/xname_off", "POST /capmc/v1/xname_reinit", "POST /capmc/v1/get_xname_status",
	"GET /cfs/v3/components", "PATCH /cfs/v3/components", "PUT /cfs/v3/components", "GET /cfs/v3/components/{id}", "PATCH /cfs/v3/components/{id}",
	"GET /cfs/v3/configurations/{name}", "PUT /cfs/v3/configurations/{name}", "GET /cfs/v3/options", "PATCH /cfs/v3/options", "GET /cfs/healthz",
	"GET /cfs/v2/components", "PATCH /cfs/v2/components",
	"GET /bss/boot/v1/bootparameters", "PUT /bss/boot/v1/bootparameters", "POST /bss/boot/v1/bootparameters", "PATCH /bss/boot/v1/bootparameters",
	"DELETE /bss/boot/v1/bootparameters", "GET /bss/boot/v1/bootscript", "GET /bss/boot/v1/endpoint-history", "GET /bss/boot/v1/service/status",
	"GET /ims/v3/images", "GET /ims/v3/images/{id}", "PATCH /ims/v3/images/{id}", "POST /ims/v3/images", "DELETE /ims/v3/images/{id}",
	"GET /s3/{bucket}/{key...}", "PUT /s3/{bucket}/{key...}", "GET /tapms/v1alpha3/tenants", "GET /tapms/v1alpha3/tenants/{id}", "POST " + tokenPath,
	"POST /_sim/faults", "DELETE /_sim/faults/{id}", "GET /_sim/nodes/{xname}", "GET /_sim/calls", "POST /_sim/clock", "GET /_sim/metrics",
}

// TestShapes compares the members of every answer, and its header, with those recorded in
// testdata/shapes.golden; -update rewrites it. A difference is a change of an API.
func TestShapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inv, err := LoadInventory("testdata/hsm.json")
		if err != nil {
			t.Fatal(err)
		}
		inv.Nodes = append(inv.Nodes, NodeSpec{Xname: x0, NID: 1}, NodeSpec{Xname: x1, NID: 2})
		m := newMachine(t, Config{
			Inventory: inv, Speed: 1, Report: new(reports).send,
			Groups: map[string][]string{"blue": {x0}}, Partitions: map[string][]string{"p1": {x0, x1}}, Tenants: map[string][]string{"vcluster-blue": {x0}},
		})
		defer run(t, m)()
		putBoot(t, m, x0, "quiet spire_join_token=${SPIRE_JOIN_TOKEN}")
		want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","retry_policy":2,"tags":{"bos_session":"s"}},"filters":{"ids":"`+x0+`"}}`, 200, nil)
		id := transit(t, m, "On", x0, x1, "x1000")
		want(t, m, "POST", "/hsm/v2/locks/service/reservations", `{"ComponentIDs":["x3000c0s19b1n0"],"ReservationDuration":1}`, 200, nil)
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		want(t, m, "POST", "/hsm/v2/locks/service/reservations", `{"ComponentIDs":["x3000c0s19b1n0"],"ReservationDuration":1}`, 200, nil)

		const image = "/ims/v3/images/06901f40-f2a6-4a64-bc26-772a5cc9d321"
		covered := map[string]bool{}
		var b strings.Builder
		for _, c := range []struct{ request, body string }{
			{"GET /hsm/v2/State/Components", ""},
			{"GET /hsm/v2/State/Components/" + x0, ""},
			{"GET /hsm/v2/State/Components/x1c0s0b0n0", ""},
			{"GET /hsm/v2/State/Components?stateonly=true&type=Node", ""},
			{"GET /hsm/v2/State/Components?role=Cook", ""},
			{"POST /hsm/v2/State/Components/Query", `{"ComponentIDs":["` + x0 + `"]}`},
			{"PATCH /hsm/v2/State/Components/" + x1 + "/Enabled", `{"Enabled":true}`},
			{"PATCH /hsm/v2/State/Components/" + x1 + "/Role", `{"Role":"Compute"}`},
			{"PATCH /hsm/v2/State/Components/" + x1 + "/StateData", `{"State":"On","Force":true}`},
			{"GET /hsm/v2/State/Components/ByNID/1", ""},
			{"GET /hsm/v2/groups", ""},
			{"GET /hsm/v2/groups/labels", ""},
			{"POST /hsm/v2/groups", `{"label":"green","description":"d","tags":["t"],"exclusiveGroup":"colours","members":{"ids":["` + x1 + `"]}}`},
			{"POST /hsm/v2/groups/green/members", `{"id":"` + x0 + `"}`},
			{"GET /hsm/v2/groups/green", ""},
			{"GET /hsm/v2/groups/green/members", ""},
			{"DELETE /hsm/v2/groups/green/members/" + x0, ""},
			{"DELETE /hsm/v2/groups/green", ""},
			{"GET /hsm/v2/partitions", ""},
			{"GET /hsm/v2/locks/status?type=Node", ""},
			{"POST /hsm/v2/locks/status", `{"ComponentIDs":["` + x0 + `"]}`},
			{"POST /hsm/v2/locks/lock", `{"ComponentIDs":["` + x1 + `"]}`},
			{"POST /hsm/v2/locks/lock", `{"ComponentIDs":["` + x1 + `"],"ProcessingModel":"flexible"}`},
			{"POST /hsm/v2/locks/unlock", `{"ComponentIDs":["` + x1 + `"]}`},
			{"POST /hsm/v2/locks/service/reservations", `{"ComponentIDs":["` + x1 + `"],"ReservationDuration":1}`},
			{"POST /hsm/v2/locks/service/reservations/check", `{"DeputyKeys":[{"ID":"` + x1 + `","Key":"k"}]}`},
			{"POST /hsm/v2/locks/service/reservations/renew", `{"ReservationKeys":[{"ID":"` + x1 + `","Key":"k"}],"ProcessingModel":"flexible"}`},
			{"POST /hsm/v2/locks/service/reservations/release", `{"ReservationKeys":[{"ID":"` + x1 + `","Key":"k"}],"ProcessingModel":"flexible"}`},
			{"POST /hsm/v2/locks/reservations", `{"ComponentIDs":["` + x1 + `"],"ProcessingModel":"flexible"}`},
			{"GET /hsm/v2/service/ready", ""},
			{"GET /hsm/v2/service/liveness", ""},
			{"GET /pcs/v1/power-status", ""},
			{"POST /pcs/v1/power-status", `{"xname":["` + x0 + `","x1c0s0b0n0","x1000"]}`},
			{"POST /pcs/v1/power-status", `{"xname":["nid1"]}`},
			{"POST /pcs/v1/transitions", `{"operation":"on","location":[{"xname":"` + x1 + `"}]}`},
			{"GET /pcs/v1/transitions", ""},
			{"GET /pcs/v1/transitions/" + id, ""},
			{"DELETE /pcs/v1/transitions/" + id, ""},
			{"GET /pcs/health", ""},
			{"GET /pcs/v1/health", ""},
			{"GET /pcs/liveness", ""},
			{"GET /pcs/readiness", ""},
			{"GET /pcs/transitions", ""},
			{"GET /pcs/power-status?xname=" + x0, ""},
			{"POST /capmc/v1/get_xname_status", `{"xnames":["` + x0 + `"],"filter":"show_all"}`},
			{"POST /capmc/v1/xname_on", `{"xnames":["` + x0 + `"]}`},
			{"POST /capmc/v1/xname_off", `{"xnames":["` + x0 + `"],"force":true}`},
			{"POST /capmc/v1/xname_reinit", `{"xnames":["` + x0 + `"]}`},
			{"POST /capmc/v1/xname_on", `{"xnames":[]}`},
			{"GET /cfs/v3/components?limit=1", ""},
			{"GET /cfs/v3/components?ids=" + x0 + "&state_details=true&config_details=true", ""},
			{"GET /cfs/v3/components/" + x0, ""},
			{"GET /cfs/v3/components/x1c0s0b0n0", ""},
			{"PATCH /cfs/v3/components/" + x0, `{"enabled":true}`},
			{"PATCH /cfs/v3/components", `{"patch":{"enabled":true},"filters":{"ids":"` + x0 + `"}}`},
			{"PUT /cfs/v3/components", `[{"id":"x1c0s0b0n1"}]`},
			{"PATCH /cfs/v3/components", `[{"id":"` + x0 + `","enabled":true}]`},
			{"PATCH /cfs/v3/components", `[{"id":"x1c0s0b0n0","enabled":true}]`},
			{"PUT /cfs/v3/configurations/mine", `{"layers":[{"clone_url":"https://vcs.example/a.git","branch":"main","playbook":"a.yml"}]}`},
			{"PATCH /cfs/v3/options", `{"batch_size":50}`},
			{"GET /cfs/v3/configurations", ""},
			{"GET /cfs/v3/configurations/compute-24.7.0", ""},
			{"GET /cfs/v3/options", ""},
			{"GET /cfs/v3/sessions", ""},
			{"GET /cfs/healthz", ""},
			{"GET /cfs/v2/components?ids=" + x0, ""},
			{"PATCH /cfs/v2/components", `{"patch":{"enabled":true},"filters":{"ids":"` + x0 + `"}}`},
			{"GET /cfs/v2/configurations", ""},
			{"PUT /bss/boot/v1/bootparameters", `{"hosts":["` + x1 + `"],"kernel":"k"}`},
			{"PUT /bss/boot/v1/bootparameters", `{}`},
			{"POST /bss/boot/v1/bootparameters", `{"hosts":["` + x1 + `"],"kernel":"k"}`},
			{"POST /bss/boot/v1/bootparameters", `{"hosts":["Default"],"kernel":"k"}`},
			{"PATCH /bss/boot/v1/bootparameters", `{"hosts":["Default"],"params":"p"}`},
			{"DELETE /bss/boot/v1/bootparameters", `{"hosts":["Default"]}`},
			{"GET /bss/boot/v1/bootscript?name=" + x0, ""},
			{"GET /bss/boot/v1/bootscript?name=nobody", ""},
			{"GET /bss/boot/v1/bootparameters", ""},
			{"GET /bss/boot/v1/bootparameters?name=nobody", ""},
			{"GET /bss/boot/v1/endpoint-history", ""},
			{"GET /bss/boot/v1/service/status", ""},
			{"GET /ims/v3/images", ""},
			{"GET " + image, ""},
			{"GET /ims/v3/images/none", ""},
			{"PATCH " + image, `{"metadata":{"operation":"set","key":"sbps-project","value":"true"}}`},
			{"POST /ims/v3/images", `{"name":"mine","metadata":{"key":"k","value":"v"}}`},
			{"DELETE /ims/v3/images/46a2731e-a1d0-4f98-ba92-4f78c756bb12", ""},
			{"GET /s3/boot-images/06901f40-f2a6-4a64-bc26-772a5cc9d321/manifest.json", ""},
			{"HEAD /s3/boot-images/06901f40-f2a6-4a64-bc26-772a5cc9d321/kernel", ""},
			{"GET /s3/boot-images/none", ""},
			{"HEAD /s3/boot-images/none", ""},
			{"PUT /s3/boot-images/mine", "content"},
			{"GET /tapms/v1alpha3/tenants", ""},
			{"GET /tapms/v1alpha3/tenants/vcluster-blue", ""},
			{"GET /tapms/v1alpha3/tenants/nobody", ""},
			{"POST /tapms/v1alpha3/tenants", `["` + x0 + `"]`},
			{"GET /tapms/v1alpha1/tenants", ""},
			{"POST " + tokenPath, "grant_type=client_credentials&client_id=admin-client&client_secret=s"},
			{"GET /_sim/nodes", ""},
			{"GET /_sim/nodes/" + x0, ""},
			{"GET /_sim/healthz", ""},
			{"GET /_sim/", ""},
			{"GET /_sim/clock", ""},
			{"POST /_sim/clock", `{"advance":"1s"}`},
			{"POST /_sim/faults", `{"kind":"reporter_dead","nodes":["` + x0 + `"],"for":"1m"}`},
			{"GET /_sim/faults", ""},
			{"GET /_sim/calls?service=ims", ""},
			{"GET /_sim/metrics", ""},
			{"GET /_sim/nodes/" + x0 + "/token", ""},
			{"DELETE /_sim/faults/fault-1", ""},
		} {
			method, path, _ := strings.Cut(c.request, " ")
			r := httptest.NewRequest(method, path, strings.NewReader(c.body))
			handler := m.Handler()
			if path == tokenPath {
				handler = m.Gateway()
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			covered[r.Pattern] = true
			shape := map[string]bool{}
			kind := w.Header().Get("Content-Type")
			var v any
			switch {
			case w.Body.Len() == 0:
				shape["(no body)"] = true
			case json.Unmarshal(w.Body.Bytes(), &v) == nil:
				shapeOf("", v, shape)
			case strings.Contains(kind, "json"):
				t.Errorf("%s: not JSON: %q", c.request, w.Body)
			default:
				shape["(text)"] = true
			}
			for name := range w.Header() {
				if name != "Content-Type" && name != "Content-Length" {
					shape["header "+name] = true
				}
			}
			fmt.Fprintf(&b, "%s %s\n  %d %s\n", strings.ReplaceAll(c.request, id, "{id}"), c.body, w.Code, kind)
			for _, line := range slices.Sorted(maps.Keys(shape)) {
				fmt.Fprintf(&b, "  %s\n", line)
			}
		}
		for _, e := range minimalEndpoints {
			if !covered[e] {
				t.Errorf("no shape of %s is recorded", e)
			}
		}
		const golden = "testdata/shapes.golden"
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		recorded, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(recorded), b.String()); d != "" {
			t.Error(d)
		}
	})
}
