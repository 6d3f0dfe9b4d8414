package builtin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/pcs"
)

const (
	recordTime = time.Second // how long a record may hold up the pass
	maxUnread  = 100         // up to how many records are read by id
)

// commanders are the operators that command nodes.
var commanders = []string{"power-off-forceful", "power-off-graceful", "power-on"}

// record returns the transition as others need to know it.
func (tr *transition) record(ids []bos.ComponentID) bos.PowerTransition {
	return bos.PowerTransition{
		ID: tr.id, Service: string(tr.service), Operation: string(tr.op), Operator: tr.poster, Accepted: tr.accepted.UnixMilli(),
		Aborted: tr.aborted, Components: ids,
	}
}

// lastsUntil returns until when the record of a transition that ended then is of use to anybody: as long as the
// transition may explain a refused reservation, or its command an old reading.
func (tr *transition) lastsUntil(ended time.Time) time.Time {
	until := tr.accepted.Add(staleTime)
	if released := ended.Add(releaseTime); released.After(until) {
		until = released
	}
	return align(until, time.Second)
}

// save writes a record, also when the pass has been told to stop: what was done must be known. The command stands
// whatever becomes of the record.
func (s *Transitions) save(ctx context.Context, t operator.Tick, r bos.PowerTransition) {
	if s.records == nil {
		return
	}
	limit := recordTime
	if ctx.Err() != nil {
		limit /= 2
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if err := s.records.PutPowerTransition(ctx, r); err != nil && !errors.Is(err, bos.ErrUnsupported) {
		t.Log.Warn("record power transition: other processes do not know of it", "transition", r.Service, "err", err)
	}
}

// join notes that an operator of this process makes a pass, and whether it has to read what others have commanded.
func (s *Transitions) join(t operator.Tick, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.tenures[name]
	s.tenures[name] = t.Lease
	if !known || token(before) != token(t.Lease) || t.Full() && !s.alone() {
		s.stale++
	}
}

func token(f operator.Fence) int64 {
	if f == nil {
		return 0
	}
	return f.Token()
}

// runs reports whether an operator is active in this process; mu is held.
func (s *Transitions) runs(name string) bool {
	f, known := s.tenures[name]
	return known && (f == nil || f.Check() == nil)
}

// alone reports whether nobody else commands nodes; mu is held.
func (s *Transitions) alone() bool {
	return !slices.ContainsFunc(commanders, func(name string) bool { return !s.runs(name) })
}

// heard takes a change from the feed.
func (s *Transitions) heard(c *bos.Change) {
	if c.Kind != bos.ChangePower {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.known[c.ID]
	switch {
	case c.Deleted:
		delete(s.unread, c.ID)
		if tr := s.open[c.ID]; tr != nil && !s.runs(tr.poster) {
			s.end(tr, time.Now().Add(-releaseTime))
			delete(s.open, c.ID)
		}
	case known:
	case len(s.unread) < maxUnread:
		s.unread[c.ID] = true
	default: // nobody has made a pass for long
		clear(s.unread)
		s.stale++
	}
}

// learn reads the records that this process may not know. What cannot be read now is read next time.
func (s *Transitions) learn(ctx context.Context, t operator.Tick) {
	s.mu.Lock()
	ids, stale, caught := slices.Sorted(maps.Keys(s.unread)), s.stale, s.caught
	wait := time.Now().Before(s.pause)
	s.mu.Unlock()
	if stale > caught {
		ids = nil
	} else if len(ids) == 0 {
		return
	}
	if wait {
		return
	}
	good := s.read(ctx, t, ids)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !good {
		s.pause = time.Now().Add(steadyLook)
		return
	}
	if ids == nil {
		s.caught = max(s.caught, stale)
	}
	for _, id := range ids {
		delete(s.unread, id)
	}
}

// read reads the records of ids, all for nil, and takes in what is new. It reports whether that went well; where there
// are no records it does.
func (s *Transitions) read(ctx context.Context, t operator.Tick, ids []string) bool {
	if s.records == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 5*recordTime)
	defer cancel()
	found, err := s.records.PowerTransitions(ctx, ids)
	if err != nil && !errors.Is(err, bos.ErrUnsupported) {
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Log.Warn("read power transitions of other processes", "err", err)
		}
		return false
	}
	slices.SortStableFunc(found, func(a, b bos.PowerTransition) int { return cmp.Compare(a.Accepted, b.Accepted) })
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	for _, r := range found {
		s.take(r, now)
	}
	return true
}

// take takes in a record; mu is held.
func (s *Transitions) take(r bos.PowerTransition, now time.Time) {
	delete(s.unread, r.ID)
	accepted := time.UnixMilli(r.Accepted)
	if accepted.After(now) { // by another clock
		accepted = now
	}
	tr := s.open[r.ID]
	_, known := s.known[r.ID]
	switch {
	case tr != nil:
		tr.aborted = tr.aborted || r.Aborted
	case known:
	case now.Sub(accepted) > openAtMost+staleTime: // left behind
		s.known[r.ID] = now
		s.over[r.ID] = now
	default:
		s.enter(&transition{
			id: r.ID, service: pcs.TransitionID(r.Service), op: pcs.Operation(r.Operation), poster: r.Operator, accepted: accepted,
			aborted: r.Aborted, nextRead: now,
		}, r.Components, now)
	}
}

// sweep removes the records that are of no use any more.
func (s *Transitions) sweep(ctx context.Context, t operator.Tick) {
	now := time.Now()
	s.mu.Lock()
	var ids []string
	for id, at := range s.over {
		if !now.Before(at) {
			ids = append(ids, id)
			delete(s.over, id)
		}
	}
	s.mu.Unlock()
	if s.records == nil {
		return
	}
	slices.Sort(ids)
	for i, id := range ids {
		err := s.records.DeletePowerTransition(ctx, id)
		if err == nil || errors.Is(err, bos.ErrUnsupported) {
			continue
		}
		t.Log.Debug("remove power transitions: trying again later", "count", len(ids)-i, "err", err)
		s.mu.Lock()
		for _, id := range ids[i:] {
			s.over[id] = now.Add(releaseTime)
		}
		s.mu.Unlock()
		return
	}
}
