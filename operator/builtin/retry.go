package builtin

import (
	"fmt"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// retryLimit is how often an operator may act on the component: its own policy, else the option. Negative means
// without limit, 0 never. Source: BOS v2 operators, retry limits; -1 occurs in data of older releases.
func retryLimit(c *bos.Component, o *bos.Options) int {
	if c.RetryPolicy != nil {
		return *c.RetryPolicy
	}
	return o.DefaultRetryPolicy
}

// exhausted reports whether the component has used up its attempts.
func exhausted(c *bos.Component, attempts int, o *bos.Options) bool {
	limit := retryLimit(c, o)
	return limit >= 0 && attempts >= limit
}

// failedPatch marks a component as failed. Its error stays, so that the cause is seen; without one it gets the generic
// text. The status operator disables it later.
func failedPatch(c *bos.Component) bos.GuardedPatch {
	p := bos.ComponentPatch{Status: &bos.ComponentStatus{StatusOverride: new(bos.StatusFailed)}}
	if c.ErrorText() == "" {
		p.Error = new(bos.GenericRetryError)
	}
	return guardOverride(c, p)
}

// guard makes a patch of c that is dropped when somebody took the component over since it was read, or status found it
// in another phase: a late record of a power-off must not hide that the node is being powered on.
func guard(c *bos.Component, p bos.ComponentPatch) bos.GuardedPatch {
	g := bos.GuardOf(c)
	g.Phase = new(c.CurrentPhase())
	return bos.GuardedPatch{ID: c.ID, If: g, Patch: p}
}

// guardOverride is guard for who decides on the override: what somebody else has put there since is not taken back.
func guardOverride(c *bos.Component, p bos.ComponentPatch) bos.GuardedPatch {
	g := guard(c, p)
	g.If.StatusOverride = new(c.Override())
	return g
}

// guardAction is guard for who records an action: a late record of a soft-off must not hide that the node has been forced
// off since, and let that wait begin anew.
func guardAction(c *bos.Component, p bos.ComponentPatch) bos.GuardedPatch {
	g := guard(c, p)
	g.If.Action = new(c.Action())
	return g
}

// attemptOf says which attempt of how many it was, as in "attempt 2 of 3".
func attemptOf(c *bos.Component, attempts int, o *bos.Options) string {
	if limit := retryLimit(c, o); limit >= 0 {
		return fmt.Sprintf("attempt %d of %d", attempts, limit)
	}
	return fmt.Sprintf("attempt %d", attempts)
}

// waitEnd is the first moment at which a stamp is older than d: stamps are whole seconds and compared strictly.
func waitEnd(stamp bos.Timestamp, d time.Duration) time.Time {
	t, ok := stamp.Time()
	if !ok {
		return time.Time{}
	}
	return t.Add(d + time.Second)
}
