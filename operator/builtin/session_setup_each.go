package builtin

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// maxParallelSessions bounds the sessions that an operator works on at once, and so the load on the services.
const maxParallelSessions = 4

// eachSession runs fn for the sessions, several at a time. A session whose fn fails is tried again after a back-off; the
// errors, which name their sessions, are joined.
func eachSession(t operator.Tick, sessions []bos.Session, fn func(*bos.Session) error) error {
	errs := make([]error, len(sessions))
	slots := make(chan struct{}, maxParallelSessions)
	var wg sync.WaitGroup
	for i := range sessions {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = operator.Protect(t.Log, func() error { return fn(&sessions[i]) })
		})
	}
	wg.Wait()
	for i, err := range errs {
		id := scheduleID(&sessions[i])
		if err == nil {
			t.Sched.Cancel(id)
			continue
		}
		t.Sched.Retry(id)
		errs[i] = fmt.Errorf("session %s: %w", sessions[i].Key(), err)
	}
	return errors.Join(errs...)
}

// scheduleID names a session to the Scheduler: with its tenant, since names repeat, and its start, so that a new session
// of the same name does not wait for the back-off of the old one.
func scheduleID(s *bos.Session) string {
	return string(s.Tenant) + "/" + s.Name + "@" + string(startTime(s))
}

// readySessions returns the sessions that are not waiting in a back-off, and drops the wishes for sessions that are no
// longer among them all.
func readySessions(t operator.Tick, sessions []bos.Session) []bos.Session {
	for _, id := range t.Changed {
		if !slices.ContainsFunc(sessions, func(s bos.Session) bool { return scheduleID(&s) == id }) {
			t.Sched.Cancel(id)
		}
	}
	return slices.DeleteFunc(sessions, func(s bos.Session) bool { return !t.Sched.Ready(scheduleID(&s)) })
}

func startTime(s *bos.Session) bos.Timestamp {
	if s.Status == nil {
		return ""
	}
	return s.Status.StartTime
}

// clockOf returns when the time of a session began to count: at its start, or at the end of the last pause.
func clockOf(s *bos.Session, settings *bos.Settings) bos.Timestamp {
	return max(startTime(s), settings.ResumedAt) // stamps sort by time
}

// chunks yields consecutive parts of at most size members, or everything at once for 0. Of nothing it yields nothing.
func chunks[T any](all []T, size int) iter.Seq[[]T] {
	if size <= 0 {
		size = max(1, len(all))
	}
	return slices.Chunk(all, size)
}
