package fleet

import (
	"math"
	"slices"
	"time"
)

// spentKind says who used time that a control plane could not have used better.
type spentKind uint8

const (
	spentNode spentKind = iota // boot and shutdown of the node itself
	spentPCS                   // a transition holds the node; a new power state is not yet in the cache
	spentCFS                   // from ready to be configured to the end of the configuration session
	spentKinds
)

// interval is time spent on a node.
type interval struct {
	from   time.Duration // since the start of the machine
	length uint32        // in intervalUnit
	kind   spentKind
}

// intervalUnit makes twelve hours the longest interval.
const intervalUnit = 10 * time.Microsecond

func newInterval(from, to time.Duration, kind spentKind) interval {
	return interval{from, uint32(min((to-from)/intervalUnit, math.MaxUint32)), kind}
}

func (i interval) to() time.Duration { return i.from + time.Duration(i.length)*intervalUnit }

// spentLength bounds the intervals kept per node: about three reboots.
const spentLength = 16

// Spent is how much of a stretch of time the simulated hardware used for one
// node, on the wall clock. Kinds overlap; Total counts every moment once.
type Spent struct {
	Node  time.Duration // boots and shutdowns, until the reporter's first try
	PCS   time.Duration // transitions that held the node, and stale power readings
	CFS   time.Duration // waiting for and running configuration sessions
	Total time.Duration
}

// busy notes that a boot or shutdown begins. m.mu is held.
func (m *Machine) busy(n *node) {
	m.idle(n)
	n.busySince = m.now()
}

// idle notes that the node waits for nobody but the control plane. m.mu is held.
func (m *Machine) idle(n *node) {
	if n.busySince >= 0 {
		m.spend(n, spentNode, n.busySince)
		n.busySince = -1
	}
}

// spend records time from then until now. m.mu is held.
func (m *Machine) spend(n *node, kind spentKind, from time.Duration) {
	now := m.now()
	if now == from {
		return
	}
	n.spent = slices.DeleteFunc(n.spent, func(i interval) bool { return i.kind == kind && i.from >= from }) // it is in this one
	if len(n.spent) == spentLength {
		n.spent = slices.Delete(n.spent, 0, 1)
	}
	spent := make([]interval, len(n.spent)+1) // no spare room: there are many nodes
	spent[copy(spent, n.spent)] = newInterval(from, now, kind)
	n.spent = spent
}

// Spent reports the hardware time of a node between two moments; a zero from is
// the start of the machine, a zero to is now. It looks back about three reboots.
// The second result is false when there is no such node.
func (m *Machine) Spent(xname string, from, to time.Time) (Spent, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.byXname[xname]
	if n == nil {
		return Spent{}, false
	}
	return m.spentBetween(n, from, to), true
}

func (m *Machine) spentBetween(n *node, from, to time.Time) Spent {
	lo, hi := time.Duration(0), m.now()
	if !from.IsZero() {
		lo = from.Sub(m.epoch)
	}
	if !to.IsZero() {
		hi = to.Sub(m.epoch)
	}
	all := slices.Clone(n.spent)
	if n.busySince >= 0 {
		all = append(all, newInterval(n.busySince, m.now(), spentNode))
	}
	kinds := [spentKinds]time.Duration{}
	for k := range spentKinds {
		kinds[k] = union(all, lo, hi, func(i interval) bool { return i.kind == k })
	}
	return Spent{
		Node: kinds[spentNode], PCS: kinds[spentPCS], CFS: kinds[spentCFS],
		Total: union(all, lo, hi, func(interval) bool { return true }),
	}
}

// union is the time between lo and hi that the wanted intervals cover.
func union(all []interval, lo, hi time.Duration, want func(interval) bool) time.Duration {
	all = slices.DeleteFunc(slices.Clone(all), func(i interval) bool { return !want(i) })
	slices.SortFunc(all, func(a, b interval) int { return int(a.from - b.from) })
	var sum time.Duration
	for _, i := range all {
		if from, to := max(i.from, lo), min(i.to(), hi); from < to {
			sum += to - from
			lo = to
		}
	}
	return sum
}
