package operator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// API is what a loop needs of BOS: a part of bos.API, whose comments hold. All but Options may answer bos.ErrUnsupported;
// the loop then polls instead of listening, uses the default settings, and acts without a lease.
type API interface {
	Options(ctx context.Context) (bos.Options, error)
	Settings(ctx context.Context) (bos.Settings, error)
	Changes(ctx context.Context, f bos.ChangeFilter) iter.Seq2[bos.Change, error]
	AcquireLease(ctx context.Context, operator, holder string, ttl time.Duration) (bos.Lease, error)
	ReleaseLease(ctx context.Context, operator, holder string) error
}

// The pace of a loop.
const (
	coalesce   = 2 * time.Millisecond // how long a burst of changes is collected
	minPause   = 5 * time.Millisecond // between two passes
	maxPause   = time.Second          // likewise, however long the last pass took: most of a long one is waiting
	settling   = time.Second          // after subscribing to changes, before looking for those missed meanwhile
	noPeriod   = time.Second          // the period where the option is 0
	longPass   = time.Minute          // a pass that lasts longer, and three periods, is worth a line
	resubMax   = 30 * time.Second     // longest pause before changes are subscribed to again
	resubNever = time.Minute          // likewise, where the API knows no changes
)

// Loop runs an operator: a full pass at the start and once a period, and passes over single components or sessions when
// a change concerns the operator (Waker) or a time it asked for has come (Scheduler). Passes never overlap. The period
// is the option polling_frequency, or the operator's own (Periodic); 0 means once a second. A pass that fails is
// followed by a full one after a back-off of 1 s doubling up to the period.
//
// Changes that the operator made itself do not wake it, so a pass over an unchanged world must write nothing. Bursts
// are collected for a few milliseconds, and after a pass the loop rests for a quarter of its time, 5 ms to 1 s.
//
// Set the exported fields before Run and leave them alone afterwards.
type Loop struct {
	Operator Operator
	API      API

	// Holder names this process among those that may run the operator; it shows in the answers of the lease. With it,
	// the operator runs in one process at a time. Empty = act without a lease.
	Holder string

	Log     *slog.Logger   // nil = discard
	Level   *slog.LevelVar // follows the option logging_level; nil = the option is ignored
	Observe func(PassInfo) // sees each pass after its end; nil = nobody

	// Jitter spreads a back-off; nil = a random part, between eight and ten tenths, of it.
	Jitter func(time.Duration) time.Duration

	mu       sync.Mutex
	active   bool      // holds the lease, or needs none
	alive    time.Time // end of the last finished pass, or beginning of the tenure; zero = not running
	standby  bool
	interval time.Duration
	began    time.Time // of the pass that runs; zero = none does
}

// PassInfo tells of one finished pass.
type PassInfo struct {
	Operator string
	Start    time.Time
	Duration time.Duration
	Full     bool
	Changed  int   // ids looked at, in a pass that is not full
	Err      error // nil = everything went well
}

// Ready returns nil while the loop does what it should: it finished a pass within the last three periods, or another
// process holds the lease. Otherwise the error says what is missing. A loop that is not ready is not dead: it goes on by
// itself when what it waits for is back.
func (l *Loop) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.standby:
		return nil
	case l.alive.IsZero():
		return fmt.Errorf("operator %s: not running", l.Operator.Name())
	}
	if silent := time.Since(l.alive); silent > 3*max(l.interval, noPeriod) {
		return fmt.Errorf("operator %s: no finished pass for %s", l.Operator.Name(), silent.Round(time.Second))
	}
	return nil
}

// Active reports whether this loop is the one that acts.
func (l *Loop) Active() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active
}

// Running returns for how long the present pass has been running; 0 = none is. A pass that does not end within three
// periods and a minute is logged as well.
func (l *Loop) Running() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.began.IsZero() {
		return 0
	}
	return max(time.Since(l.began), 1)
}

func (l *Loop) setBegan(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = at
}

func (l *Loop) setState(active, standby bool, alive time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.standby, l.alive = active, standby, alive
}

// Run runs the operator until the context ends, and returns the context's cause. It stops within a second, if the
// operator heeds the context. Run may be called once at a time.
func (l *Loop) Run(ctx context.Context) error {
	r := newRunner(l)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.setState(false, false, time.Time{})
	wg.Go(func() { r.listen(ctx) })
	for {
		l.setState(false, l.Holder != "", time.Time{})
		held, err := r.acquire(ctx)
		if err != nil {
			return err
		}
		r.tenure(ctx, held)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// runner is the state of one Run.
type runner struct {
	*Loop
	name       string
	log        *slog.Logger
	waker      Waker // nil = not woken by changes
	inbox      *inbox
	sched      *schedule
	leaseFreed chan struct{}

	options   bos.Options // last good
	haveOpts  bool
	settings  bos.Settings
	failures  int    // passes failed in a row
	lastError string // logged last
}

func newRunner(l *Loop) *runner {
	log := l.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &runner{
		Loop: l, name: l.Operator.Name(), inbox: newInbox(), leaseFreed: make(chan struct{}, 1),
		log: log.With("operator", l.Operator.Name()), settings: bos.DefaultSettings(),
	}
	r.waker, _ = l.Operator.(Waker)
	r.sched = newSchedule(r.inbox.ring, r.jitter)
	return r
}

func (r *runner) jitter(d time.Duration) time.Duration {
	if r.Jitter != nil {
		return r.Jitter(d)
	}
	return d - time.Duration(rand.Int64N(int64(d)/5+1))
}

// tenure makes passes until the context ends or the lease is lost.
func (r *runner) tenure(ctx context.Context, held *lease) {
	tenure, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	var fence Fence
	if held != nil {
		fence = held
		wg.Go(func() { r.keep(tenure, held, cancel) })
		defer r.release(ctx, held)
		defer cancel(nil) // before the release: a renewal after it would take the lease again
	}
	r.setState(true, false, time.Now())
	r.sched.clear()
	r.inbox.take()
	r.work(tenure, fence)
	if ctx.Err() == nil {
		r.log.Warn("stopped acting", "err", context.Cause(tenure))
	}
}

// work is the loop proper.
func (r *runner) work(ctx context.Context, fence Fence) {
	poll := time.Now()    // of the next full pass
	rested := time.Time{} // no pass before
	for r.await(ctx, poll, rested) {
		start := time.Now()
		ids, full := r.inbox.take()
		for _, id := range r.sched.due(start) {
			ids[id] = true
		}
		t := Tick{Now: start, Sched: r.sched, Lease: fence, Log: r.log}
		if !full && start.Before(poll) && len(ids) <= maxWoken {
			t.Changed = slices.Sorted(maps.Keys(ids))
		}
		if !t.Full() && len(ids) == 0 {
			continue
		}
		err := r.watch(t, func() error { return r.pass(ctx, t) })
		if ctx.Err() != nil {
			return
		}
		end := time.Now()
		rested = end.Add(rest(end.Sub(start)))
		period := r.period()
		if t.Full() {
			poll = start.Add(period)
			r.sched.setLimit(period, end)
		}
		if err == nil {
			r.failures = 0
		} else {
			if again := end.Add(r.jitter(backoff(r.failures, period))); again.Before(poll) {
				poll = again
			}
			r.failures++
		}
		r.observe(t, start, end, err)
	}
}

// rest is the pause after a pass. What changes meanwhile is looked at together by the next one: a storm costs a handful
// of passes and at most four fifths of a processor.
func rest(took time.Duration) time.Duration { return min(max(took/4, minPause), maxPause) }

// await waits until a pass is due: at poll, when something is in the inbox, or when a scheduled time has come; but not
// before rested, unless poll comes first. It returns false when the context ends.
func (r *runner) await(ctx context.Context, poll, rested time.Time) bool {
	for {
		when := poll
		earlier := func(t time.Time) {
			if t.Before(rested) {
				t = rested
			}
			if t.Before(when) {
				when = t
			}
		}
		if since, ok := r.inbox.waiting(); ok {
			earlier(since.Add(coalesce))
		}
		if t, ok := r.sched.next(); ok {
			earlier(t)
		}
		wait := time.Until(when)
		if ctx.Err() != nil {
			return false
		}
		if wait <= 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-r.inbox.bell:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// watch has a pass run, and says so when it does not end.
func (r *runner) watch(t Tick, pass func() error) error {
	r.setBegan(t.Now)
	defer r.setBegan(time.Time{})
	limit := max(3*r.period(), longPass)
	late := time.AfterFunc(limit, func() {
		r.log.Warn("pass does not end", "duration", limit, "full", t.Full(), "count", len(t.Changed))
	})
	defer late.Stop()
	return Protect(r.log, pass)
}

// pass makes one pass.
func (r *runner) pass(ctx context.Context, t Tick) error {
	ctx = bos.WithWriter(ctx, r.name)
	if t.Full() || !r.haveOpts { // a change of either makes a full pass
		if err := r.refresh(ctx); err != nil {
			return err
		}
	}
	t.Options, t.Settings = r.options, r.settings
	return r.Operator.Run(ctx, t)
}

// refresh reads options and settings. What cannot be read stays as it was; without ever having read the options there
// is no pass, as the waits of the defaults may be far too short for the site.
func (r *runner) refresh(ctx context.Context) error {
	options, err := r.API.Options(ctx)
	switch {
	case err == nil:
		r.options, r.haveOpts = options, true
	case !r.haveOpts:
		return fmt.Errorf("read options: %w", err)
	default:
		r.log.Warn("read options: keeping the last ones", "err", err)
	}
	settings, err := r.API.Settings(ctx)
	switch {
	case err == nil:
		r.settings = settings
	case !errors.Is(err, bos.ErrUnsupported):
		r.log.Warn("read settings: keeping the last ones", "err", err)
	}
	if r.Level != nil {
		SetLevel(r.log, r.Level, r.options.LoggingLevel)
	}
	return nil
}

func (r *runner) period() time.Duration {
	period := r.options.PollingFrequency
	if p, ok := r.Operator.(Periodic); ok {
		period = p.Period(r.options)
	}
	if period <= 0 {
		period = noPeriod
	}
	return period
}

// observe tells of a finished pass. An error that stays the same is logged once per full pass.
func (r *runner) observe(t Tick, start, end time.Time, err error) {
	r.mu.Lock()
	r.interval = r.period()
	if r.haveOpts {
		r.alive = end
	}
	r.mu.Unlock()
	text := ""
	if err != nil {
		if text = err.Error(); t.Full() || text != r.lastError {
			r.log.Error("pass", "duration", end.Sub(start), "full", t.Full(), "count", len(t.Changed), "err", err)
		}
	}
	r.lastError = text
	if r.Observe != nil {
		r.Observe(PassInfo{Operator: r.name, Start: start, Duration: end.Sub(start), Full: t.Full(), Changed: len(t.Changed), Err: err})
	}
}

// listen puts into the inbox what changes, until the context ends.
func (r *runner) listen(ctx context.Context) {
	f := bos.ChangeFilter{Kinds: []bos.ChangeKind{bos.ChangeOptions, bos.ChangeSettings, bos.ChangeLease}}
	if r.waker != nil {
		f.Kinds = append(f.Kinds, bos.ChangeComponent, bos.ChangeSession, bos.ChangePower)
	}
	pause := time.Second
	for ctx.Err() == nil {
		var catchUp *time.Timer
		if f.Since.IsZero() && r.waker != nil { // the first pass and the subscription race
			catchUp = time.AfterFunc(settling, r.inbox.addFull)
		}
		var failed error
		for c, err := range r.API.Changes(ctx, f) {
			if err != nil {
				failed = err
				break
			}
			if !c.Cursor.IsZero() {
				f.Since = c.Cursor
			}
			pause = time.Second
			r.hear(&c)
		}
		if ctx.Err() != nil || errors.Is(failed, bos.ErrUnsupported) {
			if catchUp != nil {
				catchUp.Stop()
			}
		}
		wait := r.jitter(pause)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(failed, bos.ErrUnsupported):
			wait = resubNever
		default:
			r.log.Debug("changes ended, subscribing again", "err", failed)
			pause = min(2*pause, resubMax)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// hear decides what a change means for the loop.
func (r *runner) hear(c *bos.Change) {
	if c.Kind == bos.ChangeResync || c.Kind == bos.ChangeLease && c.ID == r.name && c.Deleted {
		select { // a resync may stand for the release
		case r.leaseFreed <- struct{}{}:
		default:
		}
	}
	switch c.Kind {
	case bos.ChangeResync, bos.ChangeOptions, bos.ChangeSettings:
		r.inbox.addFull()
		return
	case bos.ChangeLease:
		return
	}
	if c.Writer == r.name || c.Heartbeat || r.waker == nil {
		return
	}
	if c.Kind == bos.ChangeSession || c.Deleted || c.Touches("desired_state.boot_artifacts", "desired_state.configuration", "session") {
		r.sched.lift(c.ID)
	}
	wakes := false
	if Protect(r.log, func() error { wakes = r.waker.Wakes(c); return nil }) != nil {
		r.inbox.addFull()
	}
	if wakes {
		r.inbox.add(c.ID)
	}
}
