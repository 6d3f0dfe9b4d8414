package operator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// fakeAPI is what a loop sees of BOS.
type fakeAPI struct {
	mu          sync.Mutex
	options     bos.Options
	optionsErr  error
	settingsErr error
	noChanges   bool
	subscribers map[chan bos.Change]bool
	cursors     []bos.Cursor // asked for
	noLeases    bool
	leaseErr    error
	holder      string
	token       int64
	until       time.Time
	leaseCalls  int
	released    int
}

func newFakeAPI() *fakeAPI {
	return &fakeAPI{options: bos.DefaultOptions(), subscribers: map[chan bos.Change]bool{}}
}

func (a *fakeAPI) Options(context.Context) (bos.Options, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.options, a.optionsErr
}

func (a *fakeAPI) Settings(context.Context) (bos.Settings, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return bos.DefaultSettings(), a.settingsErr
}

func (a *fakeAPI) set(fn func(a *fakeAPI)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fn(a)
}

// Changes yields what publish is given; a change of kind "end" ends the sequence with an error.
func (a *fakeAPI) Changes(ctx context.Context, f bos.ChangeFilter) iter.Seq2[bos.Change, error] {
	return func(yield func(bos.Change, error) bool) {
		ch := make(chan bos.Change, 10_000)
		a.mu.Lock()
		a.cursors = append(a.cursors, f.Since)
		no := a.noChanges
		a.subscribers[ch] = true
		a.mu.Unlock()
		defer a.set(func(a *fakeAPI) { delete(a.subscribers, ch) })
		if no {
			yield(bos.Change{}, bos.ErrUnsupported)
			return
		}
		for {
			select {
			case <-ctx.Done():
				return
			case c := <-ch:
				if c.Kind == "end" {
					yield(bos.Change{}, bos.ErrUnavailable)
					return
				}
				if f.Match(&c) && !yield(c, nil) {
					return
				}
			}
		}
	}
}

func (a *fakeAPI) publish(cs ...bos.Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for ch := range a.subscribers {
		for _, c := range cs {
			ch <- c
		}
	}
}

func (a *fakeAPI) AcquireLease(_ context.Context, _, holder string, ttl time.Duration) (bos.Lease, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaseCalls++
	switch {
	case a.noLeases:
		return bos.Lease{}, bos.ErrUnsupported
	case a.leaseErr != nil:
		return bos.Lease{}, a.leaseErr
	case a.holder != "" && a.holder != holder && time.Now().Before(a.until):
		return bos.Lease{}, fmt.Errorf("held by %s: %w", a.holder, bos.ErrConflict)
	}
	if a.holder != holder || !time.Now().Before(a.until) {
		a.token++
	}
	a.holder, a.until = holder, time.Now().Add(ttl)
	return bos.Lease{Holder: holder, Token: a.token, ExpiresIn: ttl}, nil
}

func (a *fakeAPI) ReleaseLease(_ context.Context, op, holder string) error {
	a.mu.Lock()
	if a.holder == holder {
		a.holder = ""
		a.released++
	}
	a.mu.Unlock()
	a.publish(bos.Change{Kind: bos.ChangeLease, ID: op, Deleted: true})
	return nil
}

// probe is an operator that notes its passes.
type probe struct {
	mu     sync.Mutex
	passes []operator.Tick
	start  []time.Duration // of each pass, from the beginning of the test
	begin  time.Time
	run    func(ctx context.Context, t operator.Tick) error
}

func newProbe() *probe { return &probe{begin: time.Now()} }

func (p *probe) Name() string { return "probe" }

func (p *probe) Run(ctx context.Context, t operator.Tick) error {
	p.mu.Lock()
	p.passes = append(p.passes, t)
	p.start = append(p.start, time.Since(p.begin))
	p.mu.Unlock()
	if p.run != nil {
		return p.run(ctx, t)
	}
	return nil
}

func (p *probe) starts() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.start)
}

func (p *probe) pass(i int) operator.Tick {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passes[i]
}

// waker is a probe that wants all changes of enabled components.
type waker struct{ *probe }

func (waker) Wakes(c *bos.Change) bool {
	if c.ID == "brittle" {
		panic("ouch")
	}
	return c.Enabled
}

// loop runs op for d and ends it.
func loop(t *testing.T, op operator.Operator, api operator.API, change func(*operator.Loop), d time.Duration, during ...func()) *operator.Loop {
	t.Helper()
	l := &operator.Loop{Operator: op, API: api, Jitter: func(d time.Duration) time.Duration { return d }}
	if change != nil {
		change(l)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := errors.New("the test is over")
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	for _, fn := range during {
		fn()
	}
	time.Sleep(d)
	synctest.Wait()
	cancel(ended)
	before := time.Now()
	if err := <-done; !errors.Is(err, ended) {
		t.Errorf("Run = %v, want the cause of the context", err)
	}
	if took := time.Since(before); took > time.Second {
		t.Errorf("stopping took %s", took)
	}
	return l
}

func seconds(s ...float64) []time.Duration {
	out := make([]time.Duration, len(s))
	for i := range s {
		out[i] = time.Duration(s[i] * float64(time.Second))
	}
	return out
}

func wantStarts(t *testing.T, p *probe, want []time.Duration) {
	t.Helper()
	if got := p.starts(); !slices.Equal(got, want) {
		t.Errorf("passes at %v, want %v", got, want)
	}
}

func TestLoopPolls(t *testing.T) {
	for _, tc := range []struct {
		name   string
		period int
		run    func(context.Context, operator.Tick) error
		length time.Duration
		want   []time.Duration
	}{
		{"at the start and every period", 15, nil, 31 * time.Second, seconds(0, 15, 30)},
		{"0 means once a second", 0, nil, 2500 * time.Millisecond, seconds(0, 1, 2)},
		{"OP-134 a long pass is followed by the next at once", 15, func(ctx context.Context, _ operator.Tick) error {
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Second):
			}
			return nil
		}, 50 * time.Second, seconds(0, 20, 40)},
		{"a failed pass is repeated after a back-off", 15, func(context.Context, operator.Tick) error { return errors.New("no") },
			40 * time.Second, seconds(0, 1, 3, 7, 15, 30)},
		{"a panic is an error", 15, func(context.Context, operator.Tick) error { panic("ouch") }, 2 * time.Second, seconds(0, 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api, p := newFakeAPI(), newProbe()
				api.options.PollingFrequency = time.Duration(tc.period) * time.Second
				p.run = tc.run
				loop(t, p, api, nil, tc.length)
				wantStarts(t, p, tc.want)
				if tick := p.pass(0); !tick.Full() || tick.Log == nil || tick.Sched == nil || tick.Fence() != nil {
					t.Errorf("first tick %+v", tick)
				}
			})
		})
	}
}

// ownPeriod is a probe with a period of its own.
type ownPeriod struct{ *probe }

func (ownPeriod) Period(o bos.Options) time.Duration { return o.DiscoveryFrequency }

func TestLoopOwnPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		loop(t, ownPeriod{p}, newFakeAPI(), nil, 301*time.Second)
		wantStarts(t, p, seconds(0, 300))
	})
}

func TestLoopOptions(t *testing.T) {
	t.Run("OP-131 OP-132 the last good ones stay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, p := newFakeAPI(), newProbe()
			api.options.PollingFrequency = 99 * time.Second
			loop(t, p, api, nil, 200*time.Second, func() {
				time.Sleep(time.Second)
				api.set(func(a *fakeAPI) { a.optionsErr = bos.ErrUnavailable })
			})
			wantStarts(t, p, seconds(0, 99, 198))
			if got := p.pass(1).Options.PollingFrequency; got != 99*time.Second {
				t.Errorf("polling frequency = %s, want the last good one", got)
			}
		})
	})
	t.Run("OP-133 a change takes effect", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, p := newFakeAPI(), newProbe()
			api.options.PollingFrequency = 60 * time.Second
			loop(t, p, api, nil, 20*time.Second, func() {
				time.Sleep(30 * time.Second)
				api.set(func(a *fakeAPI) { a.options.PollingFrequency = 5 * time.Second })
				api.publish(bos.Change{Kind: bos.ChangeOptions})
			})
			wantStarts(t, p, seconds(0, 30.002, 35.002, 40.002, 45.002))
		})
	})
	t.Run("none were ever read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, p := newFakeAPI(), newProbe()
			api.optionsErr = bos.ErrUnavailable
			var errs []error
			l := loop(t, p, api, func(l *operator.Loop) {
				l.Observe = func(i operator.PassInfo) { errs = append(errs, i.Err) }
			}, time.Minute, func() {
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if len(p.starts()) != 0 || len(errs) != 3 || !errors.Is(errs[0], bos.ErrUnavailable) {
					t.Errorf("passes %v, errors %v: want none without options, and the reason", p.starts(), errs)
				}
				api.set(func(a *fakeAPI) { a.optionsErr = nil })
			})
			wantStarts(t, p, seconds(3, 18, 33, 48))
			if l.Ready() == nil {
				t.Error("a loop that has ended is ready")
			}
		})
	})
	t.Run("settings of a reference server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, p := newFakeAPI(), newProbe()
			api.settingsErr = bos.ErrUnsupported
			loop(t, p, api, nil, time.Second)
			if got := p.pass(0).Settings; got != bos.DefaultSettings() {
				t.Errorf("settings %+v, want the defaults", got)
			}
		})
	})
}

func TestLoopWakes(t *testing.T) {
	enabled := func(id string) bos.Change { return bos.Change{Kind: bos.ChangeComponent, ID: id, Enabled: true} }
	start := func(t *testing.T, during func(api *fakeAPI, p *probe)) *probe {
		api, p := newFakeAPI(), newProbe()
		loop(t, waker{p}, api, nil, 100*time.Millisecond, func() {
			time.Sleep(5 * time.Second) // past the second look after subscribing
			synctest.Wait()
			during(api, p)
		})
		wantFirst := seconds(0, 1.002)
		if got := p.starts(); len(got) < 2 || !slices.Equal(got[:2], wantFirst) {
			t.Fatalf("passes at %v, want the first at %v", got, wantFirst)
		}
		return p
	}
	for _, tc := range []struct {
		name    string
		changes []bos.Change
		want    []string // ids of the third pass
		full    bool
		none    bool
	}{
		{name: "a burst makes one pass over its ids", changes: []bos.Change{enabled("b"), enabled("a"), enabled("b")}, want: []string{"a", "b"}},
		{name: "own writes do not wake", changes: []bos.Change{{Kind: bos.ChangeComponent, ID: "a", Enabled: true, Writer: "probe"}}, none: true},
		{name: "heartbeats do not wake", changes: []bos.Change{{Kind: bos.ChangeComponent, ID: "a", Enabled: true, Heartbeat: true}}, none: true},
		{name: "others do not wake", changes: []bos.Change{{Kind: bos.ChangeComponent, ID: "a"}}, none: true},
		{name: "a resync makes a full pass", changes: []bos.Change{{Kind: bos.ChangeResync}}, full: true},
		{name: "settings make a full pass", changes: []bos.Change{enabled("a"), {Kind: bos.ChangeSettings}}, full: true},
		{name: "a panic makes a full pass, and the loop goes on", changes: []bos.Change{enabled("brittle"), enabled("a")}, full: true},
		{name: "many ids make a full pass", changes: many(3001, enabled), full: true},
		{name: "up to three thousand do not", changes: many(3000, enabled), want: idsOf(many(3000, enabled))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := start(t, func(api *fakeAPI, p *probe) { api.publish(tc.changes...) })
				got := p.starts()
				switch {
				case tc.none:
					if len(got) != 2 {
						t.Errorf("passes at %v, want no third", got)
					}
					return
				case len(got) != 3 || got[2] != 5002*time.Millisecond:
					t.Fatalf("passes at %v, want one more at 5.002s", got)
				}
				tick := p.pass(2)
				if tick.Full() != tc.full || !slices.Equal(tick.Changed, tc.want) {
					t.Errorf("changed %d ids %.60s, full %t; want %d, %t", len(tick.Changed), fmt.Sprint(tick.Changed), tick.Full(), len(tc.want), tc.full)
				}
			})
		})
	}
	for name, change := range map[string]bos.Change{"a full pass": {Kind: bos.ChangeResync}, "a pass over ids": enabled("a")} {
		t.Run("the loop rests a quarter of the time of "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := start(t, func(api *fakeAPI, p *probe) {
					p.run = func(context.Context, operator.Tick) error {
						time.Sleep(40 * time.Millisecond)
						return nil
					}
					api.publish(change)
					time.Sleep(10 * time.Millisecond)
					api.publish(enabled("b"))
				})
				if got, want := p.starts(), 50*time.Millisecond; len(got) != 4 || got[3]-got[2] != want {
					t.Errorf("passes at %v, want the last %s after the third", got, want)
				}
			})
		})
	}
}

func many(n int, make func(string) bos.Change) []bos.Change {
	out := []bos.Change{}
	for i := range n {
		out = append(out, make(fmt.Sprintf("x%04d", i)))
	}
	return out
}

func idsOf(cs []bos.Change) []string {
	ids := make([]string, len(cs))
	for i, c := range cs {
		ids[i] = c.ID
	}
	return ids
}

func TestLoopResubscribes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, p := newFakeAPI(), newProbe()
		seen := bos.Cursor{Epoch: "e", Revision: 7}
		loop(t, waker{p}, api, nil, time.Second, func() {
			time.Sleep(2 * time.Second)
			api.publish(bos.Change{Kind: bos.ChangeComponent, ID: "a", Enabled: true, Cursor: seen}, bos.Change{Kind: "end"})
			time.Sleep(2 * time.Second)
			api.publish(bos.Change{Kind: bos.ChangeComponent, ID: "b", Enabled: true})
		})
		if want := []bos.Cursor{{}, seen}; !slices.Equal(api.cursors, want) {
			t.Errorf("subscribed with %v, want %v", api.cursors, want)
		}
		if n := len(p.starts()); n != 4 || p.pass(3).Changed[0] != "b" {
			t.Errorf("passes at %v, want one for the change after the interruption", p.starts())
		}
	})
}

// Against a reference server there is nothing but polling.
func TestLoopWithoutChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, p := newFakeAPI(), newProbe()
		api.noChanges, api.noLeases, api.settingsErr = true, true, bos.ErrUnsupported
		l := loop(t, waker{p}, api, func(l *operator.Loop) { l.Holder = "me" }, 31*time.Second)
		wantStarts(t, p, seconds(0, 15, 30))
		if l.Active() {
			t.Error("active after the end")
		}
	})
}

func TestLoopSchedules(t *testing.T) {
	t.Run("a pass at the time asked for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newProbe()
			p.run = func(_ context.Context, t operator.Tick) error {
				if t.Full() {
					t.Sched.At("late", t.Now.Add(5*time.Second))
					t.Sched.At("a", t.Now.Add(2*time.Second))
					t.Sched.At("a", t.Now.Add(time.Second))
					t.Sched.At("gone", t.Now.Add(time.Second))
					t.Sched.Cancel("gone")
				}
				return nil
			}
			loop(t, p, newFakeAPI(), nil, 6*time.Second)
			wantStarts(t, p, seconds(0, 1, 5))
			if got := p.pass(1).Changed; !slices.Equal(got, []string{"a"}) {
				t.Errorf("changed %q, want a", got)
			}
		})
	})
	t.Run("a back-off doubles, and a new goal lifts it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, p := newFakeAPI(), newProbe()
			var ready []string
			p.run = func(_ context.Context, t operator.Tick) error {
				if t.Sched.Ready("a") {
					ready = append(ready, t.Now.Sub(p.begin).String())
					t.Sched.Retry("a")
				}
				return nil
			}
			api.options.PollingFrequency = 10 * time.Second
			loop(t, waker{p}, api, nil, 4*time.Second, func() {
				time.Sleep(7500 * time.Millisecond)
				api.publish(bos.Change{Kind: bos.ChangeComponent, ID: "a", Enabled: true, Fields: []string{"error"}})
				time.Sleep(10 * time.Millisecond)
				api.publish(bos.Change{Kind: bos.ChangeComponent, ID: "a", Enabled: true, Fields: []string{"session"}})
			})
			want := []string{"0s", "1s", "3s", "7s", "7.512s", "8.75s", "10.75s"}
			if !slices.Equal(ready, want) {
				t.Errorf("tried at %v, want %v", ready, want)
			}
		})
	})
}

func TestLoopLease(t *testing.T) {
	me := func(l *operator.Loop) { l.Holder = "me" }
	t.Run("held, renewed and released", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, p := newFakeAPI(), newProbe()
			loop(t, p, api, me, 16*time.Second)
			if api.leaseCalls != 4 || api.released != 1 {
				t.Errorf("asked for the lease %d times and released %d, want 4 and 1", api.leaseCalls, api.released)
			}
			if token := p.pass(0).Lease.Token(); token != 1 {
				t.Errorf("token %d, want 1", token)
			}
		})
	})
	t.Run("standing by until it is free", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, p := newFakeAPI(), newProbe()
			api.leaseErr = bos.ErrUnavailable
			api.holder, api.until = "other", time.Now().Add(time.Hour)
			l := &operator.Loop{}
			var log bytes.Buffer
			loop(t, p, api, func(x *operator.Loop) { me(x); l = x; l.Log = slog.New(slog.NewTextHandler(&log, nil)) }, 0, func() {
				time.Sleep(time.Second)
				api.set(func(a *fakeAPI) { a.leaseErr = nil })
				time.Sleep(599 * time.Second)
				synctest.Wait()
				if strings.Count(log.String(), `"standing by"`) != 1 || strings.Contains(log.String(), "taking over") {
					t.Errorf("log of a stand-by that began with an outage:\n%s", &log)
				}
				if len(p.starts()) != 0 || l.Active() || l.Ready() != nil {
					t.Errorf("passes %v, active %t, ready %v: want a ready stand-by", p.starts(), l.Active(), l.Ready())
				}
				if err := api.ReleaseLease(t.Context(), "probe", "other"); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if !l.Active() {
					t.Error("not active right after the release")
				}
				if !strings.Contains(log.String(), `"taking over"`) {
					t.Errorf("log after the release:\n%s", &log)
				}
			})
			wantStarts(t, p, seconds(600))
		})
	})
	t.Run("standing by, and the release is lost in a resync", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, l := newFakeAPI(), &operator.Loop{}
			api.holder, api.until = "other", time.Now().Add(time.Hour)
			loop(t, newProbe(), api, func(x *operator.Loop) { me(x); l = x }, 0, func() {
				time.Sleep(time.Second)
				synctest.Wait()
				api.set(func(a *fakeAPI) { a.holder = "" })
				api.publish(bos.Change{Kind: bos.ChangeResync})
				synctest.Wait()
				if !l.Active() {
					t.Error("not active right after the resync")
				}
			})
		})
	})
	t.Run("lost: the pass in hand is stopped and the fence is shut", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, p := newFakeAPI(), newProbe()
			var stopped time.Duration
			var fence error
			p.run = func(ctx context.Context, t operator.Tick) error {
				<-ctx.Done()
				if stopped == 0 {
					stopped, fence = time.Since(p.begin), t.Fence()
				}
				return ctx.Err()
			}
			loop(t, p, api, me, 30*time.Second, func() {
				time.Sleep(6 * time.Second)
				api.set(func(a *fakeAPI) { a.holder, a.until, a.token = "other", time.Now().Add(time.Hour), 9 })
			})
			if stopped != 10*time.Second || !errors.Is(fence, bos.ErrConflict) {
				t.Errorf("stopped after %s with fence %v, want 10s and a conflict", stopped, fence)
			}
		})
	})
	t.Run("unrenewed: believed until 3 s before its end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api, p := newFakeAPI(), newProbe()
			var stopped time.Duration
			p.run = func(ctx context.Context, _ operator.Tick) error {
				<-ctx.Done()
				if stopped == 0 {
					stopped = time.Since(p.begin)
				}
				return nil
			}
			loop(t, p, api, me, 20*time.Second, func() {
				time.Sleep(time.Second)
				api.set(func(a *fakeAPI) { a.leaseErr = bos.ErrUnavailable })
			})
			if stopped < 12*time.Second || stopped > 13*time.Second {
				t.Errorf("stopped after %s, want between 12 s and 13 s", stopped)
			}
		})
	})
	t.Run("two holders never act together", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := newFakeAPI()
			var mu sync.Mutex
			acting, most := 0, 0
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for _, name := range []string{"a", "b", "c"} {
				p := newProbe()
				p.run = func(ctx context.Context, t operator.Tick) error {
					mu.Lock()
					acting++
					most = max(most, acting)
					mu.Unlock()
					select {
					case <-ctx.Done():
					case <-time.After(100 * time.Millisecond):
					}
					mu.Lock()
					acting--
					mu.Unlock()
					return nil
				}
				wg.Go(func() { _ = (&operator.Loop{Operator: p, API: api, Holder: name}).Run(ctx) })
			}
			for range 20 { // the holder loses its lease again and again
				time.Sleep(7 * time.Second)
				api.set(func(a *fakeAPI) { a.leaseErr = bos.ErrUnavailable })
				time.Sleep(13 * time.Second)
				api.set(func(a *fakeAPI) { a.leaseErr = nil })
			}
			cancel()
			wg.Wait()
			if most != 1 {
				t.Errorf("%d acted at once", most)
			}
		})
	})
}

// counter is a log that counts one message.
type counter struct {
	slog.Handler
	message string
	n       atomic.Int32
}

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }
func (c *counter) WithAttrs([]slog.Attr) slog.Handler       { return c }

func (c *counter) Handle(_ context.Context, r slog.Record) error {
	if r.Message == c.message {
		c.n.Add(1)
	}
	return nil
}

func TestLoopReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, p := newFakeAPI(), newProbe()
		complaints := &counter{Handler: slog.DiscardHandler, message: "pass does not end"}
		l := &operator.Loop{Operator: p, API: api, Log: slog.New(complaints)}
		if l.Ready() == nil || l.Running() != 0 {
			t.Errorf("ready, or in a pass for %s, before Run", l.Running())
		}
		block := make(chan struct{})
		p.run = func(ctx context.Context, _ operator.Tick) error {
			if len(p.starts()) > 1 {
				<-block
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		time.Sleep(10 * time.Second)
		if d := l.Running(); d != 0 {
			t.Errorf("in a pass for %s between two", d)
		}
		time.Sleep(34 * time.Second)
		if err := l.Ready(); err != nil {
			t.Errorf("44 s after the last finished pass: %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := l.Ready(); err == nil || !strings.Contains(err.Error(), "probe: no finished pass for 46s") {
			t.Errorf("46 s after the last finished pass: %v", err)
		}
		if d := l.Running(); d != 31*time.Second {
			t.Errorf("in a pass for %s, want 31s", d)
		}
		time.Sleep(28 * time.Second)
		if complaints.n.Load() != 0 {
			t.Error("complains within a minute")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := complaints.n.Load(); n != 1 {
			t.Errorf("complained %d times", n)
		}
		close(block)
		cancel()
		<-done
		if d := l.Running(); d != 0 {
			t.Errorf("in a pass for %s after Run", d)
		}
	})
}

func TestLoopLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, p := newFakeAPI(), newProbe()
		var text strings.Builder
		level := new(slog.LevelVar)
		api.options.LoggingLevel = "debug"
		loop(t, p, api, func(l *operator.Loop) {
			l.Level, l.Log = level, slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level}))
		}, time.Second, func() {
			time.Sleep(time.Second)
			api.set(func(a *fakeAPI) { a.options.LoggingLevel = "loud" })
			time.Sleep(15 * time.Second)
			api.set(func(a *fakeAPI) { a.options.LoggingLevel = "" })
			time.Sleep(15 * time.Second)
		})
		if level.Level() != slog.LevelDebug {
			t.Errorf("level %s, want DEBUG: unknown names and empty ones change nothing", level.Level())
		}
		for _, want := range []string{`msg="changing logging level"`, `msg="logging level changed"`, `msg="unknown logging level"`} {
			if strings.Count(text.String(), want) != 1 {
				t.Errorf("log has not once %s:\n%s", want, text.String())
			}
		}
	})
}

func TestLoopWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		var writer string
		p.run = func(ctx context.Context, _ operator.Tick) error {
			writer = bos.Writer(ctx)
			return nil
		}
		loop(t, p, newFakeAPI(), nil, time.Second)
		if writer != "probe" {
			t.Errorf("writes are made by %q, want the operator", writer)
		}
	})
}
