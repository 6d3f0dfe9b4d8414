package builtin

import (
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/pcs"
)

// watch is what status remembers of a component between two looks. Nothing is lost with it but patience: the graces
// begin anew.
type watch struct {
	action actionKey
	goal   goalKey

	moving time.Time     // since when something is expected of the node
	pause  time.Duration // to the next reading
	read   time.Time     // last reading of the power state, zero = never

	state      pcs.State // last reading
	equal      bool      // it equals the one before
	unreadable time.Time // since when the power state is not readable
	noPower    absence
	noConfig   absence

	cfs         cfs.Component
	cfsRead     time.Time // zero = never
	configuring time.Time // since when status has seen it in that phase
}

// actionKey changes when an operator acts on a component.
type actionKey struct {
	action   bos.Action
	failed   bool
	stamp    bos.Timestamp
	attempts [3]int
}

// goalKey changes when anything else happens to a component that a decision rests on.
type goalKey struct {
	desired, actual        bos.BootArtifacts
	configuration, session string
	phase                  bos.Phase
	override               bos.Status
}

func actionOf(c *bos.Component) actionKey {
	on, graceful, forceful := c.Attempts()
	return actionKey{c.Action(), c.ActionFailed(), c.ActionTime(), [3]int{on, graceful, forceful}}
}

func goalOf(c *bos.Component) goalKey {
	return goalKey{c.DesiredArtifacts(), c.ActualArtifacts(), c.DesiredConfiguration(), c.SessionName(), c.CurrentPhase(), c.Override()}
}

// absence is a record that was missing from answers: one may be an accident, so it counts when it was missing from
// two and for a while.
type absence struct {
	since time.Time
	count int
}

// note notes an answer and reports whether the record is missing for good.
func (a *absence) note(missing bool, now time.Time, grace time.Duration) bool {
	if !missing {
		*a = absence{}
		return false
	}
	if a.count == 0 {
		a.since = now
	}
	a.count++
	return a.count > 1 && now.Sub(a.since) >= grace
}

// period is the polling period; 0 means once a second.
func period(o *bos.Options) time.Duration {
	if o.PollingFrequency <= 0 {
		return time.Second
	}
	return o.PollingFrequency
}

// unreachableGrace is how long an unreadable power state is held before the node counts as on.
func unreachableGrace(o *bos.Options, s *bos.Settings) time.Duration {
	if s.UnreachableGraceTime > 0 {
		return time.Duration(s.UnreachableGraceTime) * time.Second
	}
	return max(time.Minute, 4*period(o))
}

// look brings the watch up to date with the record, and reports whether the hardware must be read now. Right after a
// command it need not: the node has had no time to obey.
func (w *watch) look(c *bos.Component, now time.Time, o *bos.Options) (read bool) {
	if !w.read.IsZero() && now.Sub(w.read) > 4*period(o)+time.Minute {
		*w = watch{} // too old to build on
	}
	action, goal := actionOf(c), goalOf(c)
	acted, changed := action != w.action, goal != w.goal
	w.action, w.goal = action, goal
	if acted || changed {
		w.moving, w.pause = now, firstLook
	}
	if c.CurrentPhase() != bos.PhaseConfiguring {
		w.configuring = time.Time{}
	} else if w.configuring.IsZero() {
		w.configuring = now
	}
	return changed || !acted || !isCalled(c.ComputeStatus())
}

// notePower takes a reading of PCS; ok is false when the answer does not have the node.
func (w *watch) notePower(s pcs.PowerStatus, ok bool, now time.Time, o *bos.Options, set *bos.Settings) (view powerView, undefined bool, text string) {
	state := pcs.State(lower(string(s.State)))
	missing := !ok || s.Error == "" && state == ""
	if s.Error != "" {
		state = pcs.State(s.Error)
	}
	w.equal = !w.read.IsZero() && w.state == state
	w.state, w.read = state, now
	if w.noPower.note(missing, now, 2*period(o)) {
		return powerMissing, false, ""
	}
	if missing {
		return powerAbsent, false, ""
	}
	switch {
	case s.Error != "":
		text = causeUnreadable + s.Error
	case state == pcs.StateOff || state == pcs.StateOn:
		w.unreadable = time.Time{}
		if state == pcs.StateOff {
			return powerIsOff, false, ""
		}
		return powerIsOn, false, ""
	case s.Available:
		text = causeUnreadable + "the management controller says " + string(state)
	default:
		text = causeUnreadable + "management controller unreachable"
	}
	undefined = s.Error == ""
	if w.unreadable.IsZero() {
		w.unreadable = now
	}
	if now.Sub(w.unreadable) <= unreachableGrace(o, set) {
		return powerHeld, undefined, text
	}
	return powerIsOn, undefined, text
}

// noteConfig takes a reading of CFS; ok is false when the answer does not have the component.
func (w *watch) noteConfig(c cfs.Component, ok bool, now time.Time, o *bos.Options) configView {
	w.cfs, w.cfsRead = c, now
	switch {
	case w.noConfig.note(!ok, now, 2*period(o)):
		return configMissing
	case !ok:
		return configAbsent
	}
	return configKnown
}

// rememberedConfig is what the last reading of CFS amounts to, for decisions that do not rest on what it says now.
func (w *watch) rememberedConfig() configView {
	switch {
	case w.cfsRead.IsZero():
		return configUnread
	case w.noConfig.count > 0:
		return configAbsent
	}
	return configKnown
}
