package fleet

import (
	"context"
	"slices"
	"time"
)

// event is one thing that will happen to the machine. Events at the same time
// happen in the order in which they were scheduled.
type event struct {
	at     time.Duration // since the start of the machine
	seq    uint64
	n      *node  // whose life it belongs to; nil: nobody's
	life   uint32 // of that node: in another one the event is void
	steady bool   // nobody waits for it: it goes on for ever, or only ends something
	do     action // runs with the machine locked
}

// action is what happens to a node, or to nobody in particular.
type action func(m *Machine, n *node)

// happen lets the event happen. m.mu is held.
func (m *Machine) happen(e event) {
	m.count.events++
	if e.n == nil || e.n.life == e.life {
		e.do(m, e.n)
	}
}

// agenda is a min-heap of events. One goroutine drains it for the whole machine,
// so that a node costs no goroutine and no timer.
type agenda struct {
	events []event
	seq    uint64
	busy   int // events that are not steady
}

func (e event) before(o event) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// push adds an event and reports whether it is now the next one.
func (a *agenda) push(e event) bool {
	a.seq++
	e.seq = a.seq
	if !e.steady {
		a.busy++
	}
	a.events = append(a.events, e)
	i := len(a.events) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !a.events[i].before(a.events[parent]) {
			break
		}
		a.events[i], a.events[parent] = a.events[parent], a.events[i]
		i = parent
	}
	return i == 0
}

// pop removes the next event; there must be one.
func (a *agenda) pop() event {
	first, last := a.events[0], len(a.events)-1
	if !first.steady {
		a.busy--
	}
	a.events[0] = a.events[last]
	a.events[last] = event{}
	a.events = a.events[:last]
	if cap(a.events) > 1024 && last < cap(a.events)/4 {
		a.events = slices.Clip(slices.Clone(a.events)) // a rush is over
	}
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < last; c++ {
			if a.events[c].before(a.events[least]) {
				least = c
			}
		}
		if least == i {
			return first
		}
		a.events[i], a.events[least] = a.events[least], a.events[i]
		i = least
	}
}

// scaled turns a duration of the machine into one of the clock on the wall.
func (m *Machine) scaled(d time.Duration) time.Duration {
	if m.speed == 0 || d <= 0 {
		return 0
	}
	return time.Duration(float64(d) / m.speed)
}

// pause is scaled for whatever repeats itself: it never gets shorter than
// floor, so that a machine without time does not spin.
func (m *Machine) pause(d, floor time.Duration) time.Duration {
	return max(m.scaled(d), floor)
}

// at schedules fn at a time since the start of the machine. m.mu is held.
func (m *Machine) at(t time.Duration, fn func()) {
	m.schedule(event{at: t, do: func(*Machine, *node) { fn() }})
}

// steadily is at for what does not count as work: it repeats for ever, or is the
// edge of a fault. m.mu is held.
func (m *Machine) steadily(t time.Duration, fn func()) {
	m.schedule(event{at: t, steady: true, do: func(*Machine, *node) { fn() }})
}

func (m *Machine) schedule(e event) {
	if m.agenda.push(e) {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// after schedules fn after a duration of the wall clock. m.mu is held.
func (m *Machine) after(d time.Duration, fn func()) { m.at(m.now()+d, fn) }

// afterNode schedules do unless n loses the life it has now (its power, its
// operating system) before. m.mu is held.
func (m *Machine) afterNode(n *node, d time.Duration, do action) {
	m.schedule(event{at: m.now() + d, n: n, life: n.life, do: do})
}

// loop runs events as they fall due, until ctx ends. On a manual clock it is
// Advance that does.
func (m *Machine) loop(ctx context.Context) {
	if m.manual {
		<-ctx.Done()
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(m.runDue())
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.wake:
		}
	}
}

// runDue runs what is due and returns how long there is nothing to do. It gives
// up the lock now and then, to let requests in.
func (m *Machine) runDue() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range 500 {
		if len(m.agenda.events) == 0 {
			return time.Hour
		}
		if wait := m.agenda.events[0].at - m.now(); wait > 0 {
			return wait
		}
		m.happen(m.agenda.pop())
	}
	return 0
}
