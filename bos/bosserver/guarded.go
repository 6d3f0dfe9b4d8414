package bosserver

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// ownedStep is how many components are written in one transaction with their owners. A transaction runs again when one
// of its records has changed meanwhile, so a longer one would starve while thousands of nodes report.
const ownedStep = 250

// PatchGuarded writes each patch whose guard still holds. With a lease token nothing is written once somebody else has
// the lease; what was written before that stays.
func (s *Service) PatchGuarded(ctx context.Context, p bos.GuardedPatches) (bos.GuardedResult, error) {
	g, ids, err := s.guarded(ctx, p.Patches)
	if err != nil {
		return bos.GuardedResult{}, err
	}
	switch {
	case p.Lease < 0:
		return bos.GuardedResult{}, &bos.FieldError{Field: "lease", Reason: fmt.Sprintf("%d is less than the minimum of 0", p.Lease)}
	case p.Lease > 0 && bos.Writer(ctx) == "":
		return bos.GuardedResult{}, &bos.FieldError{Field: "lease", Reason: "a lease needs the name of the operator in Bos-Operator"}
	case len(ids) == 0 || g.takesOver(ctx):
		err = s.patchTogether(ctx, p.Lease, ids, g)
	case p.Lease > 0:
		_, err = s.st.Components().UpdateMany(ctx, ids, g.decide, store.Hold{Operator: bos.Writer(ctx), Token: p.Lease})
	default:
		_, err = s.st.Components().UpdateMany(ctx, ids, g.decide)
	}
	if err != nil {
		return bos.GuardedResult{}, leaseError(err)
	}
	return g.result(ids), nil
}

// guarded checks the patches and completes them.
func (s *Service) guarded(ctx context.Context, ps []bos.GuardedPatch) (*guardedWrite, []bos.ComponentID, error) {
	for i := range ps {
		err := checkID(ps[i].ID)
		if err == nil {
			err = checkComponent((*bos.Component)(&ps[i].Patch))
		}
		if err != nil {
			return nil, nil, at("patches", at(strconv.Itoa(i), err))
		}
	}
	resolve, err := s.tokens(ctx, len(ps), func(i int) *bos.Component { return (*bos.Component)(&ps[i].Patch) })
	if err != nil {
		return nil, nil, err
	}
	now := s.stamp()
	ids, last := lastOfEach(ps, func(p *bos.GuardedPatch) bos.ComponentID { return p.ID })
	g := &guardedWrite{items: make(map[bos.ComponentID]*guardedItem, len(ids))}
	for id, i := range last {
		c := bos.Component(ps[i].Patch).Clone()
		autoFields(&c, now, resolve)
		g.items[id] = &guardedItem{guard: ps[i].If, patch: (*bos.ComponentPatch)(&c)}
	}
	return g, ids, nil
}

// guardedWrite is one call of PatchGuarded.
type guardedWrite struct {
	items map[bos.ComponentID]*guardedItem
}

type guardedItem struct {
	guard          *bos.Guard
	patch          *bos.ComponentPatch
	written, stale bool // neither: missing
}

// decide is what happens to one component; it may be asked again after a lost race.
func (g *guardedWrite) decide(id bos.ComponentID, c *bos.Component, exists bool) (store.Decision, error) {
	item := g.items[id]
	item.written = exists && item.guard.Holds(c)
	item.stale = exists && !item.written
	if !item.written {
		return store.Skip, nil
	}
	mergeComponent(c, item.patch)
	return store.Write, nil
}

func (g *guardedWrite) result(ids []bos.ComponentID) bos.GuardedResult {
	r := bos.GuardedResult{Written: []bos.ComponentID{}, Stale: []bos.ComponentID{}, Missing: []bos.ComponentID{}}
	for _, id := range ids {
		switch item := g.items[id]; {
		case item.written:
			r.Written = append(r.Written, id)
		case item.stale:
			r.Stale = append(r.Stale, id)
		default:
			r.Missing = append(r.Missing, id)
		}
	}
	return r
}

// takesOver reports whether the writer puts components or stages into sessions and has told whose.
func (g *guardedWrite) takesOver(ctx context.Context) bool {
	if _, known := bos.SessionTenant(ctx); !known {
		return false
	}
	for _, item := range g.items {
		if takenBy(item.patch) != "" {
			return true
		}
	}
	return false
}

// takenBy returns the session that a patch gives the component to, or its stage; empty = none.
func takenBy(p *bos.ComponentPatch) string {
	if name := bos.Value(p.Session); name != "" {
		return name
	}
	return (*bos.Component)(p).StagedSession()
}

// patchTogether writes in transactions that each check the lease of the writer, unless it is 0, and keep the owners of
// the components.
func (s *Service) patchTogether(ctx context.Context, lease int64, ids []bos.ComponentID, g *guardedWrite) error {
	check := func(tx store.Tx) error {
		if lease == 0 {
			return nil
		}
		return store.CheckLease(tx, bos.Writer(ctx), lease)
	}
	if len(ids) == 0 {
		return s.st.Transact(ctx, check)
	}
	for chunk := range slices.Chunk(ids, ownedStep) {
		err := s.st.Transact(ctx, func(tx store.Tx) error {
			if err := check(tx); err != nil {
				return err
			}
			return g.write(ctx, tx, chunk)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes the components of a chunk in a transaction. What is meant for a session that is canceled or complete by
// now is stale.
func (g *guardedWrite) write(ctx context.Context, tx store.Tx, chunk []bos.ComponentID) error {
	found, err := tx.Components().GetMany(chunk)
	if err != nil {
		return err
	}
	tenant, _ := bos.SessionTenant(ctx)
	isOver := map[string]bool{}
	var taken claims
	for _, id := range chunk {
		c, exists := found[id]
		name := takenBy(g.items[id].patch)
		late, read := isOver[name]
		if !read && name != "" {
			session, err := tx.Sessions().Get(bos.TenantKey{Tenant: tenant, Name: name})
			if err != nil && !isNotFound(err) {
				return err
			}
			late = err == nil && over(&session)
			isOver[name] = late
		}
		if late {
			g.items[id].written, g.items[id].stale = false, exists
			continue
		}
		if decision, _ := g.decide(id, &c, exists); decision != store.Write {
			continue
		}
		if err := tx.Components().Put(id, c); err != nil {
			return err
		}
		taken.add(id, (*bos.Component)(g.items[id].patch))
	}
	return taken.keep(ctx, tx)
}
