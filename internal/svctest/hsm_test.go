package svctest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/pcs"
)

var outageCases = []svcCase{
	{"SVC-015 an outage in the middle of a boot", func(t *testing.T) {
		w := newWorld(t, 100, atSpeed(1))
		w.start()
		w.session("s", bos.OperationBoot)
		time.Sleep(4 * time.Minute)
		booting := 0
		for _, id := range w.ids {
			if c := w.api.Get(id); c.ComputeStatus() == bos.StatusPowerOnCalled {
				booting++
			}
		}
		if booting == 0 {
			t.Fatalf("no node boots: the outage would prove nothing; %s", w.describe(w.ids[0]))
		}
		w.fault(fleet.Fault{Kind: "outage", For: 10 * time.Minute})
		if st := w.await("s", 2*time.Hour); st.PercentSuccessful != 100 || st.PercentFailed != 0 {
			t.Errorf("%.1f %% successful, %.1f %% failed", st.PercentSuccessful, st.PercentFailed)
		}
		w.wantUp(w.ids...)
	}},
}

var hsmCases = []svcCase{
	{"SVC-026 an unknown architecture counts as X86", func(t *testing.T) {
		w := newWorld(t, 3)
		w.inject("hsm_no_arch", "", w.ids[0])
		w.inject("arch_mismatch", "UNKNOWN", w.ids[1])
		w.session("s", bos.OperationBoot)
		w.passes("session-setup")
		for _, id := range w.ids {
			if s := w.getSession("", "s"); !strings.Contains(s.Components, string(id)) {
				t.Errorf("%s is not in the session: %q, %q", id, s.Components, s.Status.Error)
			}
		}
	}},
	{"SVC-027 another architecture is left out", func(t *testing.T) {
		w := newWorld(t, 2)
		w.putTemplate(func(_ *bos.SessionTemplate, b *bos.BootSet) { b.Arch = nil }) // the default is X86
		w.inject("arch_mismatch", "ARM", w.ids[0])
		w.session("s", bos.OperationBoot)
		w.passes("session-setup")
		if s := w.getSession("", "s"); s.State() != bos.SessionRunning || s.Components != string(w.ids[1]) {
			t.Errorf("session %s with %q, want it running with %s", s.State(), s.Components, w.ids[1])
		}
		if len(w.log.has("level=INFO", "other architecture", "count=1")) != 1 {
			t.Error("nothing in the log")
		}
	}},
	{"SVC-027 nothing is left", func(t *testing.T) {
		w := newWorld(t, 2)
		w.inject("arch_mismatch", "ARM")
		w.session("s", bos.OperationBoot)
		w.passes("session-setup")
		if s := w.getSession("", "s"); s.State() != bos.SessionComplete || !strings.Contains(strings.ToLower(string(s.Status.Error)), "no nodes") {
			t.Errorf("session %s with error %q", s.State(), s.Status.Error)
		}
	}},
	{"SVC-031 locked nodes are left out", func(t *testing.T) {
		w := newWorld(t, 5)
		w.inject("hsm_locked", "", w.ids[1], w.ids[3])
		w.session("s", bos.OperationBoot)
		w.passes("session-setup")
		for i, id := range w.ids {
			locked := i == 1 || i == 3
			if c := w.api.Get(id); c.IsEnabled() == locked {
				t.Errorf("%s: enabled %t, locked %t", id, c.IsEnabled(), locked)
			}
			if got := len(w.log.has("locked in hsm", string(id))); (got == 1) != locked {
				t.Errorf("%s: locked %t, %d lines about it in the log", id, locked, got)
			}
		}
	}},
	{"SVC-034 HSM away during a power-on", func(t *testing.T) {
		w := newWorld(t, 2)
		w.put(artifacts(w.image), w.ids, inPhase(bos.PhasePoweringOn))
		outage := w.inject("outage", "503")
		if err := w.pass("power-on"); err == nil {
			t.Error("nobody is told that HSM is away")
		}
		w.wantStatus(bos.StatusPowerOnPending, w.ids...)
		if on, _, _ := w.attempts(w.ids[0]); on != 0 {
			t.Errorf("%d attempts used", on)
		}
		for _, service := range []string{"bss", "cfs", "pcs"} {
			if got := w.sent(func(r request) bool { return r.service == service }); len(got) > 0 {
				t.Errorf("%s was asked without a word from HSM", service)
			}
		}
		w.clear(outage)
		time.Sleep(10 * time.Second)
		w.passes("power-on")
		w.wantStatus(bos.StatusPowerOnCalled, w.ids...)
	}},
	{"SVC-036 HSM refuses", func(t *testing.T) {
		for _, status := range []string{"401", "403"} {
			w := newWorld(t, 1)
			w.put(artifacts(w.image), w.ids, inPhase(bos.PhasePoweringOn))
			w.fault(fleet.Fault{Kind: "error_rate", Service: "hsm", Value: status})
			err := w.pass("power-on")
			if err == nil || !strings.Contains(err.Error(), status) && bos.AsStatus(err).Status/100 != 4 {
				t.Errorf("%s: error %v", status, err)
			}
			if got := w.sent(func(r request) bool { return r.service == "hsm" }); len(got) != 1 {
				t.Errorf("%s: %d requests in one pass, want 1", status, len(got))
			}
			w.wantStatus(bos.StatusPowerOnPending, w.ids...)
			if got := w.commands(pcs.On, w.ids[0]); len(got) > 0 {
				t.Errorf("%s: the node was turned on", status)
			}
		}
	}},
}

// failing answers 503 to the requests that fit.
func failing(fits func(request) bool) func(request, func() (*http.Response, error)) (*http.Response, error) {
	return func(r request, send func() (*http.Response, error)) (*http.Response, error) {
		if fits(r) {
			return unavailable()
		}
		return send()
	}
}
