package builtin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/pcs"
)

// powerView is what the readings of a node's power state amount to.
type powerView int

const (
	powerUnread powerView = iota // PCS was not asked, or gave no answer at all
	powerIsOff
	powerIsOn    // or unreadable for longer than the grace
	powerHeld    // unreadable, within the grace
	powerAbsent  // missing from one answer: may be an accident
	powerMissing // missing for good
)

// configView is what the readings of a node's CFS record amount to.
type configView int

const (
	configUnread configView = iota
	configKnown
	configAbsent  // missing from one answer
	configMissing // missing for good
)

// facts is what status knows of a component besides its record.
type facts struct {
	power     powerView
	undefined bool   // PCS says undefined, whatever power makes of it
	text      string // why the power state is not readable
	equal     bool   // the power reading before said the same

	config configView
	cfs    cfs.Component

	sent   pcs.Operation // our last command to the node, and when PCS accepted it
	sentAt time.Time

	configuring time.Time // since when it is in this phase; zero = it is not, or just began
}

// verdict is what status makes of a component.
type verdict struct {
	phase    bos.Phase
	override bos.Status
	disable  bool
	failed   bool   // set last_action.failed
	err      string // what to say; empty = nothing new
	hold     bool   // no decision yet: another reading will tell
	off      bool   // the node is off or gone: what it had booted is void
	settled  bool   // the desired state is reached
}

// staleTime is how long a power reading may show a picture from before a command. Source: PCS, cache of 30 s and more.
const staleTime = time.Minute

// decide is the state machine of a component: the first row that matches. Source: BOS v2 operators 3.5, with the
// improvements and those of services 11.3.
func decide(c *bos.Component, f facts, o *bos.Options, s *bos.Settings, now time.Time) verdict {
	switch { // rows 0a and 0b
	case f.power == powerMissing, f.undefined && f.config == configMissing:
		return verdict{override: bos.StatusOnHold, disable: true, err: errorNotInPCS, off: true}
	case f.power != powerUnread && f.power != powerAbsent && f.config == configMissing:
		return verdict{override: bos.StatusOnHold, disable: true, err: errorNotInCFS, off: f.power == powerIsOff}
	}
	var v verdict
	switch f.power {
	case powerIsOff:
		v = decideOff(c, f, o, now)
	case powerIsOn:
		v = decideOn(c, f, o, s, now)
	default:
		v = verdict{hold: true, err: f.text}
	}
	if f.config == configAbsent {
		v = verdict{hold: true}
	}
	if !v.hold && reverses(c, v.phase) && !f.equal {
		v = verdict{hold: true}
	}
	if v.hold {
		v.phase, v.override, v.settled = c.CurrentPhase(), c.Override(), false
	}
	if c.ComputeStatus() == bos.StatusFailed { // row 1
		v.disable, v.override = true, bos.StatusFailed
	}
	return v
}

// reverses reports whether a phase leads back in the course of a component, other than because somebody wants something
// new of it. One odd reading must not do that.
func reverses(c *bos.Component, next bos.Phase) bool {
	if c.Override() == bos.StatusOnHold {
		return false
	}
	switch c.CurrentPhase() {
	case bos.PhasePoweringOn:
		return next == bos.PhasePoweringOff
	case bos.PhaseConfiguring:
		return next == bos.PhasePoweringOff || next == bos.PhasePoweringOn
	}
	return false
}

// decideOff is rows 2 to 4: the node is off.
func decideOff(c *bos.Component, f facts, o *bos.Options, now time.Time) verdict {
	wanted := c.DesiredArtifacts().Kernel != ""
	turnedOn := f.sent == pcs.On && now.Sub(f.sentAt) < staleTime
	switch {
	case turnedOn && (!wanted || c.Action() != bos.ActionPoweringOn): // the picture may be older than our command
		return verdict{hold: true}
	case !wanted:
		return verdict{disable: true, off: true, settled: true}
	case c.Action() == bos.ActionPoweringOn && c.ActionTime().OlderThan(o.MaxPowerOnWaitTime, now):
		v := verdict{phase: bos.PhasePoweringOn, failed: true, off: true}
		if !c.ActionFailed() && explains(c) {
			v.err = stillOff(c, o)
		}
		return v
	}
	return verdict{phase: bos.PhasePoweringOn, off: true}
}

// decideOn is rows 5 to 13: the node is on, or counts as on.
func decideOn(c *bos.Component, f facts, o *bos.Options, s *bos.Settings, now time.Time) verdict {
	switch {
	case c.DesiredArtifacts().Kernel == "":
		return verdict{phase: bos.PhasePoweringOff}
	case bootedAsDesired(c):
		turnedOff := (f.sent == pcs.SoftOff || f.sent == pcs.ForceOff) && now.Sub(f.sentAt) < staleTime
		if turnedOff || f.config != configKnown {
			return verdict{hold: true}
		}
		return decideConfiguration(c, f, s, now)
	case c.Action() == bos.ActionPoweringOn && !c.ActionTime().OlderThan(o.MaxBootWaitTime, now):
		return verdict{phase: bos.PhasePoweringOn}
	}
	v := verdict{phase: bos.PhasePoweringOff}
	if c.CurrentPhase() == bos.PhasePoweringOn && c.Action() == bos.ActionPoweringOn && explains(c) {
		v.err = noReport(c, o)
	}
	return v
}

// bootedAsDesired compares what the node reported with what it shall boot. Source: BOS v2 operators 3.4.
func bootedAsDesired(c *bos.Component) bool {
	hasDesired := c.DesiredState != nil && c.DesiredState.BootArtifacts != nil
	hasActual := c.ActualState != nil && c.ActualState.BootArtifacts != nil
	return hasDesired == hasActual && c.DesiredArtifacts().Same(c.ActualArtifacts())
}

// explains reports whether a time that has run out is worth telling: an attempt was made and nobody gave a better reason.
func explains(c *bos.Component) bool {
	on, _, _ := c.Attempts()
	text := c.ErrorText()
	return on > 0 && (text == "" || hasAnyPrefix(text, causeNoReport, causeStillOff, causeUnreadable))
}

// decideConfiguration is rows 6 to 11: the node booted what it shall, and CFS decides.
func decideConfiguration(c *bos.Component, f facts, s *bos.Settings, now time.Time) verdict {
	desired := c.DesiredConfiguration()
	status := cfs.Status(strings.ToLower(string(f.cfs.Status)))
	switch {
	case desired != f.cfs.DesiredConfig, desired != "" && status == cfs.StatusPending:
		limit := time.Duration(s.MaxConfigureWaitTime) * time.Second
		if waited := now.Sub(f.configuring); limit > 0 && !f.configuring.IsZero() && waited > limit {
			return verdict{phase: bos.PhaseConfiguring, disable: true, override: bos.StatusFailed,
				err: fmt.Sprintf("not configured within %s: cfs says %s after %d failed runs", limit, status, f.cfs.ErrorCount)}
		}
		return verdict{phase: bos.PhaseConfiguring}
	case desired == "", status == cfs.StatusConfigured:
		return verdict{disable: true, settled: true}
	case status == cfs.StatusFailed:
		return verdict{phase: bos.PhaseConfiguring, disable: true, override: bos.StatusFailed, err: errorCFSFailed}
	}
	return verdict{phase: bos.PhaseConfiguring, disable: true, override: bos.StatusFailed, err: errorCFSStatus + string(status)}
}

// patch is what a verdict writes; ok is false when nothing changes. Source: BOS v2 operators 3.6.
func (v verdict) patch(c *bos.Component, f facts) (p bos.ComponentPatch, ok bool) {
	p.Status = &bos.ComponentStatus{StatusOverride: new(v.override)}
	ok = v.override != c.Override() || v.disable
	if before := c.CurrentPhase(); v.phase != before {
		ok = true
		p.Status.Phase = new(v.phase)
		if v.phase == bos.PhaseNone {
			p.EventStats = bos.ZeroEventStats()
		}
		if before == bos.PhasePoweringOff && v.off { // a report of a node that is on is never thrown away
			p.ActualState = &bos.ActualState{BootArtifacts: bos.BootArtifacts{}.Fields(), BSSToken: new(bos.BSSToken(""))}
		}
	}
	if v.disable {
		p.Enabled = new(false)
	}
	if text, say := v.errorText(c, f); say {
		p.Error = new(text)
		ok = true
	}
	if v.failed && !c.ActionFailed() {
		p.LastAction = &bos.LastAction{Failed: new(true)}
		ok = true
	}
	return p, ok
}

// errorText is what the component's error becomes. Status takes back what it said of a state that has passed, and on
// success every text that is not the reference's; those it never clears (operators Q-59).
func (v verdict) errorText(c *bos.Component, f facts) (text string, say bool) {
	stored := c.ErrorText()
	mine := hasAnyPrefix(stored, causeUnreadable, causeWaitingPCS, causeWaitingCFS)
	switch {
	case v.hold && stored != "" && !mine: // somebody gave a reason already
		return "", false
	case v.err != "":
		return v.err, v.err != stored
	case v.hold, v.override == bos.StatusFailed: // what has failed keeps its cause
		return "", false
	case v.settled && v.override == "" && ours(stored):
		return "", true
	case mine && (f.text == "" || !strings.HasPrefix(stored, causeUnreadable)):
		return "", true
	case f.power == powerIsOff && hasAnyPrefix(stored, causeTask+"soft-off: ", causeTask+"force-off: "): // off after all
		return "", true
	}
	return "", false
}

// needsConfig reports whether the decision about a component rests on what CFS says now.
func needsConfig(c *bos.Component, f facts) bool {
	return f.power == powerIsOn && c.DesiredArtifacts().Kernel != "" && bootedAsDesired(c)
}

// called are the statuses of a component that waits for its power state to change.
var called = []bos.Status{bos.StatusPowerOnCalled, bos.StatusPowerOffGracefullyCalled, bos.StatusPowerOffForcefullyCalled}

func isCalled(s bos.Status) bool { return slices.Contains(called, s) }
