package svctest

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/pcs"
)

var powerCases = []svcCase{
	{"SVC-040 an accepted transition is no success", func(t *testing.T) {
		w := newWorld(t, 2)
		held := w.ids[0]
		w.inject("hsm_reserved_by_other", "", held)
		w.start()
		w.session("s", bos.OperationBoot)
		time.Sleep(100 * time.Second)
		w.wantStatus(bos.StatusPowerOnCalled, held)
		w.wantUp(w.ids[1])
		if on, _, _ := w.attempts(held); on != 1 {
			t.Errorf("%d attempts within max_power_on_wait_time", on)
		}
		w.await("s", time.Hour)
		w.wantStatus(bos.StatusFailed, held)
		c := w.api.Get(held)
		if on, _, _ := w.attempts(held); on != 3 || !strings.Contains(c.ErrorText(), "Unable to reserve") {
			t.Errorf("want 3 attempts and the reason; %s", w.describe(held))
		}
	}},
	{"SVC-045 a node missing from the answers", func(t *testing.T) {
		w := newWorld(t, 2)
		gone := w.ids[0]
		w.setMeddle(func(r request, send func() (*http.Response, error)) (*http.Response, error) {
			resp, err := send()
			if err != nil || !to("pcs", http.MethodPost, "/power-status")(r) {
				return resp, err
			}
			var body struct {
				Status []map[string]any `json:"status"`
			}
			err = json.NewDecoder(resp.Body).Decode(&body)
			resp.Body.Close()
			if err != nil {
				return nil, err
			}
			body.Status = slices.DeleteFunc(body.Status, func(s map[string]any) bool { return s["xname"] == string(gone) })
			changed, err := json.Marshal(body)
			return answer(http.StatusOK, string(changed)), err
		})
		w.start()
		w.session("s", bos.OperationBoot)
		time.Sleep(20 * time.Second)
		if c := w.api.Get(gone); !c.IsEnabled() {
			t.Errorf("given up within the grace; %s", w.describe(gone))
		}
		w.await("s", time.Hour)
		w.wantUp(w.ids[1])
		w.wantStatus(bos.StatusOnHold, gone)
		if c := w.api.Get(gone); c.IsEnabled() || !strings.Contains(c.ErrorText(), "pcs") {
			t.Errorf("want it disabled with a reason; %s", w.describe(gone))
		}
	}},
	{"SVC-048 a malformed name blinds nobody", func(t *testing.T) {
		w := newWorld(t, 3)
		w.put(artifacts(w.image), append(w.ids, "x1000c0s0b0n0n0"))
		w.passes("status")
		w.wantStatus(bos.StatusPowerOnPending, w.ids...)
		if got := w.sent(to("pcs", http.MethodPost, "/power-status")); len(got) > 2 {
			t.Errorf("%d requests, want the names isolated and the others asked once more", len(got))
		}
		if c := w.api.Get("x1000c0s0b0n0n0"); c.CurrentPhase() != bos.PhaseNone {
			t.Errorf("the malformed one is %s", c.CurrentPhase())
		}
	}},
	{"SVC-050 a graceful power-off that is ignored", func(t *testing.T) {
		w := newWorld(t, 1)
		w.start()
		w.boot()
		w.inject("soft_off_ignored", "")
		w.session("s", bos.OperationShutdown)
		w.await("s", 10*time.Minute)
		soft, force := w.commands(pcs.SoftOff, w.ids[0]), w.commands(pcs.ForceOff, w.ids[0])
		if len(soft) != 1 || len(force) != 1 {
			t.Fatalf("%d Soft-Off and %d Force-Off, want one each", len(soft), len(force))
		}
		if after := force[0].at.Sub(soft[0].at); after < 300*time.Second || after > 320*time.Second {
			t.Errorf("Force-Off %s after Soft-Off, want 300 s", after)
		}
		if _, graceful, _ := w.attempts(w.ids[0]); graceful != 1 {
			t.Errorf("%d graceful attempts, want 1", graceful)
		}
		if n := w.node(w.ids[0]); n.Power != "off" {
			t.Errorf("the node is %s", n.Power)
		}
	}},
	{"SVC-051 a forced power-off that does nothing", func(t *testing.T) {
		w := newWorld(t, 1)
		w.start()
		w.boot()
		w.inject("soft_off_ignored", "")
		w.inject("force_off_fails", "")
		w.session("s", bos.OperationShutdown)
		w.await("s", time.Hour)
		w.wantStatus(bos.StatusFailed, w.ids[0])
		force := w.commands(pcs.ForceOff, w.ids[0])
		if len(force) != 3 {
			t.Fatalf("%d Force-Off, want 3", len(force))
		}
		for i := range force[1:] {
			if pause := force[i+1].at.Sub(force[i].at); pause < 300*time.Second || pause > 330*time.Second {
				t.Errorf("Force-Off repeated after %s, want 300 s", pause)
			}
		}
	}},
	{"SVC-052 turned on without an answer", func(t *testing.T) {
		w := newWorld(t, 1, atSpeed(1))
		lost := false
		w.setMeddle(func(r request, send func() (*http.Response, error)) (*http.Response, error) {
			op, _, ok := r.transition()
			resp, err := send()
			if ok && op == pcs.On && !lost {
				lost = true
				if resp != nil {
					resp.Body.Close()
				}
				return nil, os.ErrDeadlineExceeded
			}
			return resp, err
		})
		w.start()
		w.session("s", bos.OperationBoot)
		w.await("s", time.Hour)
		w.wantUp(w.ids...)
		n := w.node(w.ids[0])
		if !lost || n.Boots != 1 || n.Commands["gracefulshutdown"]+n.Commands["forceoff"] != 0 {
			t.Errorf("answer lost: %t, %d boots, commands %v: want one boot and no power-off", lost, n.Boots, n.Commands)
		}
	}},
	{"SVC-053 power states from before the command", func(t *testing.T) {
		w := newWorld(t, 4, atSpeed(1), func(c *fleet.Config) {
			c.Faults = append(c.Faults, fleet.Fault{Kind: "pcs_sample_interval", Value: "60s"})
		})
		w.start()
		w.session("s", bos.OperationBoot)
		w.await("s", time.Hour)
		w.wantUp(w.ids...)
		for _, id := range w.ids {
			if n := w.node(id); len(w.commands(pcs.On, id)) != 1 || n.Commands["on"] != 1 || n.Commands["gracefulshutdown"]+n.Commands["forceoff"] != 0 {
				t.Errorf("%d requests and commands %v, want one On", len(w.commands(pcs.On, id)), n.Commands)
			}
		}
		for _, g := range w.api.Writes() {
			if a := g.Patch.LastAction; a != nil && bos.Value(a.Failed) {
				t.Errorf("%s: the power-on counts as failed", g.ID)
			}
		}
	}},
	{"SVC-059 PCS refuses connections for a minute", func(t *testing.T) {
		w := newWorld(t, 3)
		w.session("s", bos.OperationBoot)
		w.passes("session-setup", "status")
		w.wantStatus(bos.StatusPowerOnPending, w.ids...)
		end := time.Now().Add(time.Minute)
		w.setMeddle(func(r request, send func() (*http.Response, error)) (*http.Response, error) {
			if r.service == "pcs" && time.Now().Before(end) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
			}
			return send()
		})
		w.start()
		w.await("s", 10*time.Minute)
		w.wantUp(w.ids...)
		for _, id := range w.ids {
			if on, _, _ := w.attempts(id); on != 1 || w.node(id).Boots != 1 {
				t.Errorf("%s: %d attempts and %d boots, want the successful one alone", id, on, w.node(id).Boots)
			}
		}
	}},
}
