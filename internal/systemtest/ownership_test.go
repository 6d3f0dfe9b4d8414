package systemtest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bootorch/bosgo/bos"
)

// owned are the members of a component that each operator may change. Who is not named here is an administrator, the
// node's reporter, or somebody who creates components.
var owned = map[string][]string{
	"actual-state-cleanup": {"actual_state"},
	"configuration":        {"error"},
	"discovery":            {},
	"power-on":             {"desired_state.bss_token", "error", "event_stats", "last_action", "status.status_override"},
	"power-off-graceful":   {"error", "event_stats", "last_action", "status.status_override"},
	"power-off-forceful":   {"error", "event_stats", "last_action", "status.status_override"},
	"session-cleanup":      {},
	"session-completion":   {"enabled", "error", "staged_state"}, // when it cancels
	"session-setup":        {"actual_state", "desired_state", "enabled", "error", "event_stats", "last_action", "session", "staged_state", "status.status_override"},
	"status":               {"actual_state", "enabled", "error", "event_stats", "last_action.failed", "last_action.last_updated", "status"},
}

// mayWrite holds a write to what the state machine allows its writer, and tells what it broke. Unseen is a status that the
// component got since the writer looked: it may record a command that it had sent when the component was put on hold.
func mayWrite(writer string, before, after *bos.Component, c *bos.Change, policy int, unseen bool) (broken []string) {
	wrong := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	for i, n := range attemptsOf(after) {
		if n > policy {
			wrong("%d attempts (%v), the policy is %d", n, attemptsOf(after), policy)
		}
		if was := attemptsOf(before)[i]; n > was+1 {
			wrong("attempts %v, before %v", attemptsOf(after), attemptsOf(before))
		}
	}
	members, isOperator := owned[writer]
	if !isOperator {
		return broken
	}
	for _, f := range c.Fields {
		if f != "last_action.last_updated" && !slices.ContainsFunc(members, func(m string) bool { return f == m || strings.HasPrefix(f, m+".") || strings.HasPrefix(m, f+".") }) {
			wrong("it does not own %s", f)
		}
	}
	if writer == "session-completion" && after.IsEnabled() && !before.IsEnabled() {
		wrong("it enabled the component")
	}
	if writer == "session-setup" || writer == "actual-state-cleanup" || writer == "session-completion" {
		return broken
	}
	from := before.ComputeStatus()
	switch {
	case !before.IsEnabled():
		wrong("the component is disabled")
	case after.IsEnabled() && !before.IsEnabled():
		wrong("it enabled the component")
	case before.SessionName() != after.SessionName():
		wrong("it changed the session from %q to %q", before.SessionName(), after.SessionName())
	case !before.DesiredArtifacts().Same(after.DesiredArtifacts()):
		wrong("it changed what is desired")
	}
	acts := func(own int, statuses ...bos.Status) {
		was, is := attemptsOf(before), attemptsOf(after)
		for i := range is {
			if i != own && is[i] != was[i] {
				wrong("it counted the attempts of another one: %v, before %v", is, was)
			}
		}
		if is[own] > was[own] && !slices.Contains(statuses, from) && (from != bos.StatusOnHold || !unseen) {
			wrong("it acted on a component that is %s", from)
		}
		if after.Override() == bos.StatusFailed && before.Override() != bos.StatusFailed && was[own] < policy {
			wrong("it gave up after %d attempts of %d", was[own], policy)
		}
	}
	switch writer {
	case "power-on":
		acts(0, bos.StatusPowerOnPending, bos.StatusPowerOnCalled)
	case "power-off-graceful":
		acts(1, bos.StatusPowerOffPending)
	case "power-off-forceful":
		acts(2, bos.StatusPowerOffGracefullyCalled, bos.StatusPowerOffForcefullyCalled)
	case "status":
		if is := attemptsOf(after); is != attemptsOf(before) && is != [3]int{} {
			wrong("it set the attempts to %v", is)
		}
		if before.Action() != after.Action() {
			wrong("it changed the last action from %s to %s", before.Action(), after.Action())
		}
	}
	return broken
}

func attemptsOf(c *bos.Component) [3]int {
	on, graceful, forceful := c.Attempts()
	return [3]int{on, graceful, forceful}
}
