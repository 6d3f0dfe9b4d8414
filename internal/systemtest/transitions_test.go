package systemtest

import (
	"slices"

	"github.com/bootorch/bosgo/bos"
)

// The model that what is written is held to: which status may follow which, and by whose hand. It is taken from the
// specification of the operators, not from their code.

const (
	onHold      = bos.StatusOnHold
	onPending   = bos.StatusPowerOnPending
	onCalled    = bos.StatusPowerOnCalled
	offPending  = bos.StatusPowerOffPending
	softCalled  = bos.StatusPowerOffGracefullyCalled
	forceCalled = bos.StatusPowerOffForcefullyCalled
	configuring = bos.StatusConfiguring
	stable      = bos.StatusStable
	failed      = bos.StatusFailed
)

// moves are the statuses that a writer may lead a component to, by the one it is in; it may always leave it there. Writers
// without an entry move nothing, nobody's name is the API's. Source: BOS v2 operators 3.7.
var moves = map[string]map[bos.Status][]bos.Status{
	"status": {
		onHold:      {onPending, onCalled, offPending, softCalled, forceCalled, configuring, stable, failed},
		onPending:   {offPending, softCalled, forceCalled, configuring, stable, failed, onHold}, // called: the reading before was old, and the node is on after all
		onCalled:    {onPending, offPending, configuring, stable, failed, onHold},
		offPending:  {onPending, onCalled, configuring, stable, failed, onHold}, // called: off before anybody recorded why, within the wait of a power-on
		softCalled:  {onPending, configuring, stable, failed, onHold},
		forceCalled: {onPending, configuring, stable, failed, onHold},
		configuring: {onPending, onCalled, offPending, stable, failed, onHold},
	},
	"power-on": {
		onPending: {onCalled, failed},
		onCalled:  {onPending},
	},
	"": { // a stage that cannot be applied disables the component, is its last action and ends the hold
		onHold:      {onPending, offPending, configuring, stable},
		onCalled:    {onPending},
		softCalled:  {offPending},
		forceCalled: {offPending},
	},
	"power-off-graceful": {
		offPending: {softCalled, failed},
	},
	"power-off-forceful": {
		softCalled:  {forceCalled, failed},
		forceCalled: {failed},
	},
}

// mayMove holds a write to the transitions and tells what it broke. Whoever enables a component puts it on hold. A stage
// that is set up clears the error, so the cause of an earlier failure is gone then. Source: BOS v2 operators, OP-093.
func mayMove(writer string, before, after *bos.Component, enabled bool) (broken []string) {
	from, to := before.ComputeStatus(), after.ComputeStatus()
	_, isOperator := owned[writer]
	switch {
	case enabled && after.IsEnabled() && to != onHold:
		broken = append(broken, "it enabled the component and did not put it on hold")
	case enabled && after.IsEnabled() && writer != "" && writer != "session-setup":
		broken = append(broken, "it may not enable a component")
	case from == to, enabled && after.IsEnabled():
	case !slices.Contains(moves[writer][from], to), writer == "" && (after.IsEnabled() || after.Action() != bos.ActionApplyStaged):
		broken = append(broken, "there is no such transition")
	}
	if writer != "status" {
		return broken
	}
	switch {
	case slices.Contains([]bos.Status{stable, failed}, to) && after.IsEnabled():
		broken = append(broken, "the component has arrived and is still enabled")
	case to == onHold && from != onHold && after.IsEnabled():
		broken = append(broken, "only a component that is disabled may go back on hold")
	case before.IsEnabled() && !after.IsEnabled() && !slices.Contains([]bos.Status{stable, failed, onHold}, to):
		broken = append(broken, "it disabled a component that has not arrived")
	case (to == failed || to == onHold && !after.IsEnabled()) && isOperator && after.ErrorText() == "" && after.StagedSession() == "":
		broken = append(broken, "it gave no cause")
	}
	return broken
}

// mayCreate holds a new component to the model: it is nobody's, and BOS leaves it alone.
func mayCreate(c *bos.Component) (broken []string) {
	if c.IsEnabled() || c.ComputeStatus() != stable || c.SessionName() != "" || attemptsOf(c) != [3]int{} {
		broken = append(broken, "a new component is not at rest")
	}
	return broken
}

// sessionMoves are the states that a session may get to, by writer and the state it is in.
var sessionMoves = map[string]map[bos.SessionState][]bos.SessionState{
	"session-setup":      {bos.SessionPending: {bos.SessionRunning, bos.SessionComplete}},
	"session-completion": {bos.SessionRunning: {bos.SessionComplete}},
	"":                   {bos.SessionPending: {bos.SessionRunning}, bos.SessionRunning: {bos.SessionComplete}}, // to cancel
}

// mayProgress holds a write to a session to the model and tells what it broke. A session that is nil does not exist.
func mayProgress(writer string, before, after *bos.Session) (broken []string) {
	switch {
	case before == nil && (writer != "" || after.State() != bos.SessionPending):
		broken = append(broken, "a session begins pending, by an administrator's hand")
	case before == nil:
	case after == nil && writer != "" && (writer != "session-cleanup" || before.State() != bos.SessionComplete):
		broken = append(broken, "sessions that are not complete are deleted by administrators alone")
	case after == nil:
	case before.State() != after.State() && !slices.Contains(sessionMoves[writer][before.State()], after.State()):
		broken = append(broken, "there is no such transition")
	case before.State() != after.State() && writer == "" && !after.Canceled():
		broken = append(broken, "administrators move sessions by canceling alone")
	case before.Canceled() && before.Status.Error != after.Status.Error:
		broken = append(broken, "it was canceled, and does not say so any more")
	case before.State() == bos.SessionComplete && before.Status.EndTime != after.Status.EndTime:
		broken = append(broken, "it changed the end of the session")
	}
	if after != nil && (after.State() == bos.SessionComplete) != (after.Status.EndTime != "") {
		broken = append(broken, "a session has an end when it is complete, and no sooner")
	}
	return broken
}
