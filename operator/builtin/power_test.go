package builtin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/bss/bsstest"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/internal/rest"
	"github.com/bootorch/bosgo/pcs"
	"github.com/bootorch/bosgo/pcs/pcstest"
)

// powerCase is a row of BOS v2 operators 9.3 or 9.4: a world, a full pass, and the calls that change something.
type powerCase struct {
	name   string
	op     string
	change []change   // of x1
	more   [][]change // of x2, x3
	world  func(*rig)
	fail   func(string) error
	err    bool // the pass reports an error
	want   []string
	retry  bool // x1 waits in a back-off
	repeat bool // another pass repeats the calls
}

const (
	preWrite  = `{"id":"x1","last_action":{"action":"powering_on","failed":false},"error":""}`
	imageCall = "IMS Image " + image + " ="
	tagCall   = "IMS Tag " + image + " sbps-project=true"
	bssX1     = "BSS x1 kernel=" + kernelK + " params=" + paramsP + " initrd=" + initrdI
	tokenCall = "TOKEN token-1 kernel=" + kernelK + " params=" + paramsP + " initrd=" + initrdI
	tokenX1   = `BOS [{"id":"x1","desired_state":{"bss_token":"token-1"},"session":"s1"}]`
	cfsX1     = `CFS x1 config="cfg1" session="s1" enabled=false clear=true`
	resultX1  = `BOS [{"id":"x1","last_action":{"action":"powering_on","failed":false},"event_stats":{"power_on_attempts":1},"error":""}]`
)

// onResult is the record of a power-on that did not go well.
func onResult(text string, attempts int) string {
	return fmt.Sprintf(`BOS [{"id":"x1","last_action":{"action":"powering_on","failed":false},"event_stats":{"power_on_attempts":%d},"error":"%s"}]`, attempts, text)
}

// onAgain is the record of a power-on that something temporary stopped: pending again, no attempt.
func onAgain(text string) string {
	return fmt.Sprintf(`BOS [{"id":"x1","last_action":{"failed":true},"error":"%s"}]`, text)
}

func offResult(action, counter string, attempts int, text string) string {
	return fmt.Sprintf(`BOS [{"id":"x1","last_action":{"action":"powering_off_%s","failed":false},"event_stats":{"power_off_%s_attempts":%d},"error":"%s"}]`,
		action, counter, attempts, text)
}

func graceful(attempts int, text string) string {
	return offResult("gracefully", "graceful", attempts, text)
}
func forceful(attempts int, text string) string {
	return offResult("forcefully", "forceful", attempts, text)
}

func gaveUp(text string) string {
	if text == "" {
		return `{"id":"x1","status":{"status_override":"failed"}}`
	}
	return fmt.Sprintf(`{"id":"x1","status":{"status_override":"failed"},"error":"%s"}`, text)
}

var (
	off        = phase("powering_off")
	on         = phase("powering_on")
	pcsRefused = &bos.StatusError{Status: 503, Detail: "connect: connection refused"}
	onlyKernel = func(k string) change {
		return desired(bos.BootArtifacts{Kernel: k, KernelParameters: paramsP, Initrd: initrdI}, "cfg1")
	}
	noEmptyText = func(c *bos.Component) { c.Error = nil }
)

var powerCases = []powerCase{
	{name: "OP-039", op: "power-off-graceful", change: []change{off}, want: []string{"PCS Soft-Off x1", graceful(1, "")}},
	{name: "OP-040", op: "power-off-graceful", change: []change{off}, fail: failing("PCS Soft-Off", unavailable),
		want: []string{"PCS Soft-Off x1", `BOS [{"id":"x1","error":"service is away"}]`}, retry: true},
	{name: "OP-041", op: "power-off-graceful", change: []change{off, action(bos.ActionPoweringOn, 1300), attempts(1, 0, 0)},
		want: []string{"PCS Soft-Off x1", graceful(1, "")}},
	{name: "OP-042", op: "power-off-graceful", change: []change{off, attempts(0, 1, 0)},
		world: func(r *rig) { r.bos.SetOptions(bos.OptionsPatch{DefaultRetryPolicy: new(1)}) },
		want:  []string{"BOS [" + gaveUp(generic) + "]"}},
	{name: "OP-043", op: "power-off-graceful", change: []change{off}, world: func(r *rig) { r.hsm.Remove(x1) }, repeat: true},
	{name: "OP-044", op: "power-off-forceful", change: []change{off, action(bos.ActionPoweringOffGraceful, 300)}},
	{name: "OP-045", op: "power-off-forceful", change: []change{off, action(bos.ActionPoweringOffGraceful, 301)},
		want: []string{"PCS Force-Off x1", forceful(1, "")}},
	{name: "OP-046", op: "power-off-forceful", change: []change{off, action(bos.ActionPoweringOffForceful, 301), attempts(0, 0, 2)},
		want: []string{"PCS Force-Off x1", forceful(3, "")}},
	{name: "OP-047", op: "power-off-forceful", change: []change{off, action(bos.ActionPoweringOffForceful, 301), attempts(0, 0, 3)},
		want: []string{"BOS [" + gaveUp(generic) + "]"}},
	{name: "OP-048", op: "power-off-forceful", change: []change{off, action(bos.ActionPoweringOffForceful, 301), attempts(0, 0, 3), errorText("BMC down")},
		want: []string{"BOS [" + gaveUp("") + "]"}},
	{name: "OP-050", op: "power-off-graceful", change: []change{off, policy(0)}, want: []string{"BOS [" + gaveUp(generic) + "]"}},
	{name: "OP-051", op: "power-on", change: []change{on},
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, tokenCall, tokenX1, cfsX1, "PCS On x1", resultX1}},
	{name: "OP-052", op: "power-on", change: []change{on}, more: [][]change{{on, session("s2"),
		desired(bos.BootArtifacts{Kernel: kernelK, KernelParameters: "quiet", Initrd: initrdI}, "cfg2")}},
		want: []string{"BOS [" + preWrite + `,{"id":"x2",…`, tagCall, bssX1, tokenCall,
			"BSS x2 kernel=" + kernelK + " params=quiet initrd=" + initrdI, "TOKEN token-2 kernel=…",
			`BOS [{"id":"x1","desired_state":{"bss_token":"token-1"},"session":"s1"},{"id":"x2","desired_state":{"bss_token":"token-2"},"session":"s2"}]`,
			cfsX1, `CFS x2 config="cfg2" session="s2" enabled=false clear=true`, "PCS On x1,x2", resultX1[:len(resultX1)-1] + `,{"id":"x2",…`}},
	{name: "OP-053", op: "power-on", change: []change{on}, fail: failing("BSS", refused),
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, onResult("Error encountered setting BSS information: no good", 1)}},
	{name: "OP-053 an outage uses no attempt", op: "power-on", change: []change{on}, fail: failing("BSS", unavailable),
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, onAgain("Error encountered setting BSS information: service is away")}, retry: true},
	{name: "OP-054", op: "power-on", change: []change{on}, fail: failing("BSS", fmt.Errorf("no token: %w", bos.ErrUnavailable)),
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, onAgain("Error encountered setting BSS information: no token: service unavailable")}, retry: true},
	{name: "OP-055", op: "power-on", change: []change{on}, world: func(r *rig) { r.ims.Remove(image) },
		want: []string{"BOS [" + preWrite + "]", tagCall, onResult("IMS image id '"+image+"' does not exist in IMS", 1), bssX1, tokenCall, tokenX1, cfsX1,
			"PCS On x1", onResult("IMS image id '"+image+"' does not exist in IMS", 1)}},
	{name: "OP-055 and PCS away", op: "power-on", change: []change{on}, world: func(r *rig) { r.ims.Remove(image) }, fail: failing("PCS On", pcsRefused),
		want: []string{"BOS [" + preWrite + "]", tagCall, onResult("IMS image id '"+image+"' does not exist in IMS", 1), bssX1, tokenCall, tokenX1, cfsX1,
			"PCS On x1", `BOS [{"id":"x1","last_action":{"failed":true},"event_stats":{"power_on_attempts":0},` +
				`"error":"Error encountered calling CAPMC to power on: connect: connection refused"}]`}, retry: true},
	{name: "OP-056", op: "power-on", change: []change{on, onlyKernel("s3://boot-images/deleted/111/kernel")},
		want: []string{"BOS [" + preWrite + "]",
			onResult("Kernel path appears to refer to soft-deleted IMS image: 's3://boot-images/deleted/111/kernel'", 1),
			"BSS x1…", "TOKEN…", tokenX1, cfsX1, "PCS On x1",
			onResult("Kernel path appears to refer to soft-deleted IMS image: 's3://boot-images/deleted/111/kernel'", 1)}},
	{name: "OP-057", op: "power-on", change: []change{on, onlyKernel("s3://boot-images/kernel")},
		want: []string{"BOS [" + preWrite + "]", onResult("Unable to extract IMS ID from kernel path: s3://boot-images/kernel", 1),
			"BSS x1…", "TOKEN…", tokenX1, cfsX1, "PCS On x1", onResult("Unable to extract IMS ID from kernel path: s3://boot-images/kernel", 1)}},
	{name: "Q-05 image gone, and the tag is required", op: "power-on", change: []change{on}, world: requireTag(func(r *rig) { r.ims.Remove(image) }),
		want: []string{"BOS [" + preWrite + "]", tagCall, imageCall, onResult("IMS image id '"+image+"' does not exist in IMS", 1)}},
	{name: "Q-05 IMS away, and the tag is required", op: "power-on", change: []change{on}, world: requireTag(nil), fail: failing("IMS", unavailable),
		want: []string{"BOS [" + preWrite + "]", tagCall, imageCall, onAgain("service is away")}, retry: true},
	{name: "Q-05 refused, but the image has the required tag", op: "power-on", change: []change{on}, fail: failing("IMS Tag", refused),
		world: requireTag(func(r *rig) {
			r.ims.Set(ims.Image{ID: image, Arch: "x86_64", Metadata: map[string]string{"sbps-project": "true"}})
		}),
		want: []string{"BOS [" + preWrite + "]", tagCall, imageCall, bssX1, tokenCall, tokenX1, cfsX1, "PCS On x1", resultX1}},
	{name: "Q-05 no id, and the tag is required; others go on", op: "power-on", change: []change{on, onlyKernel("s3://boot-images/kernel")},
		more: [][]change{{on}}, world: requireTag(nil),
		want: []string{"BOS [" + preWrite + `,{"id":"x2",…`, tagCall, "BSS x2…", "TOKEN…", `BOS [{"id":"x2",…`, "CFS x2…", "PCS On x2",
			`BOS [{"id":"x1","last_action":{"action":"powering_on","failed":false},"event_stats":{"power_on_attempts":1},` +
				`"error":"Unable to extract IMS ID from kernel path: s3://boot-images/kernel"},{"id":"x2",…`}},
	{name: "OP-058", op: "power-on", change: []change{on}, fail: failing("CFS x1", unavailable),
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, tokenCall, tokenX1, cfsX1,
			onAgain("Error encountered setting CFS information: service is away")}, retry: true},
	{name: "OP-059", op: "power-on", change: []change{on}, fail: failing("PCS On", pcsRefused),
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, tokenCall, tokenX1, cfsX1, "PCS On x1",
			onAgain("Error encountered calling CAPMC to power on: connect: connection refused")}, retry: true},
	{name: "SVC-052", op: "power-on", change: []change{on}, fail: failing("PCS On", fmt.Errorf("timed out: %w", pcs.ErrOutcomeUnknown)),
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, tokenCall, tokenX1, cfsX1, "PCS On x1",
			onResult("no answer from pcs to on: timed out: outcome unknown", 1)}},
	{name: "OP-060", op: "power-on", change: []change{on, attempts(3, 0, 0)}, want: []string{"BOS [" + gaveUp(generic) + "]"}},
	{name: "OP-061", op: "power-on", change: []change{on, attempts(3, 0, 0), errorText("old")},
		more: [][]change{{on, attempts(1, 0, 0), policy(0)}, {on, attempts(30, 0, 0), policy(-1)}},
		want: []string{"BOS [" + gaveUp("") + `,{"id":"x2","status":{"status_override":"failed"},"error":"` + generic + `"}]`,
			`BOS [{"id":"x3",…`, tagCall, "BSS x3…", "TOKEN token-1…", `BOS [{"id":"x3",…`, "CFS x3…", "PCS On x3",
			`BOS [{"id":"x3","last_action":{"action":"powering_on","failed":false},"event_stats":{"power_on_attempts":31},"error":""}]`}},
	{name: "OP-062", op: "power-on", change: []change{on}, fail: failing("HSM Query", unavailable), err: true, retry: true},
	{name: "OP-063", op: "power-on", change: []change{on, desired(none, "cfg1")},
		want: []string{"BOS [" + preWrite + "]", cfsX1, "PCS On x1", resultX1}},
	{name: "OP-064", op: "power-on", change: []change{on}, more: [][]change{{on}, {on}},
		world: func(r *rig) { r.bos.SetOptions(bos.OptionsPatch{MaxComponentBatchSize: new(2)}) },
		want: []string{"BOS [" + preWrite + `,{"id":"x2",…`, tagCall, "BSS x1,x2…", "TOKEN token-1…", "BOS…", "CFS x1,x2…", "PCS On x1,x2", "BOS…",
			`BOS [{"id":"x3",…`, tagCall, "BSS x3…", "TOKEN token-2…", "BOS…", "CFS x3…", "PCS On x3", "BOS…"}},
	{name: "OP-065", op: "power-on", change: []change{on}, fail: failing("TOKEN", unavailable),
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, tokenCall, tokenCall, tokenCall, tokenCall, tokenCall, tokenCall,
			onAgain("Error encountered setting BSS information: record the token's artifacts: service is away")}, retry: true},
	{name: "OP-066", op: "power-on", change: []change{on}, fail: failTimes("TOKEN", 5),
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, tokenCall, tokenCall, tokenCall, tokenCall, tokenCall, tokenCall,
			tokenX1, cfsX1, "PCS On x1", resultX1}},
	{name: "OP-068", op: "power-on", change: []change{on, desired(artifacts, "")},
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, tokenCall, tokenX1, `CFS x1 config="" session="s1" enabled=false clear=true`, "PCS On x1", resultX1}},
	{name: "OP-142", op: "power-on", change: []change{on, attempts(3, 0, 0), noEmptyText}, want: []string{"BOS [" + gaveUp(generic) + "]"}},
	{name: "Q-12 locked in HSM", op: "power-on", change: []change{on}, world: func(r *rig) { r.hsm.Lock(x1) },
		want: []string{`BOS [{"id":"x1","error":"locked in HSM"}]`}},
	{name: "Q-12 locked, and others go on", op: "power-off-graceful", change: []change{off}, more: [][]change{{off}}, world: func(r *rig) { r.hsm.Lock(x2) },
		want: []string{`BOS [{"id":"x2","error":"locked in HSM"}]`, "PCS Soft-Off x1", graceful(1, "")}},
	{name: "SVC-066 unknown to CFS", op: "power-on", change: []change{on}, world: func(r *rig) { r.cfs.Remove(x1) },
		want: []string{"BOS [" + preWrite + "]", tagCall, bssX1, tokenCall, tokenX1, cfsX1,
			onAgain("Error encountered setting CFS information: unknown to cfs: not found")}, retry: true},
	{name: "the reason of a failed boot outlives its power-off", op: "power-off-graceful",
		change: []change{off, action(bos.ActionPoweringOn, 1300), attempts(1, 0, 0), errorText("powered on, but no boot report within 20m0s (attempt 1 of 3)")},
		want:   []string{"PCS Soft-Off x1", graceful(1, "powered on, but no boot report within 20m0s (attempt 1 of 3)")}},
	{name: "the reason of a retry stays in sight while it is made", op: "power-on",
		change: []change{on, failedAction(bos.ActionPoweringOn, 5), errorText("e")},
		want: []string{`BOS [{"id":"x1","last_action":{"action":"powering_on","failed":false}}]`, tagCall, bssX1, tokenCall, tokenX1, cfsX1,
			"PCS On x1", resultX1}},
	{name: "PCS refuses a graceful power-off for good", op: "power-off-graceful", change: []change{off}, fail: failing("PCS Soft-Off", refused),
		want: []string{"PCS Soft-Off x1", graceful(1, "no good")}},
	{name: "Q-33 at most so many in a transition", op: "power-off-graceful", change: []change{off}, more: [][]change{{off}, {off}},
		world: func(r *rig) { r.bos.SetSettings(bos.SettingsPatch{MaxNodesPerTransition: new(2)}) },
		want:  []string{"PCS Soft-Off x1,x2", "PCS Soft-Off x3", graceful(1, "")[:len(graceful(1, ""))-1] + "…"}},
	{name: "undefined nodes apart", op: "power-off-graceful", change: []change{off}, more: [][]change{{off}, {off}},
		world: func(r *rig) { r.shared.setDead(x2, true) },
		want:  []string{"PCS Soft-Off x1,x3", "PCS Soft-Off x2", graceful(1, "")[:len(graceful(1, ""))-1] + "…"}},
}

// requireTag changes a world in which images must have their tag.
func requireTag(fn func(*rig)) func(*rig) {
	return func(r *rig) {
		r.bos.SetSettings(bos.SettingsPatch{RequireImageTag: new(true)})
		if fn != nil {
			fn(r)
		}
	}
}

// failTimes makes the first n calls with the prefix fail.
func failTimes(prefix string, n int) func(string) error {
	return func(call string) error {
		if !strings.HasPrefix(call, prefix) || n == 0 {
			return nil
		}
		n--
		return unavailable
	}
}

func TestOPPower(t *testing.T) {
	for _, tc := range powerCases {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.put(x1, tc.change...)
			for i, id := range []bos.ComponentID{x2, x3}[:len(tc.more)] {
				r.put(id, tc.more[i]...)
			}
			if tc.world != nil {
				tc.world(r)
			}
			r.fail = tc.fail
			op := r.operator(tc.op)
			if err := r.pass(op); (err != nil) != tc.err {
				t.Errorf("error %v, want one: %t", err, tc.err)
			}
			r.wantLog(tc.want...)
			if waiting := slices.Contains(r.sched.Waiting(), string(x1)); waiting != tc.retry {
				t.Errorf("waits for a retry: %t, want %t", waiting, tc.retry)
			}
			if err := r.pass(op); err != nil { // a fixpoint: what failed is in its back-off
				t.Error(err)
			}
			r.wantLog()
		})
	}
	t.Run("OP-049", func(t *testing.T) {
		r := newRig(t)
		r.put(x1, off, action(bos.ActionPoweringOffGraceful, 301))
		r.put(x2, off, action(bos.ActionPoweringOffGraceful, 301))
		deleted := false
		write := r.bos.OnWrite
		r.bos.OnWrite = func(ps []bos.GuardedPatch) error {
			if !deleted {
				deleted = true
				if err := r.bos.DeleteComponent(t.Context(), "", x2); err != nil {
					t.Fatal(err)
				}
			}
			return write(ps)
		}
		op := r.operator("power-off-forceful")
		if err := r.pass(op); err != nil {
			t.Fatal(err)
		}
		if _, _, n := new(r.bos.Get(x1)).Attempts(); n != 1 {
			t.Errorf("x1 has %d attempts recorded, want 1: one deleted component must not cost the others their record", n)
		}
		r.takeLog()
		if err := r.pass(op); err != nil {
			t.Fatal(err)
		}
		r.wantLog()
	})
	t.Run("OP-067", func(t *testing.T) {
		r := newRig(t)
		r.put(x1, on)
		r.put(x2, on)
		r.bss.OnAnswer = func(bsstest.Call) error { // a shutdown session takes x1 over
			_, err := r.bos.PatchComponents(t.Context(), "", []bos.ComponentPatch{{
				ID: x1, Enabled: new(true), Session: new("s2"), DesiredState: &bos.DesiredState{BootArtifacts: none.Fields(), Configuration: new("")},
				LastAction: &bos.LastAction{Action: new(bos.ActionSessionSetup), Failed: new(false)},
			}}, false)
			return err
		}
		if err := r.pass(r.operator("power-on")); err != nil {
			t.Fatal(err)
		}
		c := r.bos.Get(x1)
		if c.SessionName() != "s2" || c.Action() != bos.ActionSessionSetup || c.ComputeStatus() != bos.StatusOnHold {
			t.Errorf("x1: session %s, action %s, status %s: the new session's component was changed", c.SessionName(), c.Action(), c.ComputeStatus())
		}
		log := strings.Join(r.takeLog(), "\n")
		if !strings.Contains(log, "PCS On x2") || !strings.Contains(log, "CFS x2 ") {
			t.Errorf("calls:\n%s\nwant x2 alone to be configured and powered on", log)
		}
	})
}

// The time-out of a power-off is looked at when it ends, not at the next poll.
func TestForcefulWaits(t *testing.T) {
	r := newRig(t)
	r.put(x1, off, action(bos.ActionPoweringOffGraceful, 100))
	if err := r.pass(r.operator("power-off-forceful")); err != nil {
		t.Fatal(err)
	}
	if at, ok := r.sched.Wish(string(x1)); !ok || !at.Equal(rigNow.Add(201*time.Second)) {
		t.Errorf("next pass at %s, want 201 s from now: the comparison is strict", at)
	}
}

// A record that could not be written is written before anything else is done, and nothing is commanded twice.
func TestOwedRecords(t *testing.T) {
	for _, name := range []string{"power-off-graceful", "power-on"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.put(x1, off)
			stats := `"power_off_graceful_attempts":1`
			if name == "power-on" {
				r.put(x1, on)
				stats = `"power_on_attempts":1`
			}
			r.fail = func(call string) error {
				if strings.HasPrefix(call, "BOS ") && strings.Contains(call, "event_stats") {
					return unavailable
				}
				return nil
			}
			op := r.operator(name)
			for range 3 {
				if err := r.pass(op); !errors.Is(err, bos.ErrUnavailable) {
					t.Errorf("error %v, want that of the write", err)
				}
			}
			r.fail = nil
			if err := r.pass(op); err != nil {
				t.Fatal(err)
			}
			commands := 0
			for _, call := range r.takeLog() {
				if strings.HasPrefix(call, "PCS ") {
					commands++
				}
			}
			if commands != 1 {
				t.Errorf("%d commands, want 1", commands)
			}
			last := r.bos.Writes()[len(r.bos.Writes())-1]
			if got := new(last.Patch); !strings.Contains(fmt.Sprint(jsonOf(t, got)), stats) {
				t.Errorf("last write %s, want %s", jsonOf(t, got), stats)
			}
		})
	}
}

// Without the lease nothing is called, and what a lost lease stops says nothing wrong about the node.
func TestPowerFence(t *testing.T) {
	for _, tc := range []struct {
		op     string
		change change
	}{{"power-on", on}, {"power-off-graceful", off}} {
		r := newRig(t)
		r.put(x1, tc.change)
		op := r.operator(tc.op)
		tick := r.bos.Tick(r.sched)
		tick.Lease = shutFence{}
		if err := op.Run(bos.WithWriter(t.Context(), op.Name()), tick); !errors.Is(err, bos.ErrConflict) {
			t.Errorf("%s: error %v, want a conflict", tc.op, err)
		}
		for _, call := range r.takeLog() {
			if !strings.HasPrefix(call, "BOS ") || strings.Contains(call, "event_stats") {
				t.Errorf("%s: %s", tc.op, call)
			}
		}
		if c := r.bos.Get(x1); c.ErrorText() != "" {
			t.Errorf("%s: error %q", tc.op, c.ErrorText())
		}
	}
}

type shutFence struct{}

func (shutFence) Check() error { return fmt.Errorf("lost: %w", bos.ErrConflict) }
func (shutFence) Token() int64 { return 0 }

// One component that a service refuses does not take the others with it (operators Q-48).
func TestIsolate(t *testing.T) {
	var ids []bos.ComponentID
	for i := range 100 {
		ids = append(ids, bos.ComponentID(fmt.Sprintf("x%03d", i)))
	}
	for _, tc := range []struct {
		name string
		bad  []bos.ComponentID
		err  error
		want int // ids that fail
		most int // calls
	}{
		{"none", nil, nil, 0, 1},
		{"one is bad", ids[42:43], refused, 1, 40},
		{"an outage is not divided", ids[42:43], unavailable, 100, 1},
		{"all are bad: the tries are bounded", ids, refused, 100, 40},
		{"the service names them", ids[1:3], &bos.BatchError{Failed: map[bos.ComponentID]error{ids[1]: refused, ids[2]: refused}}, 2, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			calls := 0
			failed, err := isolate(ids, func(part []bos.ComponentID) error {
				calls++
				if slices.ContainsFunc(part, func(id bos.ComponentID) bool { return slices.Contains(tc.bad, id) }) {
					return tc.err
				}
				return nil
			})
			if len(failed) != tc.want || calls > tc.most || !errors.Is(err, tc.err) {
				t.Errorf("%d failed with %v after %d calls, want %d after at most %d", len(failed), err, calls, tc.want, tc.most)
			}
		})
	}
}

// A client that makes several requests for one call tells that some were refused; those are divided like a whole call.
func TestIsolateWithinBatches(t *testing.T) {
	var ids []bos.ComponentID
	for i := range 100 {
		ids = append(ids, bos.ComponentID(fmt.Sprintf("x%03d", i)))
	}
	for _, tc := range []struct {
		name   string
		status int
		bad    []int
		want   int // ids that fail
		most   int // requests
	}{
		{"one is bad", 400, []int{42}, 1, 20},
		{"one of each of two requests", 400, []int{42, 99}, 2, 30},
		{"an outage is not divided", 503, []int{42}, 60, 3}, // nothing is tried after it
		{"a lock is not divided", 409, []int{42}, 20, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			requests := 0
			failed, err := isolate(ids, func(ids []bos.ComponentID) error {
				return rest.InBatches(ids, 20, func(batch []bos.ComponentID) error {
					requests++
					for _, n := range tc.bad {
						if slices.Contains(batch, bos.ComponentID(fmt.Sprintf("x%03d", n))) {
							return &pcs.Error{Status: tc.status}
						}
					}
					return nil
				})
			})
			for _, n := range tc.bad {
				if failed[ids[n]] == nil {
					t.Errorf("%s is not among those that fail", ids[n])
				}
			}
			if len(failed) != tc.want || requests > tc.most || err == nil {
				t.Errorf("%d failed with %v after %d requests, want %d after at most %d", len(failed), err, requests, tc.want, tc.most)
			}
		})
	}
}

// TestChangedBeforeCommand changes a component while HSM is asked, after it was read: what was due before is due no more.
func TestChangedBeforeCommand(t *testing.T) {
	for _, row := range []struct {
		op          string
		before, now []change
	}{
		{"power-off-graceful", []change{off}, []change{on}},
		{"power-off-forceful", []change{off, action(bos.ActionPoweringOffGraceful, 301)}, []change{on, action(bos.ActionPoweringOn, 1)}},
		{"power-off-graceful", []change{off}, []change{off, override(bos.StatusOnHold)}},
	} {
		r := newRig(t)
		r.put(x1, row.before...)
		r.fail = func(call string) error {
			if strings.HasPrefix(call, "HSM LockedNodes") {
				r.put(x1, row.now...)
			}
			return nil
		}
		if err := r.pass(r.operator(row.op)); err != nil {
			t.Error(err)
		}
		r.wantLog()
	}
}

// forgetful is an API whose n-th list of components from now on fails.
type forgetful struct {
	API
	n   int
	err error
}

func (f *forgetful) ListComponents(ctx context.Context, filter bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	if f.n--; f.n == 0 {
		return func(yield func(bos.Component, error) bool) { yield(bos.Component{}, f.err) }
	}
	return f.API.ListComponents(ctx, filter)
}

// TestCannotLookAgain fails the second look before a command, for good or not: nothing was sent, so it uses no attempt.
func TestCannotLookAgain(t *testing.T) {
	for _, err := range []error{unavailable, refused} {
		for _, name := range []string{"power-on", "power-off-graceful"} {
			r := newRig(t)
			r.put(x1, on)
			if name != "power-on" {
				r.put(x1, off)
			}
			deps := r.deps()
			deps.API = &forgetful{r.bos, 2, err}
			op, newErr := New(name, deps)
			if newErr != nil {
				t.Fatal(newErr)
			}
			if got := r.pass(op); !errors.Is(got, err) {
				t.Errorf("%s: error %v, want %v", name, got, err)
			}
			if strings.Contains(strings.Join(r.takeLog(), "\n"), "PCS") {
				t.Errorf("%s: commanded", name)
			}
			r.sched.Elapse()
			if err := r.pass(op); err != nil {
				t.Error(err)
			}
			if got := strings.Join(r.takeLog(), "\n"); !strings.Contains(got, "PCS") {
				t.Errorf("%s: not commanded later: %s", name, got)
			}
			on, graceful, _ := new(r.bos.Get(x1)).Attempts()
			if on+graceful != 1 {
				t.Errorf("%s: %d attempts for one command", name, on+graceful)
			}
		}
	}
}

// While HSM is away the components wait; when it lasts they say so.
func TestPowerHSMOutage(t *testing.T) {
	r := newRig(t)
	r.put(x1, on)
	r.fail = failing("HSM LockedNodes", unavailable)
	op := r.operator("power-on")
	for range 3 {
		if err := r.pass(op); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want unavailable", err)
		}
		r.sched.Elapse()
		r.later(10 * time.Second)
	}
	r.wantLog(`BOS [{"id":"x1","error":"waiting for HSM: service is away"}]`)
}

// A transition that is still open keeps its nodes from being commanded: no attempt is used, and it is aborted once
// somebody waits for it and its commands have been sent.
func TestOpenTransition(t *testing.T) {
	r := newRig(t)
	r.put(x1, off)
	r.pcs.HoldOpen(true)
	graceful, powerOn := r.operator("power-off-graceful"), r.operator("power-on")
	if err := r.pass(graceful); err != nil {
		t.Fatal(err)
	}
	r.takeLog()
	r.put(x1, on, action(bos.ActionPoweringOffGraceful, 1))
	for range 2 {
		if err := r.pass(powerOn); err != nil {
			t.Fatal(err)
		}
	}
	r.wantLog()
	if at, ok := r.sched.Wish(string(x1)); !ok || at.After(time.Now().Add(time.Second)) {
		t.Errorf("next look at %s, want within a second", at)
	}
	age(r.shared, 10*time.Second)
	if err := r.pass(powerOn); err != nil {
		t.Fatal(err)
	}
	if log := r.takeLog(); len(log) == 0 || log[0] != "PCS abort transition-1" {
		t.Errorf("calls %q, want the abort first", log)
	}
	age(r.shared, time.Second)
	if err := r.pass(powerOn); err != nil {
		t.Fatal(err)
	}
	if s := r.pcs.State(x1); s != pcs.StateOn {
		t.Errorf("x1 is %s, want on", s)
	}
	if err := r.pass(graceful); err != nil {
		t.Fatal(err)
	}
	if c := r.bos.Get(x1); c.ErrorText() != "" {
		t.Errorf("error %q: an abort of ours is no failure of the node", c.ErrorText())
	}
}

// age lets the open transitions and the refused commands look as if they were accepted and read earlier.
func age(s *Transitions, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tr := range s.open {
		tr.accepted, tr.read, tr.nextRead = tr.accepted.Add(-d), tr.read.Add(-d), tr.nextRead.Add(-d)
	}
	for id, r := range s.later {
		r.again = r.again.Add(-d)
		s.later[id] = r
	}
}

// What the controller said reaches the component (operators Q-37), while it still matters.
func TestTaskFailure(t *testing.T) {
	r := newRig(t)
	r.pcs.Refuse("fuse blown", x1, x2)
	r.put(x1, on)
	r.put(x2, on)
	op := r.operator("power-on")
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	r.takeLog()
	r.put(x2, on, action(bos.ActionSessionSetup, 0)) // taken over meanwhile
	r.hsm.Lock(x2)
	age(r.shared, time.Second)
	if err := r.passIDs(op, transitionKey); err != nil {
		t.Fatal(err)
	}
	r.wantLog(`BOS [{"id":"x1","error":"pcs on: Failed to apply transition: fuse blown"}]`)
	if err := r.passIDs(op, transitionKey); err != nil {
		t.Fatal(err)
	}
	r.wantLog()
}

// A reservation of our own that is in the way is no failure: the command is sent again within the same attempt.
func TestOwnReservation(t *testing.T) {
	r := newRig(t)
	r.put(x1, on)
	r.pcs.HoldOpen(true)
	if _, err := r.pcs.Transition(context.Background(), pcs.SoftOff, []bos.ComponentID{x1}); err != nil { // PCS is slow to release it
		t.Fatal(err)
	}
	r.shared.nodes[x1] = command{op: pcs.SoftOff, at: time.Now(), transition: "transition-1", ended: time.Now()}
	op := r.operator("power-on")
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	r.takeLog()
	r.pcs.Complete()
	age(r.shared, time.Second)
	for range 2 {
		if err := r.passIDs(op, transitionKey); err != nil {
			t.Fatal(err)
		}
	}
	r.wantLog("PCS On x1", `BOS [{"id":"x1","last_action":{"action":"powering_on","failed":false}}]`)
	c := r.bos.Get(x1)
	if n, _, _ := c.Attempts(); n != 1 || c.ErrorText() != "" {
		t.Errorf("%d attempts and error %q, want one attempt without a reason to complain", n, c.ErrorText())
	}
}

// Somebody else's reservation is a failure with its reason (SVC-040). It may be that of another process of ours, so the
// command is sent again within the same attempt, for a while.
func TestForeignReservation(t *testing.T) {
	r := newRig(t)
	r.put(x1, on)
	r.pcs.HoldOpen(true)
	if _, err := r.pcs.Transition(context.Background(), pcs.SoftOff, []bos.ComponentID{x1}); err != nil {
		t.Fatal(err)
	}
	op := r.operator("power-on")
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	r.takeLog()
	age(r.shared, time.Second)
	if err := r.passIDs(op, transitionKey); err != nil {
		t.Fatal(err)
	}
	told := `BOS [{"id":"x1","error":"pcs on: ` + pcstest.UnableToReserve + `"}]`
	again := `BOS [{"id":"x1","last_action":{"action":"powering_on","failed":false},"error":""}]`
	r.wantLog(told)
	for range maxRefused {
		age(r.shared, longestAgain+time.Second)
		for range 2 { // sent, and read
			if err := r.passIDs(op, transitionKey); err != nil {
				t.Fatal(err)
			}
			age(r.shared, time.Second)
		}
		r.wantLog("PCS On x1", again, told)
	}
	age(r.shared, time.Minute)
	if err := r.passIDs(op, transitionKey); err != nil {
		t.Fatal(err)
	}
	r.wantLog()
	if n, _, _ := new(r.bos.Get(x1)).Attempts(); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
}

// What cannot be sent again because BOS is away, or shall not because it is paused, is sent when that is over.
func TestSentAgainLater(t *testing.T) {
	r := newRig(t)
	r.put(x1, on)
	r.pcs.HoldOpen(true)
	if _, err := r.pcs.Transition(context.Background(), pcs.SoftOff, []bos.ComponentID{x1}); err != nil {
		t.Fatal(err)
	}
	r.shared.nodes[x1] = command{op: pcs.SoftOff, at: time.Now(), transition: "transition-1", ended: time.Now()}
	api := &forgetful{API: r.bos, err: unavailable}
	deps := r.deps()
	deps.API = api
	op, err := New("power-on", deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	r.takeLog()
	r.pcs.Complete()
	age(r.shared, time.Second)
	api.n = 2
	if err := r.passIDs(op, transitionKey); !errors.Is(err, unavailable) {
		t.Errorf("error %v, want that of BOS", err)
	}
	r.wantLog()
	if _, ok := r.sched.Wish(transitionKey); !ok {
		t.Error("no other try is planned")
	}
	r.bos.SetSettings(bos.SettingsPatch{Paused: new(true)})
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	r.wantLog()
	r.bos.SetSettings(bos.SettingsPatch{Paused: new(false)})
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	r.wantLog("PCS On x1", `BOS [{"id":"x1","last_action":{"action":"powering_on","failed":false}}]`)
}

// A lock refuses reservations too: a node that was locked meanwhile is not commanded again.
func TestLockedIsNotSentAgain(t *testing.T) {
	r := newRig(t)
	r.put(x1, on)
	r.pcs.HoldOpen(true)
	if _, err := r.pcs.Transition(context.Background(), pcs.SoftOff, []bos.ComponentID{x1}); err != nil {
		t.Fatal(err)
	}
	op := r.operator("power-on")
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	age(r.shared, time.Second)
	if err := r.passIDs(op, transitionKey); err != nil {
		t.Fatal(err)
	}
	r.hsm.Lock(x1)
	r.takeLog()
	for range 2 {
		age(r.shared, longestAgain+time.Second)
		if err := r.passIDs(op, transitionKey); err != nil {
			t.Fatal(err)
		}
	}
	r.wantLog(`BOS [{"id":"x1","error":"` + causeLocked + `"}]`)
}

// A back end that cannot tell how a transition goes is not asked.
func TestWithoutTransitionReader(t *testing.T) {
	r := newRig(t)
	r.put(x1, off)
	r.shared = NewTransitions(struct{ pcs.PowerClient }{r.pcs}, r.bos)
	op := r.operator("power-off-graceful")
	if err := r.pass(op); err != nil {
		t.Fatal(err)
	}
	r.wantLog("PCS Soft-Off x1", graceful(1, ""))
	if _, ok := r.sched.Wish(transitionKey); ok {
		t.Error("a look at transitions is planned")
	}
}

func TestNames(t *testing.T) {
	if n := len(Names()); n != 10 || !slices.IsSorted(Names()) {
		t.Errorf("%d names %q, want ten in order", n, Names())
	}
	r := newRig(t)
	for i, op := range All(r.deps()) {
		if op.Name() != Names()[i] {
			t.Errorf("operator %d is %s, want %s", i, op.Name(), Names()[i])
		}
	}
	if _, err := New("power-of", r.deps()); !errors.Is(err, bos.ErrInvalid) || !strings.Contains(err.Error(), "power-off-graceful") {
		t.Errorf("error %v, want the names", err)
	}
	if _, err := New("status", Deps{}); err == nil {
		t.Error("an operator without an API was built")
	}
}

// TestLateRecord delays the record of a soft-off until another process has forced the node off: it is dropped, so that
// the wait does not begin anew, and no attempt of the other is taken for its own.
func TestLateRecord(t *testing.T) {
	r := newRig(t)
	r.put(x1, phase("powering_off"))
	forced := func(c *bos.Component) {
		phase("powering_off")(c)
		action(bos.ActionPoweringOffForceful, 1)(c)
		attempts(0, 1, 1)(c)
	}
	r.fail = func(call string) error {
		if strings.HasPrefix(call, "BOS ") {
			r.put(x1, forced)
		}
		return nil
	}
	if err := r.pass(r.operator("power-off-graceful")); err != nil {
		t.Fatal(err)
	}
	r.wantLog("PCS Soft-Off x1", graceful(1, ""))
	if c := r.bos.Get(x1); c.ComputeStatus() != bos.StatusPowerOffForcefullyCalled || c.ActionTime() != bos.Stamp(rigNow.Add(-time.Second)) {
		t.Errorf("%s since %s, want it forced off a second ago", c.ComputeStatus(), c.ActionTime())
	}
}

// TestFailedIsNotWrittenOverHold puts a component on hold while an operator is about to give it up.
func TestFailedIsNotWrittenOverHold(t *testing.T) {
	r := newRig(t)
	r.put(x1, phase("powering_off"), attempts(0, 3, 0))
	r.fail = func(call string) error {
		if strings.HasPrefix(call, "HSM LockedNodes") {
			r.put(x1, phase("powering_off"), attempts(0, 3, 0), override("on_hold"))
		}
		return nil
	}
	if err := r.pass(r.operator("power-off-graceful")); err != nil {
		t.Fatal(err)
	}
	if c := r.bos.Get(x1); c.Override() != bos.StatusOnHold {
		t.Errorf("override %q, want on_hold", c.Override())
	}
}
