package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// watcher runs sessions and notes when each node arrives.
type watcher struct {
	sys       *system
	times     []time.Duration // control time of each node of the latest session
	reactions []time.Duration // from each report to what BOS did about it, of the latest session
}

// sampleEvery is the distance of the samples of a series.
const sampleEvery = 20 * time.Millisecond

// session runs a session to its end.
func (w *watcher) session(ctx context.Context, name string, op bos.Operation, ids []string) (SessionResult, error) {
	w.times, w.reactions = nil, nil
	res := SessionResult{Nodes: len(ids), Runs: 1}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	v := &view{
		status: map[string]string{}, counts: map[string]int{"waiting": len(ids)},
		stable: map[string]time.Time{}, reported: map[string]time.Time{},
	}
	for _, id := range ids {
		v.status[id] = "waiting"
	}
	changes := make(chan bos.Change, 1<<16)
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	failed := make(chan error, 1)
	ready := make(chan struct{})
	go w.subscribe(watching, changes, ready, failed)
	select {
	case <-ready:
	case err := <-failed:
		return res, err
	}

	limit := strings.Join(ids, ",")
	start := time.Now()
	if _, err := w.sys.api.CreateSession(ctx, "", bos.SessionCreate{Name: name, Operation: op, TemplateName: template, Limit: limit}); err != nil {
		return res, fmt.Errorf("create session %s: %w", name, err)
	}
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	poll := time.NewTicker(2 * time.Second)
	defer poll.Stop()
	for complete := false; !complete; {
		select {
		case <-ctx.Done():
			return res, fmt.Errorf("session %s: %w", name, context.Cause(ctx))
		case err := <-failed:
			return res, err
		case c := <-changes:
			complete = v.note(c, name, time.Now())
			if c.Kind == bos.ChangeResync {
				if err := w.resync(ctx, v, name); err != nil {
					return res, err
				}
			}
		case <-tick.C:
			res.Series = append(res.Series, v.sample(time.Since(start)))
		case <-poll.C: // a change that was missed must not hold the benchmark up
			s, err := w.sys.api.GetSession(ctx, bos.TenantKey{Name: name})
			if err != nil {
				return res, fmt.Errorf("session %s: %w", name, err)
			}
			if complete = s.State() == bos.SessionComplete; complete {
				if err := w.resync(ctx, v, name); err != nil {
					return res, err
				}
			}
		}
	}
	res.WallSeconds = time.Since(start).Seconds()
	res.Series = append(res.Series, v.sample(time.Since(start)))
	for _, id := range ids {
		at, ok := v.stable[id]
		if !ok {
			res.Failed++
			continue
		}
		spent, _ := w.sys.machine.Spent(id, start, at)
		w.times = append(w.times, max(0, at.Sub(start)-spent.Total))
	}
	for _, r := range v.reactions {
		spent, _ := w.sys.machine.Spent(r.id, r.from, r.to)
		w.reactions = append(w.reactions, max(0, r.to.Sub(r.from)-spent.Total))
	}
	res.ControlTime = latencyOf(slices.Clone(w.times))
	res.Reaction = latencyOf(slices.Clone(w.reactions))
	return res, nil
}

// subscribe passes changes on until ctx ends.
func (w *watcher) subscribe(ctx context.Context, out chan<- bos.Change, ready chan<- struct{}, failed chan<- error) {
	time.AfterFunc(100*time.Millisecond, func() { close(ready) }) // a subscription takes a moment over HTTP
	for c, err := range w.sys.api.Changes(ctx, bos.ChangeFilter{}) {
		if err != nil {
			if ctx.Err() == nil {
				failed <- fmt.Errorf("changes: %w", err)
			}
			return
		}
		select {
		case out <- c:
		case <-ctx.Done():
			return
		}
	}
}

// resync looks at the components themselves.
func (w *watcher) resync(ctx context.Context, v *view, session string) error {
	for c, err := range w.sys.api.ListComponents(ctx, bos.ComponentFilter{Session: session}) {
		if err != nil {
			return fmt.Errorf("list components: %w", err)
		}
		v.arrive(string(c.ID), string(c.ComputeStatus()), c.IsEnabled(), time.Now())
	}
	return nil
}

// view is what the changes of a session have shown so far.
type view struct {
	status    map[string]string
	counts    map[string]int // nodes by status
	stable    map[string]time.Time
	reported  map[string]time.Time
	reactions []reaction
}

// reaction is what BOS did about a node's report.
type reaction struct {
	id       string
	from, to time.Time
}

// note takes in a change and reports whether the session is complete.
func (v *view) note(c bos.Change, session string, now time.Time) bool {
	switch {
	case c.Kind == bos.ChangeSession && c.ID == session:
		return c.Status == bos.Status(bos.SessionComplete)
	case c.Kind != bos.ChangeComponent || c.Session != session:
		return false
	}
	if _, ours := v.status[c.ID]; !ours {
		return false
	}
	if c.Writer == "" && c.Touches("actual_state.boot_artifacts") {
		v.reported[c.ID] = now
	} else if at, ok := v.reported[c.ID]; ok && c.Writer == "status" {
		v.reactions = append(v.reactions, reaction{c.ID, at, now})
		delete(v.reported, c.ID)
	}
	v.arrive(c.ID, string(c.Status), c.Enabled, now)
	return false
}

func (v *view) arrive(id, status string, enabled bool, now time.Time) {
	v.counts[v.status[id]]--
	v.counts[status]++
	v.status[id] = status
	if status == string(bos.StatusStable) && !enabled {
		if _, ok := v.stable[id]; !ok {
			v.stable[id] = now
		}
	}
}

func (v *view) sample(at time.Duration) Sample {
	counts := maps.Clone(v.counts)
	maps.DeleteFunc(counts, func(_ string, n int) bool { return n == 0 })
	return Sample{Seconds: at.Seconds(), Counts: counts}
}
