package fleet

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// TestHealth asks every service whether it is alive.
func TestHealth(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	for path, status := range map[string]int{
		"/hsm/v2/service/ready": 200, "/hsm/v2/service/liveness": 204, "/pcs/liveness": 204, "/pcs/v1/readiness": 204, "/pcs/v1/health": 200,
		"/capmc/v1/liveness": 204, "/capmc/v1/readiness": 204, "/capmc/v1/health": 200, "/cfs/healthz": 200, "/cfs/v3/healthz": 200,
		"/bss/boot/v1/service/status": 200, "/ims/v3/healthz/ready": 200, "/ims/healthz/live": 200, "/ims/version": 200, "/_sim/healthz": 200, "/_sim/": 200,
	} {
		want(t, m, "GET", path, "", status, nil)
	}
	for _, path := range []string{"/", "/hsm/v2/none", "/pcs/v2/transitions", "/dns/v1", "/_sim/none"} {
		want(t, m, "GET", path, "", 404, nil)
	}
	want(t, m, "DELETE", "/hsm/v2/State/Components", "", 405, nil)
}

// TestOneService serves a service by itself.
func TestOneService(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	for _, name := range Services() {
		w := httptest.NewRecorder()
		m.Service(name).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hsm/v2/groups", nil))
		if (w.Code == 200) != (name == "hsm") {
			t.Errorf("%s answers %d for HSM", name, w.Code)
		}
		if base := BaseURLs("http://sim")[name]; !strings.HasPrefix(base, "http://sim/"+name) {
			t.Errorf("base URL of %s is %q", name, base)
		}
	}
	if m.Service("dns") != nil {
		t.Error("there is a service that is not there")
	}
}

// TestMaskedToken: a node reports the token on its kernel line, which is the
// user's where the parameters have one.
func TestMaskedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reports
		m := newMachine(t, Config{Nodes: 1, Report: r.send})
		defer run(t, m)()
		putBoot(t, m, x0, "quiet bss_referral_token=mine")
		transit(t, m, "On", x0)
		synctest.Wait()
		if got := r.list(); !slices.Equal(got, []string{x0 + " mine"}) {
			t.Errorf("reports %q", got)
		}
	})
}

func TestFaultKindsAreDescribed(t *testing.T) {
	lines := FaultKinds()
	if len(lines) != len(faultKinds) || !slices.IsSorted(lines) {
		t.Errorf("%d lines for %d kinds", len(lines), len(faultKinds))
	}
	for _, l := range lines {
		if name, help, _ := strings.Cut(l, " "); strings.TrimSpace(help) == "" || faultKinds[name].help == "" {
			t.Errorf("no help in %q", l)
		}
	}
}
