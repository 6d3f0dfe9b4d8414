package builtin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/pcs"
)

// powerOn boots nodes in power_on_pending: it gives them their artifacts in BSS, records what the token of BSS stands
// for, readies their configuration in CFS, and has PCS turn them on, in this order.
//
// If the process dies after the pre-write, the component says "called" although nobody was: that costs one
// max_power_on_wait_time and no attempt. It is the price for never missing the report of a node that is up before its
// power-on is recorded (operators Q-47).
type powerOn struct{ powerOperator }

func newPowerOn(d Deps) operator.Operator {
	return &powerOn{powerOperator{
		Deps: d, name: "power-on", op: pcs.On, action: bos.ActionPoweringOn,
		called:   []bos.Status{bos.StatusPowerOnCalled},
		attempts: func(c *bos.Component) int { n, _, _ := c.Attempts(); return n },
		stats:    func(n int) *bos.EventStats { return &bos.EventStats{PowerOnAttempts: new(n)} },
		strange:  map[bos.ComponentID]time.Time{}, resend: map[bos.ComponentID]bool{},
	}}
}

// Wakes implements operator.Waker.
func (p *powerOn) Wakes(c *bos.Change) bool {
	p.Transitions.heard(c)
	return wakesOn(c, bos.StatusPowerOnPending)
}

// Run implements operator.Operator.
func (p *powerOn) Run(ctx context.Context, t operator.Tick) error {
	if err := p.settle(ctx, t); err != nil {
		return err
	}
	pending, err := p.look(ctx, t, bos.StatusPowerOnPending)
	if err != nil {
		return err
	}
	comps, err := p.usable(ctx, t, pending)
	errs := []error{err}
	for _, batch := range batches(comps, &t.Options) {
		rest, err := p.withinLimit(ctx, t, batch)
		errs = append(errs, err)
		if err == nil {
			errs = append(errs, p.boot(ctx, t, p.free(ctx, t, rest)))
		}
	}
	return errors.Join(errs...)
}

// boot is one component on its way through the steps.
type boot struct {
	c       *bos.Component
	err     string // for the component's error; a failed tag does not stop the boot
	tagged  bool   // err is of tagging and was written, the attempt with it
	stopped bool   // takes no part in the steps that follow
	again   bool   // stopped by something that passes: no attempt, pending again
	gone    bool   // taken over or deleted meanwhile: nothing is written any more
}

func (b *boot) going() bool { return !b.stopped && !b.gone }

// stop ends the boot with the text and the cause.
func (b *boot) stop(prefix string, err error) {
	b.stopped = true
	b.again = temporary(err) || errors.Is(err, bos.ErrConflict)
	if text := blame(err); text != "" {
		b.err = prefix + text
	}
}

// boot takes one batch through the steps. A step that fails for some components leaves the others going.
func (p *powerOn) boot(ctx context.Context, t operator.Tick, comps []bos.Component) error {
	if len(comps) == 0 {
		return nil
	}
	if err := t.Fence(); err != nil {
		return err
	}
	all := make([]*boot, len(comps))
	for i := range comps {
		all[i] = &boot{c: &comps[i]}
	}
	if err := p.announce(ctx, t, all); err != nil {
		return err
	}
	p.tagImages(ctx, t, all)
	tokens := p.setBootParameters(ctx, t, all)
	p.handOutTokens(ctx, t, all, tokens)
	p.prepareConfiguration(ctx, t, all)
	err := p.turnOn(ctx, t, all)
	return errors.Join(err, p.recordBoots(ctx, t, all))
}

// announce writes "called" before anything is called. An error of an earlier failure stays in sight until the node is
// really on its way.
func (p *powerOn) announce(ctx context.Context, t operator.Tick, all []*boot) error {
	patches := make([]bos.GuardedPatch, len(all))
	for i, b := range all {
		patch := bos.ComponentPatch{LastAction: &bos.LastAction{Action: new(p.action), Failed: new(false)}}
		if !b.c.ActionFailed() || b.c.ErrorText() == "" {
			patch.Error = new("")
		}
		patches[i] = guard(b.c, patch)
	}
	r, err := operator.Write(ctx, p.API, t, patches)
	if err != nil { // nothing was called: the components that were written say so for a while
		for _, b := range all {
			t.Sched.Retry(string(b.c.ID))
		}
		return fmt.Errorf("announce power-on: %w", err)
	}
	p.drop(all, r)
	return nil
}

// drop takes out the components that a write found stale or missing.
func (p *powerOn) drop(all []*boot, r bos.GuardedResult) {
	gone := map[bos.ComponentID]bool{}
	for _, id := range slices.Concat(r.Stale, r.Missing) {
		gone[id] = true
	}
	for _, b := range all {
		b.gone = b.gone || gone[b.c.ID]
	}
}

// groups splits the boots that are going by a key, in order of first appearance.
func groups[K comparable](all []*boot, key func(*bos.Component) K) (keys []K, members map[K][]*boot) {
	members = map[K][]*boot{}
	for _, b := range all {
		if !b.going() {
			continue
		}
		k := key(b.c)
		if members[k] == nil {
			keys = append(keys, k)
		}
		members[k] = append(members[k], b)
	}
	return keys, members
}

// ids returns the components of bs.
func ids(bs []*boot) []bos.ComponentID {
	out := make([]bos.ComponentID, len(bs))
	for i, b := range bs {
		out[i] = b.c.ID
	}
	return out
}

// imageKey finds the id of an IMS image in the key of one of its artifacts: the first segment, if something follows.
var imageKey = regexp.MustCompile(`^s3://[^/]+/+([^/]+)/.+`)

// tagImages tags the images that the Scalable Boot Projection Service shall project. A failure does not stop the boot,
// as the image may have been tagged by hand: it is written at once, with the attempt, and again at the end. With the
// setting require_image_tag it does, unless the image is known to have the tag (operators Q-05).
func (p *powerOn) tagImages(ctx context.Context, t operator.Tick, all []*boot) {
	kernels, members := groups(all, func(c *bos.Component) string {
		if a := c.DesiredArtifacts(); strings.Contains(a.KernelParameters, "root=sbps-s3") {
			return a.Kernel
		}
		return ""
	})
	tagged := map[string]error{} // by image
	var patches []bos.GuardedPatch
	for _, kernel := range kernels {
		if kernel == "" {
			continue
		}
		var err error
		switch id := imageOf(kernel); id {
		case "":
			err = refusal(fmt.Sprintf(errorImageNoID, kernel))
		case "deleted":
			err = refusal(fmt.Sprintf(errorImageDeleted, kernel))
		default:
			known := false
			if err, known = tagged[id]; !known {
				err = p.tag(ctx, t, id)
				tagged[id] = err
			}
		}
		for _, b := range members[kernel] {
			text := blame(err)
			switch {
			case err != nil && t.Settings.RequireImageTag:
				b.stop("", err)
			case text != "":
				b.err, b.tagged = text, true
				patches = append(patches, guard(b.c, p.attempted(b)))
			}
		}
	}
	if err := p.record(ctx, t, patches); err != nil {
		t.Log.Warn("record tagging errors", "err", err)
	}
}

func imageOf(kernel string) string {
	if m := imageKey.FindStringSubmatch(kernel); m != nil {
		return m[1]
	}
	return ""
}

// The tag of the images that are to be projected. Source: BOS v2 operators, constants.
const tagKey, tagValue = "sbps-project", "true"

// tag tags one image.
func (p *powerOn) tag(ctx context.Context, t operator.Tick, image string) error {
	err := t.Fence()
	if err == nil {
		err = p.Images.Tag(ctx, image, tagKey, tagValue)
	}
	if err != nil && t.Settings.RequireImageTag {
		if known, readErr := p.Images.Image(ctx, image); readErr == nil && known.Metadata[tagKey] == tagValue {
			return nil
		}
	}
	if errors.Is(err, bos.ErrNotFound) {
		return refusal(fmt.Sprintf(errorImageUnknown, image))
	}
	return err
}

// setBootParameters gives each group of equal artifacts to BSS and records at once what its token stands for: a node
// may report it within milliseconds of its power-on. Components without artifacts take no part.
func (p *powerOn) setBootParameters(ctx context.Context, t operator.Tick, all []*boot) map[bos.ComponentID]bos.BSSToken {
	tokens := map[bos.ComponentID]bos.BSSToken{}
	artifacts, members := groups(all, func(c *bos.Component) bos.BootArtifacts { return c.DesiredArtifacts() })
	for _, a := range artifacts {
		if a.Empty() {
			continue
		}
		failed, err := isolate(ids(members[a]), func(ids []bos.ComponentID) error {
			if err := t.Fence(); err != nil {
				return err
			}
			token, err := p.Boot.SetBootParameters(ctx, ids, a)
			if err != nil {
				return err
			}
			if err := p.recordToken(ctx, token, a); err != nil {
				return err
			}
			for _, id := range ids {
				tokens[id] = token
			}
			return nil
		})
		if err != nil {
			t.Log.Warn("set boot parameters", "count", len(members[a]), "failed", len(failed), "err", err)
		}
		for _, b := range members[a] {
			if err := failed[b.c.ID]; err != nil {
				b.stop(errorBSS, err)
			}
		}
	}
	return tokens
}

// recordToken tries six times in a row, as the reference does: a node whose token is unknown boots in vain.
func (p *powerOn) recordToken(ctx context.Context, token bos.BSSToken, a bos.BootArtifacts) error {
	var err error
	for range 6 {
		if err = p.Artifacts.PutBootArtifacts(ctx, token, a); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("record the token's artifacts: %w", err)
	}
	return nil
}

// handOutTokens puts the tokens into the components. A component that a session took over since it was read is stale and
// boots no further (operators Q-32); the patch repeats the session, as the API would blank it otherwise.
func (p *powerOn) handOutTokens(ctx context.Context, t operator.Tick, all []*boot, tokens map[bos.ComponentID]bos.BSSToken) {
	var patches []bos.GuardedPatch
	for _, b := range all {
		if token, ok := tokens[b.c.ID]; ok && b.going() {
			patches = append(patches, guard(b.c, bos.ComponentPatch{
				Session: new(b.c.SessionName()), DesiredState: &bos.DesiredState{BSSToken: new(token)},
			}))
		}
	}
	if len(patches) == 0 {
		return
	}
	r, err := operator.Write(ctx, p.API, t, patches)
	p.drop(all, r)
	if err == nil {
		return
	}
	written := map[bos.ComponentID]bool{}
	for _, id := range r.Written {
		written[id] = true
	}
	for _, b := range all {
		if _, ok := tokens[b.c.ID]; ok && b.going() && !written[b.c.ID] {
			b.stop(errorBSS, err)
		}
	}
}

// prepareConfiguration gives CFS the desired configuration, disabled and with a clean slate: the node's own reporter
// enables it after the boot. Without a desired configuration that of CFS is cleared (operators Q-24).
func (p *powerOn) prepareConfiguration(ctx context.Context, t operator.Tick, all []*boot) {
	type key struct{ configuration, session string }
	keys, members := groups(all, func(c *bos.Component) key { return key{c.DesiredConfiguration(), c.SessionName()} })
	for _, k := range keys {
		failed, err := isolate(ids(members[k]), func(ids []bos.ComponentID) error {
			if err := t.Fence(); err != nil {
				return err
			}
			return p.Config.Assign(ctx, ids, cfs.Assignment{Configuration: k.configuration, Session: k.session, ClearState: true})
		})
		if err != nil {
			t.Log.Warn("prepare configuration", "count", len(members[k]), "failed", len(failed), "err", err)
		}
		for _, b := range members[k] {
			if err := failed[b.c.ID]; err != nil {
				b.stop(errorCFS, err)
				b.again = b.again || errors.Is(err, bos.ErrNotFound) // CFS may learn of a new node yet; status judges
			}
		}
	}
}

// turnOn commands those that are still going.
func (p *powerOn) turnOn(ctx context.Context, t operator.Tick, all []*boot) error {
	var comps []bos.Component
	for _, b := range all {
		if b.going() {
			comps = append(comps, *b.c)
		}
	}
	results, err := p.command(ctx, t, comps)
	for _, b := range all {
		if !b.going() {
			continue
		}
		s, commanded := results[b.c.ID]
		switch {
		case !commanded && err == nil:
			b.gone = true
		case !commanded:
			b.stop("", err)
			b.again = true // whatever the error: nothing was sent
		case outcomeUnknown(s.err):
			b.err = cmp.Or(b.err, p.refusal(s.err))
		case s.err != nil:
			b.stop(errorPower, s.err)
		}
	}
	return err
}

// attempted is the record of an attempt: error, last action and counter, as read plus one.
func (p *powerOn) attempted(b *boot) bos.ComponentPatch {
	return bos.ComponentPatch{
		Error:      new(b.err),
		LastAction: &bos.LastAction{Action: new(p.action), Failed: new(false)},
		EventStats: p.stats(p.attempts(b.c) + 1),
	}
}

// recordBoots writes what became of each component.
func (p *powerOn) recordBoots(ctx context.Context, t operator.Tick, all []*boot) error {
	var patches []bos.GuardedPatch
	for _, b := range all {
		switch {
		case b.gone:
			t.Sched.Cancel(string(b.c.ID))
		case b.again:
			patch := bos.ComponentPatch{LastAction: &bos.LastAction{Failed: new(true)}}
			if b.err != "" {
				patch.Error = new(b.err)
			}
			if b.tagged { // the attempt was counted then
				patch.EventStats = p.stats(p.attempts(b.c))
			}
			patches = append(patches, guard(b.c, patch))
			t.Sched.Retry(string(b.c.ID))
		default:
			patches = append(patches, guard(b.c, p.attempted(b)))
			t.Sched.Cancel(string(b.c.ID))
		}
	}
	return p.record(ctx, t, patches)
}
