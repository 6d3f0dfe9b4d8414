package builtin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/pcs"
)

// Transitions is what the operators of one process know of the power transitions they have started. PCS reserves every
// node of a transition until the whole transition has ended, and refuses a node that is reserved only in a task that
// somebody has to read: so a node with an open transition of ours is not commanded again. What is remembered is lost with
// the process, and not known to another one that runs a part of the operators: a node may be commanded once more, which
// is harmless, or be refused, and then it is commanded again for as long as a transition of ours may hold it.
//
// It is safe for concurrent use.
type Transitions struct {
	power  pcs.PowerClient
	reader pcs.TransitionReader // nil where the back end cannot tell

	mu    sync.Mutex
	open  map[pcs.TransitionID]*transition
	nodes map[bos.ComponentID]command
	later map[bos.ComponentID]refusedCommand // to be commanded again
	dead  map[bos.ComponentID]bool           // controller did not answer when last read
}

// command is the last power command of ours that a node may have received.
type command struct {
	op         pcs.Operation
	at         time.Time // when it was accepted
	transition pcs.TransitionID
	ended      time.Time // when its transition ended; zero while open or unknown
	resent     int       // times it was sent again because of a reservation
	refused    bool      // because of a reservation that we know nothing of
}

// refusedCommand is a command to a node that somebody else had reserved: another process of ours perhaps.
type refusedCommand struct {
	poster     string
	transition pcs.TransitionID // of the command
	again      time.Time
}

// transition is an open transition of ours.
type transition struct {
	id       pcs.TransitionID
	op       pcs.Operation
	poster   string // operator that follows it
	accepted time.Time
	tasks    map[bos.ComponentID]pcs.Task // as last read; the keys are there from the beginning
	reserved map[bos.ComponentID]bool     // another transition of ours may have held the node when it was accepted
	told     map[bos.ComponentID]bool     // failure handed to the poster
	waiters  map[bos.ComponentID]operator.Scheduler
	aborted  bool
	done     bool

	reading  bool
	read     time.Time // last reading
	nextRead time.Time
	pause    time.Duration
}

// taskFailure is the failure of one node in a transition.
type taskFailure struct {
	id     bos.ComponentID
	text   string
	resend bool // only because the node was reserved, perhaps by us
}

const (
	firstLook    = 50 * time.Millisecond // after an accepted command; doubles up to
	steadyLook   = time.Second           // and, once a node has been moving for
	movingTime   = time.Minute           // on to polling_frequency
	abortAfter   = 5 * time.Second       // the commands of a transition are sent by then
	releaseTime  = 30 * time.Second      // how long after its end our transition may explain a refused reservation
	openAtMost   = 15 * time.Minute      // no reservation lasts longer. Source: HSM locks, services 3.7
	maxResends   = 5                     // where we know that we had reserved the node
	maxRefused   = 8                     // where we do not: one second doubling to longestAgain, longer than PCS takes for a soft-off
	longestAgain = 15 * time.Second      // the distance at which PCS looks at its transitions
	rememberTime = 10 * time.Minute
)

// NewTransitions returns an empty one over the power back end.
func NewTransitions(power pcs.PowerClient) *Transitions {
	reader, _ := power.(pcs.TransitionReader)
	return &Transitions{
		power: power, reader: reader,
		open: map[pcs.TransitionID]*transition{}, nodes: map[bos.ComponentID]command{},
		later: map[bos.ComponentID]refusedCommand{}, dead: map[bos.ComponentID]bool{},
	}
}

// start commands ids and remembers what PCS accepted. The error is that of PowerClient.Transition.
func (s *Transitions) start(ctx context.Context, poster string, op pcs.Operation, ids []bos.ComponentID) error {
	id, err := s.power.Transition(ctx, op, ids)
	refused, partial := errors.AsType[*bos.BatchError](err)
	if err != nil && !partial && !outcomeUnknown(err) {
		return err
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	tr := &transition{
		id: id, op: op, poster: poster, accepted: now, pause: firstLook, nextRead: now.Add(firstLook), read: now,
		tasks: make(map[bos.ComponentID]pcs.Task, len(ids)), reserved: map[bos.ComponentID]bool{},
		told: map[bos.ComponentID]bool{}, waiters: map[bos.ComponentID]operator.Scheduler{},
	}
	for _, node := range ids {
		if partial && refused.Failed[node] != nil {
			continue
		}
		last, known := s.nodes[node]
		if known && !last.refused && (last.ended.IsZero() && s.open[last.transition] != nil || now.Sub(last.ended) < releaseTime) {
			tr.reserved[node] = true
		}
		next := command{op: op, at: now, transition: id}
		if last.op == op && now.Sub(last.at) < movingTime {
			next.resent = last.resent
		}
		s.nodes[node] = next
		tr.tasks[node] = pcs.Task{State: pcs.TaskNew}
	}
	if id != "" && s.reader != nil && len(tr.tasks) > 0 {
		s.open[id] = tr
	}
	return err
}

// forget drops what is too old to matter; mu is held.
func (s *Transitions) forget(now time.Time) {
	for id, c := range s.nodes {
		if now.Sub(c.at) > rememberTime && s.open[c.transition] == nil {
			delete(s.nodes, id)
		}
	}
}

// last returns the last command of ours to a node.
func (s *Transitions) last(id bos.ComponentID) (pcs.Operation, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.nodes[id]
	return c.op, c.at
}

// setDead notes whether the controller of a node answered when its power state was read.
func (s *Transitions) setDead(id bos.ComponentID, dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dead {
		s.dead[id] = true
	} else {
		delete(s.dead, id)
	}
}

func (s *Transitions) isDead(id bos.ComponentID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead[id]
}

// blocked returns those of ids that an open transition of ours holds. Each of them gets a pass when its transition
// ends. A transition that somebody waits for is aborted once all its commands have been sent: our own timers decide
// what becomes of its nodes.
func (s *Transitions) blocked(ctx context.Context, t operator.Tick, ids []bos.ComponentID) map[bos.ComponentID]bool {
	wanted := map[pcs.TransitionID]bool{}
	held := s.waitFor(t.Sched, ids, func(tr *transition) { wanted[tr.id] = true })
	if len(held) == 0 {
		return nil
	}
	for id := range wanted {
		s.look(ctx, t, id, firstLook)
	}
	held = s.waitFor(t.Sched, ids, func(*transition) {})
	s.mu.Lock()
	defer s.mu.Unlock()
	for node := range held {
		if tr := s.open[s.nodes[node].transition]; tr != nil {
			t.Sched.At(string(node), time.Now().Add(tr.pause))
		}
	}
	return held
}

// waitFor notes who waits for which open transition and returns the nodes held.
func (s *Transitions) waitFor(sched operator.Scheduler, ids []bos.ComponentID, see func(*transition)) map[bos.ComponentID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[bos.ComponentID]bool{}
	for _, id := range ids {
		tr := s.open[s.nodes[id].transition]
		if tr == nil || tr.done || noReservation(tr.tasks[id]) {
			continue
		}
		tr.waiters[id] = sched
		held[id] = true
		see(tr)
	}
	return held
}

// noReservation reports whether a task has ended without PCS having reserved the node.
func noReservation(task pcs.Task) bool {
	return task.State == pcs.TaskUnsupported || task.State == pcs.TaskFailed && unableToReserve(task)
}

func unableToReserve(task pcs.Task) bool {
	return strings.Contains(task.Description+task.Error, "nable to reserve")
}

// follow reads the open transitions that poster has started, where it is time, and returns the new failures and when
// to come back; a zero time means that nothing is open or to be sent again.
func (s *Transitions) follow(ctx context.Context, t operator.Tick, poster string) (failures []taskFailure, next time.Time) {
	for _, id := range s.due(poster) {
		s.look(ctx, t, id, 0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	earlier := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for id, tr := range s.open {
		if tr.poster != poster {
			continue
		}
		failures = append(failures, s.news(tr)...)
		if tr.done {
			delete(s.open, id)
		} else {
			earlier(tr.nextRead)
		}
	}
	for id, r := range s.later {
		switch {
		case r.poster != poster:
		case s.nodes[id].transition != r.transition: // commanded since
			delete(s.later, id)
		case time.Now().Before(r.again):
			earlier(r.again)
		default:
			delete(s.later, id)
			failures = append(failures, taskFailure{id: id, resend: true})
		}
	}
	return failures, next
}

// due returns the transitions of poster that are to be read now.
func (s *Transitions) due(poster string) []pcs.TransitionID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []pcs.TransitionID
	now := time.Now()
	for id, tr := range s.open {
		if tr.poster == poster && !tr.done && !now.Before(tr.nextRead) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// look reads a transition unless that was done less than fresh ago, and aborts it if it is time.
func (s *Transitions) look(ctx context.Context, t operator.Tick, id pcs.TransitionID, fresh time.Duration) {
	s.mu.Lock()
	tr := s.open[id]
	if tr == nil || tr.done || tr.reading || time.Since(tr.read) < fresh {
		s.mu.Unlock()
		return
	}
	tr.reading = true
	s.mu.Unlock()

	got, err := s.reader.ReadTransition(ctx, id)
	now := time.Now()
	s.mu.Lock()
	tr.reading, tr.read = false, now
	tr.pause = nextPause(tr.pause, now.Sub(tr.accepted), t.Options.PollingFrequency)
	tr.nextRead = now.Add(tr.pause)
	switch {
	case err == nil:
		for node := range tr.tasks {
			if task, ok := got.Tasks[node]; ok {
				tr.tasks[node] = task
			}
		}
		if got.Done {
			s.end(tr, now)
		}
	case !temporary(err): // forgotten or not ours to read: it cannot be followed
		s.end(tr, now)
	}
	if now.Sub(tr.accepted) > openAtMost {
		s.end(tr, now)
	}
	abort := !tr.done && !tr.aborted && len(tr.waiters) > 0 && now.Sub(tr.accepted) >= abortAfter && !tr.hasNew()
	s.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		t.Log.Debug("read transition", "transition", string(id), "err", err)
	}
	if !abort || t.Fence() != nil {
		return
	}
	if err := s.reader.AbortTransition(ctx, id); err != nil {
		t.Log.Warn("abort transition", "transition", string(id), "err", err)
		return
	}
	t.Log.Debug("aborted transition: a node of it is wanted", "transition", string(id))
	s.mu.Lock()
	tr.aborted = true
	tr.pause, tr.nextRead = firstLook, now.Add(firstLook)
	s.mu.Unlock()
}

// hasNew reports whether a command may not have been sent yet.
func (tr *transition) hasNew() bool {
	for _, task := range tr.tasks {
		if task.State == pcs.TaskNew {
			return true
		}
	}
	return false
}

// end marks the transition as over and wakes those who wait for it; mu is held. It is dropped when its poster has
// taken the news.
func (s *Transitions) end(tr *transition, now time.Time) {
	if tr.done {
		return
	}
	tr.done = true
	for node := range tr.tasks {
		if c := s.nodes[node]; c.transition == tr.id {
			c.ended = now
			s.nodes[node] = c
		}
	}
	for node, sched := range tr.waiters {
		sched.At(string(node), now)
	}
}

// news returns the failures that the poster has not been told of; mu is held.
func (s *Transitions) news(tr *transition) []taskFailure {
	var found []taskFailure
	for node, task := range tr.tasks {
		if task.State != pcs.TaskFailed && task.State != pcs.TaskUnsupported || tr.told[node] {
			continue
		}
		tr.told[node] = true
		c := s.nodes[node]
		if c.transition != tr.id || tr.aborted && strings.Contains(task.Description+task.Error, "aborted") {
			continue // commanded again since, or ended by ourselves
		}
		f := taskFailure{id: node, text: taskText(task)}
		if unableToReserve(task) {
			f.resend = tr.reserved[node] && c.resent < maxResends
			if !f.resend && c.resent < maxRefused {
				s.later[node] = refusedCommand{tr.poster, tr.id, align(time.Now().Add(min(time.Second<<c.resent, longestAgain)), time.Second/4)}
			}
			c.resent++
			c.refused = !tr.reserved[node]
			s.nodes[node] = c
		}
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b taskFailure) int { return strings.Compare(string(a.id), string(b.id)) })
	return found
}

// taskText is what PCS and the controller say about a failed task.
func taskText(task pcs.Task) string {
	switch {
	case task.Description == "" && task.Error == "":
		return "no reason given"
	case task.Error == "":
		return task.Description
	case task.Description == "":
		return task.Error
	}
	return task.Description + ": " + task.Error
}

// nextPause is the pause of adaptive reading after one of the given length: it doubles to a second and, for what has
// been moving for more than a minute, on to the polling period.
func nextPause(pause, moving, period time.Duration) time.Duration {
	limit := steadyLook
	if moving > movingTime {
		limit = max(period, steadyLook)
	}
	return min(2*max(pause, firstLook/2), limit)
}

// outcomeUnknown reports whether a power request that failed may have been executed all the same.
func outcomeUnknown(err error) bool { return errors.Is(err, pcs.ErrOutcomeUnknown) }

// temporary reports whether an error passes by itself: an outage, or the end of the pass. What else a service says,
// it will say again.
func temporary(err error) bool {
	return errors.Is(err, bos.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
