package bosserver

import (
	"github.com/bootorch/bosgo/bos"
)

// resolver tells what a BSS token stands for; nil when nobody has recorded it.
type resolver func(bos.BSSToken) *bos.BootArtifacts

// autoFields completes what is about to be written: the patch of a PATCH, the record of a PUT.
// Source: BOS v2 API, auto fields; operators rely on each of them (A1 to A5).
func autoFields(c *bos.Component, now bos.Timestamp, resolve resolver) {
	if token := reportedToken(c); token != "" {
		if a := resolve(token); a != nil {
			c.ActualState.BootArtifacts = a.Fields()
		}
	}
	stamp(c, now)
	if bos.Value(c.Enabled) {
		ensure(&c.Status).StatusOverride = new(bos.StatusOnHold)
	}
	if d := c.DesiredState; d != nil {
		if c.SessionName() == "" {
			c.Session = new("")
		}
		if d.BootArtifacts != nil || d.Configuration != nil {
			c.EventStats = bos.ZeroEventStats()
		}
	}
}

// reportedToken returns the token that has to be resolved, empty where there is none.
func reportedToken(c *bos.Component) bos.BSSToken {
	if c.ActualState == nil {
		return ""
	}
	return bos.Value(c.ActualState.BSSToken)
}

// stamp sets last_updated where something is written. A token alone is not a change of state.
func stamp(c *bos.Component, now bos.Timestamp) {
	if s := c.ActualState; s != nil && (s.BSSToken == nil || s.BootArtifacts != nil || s.LastUpdated != nil || len(s.Extra) > 0) {
		s.LastUpdated = new(now)
	}
	if s := c.DesiredState; s != nil &&
		(s.BSSToken == nil || s.BootArtifacts != nil || s.Configuration != nil || s.LastUpdated != nil || len(s.Extra) > 0) {
		s.LastUpdated = new(now)
	}
	if s := c.StagedState; s != nil {
		s.LastUpdated = new(now)
	}
	if a := c.LastAction; a != nil {
		a.LastUpdated = new(now)
	}
}

// mayReport reports whether a node's report of its actual state can be trusted: not while BOS is changing the node,
// except for the report that BOS waits for after powering it on. Source: BOS v2 API, component PATCH (A8).
func mayReport(c *bos.Component) bool {
	return !c.IsEnabled() || c.ComputeStatus() == bos.StatusStable || c.Action() == bos.ActionPoweringOn
}

// complete makes a stored component what a read answers: with the computed status, without the hidden timestamp.
func complete(c *bos.Component) {
	if c.Status == nil {
		c.Status = &bos.ComponentStatus{Phase: new(bos.PhaseNone), StatusOverride: new(bos.Status(""))}
	}
	c.Status.Status = new(c.ComputeStatus())
	hideTimestamp(c)
}

// hideTimestamp takes out when the artifacts of the reported token were recorded; only storage has it.
func hideTimestamp(c *bos.Component) {
	if c.ActualState != nil && c.ActualState.BootArtifacts != nil {
		c.ActualState.BootArtifacts.Timestamp = nil
	}
}
