package fleet

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/url"
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

// TestShapes compares the members of every answer with those recorded in
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
		var b strings.Builder
		for _, c := range []struct{ request, body string }{
			{"GET /hsm/v2/State/Components", ""},
			{"GET /hsm/v2/State/Components/" + x0, ""},
			{"GET /hsm/v2/State/Components/x1c0s0b0n0", ""},
			{"GET /hsm/v2/State/Components?stateonly=true&type=Node", ""},
			{"GET /hsm/v2/State/Components?role=Cook", ""},
			{"POST /hsm/v2/State/Components/Query", `{"ComponentIDs":["` + x0 + `"]}`},
			{"GET /hsm/v2/groups", ""},
			{"GET /hsm/v2/groups/labels", ""},
			{"POST /hsm/v2/groups", `{"label":"green","description":"d","tags":["t"],"exclusiveGroup":"colours","members":{"ids":["` + x1 + `"]}}`},
			{"POST /hsm/v2/groups/green/members", `{"id":"` + x0 + `"}`},
			{"GET /hsm/v2/groups/green", ""},
			{"GET /hsm/v2/partitions", ""},
			{"GET /hsm/v2/locks/status?type=Node", ""},
			{"POST /hsm/v2/locks/status", `{"ComponentIDs":["` + x0 + `"]}`},
			{"POST /hsm/v2/locks/lock", `{"ComponentIDs":["` + x1 + `"]}`},
			{"POST /hsm/v2/locks/lock", `{"ComponentIDs":["` + x1 + `"],"ProcessingModel":"flexible"}`},
			{"POST /hsm/v2/locks/unlock", `{"ComponentIDs":["` + x1 + `"]}`},
			{"POST /hsm/v2/locks/service/reservations", `{"ComponentIDs":["` + x1 + `"],"ReservationDuration":1}`},
			{"POST /hsm/v2/locks/service/reservations/check", `{"DeputyKeys":[{"ID":"` + x1 + `","Key":"k"}]}`},
			{"GET /hsm/v2/service/ready", ""},
			{"GET /pcs/v1/power-status", ""},
			{"POST /pcs/v1/power-status", `{"xname":["` + x0 + `","x1c0s0b0n0","x1000"]}`},
			{"POST /pcs/v1/power-status", `{"xname":["nid1"]}`},
			{"POST /pcs/v1/transitions", `{"operation":"on","location":[{"xname":"` + x1 + `"}]}`},
			{"GET /pcs/v1/transitions", ""},
			{"GET /pcs/v1/transitions/" + id, ""},
			{"DELETE /pcs/v1/transitions/" + id, ""},
			{"GET /pcs/health", ""},
			{"POST /capmc/v1/get_xname_status", `{"xnames":["` + x0 + `"],"filter":"show_all"}`},
			{"POST /capmc/v1/xname_on", `{"xnames":["` + x0 + `"]}`},
			{"POST /capmc/v1/xname_on", `{"xnames":[]}`},
			{"GET /cfs/v3/components?limit=1", ""},
			{"GET /cfs/v3/components?ids=" + x0 + "&state_details=true&config_details=true", ""},
			{"GET /cfs/v3/components/" + x0, ""},
			{"GET /cfs/v3/components/x1c0s0b0n0", ""},
			{"PATCH /cfs/v3/components/" + x0, `{"enabled":true}`},
			{"PATCH /cfs/v3/components", `{"patch":{"enabled":true},"filters":{"ids":"` + x0 + `"}}`},
			{"PUT /cfs/v3/components", `[{"id":"x1c0s0b0n1"}]`},
			{"GET /cfs/v3/configurations", ""},
			{"GET /cfs/v3/configurations/compute-24.7.0", ""},
			{"GET /cfs/v3/options", ""},
			{"GET /cfs/v3/sessions", ""},
			{"GET /cfs/healthz", ""},
			{"GET /cfs/v2/components?ids=" + x0, ""},
			{"PATCH /cfs/v2/components", `{"patch":{"enabled":true},"filters":{"ids":"` + x0 + `"}}`},
			{"GET /cfs/v2/configurations", ""},
			{"GET /bss/boot/v1/bootparameters", ""},
			{"GET /bss/boot/v1/bootparameters?name=nobody", ""},
			{"GET /bss/boot/v1/endpoint-history", ""},
			{"GET /bss/boot/v1/service/status", ""},
			{"GET /ims/v3/images", ""},
			{"GET " + image, ""},
			{"GET /ims/v3/images/none", ""},
			{"PATCH " + image, `{"metadata":{"operation":"set","key":"sbps-project","value":"true"}}`},
			{"POST /ims/v3/images", `{"name":"mine","metadata":{"key":"k","value":"v"}}`},
			{"GET /s3/boot-images/06901f40-f2a6-4a64-bc26-772a5cc9d321/manifest.json", ""},
			{"GET /tapms/v1alpha3/tenants", ""},
			{"GET /tapms/v1alpha3/tenants/vcluster-blue", ""},
			{"GET /tapms/v1alpha3/tenants/nobody", ""},
			{"POST /tapms/v1alpha3/tenants", `["` + x0 + `"]`},
			{"GET /tapms/v1alpha1/tenants", ""},
			{"POST " + tokenPath, ""},
			{"GET /_sim/nodes", ""},
			{"GET /_sim/nodes/" + x0, ""},
			{"GET /_sim/healthz", ""},
			{"GET /_sim/", ""},
			{"GET /_sim/clock", ""},
			{"POST /_sim/clock", `{"advance":"1s"}`},
			{"POST /_sim/faults", `{"kind":"reporter_dead","nodes":["` + x0 + `"],"for":"1m"}`},
			{"GET /_sim/faults", ""},
			{"GET /_sim/calls?service=ims", ""},
		} {
			method, path, _ := strings.Cut(c.request, " ")
			w := call(t, m, method, path, c.body)
			if path == tokenPath {
				w = ask(m, method, path, "", url.Values{"grant_type": {"client_credentials"}, "client_id": {"admin-client"}, "client_secret": {"s"}})
			}
			var v any
			if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
				t.Errorf("%s: %v in %q", c.request, err, w.Body)
				continue
			}
			shape := map[string]bool{}
			shapeOf("", v, shape)
			fmt.Fprintf(&b, "%s %s\n  %d %s\n", strings.ReplaceAll(c.request, id, "{id}"), c.body, w.Code, w.Header().Get("Content-Type"))
			for _, line := range slices.Sorted(maps.Keys(shape)) {
				fmt.Fprintf(&b, "  %s\n", line)
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
