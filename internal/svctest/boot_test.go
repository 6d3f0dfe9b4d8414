package svctest

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/pcs"
)

var tokenInScript = regexp.MustCompile(`bss_referral_token=(\S+)`)

var bootCases = []svcCase{
	{"SVC-082 BSS fails for one of two groups", func(t *testing.T) {
		w := newWorld(t, 4)
		images := w.images("x86_64")
		groups := map[string][]bos.ComponentID{images[0].ID: w.ids[:2], images[1].ID: w.ids[2:]}
		for i := range 2 {
			w.put(artifacts(images[i]), groups[images[i].ID], inPhase(bos.PhasePoweringOn))
		}
		puts, refused := 0, ""
		w.setMeddle(func(r request, send func() (*http.Response, error)) (*http.Response, error) {
			if !to("bss", http.MethodPut, "/bootparameters")(r) {
				return send()
			}
			if puts++; puts == 1 {
				return send()
			}
			refused = string(r.body)
			return answer(http.StatusInternalServerError, `{"detail":"no room"}`), nil
		})
		_ = w.pass("power-on") // the components tell
		for _, img := range images[:2] {
			bad := strings.Contains(refused, img.ID)
			for _, id := range groups[img.ID] {
				c := w.api.Get(id)
				if got := len(w.commands(pcs.On, id)); got == 1 == bad {
					t.Errorf("BSS refused it: %t, turned on %d times; %s", bad, got, w.describe(id))
				}
				if strings.Contains(c.ErrorText(), "BSS") != bad {
					t.Errorf("BSS refused it: %t; %s", bad, w.describe(id))
				}
			}
		}
		if refused == "" {
			t.Error("BSS was asked once alone")
		}
	}},
	{"SVC-084 a token that BOS never recorded", func(t *testing.T) {
		w := newWorld(t, 1)
		if status, err := w.report(t.Context(), string(w.ids[0]), "stranger"); err != nil || status != http.StatusOK {
			t.Errorf("answer %d, %v", status, err)
		}
		c := w.api.Get(w.ids[0])
		if c.ActualState == nil || bos.Value(c.ActualState.BSSToken) != "stranger" || !c.ActualArtifacts().Empty() {
			t.Errorf("actual state %+v, want the token alone", c.ActualState)
		}
		if len(w.log.has("level=WARN", "token")) != 1 || len(w.log.has("stranger")) != 0 {
			t.Errorf("log %q, want one warning without the token", w.log.lines)
		}
	}},
	{"SVC-085 the script fetched twice", func(t *testing.T) {
		w := newWorld(t, 1)
		token, err := w.deps.Boot.SetBootParameters(t.Context(), w.ids, artifacts(w.image))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			rec := httptest.NewRecorder()
			w.machine.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/bss/boot/v1/bootscript?name="+string(w.ids[0]), nil))
			if m := tokenInScript.FindStringSubmatch(rec.Body.String()); m == nil || m[1] != string(token) {
				t.Errorf("the script has %q, want the token that BOS got: %s", m, rec.Body)
			}
		}
	}},
	{"SVC-086 a node that reboots by itself", func(t *testing.T) {
		w := newWorld(t, 1)
		w.start()
		w.boot()
		before := bos.Value(w.api.Get(w.ids[0]).ActualState.BSSToken)
		newer := artifacts(w.images("x86_64")[1])
		token, err := w.deps.Boot.SetBootParameters(t.Context(), w.ids, newer)
		if err == nil {
			err = w.api.PutBootArtifacts(t.Context(), token, newer)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []pcs.Operation{pcs.ForceOff, pcs.On} { // somebody else's
			if _, err := w.deps.Power.Transition(t.Context(), op, w.ids); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
		}
		c := w.api.Get(w.ids[0])
		if got := bos.Value(c.ActualState.BSSToken); got != token || got == before || !c.ActualArtifacts().Same(newer) {
			t.Errorf("actual state %+v, want the newer token and what it stands for; %s", c.ActualState, w.describe(w.ids[0]))
		}
	}},
	{"SVC-088 no boot script", func(t *testing.T) {
		w := newWorld(t, 1)
		missing := w.inject("bootscript_404", "")
		w.start()
		w.session("s", bos.OperationBoot)
		time.Sleep(1190 * time.Second)
		w.wantStatus(bos.StatusPowerOnCalled, w.ids...)
		if n := w.node(w.ids[0]); n.Phase != "pxe" {
			t.Errorf("the node is in %s, want it to ask for its script", n.Phase)
		}
		time.Sleep(60 * time.Second)
		w.clear(missing)
		w.await("s", time.Hour)
		w.wantUp(w.ids...)
		on, off := w.commands(pcs.On, w.ids[0]), w.commands(pcs.SoftOff, w.ids[0])
		if len(on) != 2 || len(off) != 1 {
			t.Fatalf("%d On and %d Soft-Off, want 2 and 1", len(on), len(off))
		}
		if after := off[0].at.Sub(on[0].at); after < 1200*time.Second || after > 1240*time.Second {
			t.Errorf("powered off %s after the power-on, want max_boot_wait_time", after)
		}
		if !slices.IsSortedFunc([]time.Time{on[0].at, off[0].at, on[1].at}, time.Time.Compare) {
			t.Error("not in the order On, Soft-Off, On")
		}
	}},
}
