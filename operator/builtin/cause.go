package builtin

import (
	"fmt"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// The component's error says what it waits for or why it failed. Some texts are those of the reference; the others are
// ours and begin with one of the following words, so that the status operator can take them back when they no longer
// hold: texts of the reference it never clears (operators Q-59).
const (
	causeWaiting    = "waiting for " // a service that is away: one of the next three
	causeWaitingPCS = causeWaiting + "PCS"
	causeWaitingCFS = causeWaiting + "CFS"
	causeWaitingHSM = causeWaiting + "HSM"
	causeUnreadable = "power state not readable: "              // PCS or the controller gives none
	causeNoReport   = "powered on, but no boot report within "  // the last boot took too long
	causeStillOff   = "power on accepted, but still off after " // the last power-on had no effect
	causeTask       = "pcs "                                    // a task of PCS failed
	causeNoAnswer   = "no answer from pcs to "                  // a request may have been executed
	causeLocked     = "locked in HSM"
	causeNotInHSM   = "not known to HSM"
)

// Texts of the reference.
const (
	errorBSS          = "Error encountered setting BSS information: "
	errorCFS          = "Error encountered setting CFS information: "
	errorPower        = "Error encountered calling CAPMC to power on: "
	errorNotInPCS     = "Component information was not returned by pcs"
	errorNotInCFS     = "Component information was not returned by cfs"
	errorCFSFailed    = "cfs configuration failed"
	errorCFSStatus    = "cfs is not reporting a valid configuration status for this component: "
	errorImageUnknown = "IMS image id '%s' does not exist in IMS"
	errorImageDeleted = "Kernel path appears to refer to soft-deleted IMS image: '%s'"
	errorImageNoID    = "Unable to extract IMS ID from kernel path: %s"
)

// ours reports whether the error is one that the reference never writes.
func ours(text string) bool {
	return hasAnyPrefix(text, causeWaiting, causeUnreadable, causeNoReport, causeStillOff, causeTask, causeNoAnswer, causeLocked, causeNotInHSM)
}

func hasAnyPrefix(text string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// noReport is the cause of a boot that has to be tried again because the node did not report what it booted.
func noReport(c *bos.Component, o *bos.Options) string {
	on, _, _ := c.Attempts()
	return fmt.Sprintf("%s%s (%s)", causeNoReport, o.MaxBootWaitTime, attemptOf(c, on, o))
}

// stillOff is the cause of a power-on that has to be tried again.
func stillOff(c *bos.Component, o *bos.Options) string {
	on, _, _ := c.Attempts()
	return fmt.Sprintf("%s%s (%s)", causeStillOff, o.MaxPowerOnWaitTime, attemptOf(c, on, o))
}

// waitingFor is the cause of a component that an outage holds up: one of the causeWaiting texts, and the error.
func waitingFor(cause string, err error) string { return fmt.Sprintf("%s: %v", cause, err) }

// outage notes since when a service does not answer. The zero value is an answering service.
type outage struct{ since time.Time }

// lasting notes whether the service answered, and reports whether it has not for so long that people should be told.
func (o *outage) lasting(err error, now time.Time, period time.Duration) bool {
	switch {
	case err == nil:
		o.since = time.Time{}
		return false
	case o.since.IsZero():
		o.since = now
	}
	return now.Sub(o.since) >= max(period, time.Second)
}
