package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Breaker keeps callers away from a service that is away: after a number of calls in a row that met an outage, further
// calls fail at once; after a pause one at a time is let through, until one is answered. Calls whose caller gave up count
// for nothing. It is safe for concurrent use.
type Breaker struct {
	state *gobreaker.CircuitBreaker[struct{}] // nil = never opens
	pause time.Duration

	mu    sync.Mutex
	since time.Time // when it opened; stays while single calls are tried in vain
	next  time.Time // when the next call is let through
	last  error     // the latest outage
}

// OpenError is a call that was not made because the service is away. Its text stays the same throughout an outage, as long
// as the outage does, so that a record which shows it need not be written again and again.
type OpenError struct {
	Since time.Time     // when calls began to fail at once
	Next  time.Time     // when one is let through again; in the past while one is under way
	Every time.Duration // the pause between two such calls
	Last  error         // the latest outage; not wrapped, since it says nothing of this call
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("not asked: away since %s, tried again every %s; last: %v", e.Since.UTC().Format(time.RFC3339), e.Every, e.Last)
}

// NewBreaker returns the breaker of a service. It opens after so many outages in a row, never if that is negative, for the
// given pause; log takes a record when it opens and when it closes again. outage tells an outage from other errors.
func NewBreaker(service string, after int, pause time.Duration, log *slog.Logger, outage func(error) bool) *Breaker {
	b := &Breaker{pause: pause}
	if after < 0 {
		return b
	}
	b.state = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        service,
		Timeout:     pause,
		ReadyToTrip: func(n gobreaker.Counts) bool { return int(n.ConsecutiveFailures) >= after },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
		IsSuccessful: func(err error) bool {
			if err == nil || !outage(err) {
				return true
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.last = err
			return false
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			b.mu.Lock()
			defer b.mu.Unlock()
			now := time.Now()
			switch {
			case from == gobreaker.StateClosed:
				b.since = now
				log.Warn("service is away", "service", service, "err", b.last)
			case to == gobreaker.StateClosed:
				log.Info("service is back", "service", service, "away", now.Sub(b.since).Round(time.Second))
			}
			if to == gobreaker.StateOpen {
				b.next = now.Add(pause)
			}
		},
	})
	return b
}

// Do makes a call and returns its error, or does not make it and returns an *OpenError. A call whose context has ended
// before it begins fails by itself and says nothing of the service.
func (b *Breaker) Do(ctx context.Context, call func() error) error {
	if b.state == nil || ctx.Err() != nil {
		return call()
	}
	_, err := b.state.Execute(func() (struct{}, error) { return struct{}{}, call() })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return &OpenError{Since: b.since, Next: b.next, Every: b.pause, Last: b.last}
	}
	return err
}
