package bosserver

import "testing"

// Power transitions are the operators' own: no tenant reads, makes or removes one.
func TestPowerTransitionsAreNotForTenants(t *testing.T) {
	s := newSystem(t)
	const body = `{"service_id":"s","operation":"On","operator":"power-on","accepted":5,"components":["x1"]}`
	s.want(s.do("PUT", "/v2/transitions/t1", body), 204, "", "")
	for _, r := range [][3]string{{"GET", "/v2/transitions", ""}, {"PUT", "/v2/transitions/t2", body}, {"DELETE", "/v2/transitions/t1", ""}} {
		s.want(s.do(r[0], r[1], r[2], "Cray-Tenant-Name", "ten1"), 403, "", "is not for tenants")
	}
	if ts, err := s.svc.PowerTransitions(t.Context(), nil); err != nil || len(ts) != 1 || ts[0].ID != "t1" {
		t.Errorf("remembered are %+v, %v, want t1 alone", ts, err)
	}
	s.want(s.do("PUT", "/v2/transitions/-t", body), 400, "", "")
	s.want(s.do("PUT", "/v2/transitions/t3", `{"operation":"On"}`), 400, "Bad Request", "required property")
	s.want(s.do("PUT", "/v2/transitions/t3", `{"service_id":"s","operation":"Off","operator":"power-on","accepted":5,"components":["x1"]}`), 400, "", "'Off' is not one of")
}
