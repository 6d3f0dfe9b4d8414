package builtin

import (
	"context"
	"fmt"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// sessionCleanup deletes complete sessions that started longer ago than the option cleanup_completed_session_ttl.
// Their components stay as they are. Source: operators 6.2.
//
// What if the process dies? Deleting is one call; what it did not reach is deleted by the next pass.
type sessionCleanup struct{ d Deps }

func newSessionCleanup(d Deps) operator.Operator { return &sessionCleanup{d} }

var _ operator.Periodic = (*sessionCleanup)(nil)

func (*sessionCleanup) Name() string { return "session-cleanup" }

// Period is a fraction of the age, since the expiry of the sessions there are is known.
func (*sessionCleanup) Period(o bos.Options) time.Duration {
	ttl, err := bos.ParseAge(o.CleanupCompletedSessionTTL, true)
	if err != nil {
		return o.PollingFrequency
	}
	return sweepPeriod(o, ttl, 5*time.Minute)
}

// Run deletes what has expired and notes when the next session will.
func (o *sessionCleanup) Run(ctx context.Context, t operator.Tick) error {
	ttl, err := bos.ParseAge(t.Options.CleanupCompletedSessionTTL, true)
	if err != nil {
		return fmt.Errorf("option cleanup_completed_session_ttl: %w", err)
	}
	if ttl == 0 {
		t.Sched.Cancel(expiryID)
		return nil // sessions are kept for ever
	}
	sessions, err := o.d.API.ListSessions(ctx, bos.SessionFilter{Status: bos.SessionComplete})
	if err != nil {
		return fmt.Errorf("list complete sessions: %w", err)
	}
	e := expiry{now: t.Now, ttl: ttl}
	expired := 0
	for i := range sessions {
		if e.reached(startTime(&sessions[i])) {
			expired++
		}
	}
	e.schedule(t)
	if expired == 0 {
		return nil
	}
	// The filter is applied again where the sessions are kept, so that one recreated meanwhile survives.
	if err := o.d.API.DeleteSessions(ctx, bos.SessionFilter{Status: bos.SessionComplete, MinAge: &ttl}); err != nil {
		return fmt.Errorf("delete %d complete sessions: %w", expired, err)
	}
	t.Log.Info("old sessions deleted", "count", expired, "older_than", t.Options.CleanupCompletedSessionTTL)
	return nil
}
