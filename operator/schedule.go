package operator

import (
	"container/heap"
	"sync"
	"time"
)

// schedule is the loop's Scheduler: a heap of the times at which ids want a pass, and the failures of each.
type schedule struct {
	nudge  func()                            // tells the loop that the earliest time may have changed
	jitter func(time.Duration) time.Duration // of back-offs

	mu    sync.Mutex
	limit time.Duration // of back-offs
	items map[string]*wish
	heap  wishes
}

// wish is what the schedule knows of one id.
type wish struct {
	id        string
	when      time.Time // of the pass wished for; meaningless while index is -1
	index     int       // in the heap, -1 = no wish
	failures  int       // in a row
	notBefore time.Time // end of the back-off
}

// firstBackoff is the pause after the first failure; it doubles with each further one.
const firstBackoff = time.Second

func newSchedule(nudge func(), jitter func(time.Duration) time.Duration) *schedule {
	return &schedule{nudge: nudge, jitter: jitter, limit: firstBackoff, items: map[string]*wish{}}
}

// At implements Scheduler.
func (s *schedule) At(id string, when time.Time) {
	s.mu.Lock()
	s.wish(s.item(id), when)
	first := s.heap[0].id == id
	s.mu.Unlock()
	if first {
		s.nudge()
	}
}

// Cancel implements Scheduler.
func (s *schedule) Cancel(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.items[id]; w != nil {
		s.unwish(w)
		delete(s.items, id)
	}
}

// Retry implements Scheduler.
func (s *schedule) Retry(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.item(id)
	w.notBefore = together(time.Now().Add(s.jitter(backoff(w.failures, s.limit))))
	w.failures++
	s.wish(w, w.notBefore)
	s.nudge()
}

// together moves the end of a back-off forward, so that what failed together is tried again in a few passes.
func together(at time.Time) time.Time {
	const grid = 250 * time.Millisecond
	if cut := at.Truncate(grid); cut.Before(at) {
		return cut.Add(grid)
	}
	return at
}

// Ready implements Scheduler.
func (s *schedule) Ready(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.items[id]
	return w == nil || !time.Now().Before(w.notBefore)
}

// lift ends the back-off of id: what failed before is no guide to what is wanted now.
func (s *schedule) lift(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.items[id]; w != nil {
		w.failures, w.notBefore = 0, time.Time{}
	}
}

// setLimit sets the longest back-off, and forgets the failures of ids that have not been tried for long.
func (s *schedule) setLimit(d time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = d
	for id, w := range s.items {
		if w.index < 0 && now.Sub(w.notBefore) > 10*d {
			delete(s.items, id)
		}
	}
}

// clear forgets everything.
func (s *schedule) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.items)
	s.heap = nil
}

// next returns the earliest time wished for.
func (s *schedule) next() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heap) == 0 {
		return time.Time{}, false
	}
	return s.heap[0].when, true
}

// due takes the ids whose time has come.
func (s *schedule) due(now time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for len(s.heap) > 0 && !s.heap[0].when.After(now) {
		w := s.heap[0]
		s.unwish(w)
		if w.failures == 0 {
			delete(s.items, w.id)
		}
		ids = append(ids, w.id)
	}
	return ids
}

// backoff returns the pause after one failure more than failures: 1 s doubling up to limit.
func backoff(failures int, limit time.Duration) time.Duration {
	return min(firstBackoff<<min(failures, 30), max(limit, firstBackoff))
}

// The following are called with mu held.

func (s *schedule) item(id string) *wish {
	w := s.items[id]
	if w == nil {
		w = &wish{id: id, index: -1}
		s.items[id] = w
	}
	return w
}

func (s *schedule) wish(w *wish, when time.Time) {
	w.when = when
	if w.index < 0 {
		heap.Push(&s.heap, w)
	} else {
		heap.Fix(&s.heap, w.index)
	}
}

func (s *schedule) unwish(w *wish) {
	if w.index >= 0 {
		heap.Remove(&s.heap, w.index)
	}
}

// wishes is a heap by time.
type wishes []*wish

func (h wishes) Len() int           { return len(h) }
func (h wishes) Less(i, j int) bool { return h[i].when.Before(h[j].when) }
func (h wishes) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *wishes) Push(x any) {
	w := x.(*wish)
	w.index = len(*h)
	*h = append(*h, w)
}

func (h *wishes) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	w.index = -1
	return w
}
