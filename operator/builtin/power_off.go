package builtin

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/pcs"
)

// powerOffGraceful asks nodes in power_off_pending to shut down. If the process dies between the call and its record,
// the node may be asked once more, which it ignores while shutting down.
type powerOffGraceful struct{ powerOperator }

func newPowerOffGraceful(d Deps) operator.Operator {
	return &powerOffGraceful{powerOperator{
		Deps: d, name: "power-off-graceful", op: pcs.SoftOff, action: bos.ActionPoweringOffGraceful,
		called:   []bos.Status{bos.StatusPowerOffGracefullyCalled},
		attempts: func(c *bos.Component) int { _, n, _ := c.Attempts(); return n },
		stats:    func(n int) *bos.EventStats { return &bos.EventStats{PowerOffGracefulAttempts: new(n)} },
		strange:  map[bos.ComponentID]time.Time{}, resend: map[bos.ComponentID]bool{},
	}}
}

// Wakes implements operator.Waker.
func (p *powerOffGraceful) Wakes(c *bos.Change) bool {
	p.Transitions.heard(c)
	return wakesOn(c, bos.StatusPowerOffPending)
}

// Run implements operator.Operator.
func (p *powerOffGraceful) Run(ctx context.Context, t operator.Tick) error {
	if err := p.settle(ctx, t); err != nil {
		return err
	}
	pending, err := p.look(ctx, t, bos.StatusPowerOffPending)
	if err != nil {
		return err
	}
	comps, err := p.usable(ctx, t, pending)
	return errors.Join(err, p.powerOff(ctx, t, comps))
}

// powerOffForceful cuts the power of nodes that were asked to shut down, or were cut off already, and are still not
// off after max_power_off_wait_time. If the process dies between the call and its record, the power may be cut twice.
type powerOffForceful struct{ powerOperator }

func newPowerOffForceful(d Deps) operator.Operator {
	return &powerOffForceful{powerOperator{
		Deps: d, name: "power-off-forceful", op: pcs.ForceOff, action: bos.ActionPoweringOffForceful,
		called:   []bos.Status{bos.StatusPowerOffForcefullyCalled},
		attempts: func(c *bos.Component) int { _, _, n := c.Attempts(); return n },
		stats:    func(n int) *bos.EventStats { return &bos.EventStats{PowerOffForcefulAttempts: new(n)} },
		strange:  map[bos.ComponentID]time.Time{}, resend: map[bos.ComponentID]bool{},
	}}
}

// Wakes implements operator.Waker: a node that has been called needs a look when its wait ends.
func (p *powerOffForceful) Wakes(c *bos.Change) bool {
	p.Transitions.heard(c)
	return wakesOn(c, bos.StatusPowerOffGracefullyCalled, bos.StatusPowerOffForcefullyCalled)
}

// Run implements operator.Operator.
func (p *powerOffForceful) Run(ctx context.Context, t operator.Tick) error {
	if err := p.settle(ctx, t); err != nil {
		return err
	}
	due, err := p.overdue(ctx, t)
	return errors.Join(err, p.powerOff(ctx, t, due))
}

// overdue returns the candidates whose wait is over and asks for a pass at the end of the wait of the others.
func (p *powerOffForceful) overdue(ctx context.Context, t operator.Tick) ([]bos.Component, error) {
	found, err := p.look(ctx, t, bos.StatusPowerOffForcefullyCalled, bos.StatusPowerOffGracefullyCalled)
	if err != nil {
		return nil, err
	}
	var due []bos.Component
	for _, c := range found {
		if c.ActionTime().OlderThan(t.Options.MaxPowerOffWaitTime, t.Now) {
			due = append(due, c)
		} else {
			t.Sched.At(string(c.ID), waitEnd(c.ActionTime(), t.Options.MaxPowerOffWaitTime))
		}
	}
	return p.usable(ctx, t, due)
}

// powerOff commands the components, batch by batch.
func (p *powerOperator) powerOff(ctx context.Context, t operator.Tick, comps []bos.Component) error {
	var errs []error
	for _, batch := range batches(comps, &t.Options) {
		rest, err := p.withinLimit(ctx, t, batch)
		errs = append(errs, err)
		if err == nil {
			errs = append(errs, p.switchOff(ctx, t, p.free(ctx, t, rest)))
		}
	}
	return errors.Join(errs...)
}

// switchOff commands one batch and records what became of it.
func (p *powerOperator) switchOff(ctx context.Context, t operator.Tick, comps []bos.Component) error {
	results, err := p.command(ctx, t, comps)
	var patches []bos.GuardedPatch
	for i := range comps {
		c := &comps[i]
		s, commanded := results[c.ID]
		switch {
		case !commanded:
		case s.counted:
			text := ""
			if s.err != nil {
				text = p.refusal(s.err)
			} else if strings.HasPrefix(c.ErrorText(), causeNoReport) {
				text = c.ErrorText() // why the node is powered off, on the way to its next boot
			}
			patches = append(patches, guardAction(c, bos.ComponentPatch{
				Error:      new(text),
				LastAction: &bos.LastAction{Action: new(p.action), Failed: new(false)},
				EventStats: p.stats(p.attempts(c) + 1),
			}))
			t.Sched.Cancel(string(c.ID))
			if p.op == pcs.ForceOff {
				t.Sched.At(string(c.ID), time.Now().Add(t.Options.MaxPowerOffWaitTime+time.Second))
			}
		default: // PCS is away: it uses no attempt and stays as it is
			if text := blame(s.err); text != "" {
				patches = say(patches, c, text)
			}
			t.Sched.Retry(string(c.ID))
		}
	}
	return errors.Join(err, p.record(ctx, t, patches))
}

// refusal is the component's error when a command was not accepted.
func (p *powerOperator) refusal(err error) string {
	if outcomeUnknown(err) {
		return causeNoAnswer + strings.ToLower(string(p.op)) + ": " + err.Error()
	}
	return err.Error()
}
