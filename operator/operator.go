// Package operator is the frame in which BOS's operators run, and a vendor's own: an [Operator] makes one pass over the
// present state, a [Loop] makes passes when a change concerns it and, as a safety net, every polling period.
//
// Most vendors write a [ComponentOperator]: a filter and what to do with a batch of matching components.
package operator

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// Operator is one kind of periodic work. Run makes one pass and returns; it reads the present state, relies on nothing
// from earlier passes, and may be killed anywhere and run again. A second pass with nothing changed outside writes
// nothing. Passes of one operator never overlap.
type Operator interface {
	Name() string // kebab-case, stable: "power-on"; used in logs, metrics, flags and as the writer of changes
	Run(ctx context.Context, t Tick) error
}

// Waker is an Operator that wants to run when certain changes happen, not only at each polling period. Wakes is called
// for each change that the operator did not make itself, must be fast and may be called while Run runs.
type Waker interface {
	Wakes(c *bos.Change) bool
}

// Periodic is an Operator whose period is not the option polling_frequency.
type Periodic interface {
	Period(o bos.Options) time.Duration
}

// Tick is all that one pass may know besides what it reads.
type Tick struct {
	Now      time.Time    // the start of the pass; decisions use this, not time.Now
	Options  bos.Options  // read for each full pass, of which a change of them makes one
	Settings bos.Settings // likewise
	Log      *slog.Logger // carries the operator name; never nil

	// Changed are the ids of the changes that woke the pass: xnames or session names as the operator's Wakes let
	// through, and the ids whose time (At, Retry) has come. Nil in a full pass, which looks at everything; the first
	// pass and the polling ones are full.
	Changed []string

	// Sched takes the operator's wishes for later passes; never nil.
	Sched Scheduler

	// Lease is the right to act. Nil, as in a test's tick, always holds and has no token.
	Lease Fence
}

// Fence is a lease as an operator sees it: held for a while, and possibly lost in the middle of a pass.
type Fence interface {
	// Check fails once the lease is lost, or may be: then somebody else acts. The error matches bos.ErrConflict.
	Check() error
	// Token is the fencing token that guarded patches carry; 0 = none.
	Token() int64
}

// Fence is asked just before every call that changes something at a service other than BOS. It returns nil while this
// process is the one that may act, and else an error that matches bos.ErrConflict: make no further call and return it.
func (t *Tick) Fence() error {
	if t.Lease == nil {
		return nil
	}
	return t.Lease.Check()
}

// Full reports whether the pass looks at everything.
func (t *Tick) Full() bool { return t.Changed == nil }

// Scheduler takes an operator's wishes for later passes. It is kept by the loop and lost with it.
type Scheduler interface {
	// At asks for a pass with id among Tick.Changed at the given time, replacing an earlier wish for id.
	At(id string, when time.Time)
	// Cancel forgets id: its wish and its failures.
	Cancel(id string)
	// Retry notes that the action on id failed and asks for a pass after a back-off: 1 s doubling up to
	// polling_frequency, with jitter.
	Retry(id string)
	// Ready reports whether id may be tried now: it is not waiting in a back-off.
	Ready(id string) bool
}

// ComponentOperator is what most vendors write. ForComponents turns it into an Operator and does listing, paging,
// batching, patching and logging for it.
type ComponentOperator interface {
	Name() string
	// Filter selects the components to act on.
	Filter(t Tick) bos.ComponentFilter
	// Act owns batch (1 to Options.MaxComponentBatchSize components). It returns the patches to write even when it also
	// returns an error: what was done must be recorded. A patch is dropped when the component was taken over meanwhile.
	Act(ctx context.Context, t Tick, batch []bos.Component) ([]bos.ComponentPatch, error)
}

// Components is what operators need of the components of BOS; bosserver.Service and bosclient.Client both fit. It must be
// safe for concurrent use.
type Components interface {
	ListComponents(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error]
	PatchGuarded(ctx context.Context, p bos.GuardedPatches) (bos.GuardedResult, error)
}
