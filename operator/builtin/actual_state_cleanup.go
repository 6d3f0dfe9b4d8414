package builtin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// actualStateCleanup forgets what nodes reported when they have not repeated it within component_actual_state_ttl: such
// a node may have crashed, lost its network or booted something else. Source: operators 2.1.
//
// Only the actual state is cleared. The error stays, and the last action is touched on disabled, stable components
// alone, where no wait clock runs and clients look for it (operators Q-15).
//
// A report that arrives meanwhile survives: the record is cleared only while it has the stamp that was read. That one has
// expired, so a new one differs, unless the servers' clocks are as far apart as the age.
//
// It also has the API remove what BSS tokens stand for once no component has them any more (operators Q-25): a report is
// a token, and how long one may still be repeated follows from the same option.
//
// What if the process dies? Each component is cleared by one write; the next pass finds the others.
type actualStateCleanup struct {
	d      Deps
	pruned time.Time // when the records of tokens were last looked through; it only saves work
}

func newActualStateCleanup(d Deps) operator.Operator { return &actualStateCleanup{d: d} }

var _ operator.Periodic = (*actualStateCleanup)(nil)

func (*actualStateCleanup) Name() string { return "actual-state-cleanup" }

// Period is a fraction of the age, since the expiry of the reports there are is known: reading every component at each
// polling period would be most of the work of an idle system.
func (*actualStateCleanup) Period(o bos.Options) time.Duration {
	ttl, err := bos.ParseAge(o.ComponentActualStateTTL, true)
	if err != nil {
		return o.PollingFrequency
	}
	return sweepPeriod(o, ttl, 15*time.Minute)
}

// Run clears what has expired and notes when the next report will.
func (o *actualStateCleanup) Run(ctx context.Context, t operator.Tick) error {
	ttl, err := bos.ParseAge(t.Options.ComponentActualStateTTL, true)
	if err != nil {
		return fmt.Errorf("option component_actual_state_ttl: %w", err)
	}
	return errors.Join(o.clear(ctx, t, ttl), o.prune(ctx, t, ttl))
}

// pruneEvery is how often the records of tokens are looked through.
const pruneEvery = time.Hour

// prune removes the records of tokens that have been unused for longer than token_retention_time. A node repeats its
// token once in ttl, so they are kept for as long at least.
func (o *actualStateCleanup) prune(ctx context.Context, t operator.Tick, ttl time.Duration) error {
	keep := time.Duration(t.Settings.TokenRetentionTime) * time.Second
	if keep <= 0 || !t.Full() || t.Now.Sub(o.pruned) < pruneEvery {
		return nil
	}
	removed, err := o.d.API.PruneBootArtifacts(ctx, max(keep, ttl, bos.MinTokenRetention))
	if err != nil && !errors.Is(err, bos.ErrUnsupported) {
		return fmt.Errorf("remove unused tokens: %w", err)
	}
	o.pruned = t.Now
	if removed > 0 {
		t.Log.Info("unused tokens removed", "count", removed)
	}
	return nil
}

// clear forgets the reports that have expired.
func (o *actualStateCleanup) clear(ctx context.Context, t operator.Tick, ttl time.Duration) error {
	e := expiry{now: t.Now, ttl: ttl}
	var patches []bos.GuardedPatch
	for c, err := range o.d.API.ListComponents(ctx, bos.ComponentFilter{}) {
		if err != nil {
			return fmt.Errorf("list components: %w", err)
		}
		if c.ActualArtifacts().Empty() {
			continue
		}
		e.ttl = trustedFor(&c, ttl)
		if e.reached(c.ReportTime()) {
			g := bos.GuardOf(&c)
			g.Reported = new(c.ReportTime())
			patches = append(patches, bos.GuardedPatch{ID: c.ID, If: g, Patch: clearActual(&c)})
			t.Log.Debug("report has expired", "xname", c.ID, "reported", c.ReportTime())
		}
	}
	e.schedule(t)
	if len(patches) == 0 {
		return nil
	}
	result, err := operator.Write(ctx, o.d.API, t, patches)
	if n := len(result.Written); n > 0 {
		t.Log.Info("expired reports cleared", "count", n, "older_than", t.Options.ComponentActualStateTTL)
	}
	return err
}

// clearActual returns the change that forgets what the component reported.
func clearActual(c *bos.Component) bos.ComponentPatch {
	p := bos.ComponentPatch{ID: c.ID, ActualState: emptyActualState()}
	if !c.IsEnabled() && c.ComputeStatus() == bos.StatusStable {
		p.LastAction = &bos.LastAction{Action: new(bos.ActionActualStateCleanup), Failed: new(false)}
	}
	return p
}

// trustedFor returns how long the report of a component counts. Clearing that of an enabled one makes BOS reboot the
// node, so it is not held to an option that was lowered after the node booted: nodes repeat their report at the rate
// they were booted with.
func trustedFor(c *bos.Component, ttl time.Duration) time.Duration {
	if !c.IsEnabled() {
		return ttl
	}
	for parameter := range strings.FieldsSeq(c.ActualArtifacts().KernelParameters) {
		if text, ok := strings.CutPrefix(parameter, "bos_update_frequency="); ok {
			if own, err := bos.ParseAge(text, true); err == nil {
				ttl = max(ttl, own)
			}
		}
	}
	return ttl
}
