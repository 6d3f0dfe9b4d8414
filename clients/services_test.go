package clients_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/clients/tapms/tapmstest"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/internal/rest"
	"github.com/bootorch/bosgo/pcs"
)

func inventory(s *service) *hsm.Client { return must(hsm.New("http://cray-smd/hsm/v2", s.config())) }
func power(s *service) *pcs.Client     { return must(pcs.New("http://cray-power-control", s.config())) }
func capmc(s *service) *pcs.CAPMC {
	return must(pcs.NewCAPMC("http://cray-capmc/capmc/v1", s.config()))
}
func config(s *service) *cfs.Client { return must(cfs.New("http://cray-cfs-api/v3", s.config())) }
func boot(s *service) *bss.Client   { return must(bss.New("http://cray-bss/boot/v1", s.config())) }
func images(s *service) *ims.Client { return must(ims.New("http://cray-ims/v3", s.config())) }
func tenants(s *service) *tapms.Client {
	return must(tapms.New("http://cray-tapms/v1alpha3", s.config()))
}

// many returns n ids of nodes.
func many(n int) []bos.ComponentID {
	ids := make([]bos.ComponentID, n)
	for i := range ids {
		ids[i] = bos.ComponentID(fmt.Sprintf("x%dc0s%db0n%d", 1000+i/256, i/4%64, i%4))
	}
	return ids
}

// only fails the test unless the service was asked exactly once, and returns that.
func only(t *testing.T, s *service) request {
	t.Helper()
	asked := s.asked()
	if len(asked) != 1 {
		t.Fatalf("%d requests, want 1: %v", len(asked), asked)
	}
	return asked[0]
}

func TestSVCInventory(t *testing.T) {
	t.Run("SVC-020 nodes alone", func(t *testing.T) {
		s := serve(reply(200, `{"Components":[
			{"ID":"x3000c0s1b0","Type":"NodeBMC","State":"Ready"},
			{"ID":"x3000c0s1b0n0","Type":"Node","State":"Ready","Flag":"OK","Enabled":false,"Role":"Compute","NID":1,"NetType":"Sling","Arch":"X86","Class":"River","Locked":true},
			{"ID":"x3000c0s1b0n0p0","Type":"Processor"},
			{"ID":"x3000c0s2b0n0","Type":"Node","State":"Empty"},
			{"ID":"x3000c0s3b0n0","Type":"Node","Role":"Management","SubRole":"Worker","Enabled":true,"NID":100001},
			{"Type":"Node"}]}`))
		got, err := inventory(s).Nodes(t.Context())
		want := []hsm.Node{
			{ID: node1, State: "Ready", Role: "Compute", Arch: "X86", Class: "River", NID: 1},
			{ID: node2, Enabled: true, State: "Empty"},
			{ID: node3, Enabled: true, Role: "Management", SubRole: "Worker", NID: 100001},
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, nodes (-want +got):\n%s", err, diff)
		}
		if r := only(t, s); r.path != "/hsm/v2/State/Components" || r.query != "type=Node" {
			t.Errorf("request %+v", r)
		}
	})
	t.Run("SVC-021 an empty machine", func(t *testing.T) {
		if got, err := inventory(serve(reply(200, `{"Components":[]}`))).Nodes(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("nodes %v, error %v, want neither", got, err)
		}
	})
	t.Run("SVC-022 no list of components", func(t *testing.T) {
		for _, body := range []string{`{}`, `{"Components":null}`, `{"components":[]}`} {
			_, err := inventory(serve(reply(200, body))).Nodes(t.Context())
			expectError(t, err, []error{rest.ErrMalformed})
		}
	})
	t.Run("SVC-022 a malformed component is named", func(t *testing.T) {
		_, err := inventory(serve(reply(200, `{"Components":[{"ID":"x3000c0s1b0n0","Type":"Node"},{"ID":"x3000c0s2b0n0","Type":"Node","Enabled":"yes"}]}`))).Nodes(t.Context())
		expectError(t, err, []error{rest.ErrMalformed})
		if !strings.Contains(err.Error(), `Components: item 2, "x3000c0s2b0n0": `) {
			t.Errorf("error %v, want the component", err)
		}
	})
	t.Run("SVC-023 what was not asked for", func(t *testing.T) {
		s := serve(reply(200, `{"Components":[{"ID":"x3000c0s2b0n0","Type":"Node"},{"ID":"x3000c0s1b0","Type":"NodeBMC"},{"ID":"x3000c0s1b0n0","Type":"Node"},{"ID":"x3000c0s1b0n0","Type":"Node"}]}`))
		got, err := inventory(s).Query(t.Context(), []bos.ComponentID{node1, "x3000c0s1b0"})
		if want := map[bos.ComponentID]hsm.Node{node1: {ID: node1, Enabled: true}}; !maps.Equal(got, want) || err != nil {
			t.Errorf("%v, error %v, want the one node that was asked for", got, err)
		}
	})
	t.Run("SVC-023 SVC-025 SVC-026 query", func(t *testing.T) {
		s := serve(reply(200, `{"Components":[{"ID":"x3000c0s2b0n0","Type":"Node","Enabled":false},{"ID":"x3000c0s1b0n0","Type":"Node","Arch":"UNKNOWN","Enabled":true}]}`))
		got, err := inventory(s).Query(t.Context(), []bos.ComponentID{node1, node2, node3, node1})
		want := map[bos.ComponentID]hsm.Node{node1: {ID: node1, Enabled: true, Arch: "UNKNOWN"}, node2: {ID: node2}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, nodes (-want +got):\n%s", err, diff)
		}
		if r := only(t, s); r.method != "POST" || r.path != "/hsm/v2/State/Components/Query" || r.body != `{"ComponentIDs":["x3000c0s1b0n0","x3000c0s2b0n0","x3000c0s3b0n0"]}` {
			t.Errorf("request %+v", r)
		}
	})
	t.Run("SVC-024 nothing to query", func(t *testing.T) {
		s := serve(reply(500, ""))
		if got, err := inventory(s).Query(t.Context(), nil); err != nil || len(got) != 0 || len(s.asked()) != 0 {
			t.Errorf("%v, error %v, %d requests, want nothing of all that", got, err, len(s.asked()))
		}
	})
	t.Run("SVC-028 SVC-029 SVC-030 locks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, tt := range []struct {
				status int
				body   string
				want   map[bos.ComponentID]bool
				err    error
			}{
				{200, `{"Components":[]}`, map[bos.ComponentID]bool{}, nil},
				{200, `{"Components":[{"ID":"x3000c0s1b0n0","Locked":true,"Reserved":false,"CreationTime":"2025-05-01T10:00:00Z"},{"ID":"x3000c0s2b0n0","Locked":false}],"NotFound":[]}`, map[bos.ComponentID]bool{node1: true}, nil},
				{400, `{"type":"about:blank","title":"Bad Request","detail":"sm error: Component not found","status":400}`, map[bos.ComponentID]bool{}, nil},
				{404, `{"title":"Not Found"}`, map[bos.ComponentID]bool{}, nil},
				{404, `<html>default backend</html>`, nil, bos.ErrUnavailable},
				{200, `{"Components":[{"ID":"x3000c0s1b0n0"},{"Locked":true}],"NotFound":null}`, map[bos.ComponentID]bool{node1: true}, nil},
				{400, `{"detail":"bad query param: type"}`, nil, bos.ErrInvalid},
				{500, `{"detail":"Component not found"}`, nil, bos.ErrUnavailable},
				{403, `RBAC: access denied`, nil, bos.ErrForbidden},
			} {
				s := serve(reply(tt.status, tt.body))
				got, err := inventory(s).LockedNodes(t.Context())
				if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
					t.Errorf("%d %s: error %v, want %v, locked (-want +got):\n%s", tt.status, tt.body, err, tt.err, diff)
				}
				if r := s.asked()[0]; r.path != "/hsm/v2/locks/status" || r.query != "locked=True&type=Node" {
					t.Errorf("request %+v", r)
				}
			}
		})
	})
	t.Run("SVC-032 a group without members", func(t *testing.T) {
		s := serve(reply(200, `[{"label":"a","members":{"ids":null}},{"label":"b","members":{}},{"label":"c"},{"label":"d","description":"","tags":["t"],"members":{"ids":["x3000c0s1b0n0"]}}]`))
		got, err := inventory(s).Groups(t.Context())
		want := map[string][]bos.ComponentID{"a": {}, "b": {}, "c": {}, "d": {node1}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, groups (-want +got):\n%s", err, diff)
		}
	})
	t.Run("SVC-033 roles and sub-roles", func(t *testing.T) {
		s := serve(reply(200, `{"Components":[{"ID":"x3000c0s1b0n0","Type":"Node","Role":"Application","SubRole":"UAN"},{"ID":"x3000c0s2b0n0","Type":"Node","Role":"Compute"},{"ID":"x3000c0s1b0","Type":"NodeBMC"},{"Role":"Compute"}]}`))
		got, err := inventory(s).RoleMembers(t.Context())
		want := map[string][]bos.ComponentID{"Application": {node1}, "Application_UAN": {node1}, "Compute": {node2}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, roles (-want +got):\n%s", err, diff)
		}
	})
	t.Run("SVC-035 names are sent in their canonical form", func(t *testing.T) {
		s := serve(reply(200, `{"Components":[{"ID":"x3000c0s1b0n0","Type":"Node","Enabled":true}]}`))
		const odd = "X03000C00S01B00N0"
		got, err := inventory(s).Query(t.Context(), []bos.ComponentID{odd})
		if err != nil || got[odd].ID != node1 {
			t.Errorf("%v, error %v, want %s under the name that was asked for", got, err, node1)
		}
		if r := only(t, s); r.body != `{"ComponentIDs":["x3000c0s1b0n0"]}` {
			t.Errorf("body %s", r.body)
		}
	})
}

func TestSVCPower(t *testing.T) {
	t.Run("SVC-041 the request", func(t *testing.T) {
		s := serve(reply(202, `{"transitionID":"7d31","operation":"Soft-Off"}`))
		id, err := power(s).Transition(t.Context(), pcs.SoftOff, []bos.ComponentID{node2, node1, node2})
		if err != nil || id != "7d31" {
			t.Errorf("id %q, error %v", id, err)
		}
		if r := only(t, s); r.method != "POST" || r.path != "/transitions" || r.body != `{"location":[{"xname":"x3000c0s2b0n0"},{"xname":"x3000c0s1b0n0"}],"operation":"Soft-Off","taskDeadlineMinutes":1}` {
			t.Errorf("request %+v", r)
		}
	})
	t.Run("SVC-042 no nodes", func(t *testing.T) {
		s := serve(reply(200, `{}`))
		for _, ids := range [][]bos.ComponentID{nil, {}, {""}, {"x1", "nid000001"}} {
			_, err := power(s).Transition(t.Context(), pcs.On, ids)
			expectError(t, err, []error{bos.ErrInvalid})
			_, err = capmc(s).Transition(t.Context(), pcs.On, ids)
			expectError(t, err, []error{bos.ErrInvalid})
			if _, err := power(s).PowerStatus(t.Context(), ids); err != nil {
				t.Error(err)
			}
		}
		if n := len(s.asked()); n != 0 {
			t.Errorf("%d requests, want none: an empty list means everything", n)
		}
	})
	t.Run("malformed ids are not sent", func(t *testing.T) {
		s := serve(reply(200, `{"transitionID":"a"}`))
		id, err := power(s).Transition(t.Context(), pcs.On, []bos.ComponentID{"x03000c0s1b0n0", node1})
		partial, ok := errors.AsType[*bos.BatchError](err)
		if !ok || len(partial.Failed) != 1 || !errors.Is(partial.Failed["x03000c0s1b0n0"], bos.ErrInvalid) || id != "a" {
			t.Errorf("id %q, error %v, want a transition of the other one", id, err)
		}
	})
	t.Run("SVC-043 SVC-044 SVC-046 SVC-047 status entries", func(t *testing.T) {
		s := serve(reply(200, `{"status":[
			{"xname":"x3000c0s1b0n0","powerState":"","managementState":"","error":"Component not found in component map.","supportedPowerTransitions":null,"lastUpdated":""},
			{"xname":"x3000c0s2b0n0","powerState":"undefined","managementState":"unavailable","error":"","lastUpdated":"2025-01-01T00:00:00.000000001Z"},
			{"xname":"x3000c0s3b0n0","powerState":"ON","managementState":"Available"},
			{"xname":"x3000c0s4b0n0","powerState":"Off","managementState":"available"},
			{"powerState":"on"},
			{"xname":"x3000c0s5b0n0","powerState":"","error":""},
			{"xname":"x3000c0s6b0n0","powerState":"on"}]}`))
		got, err := power(s).PowerStatus(t.Context(), []bos.ComponentID{node1, node2, node3, "x3000c0s4b0n0", "x3000c0s5b0n0"})
		want := map[bos.ComponentID]pcs.PowerStatus{
			node1: {Error: "Component not found in component map."},
			node2: {State: pcs.StateUndefined, LastUpdated: time.Date(2025, 1, 1, 0, 0, 0, 1, time.UTC)},
			node3: {State: pcs.StateOn, Available: true}, "x3000c0s4b0n0": {State: pcs.StateOff, Available: true},
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, status (-want +got):\n%s", err, diff)
		}
		if r := only(t, s); r.method != "POST" || r.path != "/power-status" || !strings.HasPrefix(r.body, `{"xname":["x3000c0s1b0n0",`) {
			t.Errorf("request %+v", r)
		}
	})
	t.Run("a reading that breaks off leaves nothing behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(truncated(`{"status":[{"xname":"x3000c0s1b0n0","powerState":"on"},`), reply(200, `{"status":[{"xname":"x3000c0s2b0n0","powerState":"off"}]}`))
			got, err := power(s).PowerStatus(t.Context(), []bos.ComponentID{node1, node2})
			if want := map[bos.ComponentID]pcs.PowerStatus{node2: {State: pcs.StateOff}}; err != nil || !maps.Equal(got, want) {
				t.Errorf("%+v, error %v, want the second answer alone", got, err)
			}
		})
	})
	t.Run("a malformed entry is named", func(t *testing.T) {
		_, err := power(serve(reply(200, `{"status":[{"xname":"x3000c0s1b0n0","powerState":"on"},{"xname":"x3000c0s2b0n0","powerState":7}]}`))).PowerStatus(t.Context(), []bos.ComponentID{node1, node2})
		expectError(t, err, []error{rest.ErrMalformed})
		if !strings.Contains(err.Error(), `status: item 2, "x3000c0s2b0n0": `) {
			t.Errorf("error %v, want the node", err)
		}
	})
	t.Run("SVC-048 refused names are isolated", func(t *testing.T) {
		ids := many(2800)
		refusal, _ := json.Marshal(bos.Problem{Status: 400, Detail: "invalid xnames detected: " + string(ids[7]) + " " + string(ids[2000])})
		s := serve(reply(400, string(refusal)), reply(200, `{"status":[{"xname":"`+string(ids[0])+`","powerState":"on","managementState":"available"}]}`))
		got, err := power(s).PowerStatus(t.Context(), append(slices.Clone(ids), "not-an-xname"))
		if err != nil {
			t.Fatal(err)
		}
		if got[ids[0]].State != pcs.StateOn || got[ids[7]].Error == "" || got[ids[2000]].Error == "" || got["not-an-xname"].Error == "" || len(got) != 4 {
			t.Errorf("status of the first %+v, of the refused %+v %+v, of %d in all", got[ids[0]], got[ids[7]], got[ids[2000]], len(got))
		}
		var second struct{ Xname []bos.ComponentID }
		if err := json.Unmarshal([]byte(s.asked()[1].body), &second); err != nil || len(s.asked()) != 2 || len(second.Xname) != 2798 || slices.Contains(second.Xname, ids[7]) {
			t.Errorf("%d requests, the second for %d nodes, want 2 and 2798", len(s.asked()), len(second.Xname))
		}
	})
	t.Run("SVC-048 refused for ever", func(t *testing.T) {
		s := serve(reply(400, `{"detail":"invalid xnames detected: x3000c0s1b0n0"}`))
		_, err := power(s).PowerStatus(t.Context(), []bos.ComponentID{node1, node2})
		expectError(t, err, []error{bos.ErrInvalid})
		if n := len(s.asked()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
	t.Run("SVC-048 everything refused", func(t *testing.T) {
		s := serve(reply(400, `{"detail":"invalid xnames detected: x3000c0s1b0n0"}`))
		got, err := power(s).PowerStatus(t.Context(), []bos.ComponentID{node1})
		if err != nil || got[node1].Error == "" || len(s.asked()) != 1 {
			t.Errorf("%v, error %v, %d requests, want an entry with an error and one request", got, err, len(s.asked()))
		}
	})
	t.Run("SVC-048 refused for another reason", func(t *testing.T) {
		s := serve(reply(400, `{"detail":"bad filter"}`))
		_, err := power(s).PowerStatus(t.Context(), []bos.ComponentID{node1})
		expectError(t, err, []error{bos.ErrInvalid})
		only(t, s)
	})
	t.Run("SVC-049 an outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, err := power(serve(reply(503, ""))).PowerStatus(t.Context(), []bos.ComponentID{node1})
			expectError(t, err, []error{bos.ErrUnavailable})
		})
	})
	t.Run("SVC-054 SVC-056 a transition of which nothing succeeded", func(t *testing.T) {
		s := serve(reply(200, `{"transitionID":"t","operation":"soft-off","createTime":"2025-01-01T00:00:00Z","transitionStatus":"completed",
			"taskCounts":{"total":2,"new":0,"in-progress":0,"failed":1,"succeeded":0,"un-supported":1},
			"tasks":[{"xname":"x3000c0s1b0n0","taskStatus":"failed","taskStatusDescription":"Failed to achieve transition","error":"Timeout waiting for transition, gracefulshutdown."},
			{"xname":"x3000c0s2b0n0","taskStatus":"unsupported","taskStatusDescription":"Unsupported for transition operation"}]}`))
		got, err := power(s).ReadTransition(t.Context(), "t")
		want := pcs.Transition{
			ID: "t", Operation: pcs.SoftOff, Done: true,
			Tasks: map[bos.ComponentID]pcs.Task{
				node1: {State: pcs.TaskFailed, Description: "Failed to achieve transition", Error: "Timeout waiting for transition, gracefulshutdown."},
				node2: {State: pcs.TaskUnsupported, Description: "Unsupported for transition operation"},
			},
			Counts: map[pcs.TaskState]int{"new": 0, "in-progress": 0, "failed": 1, "succeeded": 0, "unsupported": 1},
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, transition (-want +got):\n%s", err, diff)
		}
		const reason = "x3000c0s1b0n0: Failed to achieve transition: Timeout waiting for transition, gracefulshutdown. (and 1 more)"
		if got.Err() == nil || got.Err().Error() != reason {
			t.Errorf("error of the transition\n%v, want\n%s", got.Err(), reason)
		}
	})
	t.Run("states of a transition", func(t *testing.T) {
		for status, done := range map[string]bool{"new": false, "in-progress": false, "abort-signaled": false, "aborted": true, "Completed": true} {
			got, err := power(serve(reply(200, `{"transitionStatus":"`+status+`","tasks":null}`))).ReadTransition(t.Context(), "t")
			if err != nil || got.Done != done {
				t.Errorf("%s: done %v, error %v, want %v", status, got.Done, err, done)
			}
		}
	})
	t.Run("SVC-055 no more nodes than allowed", func(t *testing.T) {
		ids := many(6000)
		s := serve(reply(200, `{"transitionID":"t"}`))
		limit := 1000
		cfg := s.config()
		cfg.MaxNodes = func() int { return limit }
		c := must(pcs.New("http://cray-power-control", cfg))
		for _, tt := range []struct{ limit, requests int }{{1000, 6}, {2500, 3}, {6000, 1}, {0, 1}} {
			limit = tt.limit
			before := len(s.asked())
			if _, err := c.Transition(t.Context(), pcs.On, ids); err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			for _, r := range s.asked()[before:] {
				var body struct{ Location []struct{ Xname string } }
				if err := json.Unmarshal([]byte(r.body), &body); err != nil {
					t.Fatal(err)
				}
				if tt.limit > 0 && len(body.Location) > tt.limit {
					t.Errorf("limit %d: a request for %d nodes", tt.limit, len(body.Location))
				}
				for _, l := range body.Location {
					seen[l.Xname]++
				}
			}
			if n := len(s.asked()) - before; n != tt.requests || len(seen) != len(ids) {
				t.Errorf("limit %d: %d requests for %d nodes, want %d for %d", tt.limit, n, len(seen), tt.requests, len(ids))
			}
		}
	})
	t.Run("one of several requests fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, tt := range []struct {
				name     string
				second   step
				requests int
				failed   []bos.ComponentID
				sentinel error
			}{
				{"refused", reply(400, `{"detail":"no"}`), 3, []bos.ComponentID{node2}, bos.ErrInvalid},
				{"an outage", reply(503, ``), 2, []bos.ComponentID{node2, node3}, bos.ErrUnavailable},
			} {
				s := serve(reply(200, `{"transitionID":"a"}`), tt.second, reply(200, `{"transitionID":"c"}`))
				cfg := s.config()
				cfg.MaxNodes = func() int { return 1 }
				id, err := must(pcs.New("http://cray-power-control", cfg)).Transition(t.Context(), pcs.On, []bos.ComponentID{node1, node2, node3})
				partial, ok := errors.AsType[*bos.BatchError](err)
				if !ok || !slices.Equal(partial.IDs(), tt.failed) || !errors.Is(err, tt.sentinel) || len(s.asked()) != tt.requests {
					t.Errorf("%s: error %v after %d requests, want %v for %v after %d", tt.name, err, len(s.asked()), tt.sentinel, tt.failed, tt.requests)
				}
				if !strings.HasPrefix(string(id), "a") {
					t.Errorf("%s: id %q, want that of what was accepted", tt.name, id)
				}
			}
		})
	})
	t.Run("SVC-059 an outage of one minute is ridden out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			s := serve(append(slices.Repeat([]step{refused}, 7), reply(200, `{"transitionID":"t"}`))...)
			if _, err := power(s).Transition(t.Context(), pcs.On, []bos.ComponentID{node1}); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d != 63*time.Second {
				t.Errorf("it took %v, want 63s", d)
			}
		})
	})
	t.Run("SVC-057 CAPMC fails for some", func(t *testing.T) {
		s := serve(reply(200, `{"e":-1,"err_msg":"Errors encountered with 1/3 Xnames issued On","xnames":[{"xname":"x3000c0s1b0n0","e":-1,"err_msg":"NodeBMC Communication Error"}]}`))
		_, err := capmc(s).Transition(t.Context(), pcs.On, []bos.ComponentID{node1, node2, node3})
		partial, ok := errors.AsType[*bos.BatchError](err)
		if !ok || len(partial.Failed) != 1 || partial.Failed[node1].Error() != "NodeBMC Communication Error" {
			t.Errorf("error %v, want the controller's for the first node alone", err)
		}
		if r := only(t, s); r.path != "/capmc/v1/xname_on" || r.body != `{"continue":true,"reason":"BOS: Powering nodes","xnames":["x3000c0s1b0n0","x3000c0s2b0n0","x3000c0s3b0n0"]}` {
			t.Errorf("request %+v", r)
		}
	})
	t.Run("SVC-058 CAPMC fails for all", func(t *testing.T) {
		for _, tt := range []struct {
			body      string
			want, not error
		}{
			{`{"e":37,"err_msg":"Error: Failed to reserve components."}`, bos.ErrConflict, pcs.ErrOutcomeUnknown},
			{`{"e":500,"err_msg":"pcs down","xnames":[]}`, bos.ErrUnavailable, pcs.ErrOutcomeUnknown},
			{`{"e":-1,"err_msg":"Errors encountered","xnames":[]}`, pcs.ErrOutcomeUnknown, bos.ErrConflict},
			{`{"e":22,"err_msg":"bad xname"}`, bos.ErrInvalid, bos.ErrUnavailable},
			{`{"e":37,"err_msg":"locked","xnames":[{"xname":"x3000c0s1b0n0","e":37,"err_msg":"Unable to reserve"}]}`, bos.ErrConflict, pcs.ErrOutcomeUnknown},
			{`{"e":-1,"err_msg":"Errors encountered","xnames":[{"xname":"x3000c0s9b0n0","e":-1,"err_msg":"m"},{"e":-1}]}`, pcs.ErrOutcomeUnknown, bos.ErrConflict},
		} {
			_, err := capmc(serve(reply(200, tt.body))).Transition(t.Context(), pcs.ForceOff, []bos.ComponentID{node1, node2})
			expectError(t, err, []error{tt.want}, tt.not)
			if _, partial := errors.AsType[*bos.BatchError](err); partial {
				t.Errorf("%s: error %v, want one for all nodes", tt.body, err)
			}
		}
	})
	t.Run("SVC-057 CAPMC gives no reason", func(t *testing.T) {
		for _, e := range []string{"0", "-1"} {
			_, err := capmc(serve(reply(200, `{"e":`+e+`,"xnames":[{"xname":"x3000c0s1b0n0","e":5},{"xname":"x3000c0s2b0n0","e":0}]}`))).Transition(t.Context(), pcs.On, []bos.ComponentID{node1, node2})
			partial, ok := errors.AsType[*bos.BatchError](err)
			if !ok || len(partial.Failed) != 1 || partial.Failed[node1].Error() != "capmc: error 5" {
				t.Errorf("e %s: error %v, want the number for the first node alone", e, err)
			}
		}
	})
	t.Run("CAPMC has no other operations", func(t *testing.T) {
		s := serve(reply(200, `{"e":0}`))
		_, err := capmc(s).Transition(t.Context(), "Init", []bos.ComponentID{node1})
		expectError(t, err, []error{bos.ErrInvalid})
		if n := len(s.asked()); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
	t.Run("CAPMC requests are bounded", func(t *testing.T) {
		ids := many(2500)
		cfg := serve().config()
		var sizes []int
		on := true
		cfg.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			var body struct{ Xnames []bos.ComponentID }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			sizes = append(sizes, len(body.Xnames))
			list := map[string]any{"e": 0}
			if on {
				list["on"] = body.Xnames
			}
			text, _ := json.Marshal(list)
			return response(r, 200, strings.NewReader(string(text))), nil
		})
		c := must(pcs.NewCAPMC("http://cray-capmc/capmc/v1", cfg))
		got, err := c.PowerStatus(t.Context(), ids)
		if err != nil || len(got) != 2500 || got[ids[2499]].State != pcs.StateOn {
			t.Errorf("%d nodes, error %v", len(got), err)
		}
		on = false
		if _, err := c.Transition(t.Context(), pcs.On, ids); err != nil {
			t.Error(err)
		}
		if want := []int{1000, 1000, 500, 1000, 1000, 500}; !slices.Equal(sizes, want) {
			t.Errorf("nodes per request %v, want %v: more may take CAPMC too long", sizes, want)
		}
	})
	t.Run("CAPMC off", func(t *testing.T) {
		for op, force := range map[pcs.Operation]string{pcs.SoftOff: "false", pcs.ForceOff: "true"} {
			s := serve(reply(200, `{"e":0,"err_msg":"","xnames":[]}`))
			if _, err := capmc(s).Transition(t.Context(), op, []bos.ComponentID{node1}); err != nil {
				t.Error(err)
			}
			if r := only(t, s); r.path != "/capmc/v1/xname_off" || !strings.Contains(r.body, `"force":`+force) {
				t.Errorf("%s: request %+v", op, r)
			}
		}
	})
	t.Run("CAPMC status", func(t *testing.T) {
		s := serve(reply(200, `{"e":-1,"err_msg":"some unreachable","on":["x3000c0s1b0n0"],"off":["x3000c0s2b0n0","x3000c0s3b0n0","x3000c0s8b0n0"],"undefined":["x3000c0s3b0n0"],"empty":["x3000c0s4b0n0"],"flags":{}}`))
		got, err := capmc(s).PowerStatus(t.Context(), []bos.ComponentID{node1, node2, node3, "x3000c0s4b0n0"})
		want := map[bos.ComponentID]pcs.PowerStatus{node1: {State: pcs.StateOn, Available: true}, node2: {State: pcs.StateOff, Available: true}, node3: {State: pcs.StateUndefined}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, status (-want +got):\n%s", err, diff)
		}
		if r := only(t, s); r.path != "/capmc/v1/get_xname_status" || r.body != `{"filter":"show_all","source":"redfish","xnames":["x3000c0s1b0n0","x3000c0s2b0n0","x3000c0s3b0n0","x3000c0s4b0n0"]}` {
			t.Errorf("request %+v", r)
		}
		for body, want := range map[string]pcs.PowerStatus{
			`{"e":0,"ready":["x3000c0s1b0n0"],"off":null}`: {State: pcs.StateOn, Available: true}, `{"e":0,"standby":["x3000c0s1b0n0"]}`: {State: pcs.StateOn, Available: true},
			`{"e":0,"halt":["x3000c0s1b0n0"]}`: {State: pcs.StateOn, Available: true}, `{"e":0,"unknown":["x3000c0s1b0n0"]}`: {State: pcs.StateUndefined},
			`{"e":-1,"unresponsive":["x3000c0s1b0n0"]}`: {State: pcs.StateUndefined},
		} {
			if got, err := capmc(serve(reply(200, body))).PowerStatus(t.Context(), []bos.ComponentID{node1}); err != nil || got[node1] != want {
				t.Errorf("%s: %+v, error %v, want %+v", body, got[node1], err, want)
			}
		}
		_, err = capmc(serve(reply(200, `{"e":500,"err_msg":"pcs down","on":["x3000c0s9b0n0"]}`))).PowerStatus(t.Context(), []bos.ComponentID{node1})
		expectError(t, err, []error{bos.ErrUnavailable})
		if got, err := capmc(serve(reply(404, `{"e":404,"err_msg":"No matching components found"}`))).PowerStatus(t.Context(), []bos.ComponentID{node1}); err != nil || len(got) != 0 {
			t.Errorf("%v, error %v, want an empty answer", got, err)
		}
	})
}

func TestSVCConfiguration(t *testing.T) {
	page := func(from, n int, next string) step {
		var items []string
		for _, id := range many(from + n)[from:] {
			items = append(items, `{"id":"`+string(id)+`","desired_config":"c","error_count":2,"enabled":true,"configuration_status":"Pending","logs":"http://ara/x","tags":{}}`)
		}
		return reply(200, `{"components":[`+strings.Join(items, ",")+`],"next":`+next+`}`)
	}
	next := func(after string) string {
		return `{"limit":1000,"after_id":"` + after + `","ids":"","status":"","enabled":null,"config_name":"","state_details":false,"config_details":false,"tags":""}`
	}
	t.Run("SVC-060 pages", func(t *testing.T) {
		s := serve(page(0, 1000, next("a")), page(1000, 1000, next("b")), page(2000, 500, "null"))
		got, err := config(s).Components(t.Context(), nil)
		if err != nil || len(got) != 2500 {
			t.Fatalf("%d components, error %v, want 2500", len(got), err)
		}
		id := many(1)[0]
		if diff := cmp.Diff(cfs.Component{ID: id, DesiredConfig: "c", Status: cfs.StatusPending, Enabled: true, ErrorCount: 2, LogsURL: "http://ara/x"}, got[id]); diff != "" {
			t.Errorf("component (-want +got):\n%s", diff)
		}
		asked := s.asked()
		if len(asked) != 3 || asked[0].path != "/v3/components" || asked[0].query != "" {
			t.Fatalf("requests %v", asked)
		}
		for i, after := range []string{"a", "b"} {
			q, err := url.ParseQuery(asked[i+1].query)
			want := url.Values{"limit": {"1000"}, "after_id": {after}, "ids": {""}, "status": {""}, "config_name": {""}, "state_details": {"False"}, "config_details": {"False"}, "tags": {""}}
			if diff := cmp.Diff(want, q); err != nil || diff != "" {
				t.Errorf("query (-want +got):\n%s", diff)
			}
		}
	})
	t.Run("SVC-060 an empty last page", func(t *testing.T) {
		got, err := config(serve(page(0, 2, next("a")), page(2, 0, "null"))).Components(t.Context(), nil)
		if err != nil || len(got) != 2 {
			t.Errorf("%d components, error %v, want 2", len(got), err)
		}
	})
	t.Run("SVC-061 pages in a circle", func(t *testing.T) {
		for name, s := range map[string]*service{
			"the same page": serve(page(0, 1, next("a"))),
			"two pages":     serve(page(0, 1, next("a")), page(1, 1, next("b")), page(0, 1, next("a"))),
			"no after_id":   serve(page(0, 1, `{"limit":1}`)),
			"an empty next": serve(page(0, 1, `{}`)),
		} {
			_, err := config(s).Components(t.Context(), nil)
			expectError(t, err, []error{rest.ErrMalformed, bos.ErrUnavailable})
			if n := len(s.asked()); n > 4 {
				t.Errorf("%s: %d requests", name, n)
			}
		}
	})
	t.Run("SVC-062 SVC-072 components by id", func(t *testing.T) {
		ids := many(450)
		s := serve(page(0, 199, "null"), page(200, 200, "null"), page(400, 51, "null"))
		got, err := config(s).Components(t.Context(), append(slices.Clone(ids), ids[0]))
		if _, ok := got[ids[199]]; err != nil || len(got) != 449 || ok {
			t.Errorf("%d components, error %v, want all but the one that CFS does not know", len(got), err)
		}
		var sizes []int
		for _, r := range s.asked() {
			q, err := url.ParseQuery(r.query)
			if err != nil || len(q) != 1 || len(r.query) > 15000 {
				t.Errorf("query of %d bytes with %d members, error %v", len(r.query), len(q), err)
			}
			sizes = append(sizes, len(strings.Split(q.Get("ids"), ",")))
		}
		if want := []int{200, 200, 50}; !slices.Equal(sizes, want) {
			t.Errorf("ids per request %v, want %v", sizes, want)
		}
	})
	t.Run("SVC-062 long ids", func(t *testing.T) {
		var ids []bos.ComponentID
		for i := range 200 {
			ids = append(ids, bos.ComponentID(strings.Repeat("\u00e9", 60)+fmt.Sprint(i)))
		}
		s := serve(page(0, 0, "null"))
		if _, err := config(s).Components(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
		for _, r := range s.asked() {
			if len(r.query) > 15000 {
				t.Errorf("query of %d bytes", len(r.query))
			}
		}
	})
	assigned := func(r request) (ids []string, patch string) {
		var body struct {
			Patch   json.RawMessage
			Filters struct{ IDs string }
		}
		if err := json.Unmarshal([]byte(r.body), &body); err != nil {
			t.Fatal(err)
		}
		return strings.Split(body.Filters.IDs, ","), string(body.Patch)
	}
	done := func(ids ...bos.ComponentID) step {
		text, _ := json.Marshal(map[string]any{"component_ids": ids})
		return reply(200, string(text))
	}
	t.Run("SVC-063 SVC-064 many components", func(t *testing.T) {
		ids := many(2500)
		s := serve(done(ids[:1000]...), done(ids[1000:2000]...), done(ids[2000:]...))
		err := config(s).Assign(t.Context(), append(slices.Clone(ids), ids[3]), cfs.Assignment{Configuration: "compute", Session: "s1", ClearState: true})
		if err != nil {
			t.Fatal(err)
		}
		var sizes []int
		for _, r := range s.asked() {
			list, patch := assigned(r)
			sizes = append(sizes, len(list))
			if r.method != "PATCH" || r.path != "/v3/components" || patch != `{"enabled":false,"desired_config":"compute","tags":{"bos_session":"s1"},"state":[]}` {
				t.Errorf("%s %s, patch %s", r.method, r.path, patch)
			}
		}
		if want := []int{1000, 1000, 500}; !slices.Equal(sizes, want) {
			t.Errorf("ids per request %v, want %v", sizes, want)
		}
	})
	t.Run("SVC-064 a configuration without more", func(t *testing.T) {
		s := serve(done(node1))
		if err := config(s).Assign(t.Context(), []bos.ComponentID{node1}, cfs.Assignment{Enabled: true}); err != nil {
			t.Fatal(err)
		}
		if _, patch := assigned(only(t, s)); patch != `{"enabled":true,"desired_config":"","tags":{"bos_session":""}}` {
			t.Errorf("patch %s", patch)
		}
	})
	t.Run("SVC-065 no components", func(t *testing.T) {
		s := serve(done())
		for _, ids := range [][]bos.ComponentID{nil, {}, {""}, {" "}, {","}, {"", "\t"}, {"a,b"}} {
			if err := config(s).Assign(t.Context(), ids, cfs.Assignment{}); err == nil {
				t.Errorf("no error for %q", ids)
			}
			if ids != nil {
				if got, err := config(s).Components(t.Context(), ids); err != nil || len(got) != 0 {
					t.Errorf("%q: %v, error %v, want nothing", ids, got, err)
				}
			}
		}
		if n := len(s.asked()); n != 0 {
			t.Errorf("%d requests, want none: an empty filter hits every component", n)
		}
	})
	t.Run("SVC-066 unknown components", func(t *testing.T) {
		err := config(serve(done(node3, node1))).Assign(t.Context(), []bos.ComponentID{node1, node2, node3}, cfs.Assignment{Configuration: "c"})
		partial, ok := errors.AsType[*bos.BatchError](err)
		if !ok || len(partial.Failed) != 1 || !errors.Is(partial.Failed[node2], bos.ErrNotFound) || !strings.Contains(err.Error(), "unknown to cfs") {
			t.Errorf("error %v, want one for %s", err, node2)
		}
	})
	t.Run("SVC-073 the third request fails", func(t *testing.T) {
		ids := many(2500)
		err := config(serve(done(ids[:1000]...), done(ids[1000:2000]...), reply(503, ""))).Assign(t.Context(), ids, cfs.Assignment{Configuration: "c"})
		partial, ok := errors.AsType[*bos.BatchError](err)
		if !ok || len(partial.Failed) != 500 || !errors.Is(partial.Failed[ids[2400]], bos.ErrUnavailable) || partial.Failed[ids[0]] != nil {
			t.Errorf("error %v, want an outage for the last 500", err)
		}
	})
	t.Run("version 2", func(t *testing.T) {
		s := serve(
			reply(200, `[{"id":"x3000c0s1b0n0","desiredConfig":"c","errorCount":1,"enabled":true,"configurationStatus":"configured","tags":{},"state":[{"commit":"a_failed"}]}]`),
			reply(200, `[{"id":"x3000c0s1b0n0"}]`),
		)
		c := must(cfs.New("http://cray-cfs-api/v2/", s.config()))
		got, err := c.Components(t.Context(), []bos.ComponentID{node1})
		want := map[bos.ComponentID]cfs.Component{node1: {ID: node1, DesiredConfig: "c", Status: cfs.StatusConfigured, Enabled: true, ErrorCount: 1}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, components (-want +got):\n%s", err, diff)
		}
		if err := c.Assign(t.Context(), []bos.ComponentID{node1}, cfs.Assignment{Configuration: "d", Session: "s"}); err != nil {
			t.Error(err)
		}
		if r := s.asked()[1]; r.path != "/v2/components" || r.body != `{"filters":{"ids":"x3000c0s1b0n0"},"patch":{"enabled":false,"desiredConfig":"d","tags":{"bos_session":"s"}}}` {
			t.Errorf("request %+v", r)
		}
	})
	t.Run("version 2 answers for a bounded number of components", func(t *testing.T) {
		const refusal = `{"type":"about:blank","title":"The response size is too large","status":400,"detail":"The response size exceeds the default_page_size. Use the v3 API to page through the results."}`
		cfg := serve().config()
		limit, asked := 60, 0
		cfg.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			asked++
			ids := strings.Split(r.URL.Query().Get("ids"), ",")
			if !r.URL.Query().Has("ids") || len(ids) > limit {
				return reply(400, refusal)(r)
			}
			return reply(200, `[{"id":"`+strings.Join(ids, `","desiredConfig":"c"},{"id":"`)+`"}]`)(r)
		})
		c := must(cfs.New("http://cray-cfs-api/v2", cfg))
		_, err := c.Components(t.Context(), nil)
		expectError(t, err, []error{bos.ErrTooLarge}, bos.ErrUnavailable)
		if !strings.Contains(err.Error(), "default_page_size") || asked != 1 {
			t.Errorf("error %v after %d requests, want one that names the option", err, asked)
		}
		if got, err := c.Components(t.Context(), many(300)); err != nil || len(got) != 300 {
			t.Errorf("%d components, error %v, want 300", len(got), err)
		}
		limit, asked = 0, 0
		_, err = c.Components(t.Context(), many(1000))
		expectError(t, err, []error{bos.ErrInvalid})
		if asked > 10 {
			t.Errorf("%d requests although not even one component is answered", asked)
		}
		s := serve(reply(400, refusal))
		_, err = config(s).Components(t.Context(), many(10))
		expectError(t, err, []error{bos.ErrInvalid}, bos.ErrTooLarge)
		only(t, s) // version 3 has pages
	})
	t.Run("a malformed component is named", func(t *testing.T) {
		for version, body := range map[string]string{"v3": `{"components":[{"id":"x3000c0s1b0n0"},{"id":"x3000c0s2b0n0","error_count":"2"}],"next":null}`, "v2": `[{"id":"x3000c0s1b0n0"},{"id":"x3000c0s2b0n0","errorCount":[]}]`} {
			_, err := must(cfs.New("http://cray-cfs-api/"+version, serve(reply(200, body)).config())).Components(t.Context(), nil)
			expectError(t, err, []error{rest.ErrMalformed})
			if !strings.Contains(err.Error(), `item 2, "x3000c0s2b0n0": `) {
				t.Errorf("%s: error %v, want the component", version, err)
			}
		}
	})
	t.Run("records that lack members, strangers and repetitions", func(t *testing.T) {
		s := serve(reply(200, `{"components":[null,{"desired_config":"c"},{"id":"x3000c0s9b0n0"},{"id":"x3000c0s1b0n0","desired_config":null,"error_count":null,"configuration_status":null,"tags":null},{"id":"x3000c0s1b0n0","retry_policy":-1}]}`))
		got, err := config(s).Components(t.Context(), []bos.ComponentID{node1, node2})
		if want := map[bos.ComponentID]cfs.Component{node1: {ID: node1}}; err != nil || !maps.Equal(got, want) {
			t.Errorf("%v, error %v, want the one that was asked for", got, err)
		}
	})
	t.Run("a page that breaks off leaves nothing behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for version, bodies := range map[string][2]string{
				"v3": {`{"next":{"after_id":"a"},"components":[{"id":"x3000c0s1b0n0"},`, `{"components":[{"id":"x3000c0s2b0n0"}]}`},
				"v2": {`[{"id":"x3000c0s1b0n0"},`, `[{"id":"x3000c0s2b0n0"}]`},
			} {
				s := serve(truncated(bodies[0]), reply(200, bodies[1]))
				got, err := must(cfs.New("http://cray-cfs-api/"+version, s.config())).Components(t.Context(), nil)
				if _, ok := got[node2]; err != nil || len(got) != 1 || !ok || len(s.asked()) != 2 {
					t.Errorf("%s: %v, error %v after %d requests, want the second answer alone", version, got, err, len(s.asked()))
				}
			}
		})
	})
}

func TestSVCBootParameters(t *testing.T) {
	artifacts := bos.BootArtifacts{Kernel: "s3://b/k", KernelParameters: "quiet <&>", Initrd: "s3://b/i"}
	t.Run("SVC-080 the token in any spelling", func(t *testing.T) {
		for _, header := range []string{"BSS-Referral-Token", "bss-referral-token", "BSS-REFERRAL-TOKEN"} {
			s := serve(reply(200, "", header, "3f2a"))
			token, err := boot(s).SetBootParameters(t.Context(), []bos.ComponentID{node1, node2, node1}, artifacts)
			if err != nil || token != "3f2a" {
				t.Errorf("%s: error %v, or another token", header, err)
			}
			if r := only(t, s); r.method != "PUT" || r.path != "/boot/v1/bootparameters" || r.body != `{"hosts":["x3000c0s1b0n0","x3000c0s2b0n0"],"params":"quiet \u003c\u0026\u003e","kernel":"s3://b/k","initrd":"s3://b/i"}` {
				t.Errorf("request %+v", r)
			}
		}
	})
	t.Run("SVC-081 no token", func(t *testing.T) {
		for _, step := range []step{reply(200, ""), reply(200, "", "BSS-Referral-Token", " "), reply(204, "")} {
			_, err := boot(serve(step)).SetBootParameters(t.Context(), []bos.ComponentID{node1}, artifacts)
			expectError(t, err, []error{rest.ErrMalformed, bos.ErrUnavailable})
		}
	})
	t.Run("SVC-083 each call has its token", func(t *testing.T) {
		s := serve(reply(200, "", "BSS-Referral-Token", "a"), reply(200, "", "BSS-Referral-Token", "b"))
		for _, want := range []bos.BSSToken{"a", "b"} {
			if got, err := boot(s).SetBootParameters(t.Context(), []bos.ComponentID{node1}, artifacts); err != nil || got != want {
				t.Errorf("error %v, or another token than the answer's", err)
			}
		}
	})
	t.Run("a token among the parameters hides the real one", func(t *testing.T) {
		for params, warn := range map[string]bool{"quiet bss_referral_token=geheim": true, "bss_referral_token=geheim": true, "my_bss_referral_token=x": false, "quiet": false} {
			var log strings.Builder
			s := serve(reply(200, "", "BSS-Referral-Token", "a"))
			cfg := s.config()
			cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			if _, err := must(bss.New("http://cray-bss/boot/v1", cfg)).SetBootParameters(t.Context(), []bos.ComponentID{node1}, bos.BootArtifacts{Kernel: "s3://b/k", KernelParameters: params}); err != nil {
				t.Error(err)
			}
			if got := strings.Contains(log.String(), "level=WARN"); got != warn || strings.Contains(log.String(), "geheim") {
				t.Errorf("%s: log %s, want a warning without the token: %v", params, &log, warn)
			}
		}
	})
	t.Run("SVC-087 no hosts", func(t *testing.T) {
		s := serve(reply(200, "", "BSS-Referral-Token", "a"))
		for _, ids := range [][]bos.ComponentID{nil, {}, {""}, {node1, ""}} {
			_, err := boot(s).SetBootParameters(t.Context(), ids, artifacts)
			expectError(t, err, []error{bos.ErrInvalid})
		}
		if n := len(s.asked()); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
}

func TestSVCImages(t *testing.T) {
	t.Run("SVC-090 no such image", func(t *testing.T) {
		_, err := images(serve(reply(404, `{"title":"Not Found","detail":"Requested resource does not exist."}`))).Image(t.Context(), "46a2")
		expectError(t, err, []error{bos.ErrNotFound}, bos.ErrUnavailable)
		if !strings.HasPrefix(err.Error(), "IMS image id '46a2' does not exist in IMS") {
			t.Errorf("error %q", err)
		}
	})
	t.Run("SVC-091 retries", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for fatal, want := range map[bool]int{false: 5, true: 9} {
				s := serve(reply(503, ""))
				cfg := s.config()
				if fatal {
					cfg.Retries = func() int { return 8 }
				}
				_, err := must(ims.New("http://cray-ims/v3", cfg)).Image(t.Context(), "i")
				expectError(t, err, []error{bos.ErrUnavailable}, bos.ErrNotFound)
				if n := len(s.asked()); n != want {
					t.Errorf("fatal %v: %d requests, want %d", fatal, n, want)
				}
			}
		})
	})
	t.Run("SVC-093 architectures", func(t *testing.T) {
		for body, want := range map[string]string{`{"id":"i","arch":"aarch64"}`: "aarch64", `{"id":"i"}`: "x86_64", `{"id":"i","arch":null,"link":null,"metadata":null}`: "x86_64"} {
			s := serve(reply(200, body))
			got, err := images(s).Image(t.Context(), "i/../j")
			if err != nil || got.Arch != want || got.Metadata == nil {
				t.Errorf("%s: %+v, error %v, want %s", body, got, err, want)
			}
			if r := only(t, s); r.path != "/v3/images/i/../j" { // escaped on the wire
				t.Errorf("request %+v", r)
			}
		}
	})
	t.Run("SVC-094 the tag", func(t *testing.T) {
		s := serve(reply(200, `{"id":"i"}`))
		if err := images(s).Tag(t.Context(), "i", "sbps-project", "true"); err != nil {
			t.Fatal(err)
		}
		if r := only(t, s); r.method != "PATCH" || r.path != "/v3/images/i" || r.body != `{"metadata":{"key":"sbps-project","operation":"set","value":"true"}}` {
			t.Errorf("request %+v", r)
		}
	})
}

func TestSVCTenants(t *testing.T) {
	t.Run("SVC-103 SVC-104 no such tenant, or no such service", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, tt := range []struct {
				status    int
				body      string
				want, not error
			}{
				{404, `"Tenant with name/uuid 'x' not found."`, bos.ErrNotFound, bos.ErrUnavailable},
				{404, ``, bos.ErrNotFound, bos.ErrUnavailable},
				{404, `{"message":"Page not found"}`, bos.ErrUnavailable, bos.ErrNotFound},
				{404, `<html>default backend</html>`, bos.ErrUnavailable, bos.ErrNotFound},
				{503, `no healthy upstream`, bos.ErrUnavailable, bos.ErrNotFound},
				{500, `{"message":"etcd"}`, bos.ErrUnavailable, bos.ErrNotFound},
			} {
				_, err := tenants(serve(reply(tt.status, tt.body))).TenantNodes(t.Context(), "x")
				expectError(t, err, []error{tt.want}, tt.not)
			}
		})
	})
	t.Run("SVC-105 SVC-106 what a tenant owns", func(t *testing.T) {
		for body, want := range map[string]map[bos.ComponentID]bool{
			`{"spec":{"tenantresources":[{"xnames":["x3000c0s1b0n0"]}]}}`: {},
			`{"status":null}`: {},
			`{"status":{"uuid":"u","tenantresources":null}}`:                    {},
			`{"status":{"tenantresources":[{"type":"compute","xnames":null}]}}`: {},
			`{"spec":{"tenantresources":[{"xnames":["x3000c0s1b0n0","x3000c0s3b0n0"]}]},"status":{"tenantresources":[{"xnames":["x3000c0s1b0n0"]},{"xnames":["x3000c0s2b0n0","x3000c0s1b0n0"]}]}}`: {node1: true, node2: true},
		} {
			got, err := tenants(serve(reply(200, body))).TenantNodes(t.Context(), "blue")
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s: error %v, nodes (-want +got):\n%s", body, err, diff)
			}
		}
	})
	t.Run("a name is one segment of the path", func(t *testing.T) {
		s := serve(reply(200, `{"status":{}}`))
		if _, err := tenants(s).TenantNodes(t.Context(), "a/b?c#d"); err != nil {
			t.Fatal(err)
		}
		if r := only(t, s); r.path != "/v1alpha3/tenants/a/b?c#d" || r.query != "" {
			t.Errorf("request %+v", r)
		}
	})
	t.Run("answers are reused for a while", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := new(tapmstest.Fake)
			f.Set("blue", node1)
			c := tapms.Cached(f, time.Hour)
			for _, wait := range []time.Duration{0, 5 * time.Second, 4 * time.Second} {
				time.Sleep(wait)
				if got, err := c.TenantNodes(t.Context(), "blue"); err != nil || !got[node1] {
					t.Errorf("%v, error %v", got, err)
				}
			}
			f.Set("blue", node2)
			time.Sleep(time.Second)
			if got, err := c.TenantNodes(t.Context(), "blue"); err != nil || !got[node2] {
				t.Errorf("%v, error %v, want a new answer after ten seconds", got, err)
			}
			if n := len(f.Calls()); n != 2 {
				t.Errorf("%d calls, want 2", n)
			}
			for range 2 {
				_, err := c.TenantNodes(t.Context(), "red")
				expectError(t, err, []error{bos.ErrNotFound})
			}
			if n := len(f.Calls()); n != 4 {
				t.Errorf("%d calls, want 4: errors are not kept", n)
			}
		})
	})
}
