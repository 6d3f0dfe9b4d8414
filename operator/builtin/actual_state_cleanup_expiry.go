package builtin

import (
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// expiryID is what the clean-up operators call their wish for a pass when the next record expires.
const expiryID = "next-expiry"

// expiry tells which records are older than ttl, and finds the moment at which the next one will be.
type expiry struct {
	now  time.Time
	ttl  time.Duration
	next time.Time // zero while nothing is going to expire
}

// reached reports whether a record of the stamp has expired: more than ttl has passed, strictly, in whole seconds. A
// record without a stamp has (operators 1.6).
func (e *expiry) reached(stamp bos.Timestamp) bool {
	if stamp.OlderThan(e.ttl, e.now) {
		return true
	}
	at, _ := stamp.Time() // readable, or it would be older than anything
	if at = at.Add(e.ttl + time.Second); e.next.IsZero() || at.Before(e.next) {
		e.next = at
	}
	return false
}

// sweepPause is the shortest time between two looks at all records: those that expire one after the other are cleaned
// up together.
const sweepPause = 15 * time.Second

// schedule asks for a pass when the next record expires.
func (e *expiry) schedule(t operator.Tick) {
	if e.next.IsZero() {
		t.Sched.Cancel(expiryID)
		return
	}
	if soonest := t.Now.Add(sweepPause); e.next.Before(soonest) {
		e.next = soonest
	}
	t.Sched.At(expiryID, e.next)
}

// sweepPeriod is the polling period of an operator that knows when the records expire which it has seen: an eighth of
// their life, for those it has not, at least polling_frequency and at most longest.
func sweepPeriod(o bos.Options, ttl, longest time.Duration) time.Duration {
	if ttl == 0 {
		return max(o.PollingFrequency, longest)
	}
	return max(o.PollingFrequency, min(ttl/8, longest))
}
