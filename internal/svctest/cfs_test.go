package svctest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/pcs"
)

// cfsPatch is the body of a bulk PATCH of CFS.
type cfsPatch struct {
	Patch struct {
		DesiredConfig string `json:"desired_config"`
		Enabled       *bool
		State         *[]any
	}
	Filters struct{ IDs string }
}

func (p cfsPatch) ids() []string { return strings.Split(p.Filters.IDs, ",") }

// cfsPatches returns the PATCH requests so far.
func (w *world) cfsPatches() []cfsPatch {
	w.t.Helper()
	var found []cfsPatch
	for _, r := range w.sent(to("cfs", http.MethodPatch, "/components")) {
		var p cfsPatch
		if err := json.Unmarshal(r.body, &p); err != nil {
			w.t.Fatalf("%v in %s", err, r.body)
		}
		found = append(found, p)
	}
	return found
}

// configured counts the nodes to which CFS has been told the configuration.
func (w *world) configured() int {
	w.t.Helper()
	known, err := w.deps.Config.Components(w.t.Context(), w.ids)
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, c := range known {
		if c.DesiredConfig == configuration {
			n++
		}
	}
	return n
}

var cfsCases = []svcCase{
	{"SVC-066 unknown to CFS", func(t *testing.T) {
		w := newWorld(t, 3)
		w.inject("cfs_missing", "", w.ids[0])
		w.put(artifacts(w.image), w.ids, inPhase(bos.PhasePoweringOn))
		w.passes("power-on")
		if c := w.api.Get(w.ids[0]); !strings.Contains(c.ErrorText(), "unknown to cfs") || len(w.commands(pcs.On, w.ids[0])) > 0 {
			t.Errorf("want the reason and no command; %s", w.describe(w.ids[0]))
		}
		for _, id := range w.ids[1:] {
			if len(w.commands(pcs.On, id)) != 1 {
				t.Errorf("want it turned on; %s", w.describe(id))
			}
		}
	}},
	{"SVC-067 configuration before power", func(t *testing.T) {
		w := newWorld(t, 2)
		w.put(artifacts(w.image), w.ids, inPhase(bos.PhasePoweringOn))
		w.passes("power-on")
		order := ""
		for _, r := range w.sent(func(r request) bool { return r.method != http.MethodGet }) {
			if _, _, power := r.transition(); power {
				order += " power"
			} else if r.service == "cfs" {
				order += " cfs"
			}
		}
		if order != " cfs power" {
			t.Errorf("order%s, want cfs and power", order)
		}
		for _, p := range w.cfsPatches() {
			if p.Patch.Enabled == nil || *p.Patch.Enabled || p.Patch.State == nil || len(*p.Patch.State) != 0 || p.Patch.DesiredConfig != configuration {
				t.Errorf("patch %+v, want enabled false and an empty state", p.Patch)
			}
		}
	}},
	{"SVC-067 no power without configuration", func(t *testing.T) {
		w := newWorld(t, 2)
		w.put(artifacts(w.image), w.ids, inPhase(bos.PhasePoweringOn))
		w.setMeddle(failing(to("cfs", http.MethodPatch, "/components")))
		_ = w.pass("power-on") // whether it counts as failed is nobody's business here
		if len(w.cfsPatches()) == 0 {
			t.Error("CFS was not asked")
		}
		for _, id := range w.ids {
			if len(w.commands(pcs.On, id)) > 0 {
				t.Errorf("turned on without a configuration; %s", w.describe(id))
			}
		}
	}},
	{"SVC-068 configuration under way", func(t *testing.T) {
		w := newWorld(t, 1)
		w.inject("cfs_never_runs", "")
		w.start()
		w.session("s", bos.OperationBoot)
		time.Sleep(time.Hour)
		w.wantStatus(bos.StatusConfiguring, w.ids...)
		if c := w.api.Get(w.ids[0]); !c.IsEnabled() || w.getSession("", "s").State() != bos.SessionRunning {
			t.Errorf("session %s; %s", w.getSession("", "s").State(), w.describe(w.ids[0]))
		}
	}},
	{"SVC-069 configuration failed", func(t *testing.T) {
		w := newWorld(t, 1)
		w.inject("cfs_status_override", "failed")
		w.start()
		w.session("s", bos.OperationBoot)
		w.await("s", 10*time.Minute)
		w.wantStatus(bos.StatusFailed, w.ids...)
		if c := w.api.Get(w.ids[0]); c.IsEnabled() || c.ErrorText() != "cfs configuration failed" {
			t.Error(w.describe(w.ids[0]))
		}
	}},
	{"SVC-070 configuration deleted", func(t *testing.T) {
		w := newWorld(t, 1)
		w.inject("cfs_status_override", "unconfigured")
		w.start()
		w.session("s", bos.OperationBoot)
		w.await("s", 10*time.Minute)
		w.wantStatus(bos.StatusFailed, w.ids...)
		if c := w.api.Get(w.ids[0]); c.IsEnabled() || !strings.HasSuffix(c.ErrorText(), ": unconfigured") {
			t.Error(w.describe(w.ids[0]))
		}
	}},
	{"SVC-071 no configuration wanted", func(t *testing.T) {
		w := newWorld(t, 1)
		w.putTemplate(func(s *bos.SessionTemplate, _ *bos.BootSet) { s.CFS = nil })
		w.inject("cfs_status_override", "failed")
		w.start()
		w.session("s", bos.OperationBoot)
		w.await("s", 10*time.Minute)
		w.wantUp(w.ids...)
	}},
	{"SVC-072 one of 500 unknown to CFS", func(t *testing.T) {
		w := newWorld(t, 500)
		w.inject("cfs_missing", "", w.ids[123])
		w.put(artifacts(w.image), w.ids, inPhase(bos.PhaseConfiguring))
		w.passes("configuration")
		if got := w.configured(); got != 499 {
			t.Errorf("%d configured, want 499", got)
		}
	}},
	{"version 2 cannot list a large machine", func(t *testing.T) {
		w := newWorld(t, 1100)
		w.deps.Config = must(cfs.New("http://machine/cfs/v2", hsm.Config{Transport: w}))
		w.put(artifacts(w.image), w.ids, inPhase(bos.PhaseConfiguring), func(c *bos.Component) {
			c.ActualState.BootArtifacts = artifacts(w.image).Fields()
		})
		if _, err := w.deps.Power.Transition(t.Context(), pcs.On, w.ids[:1000]); err != nil {
			t.Fatal(err)
		}
		if _, err := w.deps.Power.Transition(t.Context(), pcs.On, w.ids[1000:]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.passes("configuration")
		if got := w.configured(); got != len(w.ids) {
			t.Errorf("%d configured, want %d", got, len(w.ids))
		}
		w.inject("cfs_status_override", "failed")
		w.passes("status")
		w.wantStatus(bos.StatusFailed, w.ids...)
	}},
	{"SVC-073 the third request fails", func(t *testing.T) {
		w := newWorld(t, 2500)
		w.put(artifacts(w.image), w.ids, inPhase(bos.PhaseConfiguring))
		patch, n := to("cfs", http.MethodPatch, "/components"), 0
		w.setMeddle(failing(func(r request) bool {
			if patch(r) {
				n++
			}
			return patch(r) && n == 3
		}))
		if err := w.pass("configuration"); err == nil {
			t.Error("nobody is told of the failure")
		}
		if got := w.configured(); got != 2000 {
			t.Errorf("%d configured, want the first two requests to stay", got)
		}
		w.passes("configuration")
		if got := w.configured(); got != 2500 {
			t.Errorf("%d configured after the next pass", got)
		}
		sizes := []int{}
		for _, p := range w.cfsPatches() {
			sizes = append(sizes, len(p.ids()))
		}
		if len(sizes) != 4 || sizes[3] != 500 {
			t.Errorf("requests of %v, want the last one repeated alone", sizes)
		}
	}},
}
