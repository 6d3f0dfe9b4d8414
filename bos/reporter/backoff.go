package reporter

import "time"

// The pauses between tries.
const (
	backoffStep      = 2 * time.Second  // how much longer each pause is than the one before
	backoffLimit     = 30 * time.Second // the longest ordinary pause, before jitter
	backoffLongest   = 5 * time.Minute  // the longest pause of all, jitter included
	rejectionsEnough = 10               // equal 400s after which the pause may grow beyond backoffLimit
	credentialsPause = 2 * time.Second  // after a token provider failed
)

// Backoff says how long to pause between the tries of one report. Its zero value is ready; it is not safe for
// concurrent use. Start each report with a new one.
type Backoff struct {
	tries int // requests that failed
	equal int // how many of the last ones failed alike
	last  Answer
}

// Next returns the pause before the next try, given how the last one ended. random is in [0,1).
//
// The pauses are 2, 4, … 28, 30, 30 … seconds, each up to a fifth longer or shorter. A Retry-After is honoured up to
// 5 minutes. After ten equal 400s the pause goes on growing to 5 minutes. Without credentials it is always 2 seconds.
func (b *Backoff) Next(a Answer, random float64) time.Duration {
	if a.Outcome == NoCredentials {
		return credentialsPause
	}
	if b.tries++; a.equal(b.last) {
		b.equal++
	} else {
		b.equal = 1
	}
	b.last = a

	limit := backoffLimit
	if a.Outcome == Rejected && a.Status == 400 && b.equal >= rejectionsEnough {
		limit = backoffLongest
	}
	pause := jitter(min(limit, backoffStep*time.Duration(b.tries)), 0.8+0.4*random)
	if a.RetryAfter > 0 { // never sooner than asked
		pause = max(pause, jitter(min(a.RetryAfter, backoffLongest), 1+0.2*random))
	}
	return min(pause, backoffLongest)
}

func jitter(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) * factor)
}
