package builtin

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
	"github.com/bootorch/bosgo/pcs"
)

// statusCase is a row of BOS v2 operators 9.2: what PCS and CFS say, the component, and the patch. Each row gets two
// passes a second apart, because some decisions want a second reading; after them the world must be settled.
type statusCase struct {
	name   string
	power  pcs.PowerStatus
	noPCS  bool // x1 is missing from the answer of PCS
	cfs    cfs.Component
	noCFS  bool
	change []change
	rig    func(*rig)
	wait   time.Duration // between the two passes; default none
	want   string        // members of the patch besides id; "" = no write
}

func power(s pcs.State) pcs.PowerStatus { return pcs.PowerStatus{State: s, Available: true} }

func configured(name string, s cfs.Status) cfs.Component {
	return cfs.Component{ID: x1, DesiredConfig: name, Status: s, Enabled: true}
}

var statusCases = []statusCase{
	{name: "OP-001", power: power("off"), change: []change{override("on_hold")},
		want: `{"status":{"status_override":"","phase":"powering_on"}}`},
	{name: "OP-002", power: power("on"), change: []change{override("on_hold")},
		want: `{"status":{"status_override":"","phase":"powering_off"}}`},
	{name: "OP-003", power: power("on"), change: []change{override("on_hold"), actual(artifacts)},
		want: `{"status":{"status_override":""},"enabled":false}`},
	{name: "OP-004", power: power("on"), change: []change{override("on_hold"), actual(artifacts), desired(artifacts, "cfg2")},
		want: `{"status":{"status_override":"","phase":"configuring"}}`},
	{name: "OP-005", power: power("on"), cfs: configured("", "unconfigured"),
		change: []change{override("on_hold"), actual(artifacts), desired(artifacts, "")},
		want:   `{"status":{"status_override":""},"enabled":false}`},
	{name: "OP-006", power: power("on"), cfs: configured("cfg1", "pending"),
		change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 400), actual(artifacts)},
		want:   `{"status":{"status_override":"","phase":"configuring"}}`},
	{name: "OP-007", power: power("on"), cfs: configured("cfg1", "failed"), change: []change{phase("configuring"), actual(artifacts)},
		want: `{"status":{"status_override":"failed"},"enabled":false,"error":"cfs configuration failed"}`},
	{name: "OP-008", power: power("on"), cfs: configured("cfg1", "unconfigured"), change: []change{phase("configuring"), actual(artifacts)},
		want: `{"status":{"status_override":"failed"},"enabled":false,
			"error":"cfs is not reporting a valid configuration status for this component: unconfigured"}`},
	{name: "OP-009", power: power("on"), cfs: configured("cfg1", "CONFIGURED"), change: []change{phase("configuring"), actual(artifacts)},
		want: `{"status":{"status_override":"","phase":""},"event_stats":` + zeroStats + `,"enabled":false}`},
	{name: "OP-010", power: power("on"), change: []change{override("on_hold"), desired(none, "")},
		want: `{"status":{"status_override":"","phase":"powering_off"}}`},
	{name: "OP-011", power: power("off"), change: []change{phase("powering_off"), action(bos.ActionPoweringOffGraceful, 10), desired(none, "")},
		want: `{"status":{"status_override":"","phase":""},"event_stats":` + zeroStats + `,"actual_state":` + emptied + `,"enabled":false}`},
	{name: "OP-012", power: power("off"), change: []change{phase("powering_off"), action(bos.ActionPoweringOffGraceful, 10), actual(artifacts)},
		want: `{"status":{"status_override":"","phase":"powering_on"},"actual_state":` + emptied + `}`},
	{name: "OP-013", power: power("off"), change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 121)},
		want: `{"status":{"status_override":""},"last_action":{"failed":true}}`},
	{name: "OP-014", power: power("off"), change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 120)}},
	{name: "OP-015", power: power("on"), change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 1200)}},
	{name: "OP-016", power: power("on"), change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 1201)},
		want: `{"status":{"status_override":"","phase":"powering_off"}}`},
	{name: "OP-017", noPCS: true, change: []change{phase("powering_off")}, wait: 30 * time.Second,
		want: `{"status":{"status_override":"on_hold","phase":""},"event_stats":` + zeroStats + `,"actual_state":` + emptied + `,
			"enabled":false,"error":"Component information was not returned by pcs"}`},
	{name: "OP-017 within the grace", noPCS: true, change: []change{phase("powering_off")}, wait: 29 * time.Second},
	{name: "OP-018", power: power("on"), noCFS: true, change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 5)}, wait: 30 * time.Second,
		want: `{"status":{"status_override":"on_hold","phase":""},"event_stats":` + zeroStats + `,
			"enabled":false,"error":"Component information was not returned by cfs"}`},
	{name: "OP-018 within the grace", power: power("on"), noCFS: true, change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 5)}, wait: 29 * time.Second},
	{name: "OP-019", power: power("undefined"), noCFS: true, wait: 30 * time.Second,
		want: `{"status":{"status_override":"on_hold"},"enabled":false,"error":"Component information was not returned by pcs"}`},
	{name: "OP-020", power: pcs.PowerStatus{State: "undefined"}, change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 5)},
		want: `{"status":{"status_override":""},"error":"power state not readable: management controller unreachable"}`},
	{name: "OP-020 after the grace it counts as on", power: pcs.PowerStatus{State: "undefined"}, wait: 61 * time.Second,
		change: []change{phase("powering_off"), action(bos.ActionPoweringOffGraceful, 5), actual(artifacts), errorText("power state not readable: management controller unreachable")},
		want:   `{"status":{"status_override":"","phase":""},"event_stats":` + zeroStats + `,"enabled":false,"error":""}`},
	{name: "OP-021", power: pcs.PowerStatus{Error: "Component not found in component map."}, change: []change{override("on_hold")},
		want: `{"status":{"status_override":"on_hold"},"error":"power state not readable: Component not found in component map."}`},
	{name: "a reason that is there already stays", power: pcs.PowerStatus{State: "undefined"}, change: []change{phase("powering_on"), errorText("why")}},
	{name: "OP-022", power: power("off"),
		change: []change{override("failed"), phase("powering_on"), failedAction(bos.ActionPoweringOn, 500), errorText("e")},
		want:   `{"status":{"status_override":"failed"},"enabled":false}`},
	{name: "OP-023", power: power("on"), change: []change{override("failed"), phase("configuring"), actual(artifacts)},
		want: `{"status":{"status_override":"failed","phase":""},"event_stats":` + zeroStats + `,"enabled":false}`},
	{name: "OP-024", power: power("off"), change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 50)}},
	{name: "OP-025", power: power("on"),
		change: []change{override("on_hold"), actual(bos.BootArtifacts{Kernel: kernelK, KernelParameters: paramsP + " x=1", Initrd: initrdI})},
		want:   `{"status":{"status_override":"","phase":"powering_off"}}`},
	{name: "OP-026", power: power("OFF"), change: []change{desired(none, "")},
		want: `{"status":{"status_override":""},"enabled":false}`},
	{name: "OP-027", power: power("on"), cfs: configured("cfg1", "pending"),
		change: []change{phase("powering_off"), action(bos.ActionPoweringOn, 1300), actual(artifacts)},
		want:   `{"status":{"status_override":"","phase":"configuring"}}`},
	{name: "OP-028", power: power("off"),
		change: []change{override("on_hold"), phase("powering_on"), failedAction(bos.ActionPoweringOn, 500), attempts(3, 0, 0)},
		want:   `{"status":{"status_override":""}}`},
	{name: "OP-029", power: power("on"), change: []change{override("on_hold"), action(bos.ActionPoweringOn, 100)},
		want: `{"status":{"status_override":"","phase":"powering_on"}}`},
	{name: "OP-030", power: power("off"), change: []change{phase("configuring"), action(bos.ActionPoweringOn, 500), actual(artifacts)},
		want: `{"status":{"status_override":"","phase":"powering_on"},"last_action":{"failed":true}}`},
	{name: "OP-031", power: power("on"), change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 61)},
		rig:  func(r *rig) { r.bos.SetOptions(bos.OptionsPatch{MaxBootWaitTime: new(60)}) },
		want: `{"status":{"status_override":"","phase":"powering_off"}}`},
	{name: "OP-032", power: power("off"),
		change: []change{phase("powering_on"), func(c *bos.Component) { c.LastAction = &bos.LastAction{Action: new(bos.ActionPoweringOn)} }},
		want:   `{"status":{"status_override":""},"last_action":{"failed":true}}`},
	{name: "OP-035", power: power("on"), cfs: configured("", "unconfigured"),
		change: []change{override("on_hold"), actual(artifacts), func(c *bos.Component) { c.DesiredState.Configuration = nil }},
		want:   `{"status":{"status_override":""},"enabled":false}`},
	{name: "OP-036", power: power("on"), change: []change{func(c *bos.Component) { c.Enabled = new(false) }}},
	{name: "OP-037", power: power("on"), cfs: configured("cfg1", "config_deprecated"), change: []change{phase("configuring"), actual(artifacts)},
		want: `{"status":{"status_override":"failed"},"enabled":false,
			"error":"cfs is not reporting a valid configuration status for this component: config_deprecated"}`},
	{name: "OP-038", power: power("on"), cfs: configured("cfg1", "failed"),
		change: []change{override("failed"), phase("configuring"), actual(artifacts), errorText("cfs configuration failed")},
		want:   `{"status":{"status_override":"failed"},"enabled":false}`},
	{name: "SVC-071 no configuration wanted, whatever CFS says", power: power("on"), cfs: configured("", "failed"),
		change: []change{phase("powering_on"), actual(artifacts), desired(artifacts, ""), action(bos.ActionPoweringOn, 30)},
		want:   `{"status":{"status_override":"","phase":""},"event_stats":` + zeroStats + `,"enabled":false}`},
	{name: "a boot that is not reported says so", power: power("on"),
		change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 1201), attempts(2, 0, 0)},
		want:   `{"status":{"status_override":"","phase":"powering_off"},"error":"powered on, but no boot report within 20m0s (attempt 2 of 3)"}`},
	{name: "a power-on without effect says so", power: power("off"),
		change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 121), attempts(1, 0, 0), policy(-1)},
		want:   `{"status":{"status_override":""},"last_action":{"failed":true},"error":"power on accepted, but still off after 2m0s (attempt 1)"}`},
	{name: "what PCS said goes before", power: power("off"),
		change: []change{phase("powering_on"), action(bos.ActionPoweringOn, 121), attempts(1, 0, 0), errorText("pcs on: fuse blown")},
		want:   `{"status":{"status_override":""},"last_action":{"failed":true}}`},
	{name: "success takes our texts back", power: power("off"), change: []change{desired(none, ""), phase("powering_off"), errorText("pcs soft-off: Timeout")},
		want: `{"status":{"status_override":"","phase":""},"event_stats":` + zeroStats + `,"actual_state":` + emptied + `,"enabled":false,"error":""}`},
	{name: "Q-59 but not those of the reference", power: power("off"), change: []change{desired(none, ""), errorText("Non-2XX response (500)")},
		want: `{"status":{"status_override":""},"enabled":false}`},
	{name: "Q-17 configuring for too long", power: power("on"), cfs: configured("cfg1", "pending"), wait: 31 * time.Second,
		change: []change{phase("configuring"), actual(artifacts)},
		rig:    func(r *rig) { r.bos.SetSettings(bos.SettingsPatch{MaxConfigureWaitTime: new(30)}) },
		want:   `{"status":{"status_override":"failed"},"enabled":false,"error":"not configured within 30s: cfs says pending after 0 failed runs"}`},
}

func TestOP(t *testing.T) {
	for _, tc := range statusCases {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			if r.pcs.Set(x1, tc.power); tc.noPCS {
				r.pcs.Remove(x1)
			}
			if tc.cfs.ID != "" {
				r.cfs.Set(tc.cfs)
			}
			if tc.noCFS {
				r.cfs.Remove(x1)
			}
			if tc.rig != nil {
				tc.rig(r)
			}
			r.put(x1, tc.change...)
			op := r.operator("status")
			for range 2 {
				if err := r.pass(op); err != nil {
					t.Fatal(err)
				}
				r.later(tc.wait)
			}
			r.later(-tc.wait)
			r.wantPatch(tc.want)
			if err := r.pass(op); err != nil {
				t.Fatal(err)
			}
			r.wantLog()
		})
	}
	t.Run("OP-033", func(t *testing.T) {
		r := newRig(t)
		r.bos.SetOptions(bos.OptionsPatch{MaxComponentBatchSize: new(1)})
		r.put(x1, override("on_hold"))
		r.put(x2, override("on_hold"))
		if err := r.pass(r.operator("status")); err != nil {
			t.Fatal(err)
		}
		r.wantLog(`BOS [{"id":"x1","status":{"phase":"powering_on","status_override":""}}]`,
			`BOS [{"id":"x2","status":{"phase":"powering_on","status_override":""}}]`)
	})
	t.Run("OP-034", func(t *testing.T) {
		r := newRig(t)
		r.fail = failing("PCS PowerStatus", unavailable)
		r.put(x1, override("on_hold"))
		if err := r.pass(r.operator("status")); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want unavailable", err)
		}
		r.wantLog()
		if got := r.sched.Waiting(); len(got) != 1 {
			t.Errorf("waiting for a retry: %q, want x1", got)
		}
	})
}

// An outage that lasts is told to the components, and taken back when it is over.
func TestStatusOutage(t *testing.T) {
	for _, tc := range []struct{ call, name string }{{"PCS PowerStatus", "PCS"}, {"CFS Components", "CFS"}} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.put(x1, phase("configuring"), actual(artifacts))
			r.pcs.SetState(pcs.StateOn, x1)
			r.cfs.Set(configured("cfg1", "pending"))
			op := r.operator("status")
			r.fail = failing(tc.call, unavailable)
			for range 3 {
				if err := r.pass(op); !errors.Is(err, bos.ErrUnavailable) {
					t.Errorf("error %v, want unavailable", err)
				}
				r.sched.Elapse()
				r.later(10 * time.Second)
			}
			if text := r.bos.Get(x1); text.ErrorText()[:15] != "waiting for "+tc.name {
				t.Errorf("error = %q, want waiting for %s", text.ErrorText(), tc.name)
			}
			if log := r.takeLog(); len(log) != 1 {
				t.Errorf("writes %q, want one", log)
			}
			r.fail = nil
			if err := r.pass(op); err != nil {
				t.Fatal(err)
			}
			r.wantPatch(`{"status":{"status_override":""},"error":""}`)
		})
	}
}

// A failed component is disabled even when PCS cannot be asked.
func TestStatusFailedWithoutPCS(t *testing.T) {
	r := newRig(t)
	r.put(x1, phase("powering_on"), override("failed"))
	r.fail = failing("PCS PowerStatus", unavailable)
	if err := r.pass(r.operator("status")); err == nil {
		t.Error("no error, want that of PCS")
	}
	r.wantPatch(`{"status":{"status_override":"failed"},"enabled":false}`)
}

// A reading from before our own command does not prove success.
func TestStatusStaleReading(t *testing.T) {
	for _, tc := range []struct {
		name   string
		op     pcs.Operation
		power  pcs.State
		change []change
		want   string // when the reading has become credible
	}{
		{"off right after on, to be shut down", pcs.On, pcs.StateOff, []change{desired(none, ""), override("on_hold")},
			`{"status":{"status_override":""},"enabled":false}`},
		{"off right after on, to be booted anew", pcs.On, pcs.StateOff, []change{override("on_hold")},
			`{"status":{"status_override":"","phase":"powering_on"}}`},
		{"on right after off, with the right artifacts", pcs.SoftOff, pcs.StateOn, []change{actual(artifacts), override("on_hold")},
			`{"status":{"status_override":""},"enabled":false}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.put(x1, tc.change...)
			r.pcs.Ignore(true, x1)
			if err := r.shared.start(t.Context(), r.bos.Tick(r.sched), "test", tc.op, []bos.ComponentID{x1}); err != nil {
				t.Fatal(err)
			}
			r.pcs.SetState(tc.power, x1)
			r.bos.SetNow(time.Now())
			r.takeLog()
			op := r.operator("status")
			for range 2 {
				if err := r.pass(op); err != nil {
					t.Fatal(err)
				}
			}
			r.wantLog()
			r.later(61 * time.Second)
			if err := r.pass(op); err != nil {
				t.Fatal(err)
			}
			r.wantPatch(tc.want)
		})
	}
}

// One odd reading does not send a configuring node back.
func TestStatusOddReading(t *testing.T) {
	r := newRig(t)
	r.put(x1, phase("configuring"), actual(artifacts), action(bos.ActionPoweringOn, 50))
	r.cfs.Set(configured("cfg1", "pending"))
	r.pcs.SetState(pcs.StateOn, x1)
	op := r.operator("status")
	for _, s := range []pcs.State{pcs.StateOn, pcs.StateOff, pcs.StateOn, pcs.StateOff} {
		r.pcs.SetState(s, x1)
		if err := r.pass(op); err != nil {
			t.Fatal(err)
		}
		r.later(time.Second)
	}
	r.wantLog()
	if err := r.pass(op); err != nil { // off for the second time in a row
		t.Fatal(err)
	}
	r.wantPatch(`{"status":{"status_override":"","phase":"powering_on"}}`)
}

// Hardware is read soon after a command and then less and less often; a component that waits for an operator is not.
func TestStatusReadings(t *testing.T) {
	r := newRig(t)
	r.put(x1, phase("powering_on"), action(bos.ActionPoweringOn, 1), attempts(0, 0, 0))
	op := r.operator("status")
	next := func() time.Duration {
		at, ok := r.sched.Wish(string(x1))
		if !ok {
			t.Fatal("no pass asked for")
		}
		return at.Sub(r.bos.Now())
	}
	r.bos.SetNow(time.Now())
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	r.put(x1, phase("powering_on"), action(bos.ActionPoweringOn, 1), attempts(1, 0, 0))
	before := len(r.pcs.Calls())
	if err := r.passIDs(op, string(x1)); err != nil {
		t.Fatal(err)
	}
	if now := len(r.pcs.Calls()); now != before {
		t.Error("PCS was asked at the moment of the command")
	}
	if d := next(); d < firstLook || d > 2*firstLook {
		t.Errorf("first reading after %s, want about 50 ms", d)
	}
	r.put(x1, phase("powering_on"), failedAction(bos.ActionPoweringOn, 1), attempts(1, 0, 0))
	if err := r.passIDs(op, string(x1)); err != nil {
		t.Fatal(err)
	}
	if at, ok := r.sched.Wish(string(x1)); ok {
		t.Errorf("a pending component is looked at again at %s, want when it changes", at)
	}
	for _, tc := range []struct{ pause, moving, want time.Duration }{
		{50 * time.Millisecond, time.Second, 100 * time.Millisecond},
		{800 * time.Millisecond, 2 * time.Second, time.Second},
		{time.Second, 59 * time.Second, time.Second},
		{time.Second, 61 * time.Second, 2 * time.Second},
		{10 * time.Second, 10 * time.Minute, 15 * time.Second},
	} {
		if got := nextPause(tc.pause, tc.moving, 15*time.Second); got != tc.want {
			t.Errorf("after a pause of %s, moving for %s: %s, want %s", tc.pause, tc.moving, got, tc.want)
		}
	}
}

// CFS is asked by id, only for those whose decision rests on it; many are asked for at once.
func TestStatusAsksCFSForFew(t *testing.T) {
	r := newRig(t)
	for _, id := range []bos.ComponentID{x1, x2} {
		r.put(id, phase("powering_on"), action(bos.ActionPoweringOn, 1))
	}
	op := r.operator("status")
	for range 3 {
		if err := r.pass(op); err != nil {
			t.Fatal(err)
		}
	}
	if calls := r.cfs.Calls(); len(calls) != 1 || len(calls[0].IDs) != 2 {
		t.Errorf("CFS calls %v, want one for two ids: nodes that are off need no second one", calls)
	}
}

// A component that somebody took over since it was read is left alone.
func TestStatusTakenOver(t *testing.T) {
	r := newRig(t)
	r.put(x1, phase("powering_on"), override("failed"))
	taken := false
	write := r.bos.OnWrite
	r.bos.OnWrite = func(ps []bos.GuardedPatch) error {
		if !taken {
			taken = true
			r.put(x1, session("s2"), override("on_hold"))
		}
		return write(ps)
	}
	if err := r.pass(r.operator("status")); err != nil {
		t.Fatal(err)
	}
	if c := r.bos.Get(x1); !c.IsEnabled() || c.Override() != bos.StatusOnHold {
		t.Errorf("the component of the new session is %s", operatortest.PatchJSON(bos.GuardedPatch{ID: x1, Patch: bos.ComponentPatch(c)}))
	}
}

// panicking is a log that panics at one message.
type panicking struct {
	slog.Handler
	at string
}

func (panicking) Enabled(context.Context, slog.Level) bool { return true }

func (p panicking) Handle(_ context.Context, r slog.Record) error {
	if r.Message == p.at {
		panic("ouch")
	}
	return nil
}

// brittleList is an API whose list of components panics.
type brittleList struct{ API }

func (brittleList) ListComponents(context.Context, bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(func(bos.Component, error) bool) { panic("ouch") }
}

// TestStatusSurvivesPanic has the goroutines of a pass panic: the pass fails, and the process goes on.
func TestStatusSurvivesPanic(t *testing.T) {
	for name, spoil := range map[string]func(*status, *operator.Tick){
		"list":  func(s *status, _ *operator.Tick) { s.API = brittleList{s.API} },
		"write": func(_ *status, tick *operator.Tick) { tick.Log = slog.New(panicking{slog.DiscardHandler, "status"}) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.put(x1, override("on_hold"))
			op := newStatus(r.deps().withDefaults()).(*status)
			tick := r.bos.Tick(r.sched)
			spoil(op, &tick)
			if err := op.Run(t.Context(), tick); err == nil || !strings.Contains(err.Error(), "panic: ouch") {
				t.Errorf("error %v, want the panic", err)
			}
		})
	}
}

// TestStatusKeepsFailed lets a power operator give the node up while status looks at it: status does not take that back,
// and the next pass disables the node.
func TestStatusKeepsFailed(t *testing.T) {
	r := newRig(t)
	r.put(x1, phase("powering_off"), action(bos.ActionPoweringOffForceful, 400))
	r.pcs.Set(x1, power("off"))
	read := false
	r.fail = func(call string) error {
		if !read && strings.HasPrefix(call, "PCS PowerStatus") {
			read = true
			r.put(x1, phase("powering_off"), override("failed"), action(bos.ActionPoweringOffForceful, 400))
		}
		return nil
	}
	op := r.operator("status")
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	if c := r.bos.Get(x1); c.Override() != bos.StatusFailed || !c.IsEnabled() {
		t.Errorf("override %q, enabled %t; want what the power operator wrote", c.Override(), c.IsEnabled())
	}
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	if c := r.bos.Get(x1); c.Override() != bos.StatusFailed || c.IsEnabled() {
		t.Errorf("override %q, enabled %t after the next pass; want it failed and disabled", c.Override(), c.IsEnabled())
	}
}
