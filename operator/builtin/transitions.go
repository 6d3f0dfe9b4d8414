package builtin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/pcs"
)

// Transitions is what the operators of one process know of the power transitions on their way: those they started
// themselves and those that another process of ours did. PCS reserves every node of a transition until the whole
// transition has ended, refuses a node that is reserved only in a task that somebody has to read, and shows power states
// from before a command for a while. So a node with an open transition of ours is not commanded again, and a reading is
// believed only if it cannot be older than a command of ours.
//
// Each transition is recorded beside the store between its acceptance and the component's record, and removed when
// nothing rests on it any more. An operator reads the records of others when its tenure begins, when the feed of changes
// tells of a new one, and in each full pass as a safety net; the last not in a process that runs all three operators
// that command nodes, as that knows every command. So the operator that takes over after a crash follows the transitions
// of the one before.
//
// A process that dies after PCS accepted a transition and before it is recorded, a record that cannot be written, and an
// API that keeps none leave transitions that only their own process knows. Then a node may be commanded once more, which
// is harmless, or be refused, and then it is commanded again for as long as a transition of ours may hold it.
//
// It is safe for concurrent use.
type Transitions struct {
	power   pcs.PowerClient
	reader  pcs.TransitionReader // nil where the back end cannot tell
	records bos.TransitionsAPI   // nil = memory alone

	mu    sync.Mutex
	open  map[string]*transition // by the id of its record
	nodes map[bos.ComponentID]command
	later map[bos.ComponentID]refusedCommand // to be commanded again
	dead  map[bos.ComponentID]bool           // controller did not answer when last read

	known   map[string]time.Time // records that need not be read, and since when
	unread  map[string]bool      // records that the feed told of
	stale   int                  // counts the reasons to read all records
	caught  int                  // of those, the ones that have been met
	pause   time.Time            // no reading before, as the last one failed
	over    map[string]time.Time // records to remove, and when
	tenures map[string]operator.Fence
}

// command is the last power command of ours that a node may have received.
type command struct {
	op         pcs.Operation
	at         time.Time // when it was accepted
	transition string
	ended      time.Time // when its transition ended; zero while open or unknown
	resent     int       // times it was sent again because of a reservation
	refused    bool      // because of a reservation that we know nothing of
}

// refusedCommand is a command to a node that somebody else had reserved: another process of ours perhaps.
type refusedCommand struct {
	poster     string
	transition string // of the command
	again      time.Time
}

// transition is an open transition of ours.
type transition struct {
	id       string           // of its record
	service  pcs.TransitionID // empty where PCS gave none: it cannot be followed
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

// NewTransitions returns an empty one over the power back end. Records are kept by the API of BOS; with nil they are
// not, and the operators of other processes are strangers.
func NewTransitions(power pcs.PowerClient, records bos.TransitionsAPI) *Transitions {
	reader, _ := power.(pcs.TransitionReader)
	return &Transitions{
		power: power, reader: reader, records: records,
		open: map[string]*transition{}, nodes: map[bos.ComponentID]command{},
		later: map[bos.ComponentID]refusedCommand{}, dead: map[bos.ComponentID]bool{},
		known: map[string]time.Time{}, unread: map[string]bool{}, over: map[string]time.Time{}, tenures: map[string]operator.Fence{},
	}
}

// start commands ids, and remembers and records what PCS accepted. The error is that of PowerClient.Transition.
func (s *Transitions) start(ctx context.Context, t operator.Tick, poster string, op pcs.Operation, ids []bos.ComponentID) error {
	service, err := s.power.Transition(ctx, op, ids)
	refused, partial := errors.AsType[*bos.BatchError](err)
	if err != nil && !partial && !outcomeUnknown(err) {
		return err
	}
	var lost []bos.ComponentID // of requests whose answer was lost, besides others that were answered
	if partial {
		lost = slices.DeleteFunc(slices.Clone(ids), func(id bos.ComponentID) bool { return !outcomeUnknown(refused.Failed[id]) })
		ids = slices.DeleteFunc(slices.Clone(ids), func(id bos.ComponentID) bool { return refused.Failed[id] != nil })
	}
	s.remember(ctx, t, &transition{service: service, op: op, poster: poster}, ids)
	s.remember(ctx, t, &transition{op: op, poster: poster}, lost)
	return err
}

// remember takes in a transition that PCS has accepted just now, or may have, and records it.
func (s *Transitions) remember(ctx context.Context, t operator.Tick, tr *transition, ids []bos.ComponentID) {
	if len(ids) == 0 {
		return
	}
	now := time.Now()
	tr.id, tr.accepted, tr.nextRead, tr.read = uuid.NewString(), now, now.Add(firstLook), now
	s.mu.Lock()
	s.forget(now)
	s.enter(tr, ids, now)
	if s.open[tr.id] == nil {
		s.over[tr.id] = tr.lastsUntil(time.Time{})
	}
	record := tr.record(ids)
	s.mu.Unlock()
	s.save(ctx, t, record)
}

// enter takes in a transition of these nodes, and opens it if it can be followed; mu is held.
func (s *Transitions) enter(tr *transition, ids []bos.ComponentID, now time.Time) {
	tr.pause = firstLook
	tr.tasks = make(map[bos.ComponentID]pcs.Task, len(ids))
	tr.reserved, tr.told = map[bos.ComponentID]bool{}, map[bos.ComponentID]bool{}
	tr.waiters = map[bos.ComponentID]operator.Scheduler{}
	s.known[tr.id] = now
	for _, node := range ids {
		tr.tasks[node] = pcs.Task{State: pcs.TaskNew}
		last, known := s.nodes[node]
		if known && last.at.After(tr.accepted) { // records come in any order
			continue
		}
		if known && !last.refused && (last.ended.IsZero() && s.open[last.transition] != nil || tr.accepted.Sub(last.ended) < releaseTime) {
			tr.reserved[node] = true
		}
		next := command{op: tr.op, at: tr.accepted, transition: tr.id}
		if last.op == tr.op && tr.accepted.Sub(last.at) < movingTime {
			next.resent = last.resent
		}
		s.nodes[node] = next
	}
	if tr.service != "" && s.reader != nil {
		s.open[tr.id] = tr
	}
}

// forget drops what is too old to matter; mu is held.
func (s *Transitions) forget(now time.Time) {
	for id, tr := range s.open { // of an operator that another process runs
		if now.Sub(tr.accepted) > openAtMost+rememberTime {
			delete(s.open, id)
		}
	}
	for id, since := range s.known {
		if now.Sub(since) > openAtMost+rememberTime && s.open[id] == nil {
			delete(s.known, id)
		}
	}
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
	s.learn(ctx, t)
	wanted := map[string]bool{}
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
		if tr := s.holder(node); tr != nil {
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
		tr := s.holder(id)
		if tr == nil {
			continue
		}
		tr.waiters[id] = sched
		held[id] = true
		see(tr)
	}
	return held
}

// holder returns the open transition that may have PCS reserve the node: mostly that of the last command, and an
// earlier one where another process gave that; nil = none. mu is held.
func (s *Transitions) holder(id bos.ComponentID) *transition {
	if tr := s.open[s.nodes[id].transition]; tr != nil && tr.holds(id) {
		return tr
	}
	for _, tr := range s.open {
		if tr.holds(id) {
			return tr
		}
	}
	return nil
}

func (tr *transition) holds(id bos.ComponentID) bool {
	task, commanded := tr.tasks[id]
	return commanded && !tr.done && !noReservation(task)
}

// noReservation reports whether a task has ended without PCS having reserved the node.
func noReservation(task pcs.Task) bool {
	return task.State == pcs.TaskUnsupported || task.State == pcs.TaskFailed && unableToReserve(task)
}

func unableToReserve(task pcs.Task) bool {
	return strings.Contains(task.Description+task.Error, "nable to reserve")
}

// follow reads the open transitions that poster has started, in this process or before it, where it is time, and returns
// the new failures and when to come back; a zero time means that nothing is left to do. It removes records that are over.
func (s *Transitions) follow(ctx context.Context, t operator.Tick, poster string) (failures []taskFailure, next time.Time) {
	for _, id := range s.due(poster) {
		s.look(ctx, t, id, 0)
	}
	s.sweep(ctx, t)
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
			s.over[id] = tr.lastsUntil(time.Now())
		} else {
			earlier(tr.nextRead)
		}
	}
	for _, at := range s.over {
		earlier(at)
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
func (s *Transitions) due(poster string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
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
func (s *Transitions) look(ctx context.Context, t operator.Tick, id string, fresh time.Duration) {
	s.mu.Lock()
	tr := s.open[id]
	if tr == nil || tr.done || tr.reading || time.Since(tr.read) < fresh {
		s.mu.Unlock()
		return
	}
	tr.reading = true
	ours := tr.aborted
	s.mu.Unlock()

	got, err := s.reader.ReadTransition(ctx, tr.service)
	if err == nil && !ours && wasAborted(&got) {
		s.read(ctx, t, []string{id}) // by another process of ours perhaps
	}
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
		t.Log.Debug("read transition", "transition", string(tr.service), "err", err)
	}
	if abort && t.Fence() == nil {
		s.abort(ctx, t, tr)
	}
}

// abort ends a transition that somebody waits for. It is recorded first, since whoever follows the transition must not
// take it for a failure of the nodes.
func (s *Transitions) abort(ctx context.Context, t operator.Tick, tr *transition) {
	s.mu.Lock()
	tr.aborted = true
	record := tr.record(slices.Sorted(maps.Keys(tr.tasks)))
	if !s.runs(tr.poster) { // its operator may have removed the record meanwhile
		s.over[tr.id] = tr.accepted.Add(openAtMost)
	}
	s.mu.Unlock()
	s.save(ctx, t, record)
	err := s.reader.AbortTransition(ctx, tr.service)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		tr.aborted = false
		t.Log.Warn("abort transition", "transition", string(tr.service), "err", err)
		return
	}
	t.Log.Debug("aborted transition: a node of it is wanted", "transition", string(tr.service))
	tr.pause, tr.nextRead = firstLook, time.Now().Add(firstLook)
}

// wasAborted reports whether somebody has ended a transition early.
func wasAborted(t *pcs.Transition) bool {
	for _, task := range t.Tasks {
		if taskAborted(task) {
			return true
		}
	}
	return false
}

func taskAborted(task pcs.Task) bool {
	return task.State == pcs.TaskFailed && strings.Contains(task.Description+task.Error, "aborted")
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
		if c.transition != tr.id || tr.aborted && taskAborted(task) {
			continue // commanded again since, or ended by ourselves
		}
		f := taskFailure{id: node, text: taskText(task)}
		if unableToReserve(task) {
			ours := tr.reserved[node] || s.holder(node) != nil
			f.resend = ours && c.resent < maxResends
			if !f.resend && c.resent < maxRefused {
				s.later[node] = refusedCommand{tr.poster, tr.id, align(time.Now().Add(min(time.Second<<c.resent, longestAgain)), time.Second/4)}
			}
			c.resent++
			c.refused = !ours
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
