package bosserver

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"slices"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// ListComponents yields the matches in ascending order of id. With a filter by session, or that of the stage, and a
// context that tells whose session is meant (bos.WithSessionTenant), those known to belong to another session of that name
// are left out.
func (s *Service) ListComponents(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		if err := checkFilter(&f); err != nil {
			yield(bos.Component{}, err)
			return
		}
		nodes, err := s.ownedNodes(ctx, f.Tenant)
		if err != nil {
			yield(bos.Component{}, err)
			return
		}
		if f.IDs = within(nodes, named(f.IDs)); f.IDs != nil && len(f.IDs) == 0 {
			return
		}
		found := store.QueryComponents(ctx, s.st, f)
		if tenant, known := bos.SessionTenant(ctx); known && (f.Session != "" || f.StagedSession != "") {
			found = s.componentsOf(ctx, bos.TenantKey{Tenant: tenant, Name: cmp.Or(f.Session, f.StagedSession)}, f)
		}
		for c, err := range found {
			if err != nil {
				yield(bos.Component{}, storeError(err))
				return
			}
			complete(&c)
			if !yield(c, nil) {
				return
			}
		}
	}
}

// GetComponent returns one component.
func (s *Service) GetComponent(ctx context.Context, tenant string, id bos.ComponentID) (bos.Component, error) {
	if err := s.checkOwned(ctx, tenant, id); err != nil {
		return bos.Component{}, err
	}
	c, err := s.st.Components().Get(ctx, id)
	if err != nil {
		return bos.Component{}, orNotFound(err, noComponent(id))
	}
	complete(&c)
	return c, nil
}

// checkOwned fails with bos.ErrNotFound when the component is not the tenant's.
func (s *Service) checkOwned(ctx context.Context, tenant string, id bos.ComponentID) error {
	nodes, err := s.ownedNodes(ctx, tenant)
	if err == nil && nodes != nil && !nodes[id] {
		err = noComponent(id)
	}
	return err
}

// PutComponent creates or replaces a component; an id inside c is ignored. Nobody's tenancy is checked.
func (s *Service) PutComponent(ctx context.Context, id bos.ComponentID, c bos.Component) (bos.Component, error) {
	if isEmpty(&c) {
		return bos.Component{}, &bos.FieldError{Reason: "{} should be non-empty"}
	}
	c.ID = id
	written, err := s.PutComponents(ctx, []bos.Component{c})
	if err != nil {
		return bos.Component{}, err
	}
	return written[0], nil
}

// PutComponents creates or replaces components, of duplicates only the last.
func (s *Service) PutComponents(ctx context.Context, cs []bos.Component) ([]bos.Component, error) {
	ids, records, err := s.newRecords(ctx, cs)
	if err != nil {
		return nil, err
	}
	written, err := s.st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
		*c = records[id].Clone()
		return store.Write, nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	return hideTimestamps(written), nil
}

// CreateComponents stores the components that do not exist yet and returns their ids, in the order given.
func (s *Service) CreateComponents(ctx context.Context, cs []bos.Component) ([]bos.ComponentID, error) {
	ids, records, err := s.newRecords(ctx, cs)
	if err != nil {
		return nil, err
	}
	written, err := s.st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, exists bool) (store.Decision, error) {
		if exists {
			return store.Skip, nil
		}
		*c = records[id].Clone()
		return store.Write, nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	created := make([]bos.ComponentID, len(written))
	for i := range written {
		created[i] = written[i].ID
	}
	return created, nil
}

// newRecords checks and completes whole records. It returns their ids, each once at its first place, and the record of
// each id, which is the last given.
func (s *Service) newRecords(ctx context.Context, cs []bos.Component) ([]bos.ComponentID, map[bos.ComponentID]bos.Component, error) {
	if err := checkComponents(len(cs), func(i int) *bos.Component { return &cs[i] }); err != nil {
		return nil, nil, err
	}
	ids, last := lastOfEach(cs, func(c *bos.Component) bos.ComponentID { return c.ID })
	records := make(map[bos.ComponentID]bos.Component, len(ids))
	resolve, err := s.tokens(ctx, len(cs), func(i int) *bos.Component { return &cs[i] })
	if err != nil {
		return nil, nil, err
	}
	now := s.stamp()
	for id, i := range last {
		c := cs[i].Clone()
		autoFields(&c, now, resolve)
		records[id] = c
	}
	return ids, records, nil
}

// lastOfEach returns the ids, each once at its first place, and the index of the last item of each id.
func lastOfEach[T any](items []T, idOf func(*T) bos.ComponentID) ([]bos.ComponentID, map[bos.ComponentID]int) {
	ids := make([]bos.ComponentID, 0, len(items))
	last := make(map[bos.ComponentID]int, len(items))
	for i := range items {
		id := idOf(&items[i])
		if _, seen := last[id]; !seen {
			ids = append(ids, id)
		}
		last[id] = i
	}
	return ids, last
}

// tokens reads what the tokens reported in n writes stand for. A token that nobody recorded is logged, never printed.
func (s *Service) tokens(ctx context.Context, n int, item func(i int) *bos.Component) (resolver, error) {
	seen := map[bos.BSSToken]bool{}
	var wanted []bos.BSSToken
	for i := range n {
		if token := reportedToken(item(i)); token != "" && !seen[token] {
			seen[token] = true
			wanted = append(wanted, token)
		}
	}
	if len(wanted) == 0 {
		return func(bos.BSSToken) *bos.BootArtifacts { return nil }, nil
	}
	known, err := s.st.BootArtifacts().GetMany(ctx, wanted)
	if err != nil {
		return nil, storeError(err)
	}
	if unknown := len(wanted) - len(known); unknown > 0 {
		s.log.WarnContext(ctx, "unknown BSS tokens reported", "count", unknown)
	}
	return func(token bos.BSSToken) *bos.BootArtifacts {
		a, ok := known[token]
		if !ok {
			return nil
		}
		return &a
	}, nil
}

func hideTimestamps(cs []bos.Component) []bos.Component {
	for i := range cs {
		hideTimestamp(&cs[i])
	}
	return cs
}

// completedPatch checks a patch and returns it with the auto fields.
func (s *Service) completedPatch(ctx context.Context, p bos.ComponentPatch) (*bos.ComponentPatch, error) {
	c := bos.Component(p).Clone()
	if isEmpty(&c) {
		return nil, &bos.FieldError{Reason: "{} should be non-empty"}
	}
	if err := checkComponent(&c); err != nil {
		return nil, err
	}
	resolve, err := s.tokens(ctx, 1, func(int) *bos.Component { return &c })
	if err != nil {
		return nil, err
	}
	autoFields(&c, s.stamp(), resolve)
	return (*bos.ComponentPatch)(&c), nil
}

// errChanging is the answer to a report that cannot be trusted.
func errChanging() error {
	return &bos.StatusError{
		Status: http.StatusConflict, Title: bos.TitleActualState, Err: bos.ErrConflict,
		Detail: "BOS is currently changing the state of the node, and the actual state can not be accurately recorded",
	}
}

// PatchComponent changes one component. Only here a reported actual state may be refused.
func (s *Service) PatchComponent(ctx context.Context, tenant string, id bos.ComponentID, p bos.ComponentPatch) (bos.Component, error) {
	if err := s.checkOwned(ctx, tenant, id); err != nil {
		return bos.Component{}, err
	}
	patch, err := s.completedPatch(ctx, p)
	if err != nil {
		return bos.Component{}, err
	}
	c, err := s.st.Components().Update(ctx, id, func(c *bos.Component) error {
		if patch.ActualState != nil && !mayReport(c) {
			return errChanging()
		}
		mergeComponent(c, patch)
		return nil
	})
	if err != nil {
		return bos.Component{}, orNotFound(err, noComponent(id))
	}
	hideTimestamp(&c)
	return c, nil
}

// PatchComponents changes components by id.
func (s *Service) PatchComponents(ctx context.Context, tenant string, ps []bos.ComponentPatch, skipBadIDs bool) ([]bos.Component, error) {
	nodes, err := s.ownedNodesForBody(ctx, tenant)
	if err != nil {
		return nil, err
	}
	item := func(i int) *bos.Component { return (*bos.Component)(&ps[i]) }
	if err := checkComponents(len(ps), item); err != nil {
		return nil, err
	}
	resolve, err := s.tokens(ctx, len(ps), item)
	if err != nil {
		return nil, err
	}
	now := s.stamp()
	ids, last := lastOfEach(ps, func(p *bos.ComponentPatch) bos.ComponentID { return p.ID })
	patches := make(map[bos.ComponentID]*bos.ComponentPatch, len(ids))
	var taken claims
	for id, i := range last {
		c := item(i).Clone()
		autoFields(&c, now, resolve)
		patches[id] = (*bos.ComponentPatch)(&c)
		taken.add(id, &c)
	}
	if err := s.recordOwners(ctx, &taken); err != nil {
		return nil, err
	}
	return s.patchMany(ctx, nodes, ids, skipBadIDs, func(id bos.ComponentID) *bos.ComponentPatch { return patches[id] })
}

// PatchComponentsWhere makes one change to every component that is selected.
func (s *Service) PatchComponentsWhere(ctx context.Context, p bos.ComponentsPatch) ([]bos.Component, error) {
	if (len(p.IDs) > 0) == (p.Session != "") {
		return nil, &bos.FieldError{Field: "filters", Reason: "exactly one of ids and session is needed"}
	}
	nodes, err := s.ownedNodesForBody(ctx, p.Tenant)
	if err != nil {
		return nil, err
	}
	patch, err := s.completedPatch(ctx, p.Patch)
	if err != nil {
		return nil, err
	}
	if p.Session == "" {
		ids, _ := lastOfEach(p.IDs, func(id *bos.ComponentID) bos.ComponentID { return *id })
		return s.patchMany(ctx, nodes, ids, p.SkipBadIDs, func(bos.ComponentID) *bos.ComponentPatch { return patch })
	}
	return s.patchSession(ctx, nodes, p.Session, patch)
}

// patchSession changes the components of a session. One that leaves the session meanwhile is left out.
func (s *Service) patchSession(ctx context.Context, nodes map[bos.ComponentID]bool, session string, patch *bos.ComponentPatch) ([]bos.Component, error) {
	if !bos.ValidName(session) {
		return nil, &bos.FieldError{Field: "filters.session", Reason: quoteText(session) + " is not the name of a session"}
	}
	var ids []bos.ComponentID
	for c, err := range store.QueryComponents(ctx, s.st, bos.ComponentFilter{Session: session, IDs: within(nodes, nil)}) {
		if err != nil {
			return nil, storeError(err)
		}
		ids = append(ids, c.ID)
	}
	written, err := s.st.Components().UpdateMany(ctx, ids, func(_ bos.ComponentID, c *bos.Component, exists bool) (store.Decision, error) {
		if !exists || c.SessionName() != session {
			return store.Skip, nil
		}
		mergeComponent(c, patch)
		return store.Write, nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	return hideTimestamps(written), nil
}

// stepSize is how many records the store writes in one step: up to so many, an id that is found missing stops the
// write before it has begun.
const stepSize = 500

// patchMany changes the components with the given ids, each once. Unless skipBad, one that does not exist, or is not
// among nodes, fails the call and nothing is written.
func (s *Service) patchMany(ctx context.Context, nodes map[bos.ComponentID]bool, ids []bos.ComponentID, skipBad bool, patchOf func(bos.ComponentID) *bos.ComponentPatch) ([]bos.Component, error) {
	if skipBad {
		ids = within(nodes, named(ids))
	} else if err := s.checkAll(ctx, nodes, ids); err != nil {
		return nil, err
	}
	written, err := s.st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, exists bool) (store.Decision, error) {
		switch {
		case !exists && skipBad:
			return store.Skip, nil
		case !exists:
			return store.Skip, noComponent(id)
		}
		mergeComponent(c, patchOf(id))
		return store.Write, nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	return hideTimestamps(written), nil
}

// named returns the ids without empty ones, which lists with a comma too many have and which name no component.
func named(ids []bos.ComponentID) []bos.ComponentID {
	if !slices.Contains(ids, "") {
		return ids
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id bos.ComponentID) bool { return id == "" })
}

// checkAll fails with the first id that is not among nodes or, where the write takes several steps, does not exist.
func (s *Service) checkAll(ctx context.Context, nodes map[bos.ComponentID]bool, ids []bos.ComponentID) error {
	var known map[bos.ComponentID]bos.Component
	if len(ids) > stepSize {
		var err error
		if known, err = s.st.Components().GetMany(ctx, ids); err != nil {
			return storeError(err)
		}
	}
	for _, id := range ids {
		if id == "" || nodes != nil && !nodes[id] {
			return noComponent(id)
		}
		if _, ok := known[id]; known != nil && !ok {
			return noComponent(id)
		}
	}
	return nil
}

// DeleteComponent deletes one component.
func (s *Service) DeleteComponent(ctx context.Context, tenant string, id bos.ComponentID) error {
	if err := s.checkOwned(ctx, tenant, id); err != nil {
		return err
	}
	return orNotFound(s.st.Components().Delete(ctx, id), noComponent(id))
}

// ApplyStaged makes staged states desired ones. An id given twice is treated twice.
func (s *Service) ApplyStaged(ctx context.Context, tenant string, ids []bos.ComponentID) (bos.ApplyStagedResult, error) {
	result := bos.ApplyStagedResult{Succeeded: []bos.ComponentID{}, Failed: []bos.ComponentID{}, Ignored: []bos.ComponentID{}}
	if len(ids) > 32768 {
		return result, &bos.FieldError{Field: "xnames", Reason: "more than 32768 components"}
	}
	for _, id := range ids {
		if err := checkID(id); err != nil {
			return result, err
		}
	}
	nodes, err := s.ownedNodesForBody(ctx, tenant)
	if err != nil {
		return result, err
	}
	options, err := s.Options(ctx)
	if err != nil {
		return result, err
	}
	apply := &stager{Service: s, tenant: tenant, clearStage: options.ClearStage, now: s.stamp(), sessions: map[string]*bos.Session{}, taken: map[bos.ComponentID]string{}}
	outcomes := make([]stageOutcome, len(ids))
	var todo []int // indexes into ids
	for i, id := range ids {
		if nodes == nil || nodes[id] {
			todo = append(todo, i)
		}
	}
	for len(todo) > 0 {
		var again []int
		round := map[bos.ComponentID]int{}
		for _, i := range todo {
			if _, taken := round[ids[i]]; taken {
				again = append(again, i)
			} else {
				round[ids[i]] = i
			}
		}
		if err := apply.run(ctx, round, outcomes); err != nil {
			return result, err
		}
		todo = again
	}
	if err := s.recordOwners(bos.WithSessionTenant(ctx, tenant), &claims{sessions: apply.taken}); err != nil {
		return result, err
	}
	for i, id := range ids {
		switch outcomes[i] {
		case stageApplied:
			result.Succeeded = append(result.Succeeded, id)
		case stageFailed:
			result.Failed = append(result.Failed, id)
		default:
			result.Ignored = append(result.Ignored, id)
		}
	}
	return result, nil
}

// stager is one call of ApplyStaged.
type stager struct {
	*Service
	tenant     string
	clearStage bool
	now        bos.Timestamp
	sessions   map[string]*bos.Session    // as far as looked up; nil = does not exist
	taken      map[bos.ComponentID]string // the session of each component that was written
}

// run applies the stage of the components in round, which maps each id to its place in outcomes.
func (a *stager) run(ctx context.Context, round map[bos.ComponentID]int, outcomes []stageOutcome) error {
	ids := make([]bos.ComponentID, 0, len(round))
	for id := range round {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	_, err := a.st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, exists bool) (store.Decision, error) {
		outcome := stageIgnored
		if exists && c.StagedSession() != "" {
			session, err := a.session(ctx, c.StagedSession())
			if err != nil {
				return store.Skip, err
			}
			resolve, err := a.tokens(ctx, 1, func(int) *bos.Component { return c })
			if err != nil {
				return store.Skip, err
			}
			if session != nil && session.Operation != bos.OperationShutdown && c.StagedState.BootArtifacts == nil {
				a.log.WarnContext(ctx, "applying a stage without boot artifacts: the node will be off", "xname", id, "session", session.Name)
			}
			a.taken[id] = c.StagedSession()
			outcome = applyStage(c, session, a.tenant, a.clearStage, a.now, resolve)
		}
		outcomes[round[id]] = outcome
		if outcome == stageIgnored {
			return store.Skip, nil
		}
		return store.Write, nil
	})
	return storeError(err)
}

// session returns the staged session, nil when it does not exist.
func (a *stager) session(ctx context.Context, name string) (*bos.Session, error) {
	if session, known := a.sessions[name]; known {
		return session, nil
	}
	session, err := a.st.Sessions().Get(ctx, bos.TenantKey{Tenant: a.tenant, Name: name})
	switch {
	case err == nil:
		a.sessions[name] = &session
	case isNotFound(err):
		a.sessions[name] = nil
	default:
		return nil, err
	}
	return a.sessions[name], nil
}
