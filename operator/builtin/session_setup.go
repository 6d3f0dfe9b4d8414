package builtin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// sessionSetup turns pending sessions into work: it finds the nodes of each boot set, reads the image, and gives the
// nodes their desired (or staged) state. Source: operators 4.
//
// What if the process dies?
//   - Before the first component is written: nothing has happened, the session is pending and set up by the next pass.
//   - Between components: the next pass finds those already written by their state (target.written) and leaves them
//     alone, so that a node which has begun to reboot is not made to reboot again.
//   - After the components, before the session runs: as above, nothing is left to write but the session.
//   - While the session is failed: see complete.
type sessionSetup struct{ d Deps }

func newSessionSetup(d Deps) operator.Operator { return &sessionSetup{d} }

var _ operator.Waker = (*sessionSetup)(nil)

func (*sessionSetup) Name() string { return "session-setup" }

// Wakes when a session becomes pending.
func (*sessionSetup) Wakes(c *bos.Change) bool {
	return c.Kind == bos.ChangeSession && !c.Deleted && c.Status == bos.Status(bos.SessionPending)
}

// Run sets up every pending session. One that meets an outage stays pending and is tried again after a back-off,
// without holding up the others. While BOS is paused all wait.
func (o *sessionSetup) Run(ctx context.Context, t operator.Tick) error {
	if t.Settings.Paused {
		return nil
	}
	pending, err := o.d.API.ListSessions(ctx, bos.SessionFilter{Status: bos.SessionPending})
	if err != nil {
		return fmt.Errorf("list pending sessions: %w", err)
	}
	pending = readySessions(t, pending)
	// Where two sessions want the same node the later one shall win, as far as order can decide it.
	slices.SortStableFunc(pending, func(a, b bos.Session) int { return cmp.Compare(startTime(&a), startTime(&b)) })
	inv := newInventory(ctx, o.d.Inventory)
	return eachSession(t, pending, func(s *bos.Session) error {
		return o.setUp(ctx, t, s, inv)
	})
}

// maxComponentsText is the longest list of components that a reference server takes. Nobody needs the list but people
// who look at the session: components name their session themselves. Source: BOS v2 API, V2Session.components.
const maxComponentsText = 524288

// errNotPending ends a set-up whose session was deleted, canceled or set up by somebody else while its nodes were looked up
// or written.
var errNotPending = errors.New("no longer pending")

// setUp sets up one session. The error asks for another try.
func (o *sessionSetup) setUp(ctx context.Context, t operator.Tick, s *bos.Session, inv *inventory) error {
	log := t.Log.With("session", s.Name, "tenant", string(s.Tenant))
	plan, err := o.plan(ctx, t, s, inv, log)
	var ids []bos.ComponentID
	if err == nil {
		ids, err = o.write(ctx, t, s, plan, log)
	}
	switch {
	case err == nil:
		return o.start(ctx, t, s, ids, log)
	case errors.Is(err, errNotPending):
		log.Info("session is no longer pending")
		return nil
	case ctx.Err() != nil, errors.Is(err, bos.ErrConflict), !hopeless(err) && !retriedEnough(s, t):
		return err // a lost lease, which is a conflict, is not the session's fault
	}
	log.Warn("session cannot be set up", "err", err)
	return complete(ctx, o.d.API, t, s, err.Error())
}

// hopeless reports whether trying again cannot help: the request itself is wrong, not the state of a service. What no
// sentinel names is treated like an outage.
func hopeless(err error) bool {
	if errors.Is(err, bos.ErrUnavailable) {
		return false
	}
	return slices.ContainsFunc([]error{
		bos.ErrInvalid, bos.ErrNotFound, bos.ErrUnauthenticated, bos.ErrForbidden, bos.ErrTooLarge, bos.ErrUnsupported,
	}, func(sentinel error) bool { return errors.Is(err, sentinel) })
}

// retriedEnough reports whether the session has been waiting for its set-up for longer than the setting
// session_setup_retry_time.
func retriedEnough(s *bos.Session, t operator.Tick) bool {
	return clockOf(s, &t.Settings).OlderThan(time.Duration(t.Settings.SessionSetupRetryTime)*time.Second, t.Now)
}

// plan returns what each node of the session shall become. Of boot sets that share a node the alphabetically last one
// wins (operators 4.5).
func (o *sessionSetup) plan(ctx context.Context, t operator.Tick, s *bos.Session, inv *inventory, log *slog.Logger) (map[bos.ComponentID]target, error) {
	template, err := o.d.API.GetTemplate(ctx, bos.TenantKey{Tenant: string(s.Tenant), Name: s.TemplateName})
	if errors.Is(err, bos.ErrNotFound) {
		return nil, refusal(fmt.Sprintf("The session template does not exist: Non-2XX response (404) to GET http://cray-bos/v2/sessiontemplates/%s", s.TemplateName))
	}
	if err != nil {
		return nil, fmt.Errorf("read session template %s: %w", s.TemplateName, err)
	}
	finder, err := newNodeFinder(ctx, *s, t.Options.MaxComponentBatchSize, inv, o.d.Tenants, log)
	if err != nil {
		return nil, err
	}
	plan := map[bos.ComponentID]target{}
	for _, name := range slices.Sorted(maps.Keys(template.BootSets)) {
		bootSet := template.BootSets[name]
		nodes, err := finder.nodes(ctx, name, &bootSet)
		if err != nil {
			return nil, err
		}
		if len(nodes) == 0 {
			log.Info("boot set has no nodes to act upon", "boot_set", name)
			continue // its image is not even looked at
		}
		tgt, err := targetOf(ctx, o.d.Manifests, s.Operation, &template, name, t.Options.ComponentActualStateTTL)
		if err != nil {
			return nil, err
		}
		before := len(plan)
		for id := range nodes {
			plan[id] = tgt
		}
		if repeated := before + len(nodes) - len(plan); repeated > 0 {
			log.Warn("nodes are in several boot sets, the last one counts", "boot_set", name, "count", repeated)
		}
	}
	if len(plan) == 0 {
		return nil, refusal("No nodes were found to act upon.")
	}
	return plan, nil
}

// write gives the nodes what the plan has for them and returns, sorted, those that BOS knows.
func (o *sessionSetup) write(ctx context.Context, t operator.Tick, s *bos.Session, plan map[bos.ComponentID]target, log *slog.Logger) ([]bos.ComponentID, error) {
	// Looking up the nodes takes a while; do not start nodes for a session that was deleted meanwhile.
	now, err := o.d.API.GetSession(ctx, s.Key())
	if errors.Is(err, bos.ErrNotFound) || err == nil && (now.State() != bos.SessionPending || startTime(&now) != startTime(s)) {
		return nil, errNotPending
	}
	if err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	ids, err := o.alreadyWritten(ctx, s, plan)
	if err != nil {
		return nil, err
	}
	var patches []bos.GuardedPatch // unguarded: set-up takes components over, whatever they are
	for _, id := range slices.Sorted(maps.Keys(plan)) {
		if _, done := slices.BinarySearch(ids, id); !done {
			patches = append(patches, bos.GuardedPatch{ID: id, Patch: plan[id].patch(s, id)})
		}
	}
	result, err := operator.Write(bos.WithSessionTenant(ctx, string(s.Tenant)), o.d.API, t, patches)
	switch {
	case err != nil:
		return nil, err
	case len(result.Stale) > 0: // nothing else makes a patch without a guard stale
		return nil, errNotPending
	}
	ids = append(ids, result.Written...)
	if len(ids) == 0 {
		return nil, refusal("All nodes found to act upon do not exist as BOS components")
	}
	for _, id := range result.Missing {
		log.Debug("node excluded from session", "xname", id, "reason", "not a bos component")
	}
	if missing := len(result.Missing); missing > 0 {
		log.Warn("nodes excluded from session", "reason", "not a bos component", "count", missing, "left", len(ids))
	}
	slices.Sort(ids)
	return ids, nil
}

// alreadyWritten returns, sorted, the nodes of the plan that an interrupted set-up of the same session has written.
// Writing a stage twice is harmless, so staged sessions have none.
func (o *sessionSetup) alreadyWritten(ctx context.Context, s *bos.Session, plan map[bos.ComponentID]target) ([]bos.ComponentID, error) {
	if s.Stage {
		return nil, nil
	}
	var ids []bos.ComponentID
	ctx = bos.WithSessionTenant(ctx, string(s.Tenant)) // not those of another session of this name
	for c, err := range o.d.API.ListComponents(ctx, bos.ComponentFilter{Session: s.Name}) {
		if err != nil {
			return nil, fmt.Errorf("list components of the session: %w", err)
		}
		if tgt, planned := plan[c.ID]; planned && tgt.written(s, &c) {
			ids = append(ids, c.ID)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// start makes the session run with its nodes.
func (o *sessionSetup) start(ctx context.Context, t operator.Tick, s *bos.Session, ids []bos.ComponentID, log *slog.Logger) error {
	if err := t.Fence(); err != nil {
		return err // the new leader may have completed the session already
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	patch := bos.SessionPatch{
		Components: new(strings.Join(names, ",")),
		Status:     &bos.SessionStatusPatch{Status: new(bos.SessionRunning)},
	}
	_, err := o.d.API.PatchSession(ctx, s.Key(), patch)
	if errors.Is(err, bos.ErrInvalid) && len(*patch.Components) > maxComponentsText {
		log.Warn("the list of components is too long for the API server; the session runs without it", "count", len(ids), "err", err)
		patch.Components = nil
		_, err = o.d.API.PatchSession(ctx, s.Key(), patch)
	}
	if errors.Is(err, bos.ErrNotFound) {
		log.Warn("session was deleted while it was set up; its nodes go on", "count", len(ids))
		return nil
	}
	if errors.Is(err, bos.ErrConflict) {
		log.Info("session was canceled while it was set up")
		return nil
	}
	if err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	log.Info("session runs", "operation", s.Operation, "stage", s.Stage, "count", len(ids))
	return nil
}
