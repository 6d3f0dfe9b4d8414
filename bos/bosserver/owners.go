package bosserver

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// A component holds the bare name of its session, which says little: tenants may use the same name, and it may come
// back after a session was deleted. So who a name belongs to is kept beside the component, where the writer has told,
// and believed only while the component still has that name. Without it a component counts as in the reference.

// claims are the names of sessions that a write puts into components, by component.
type claims struct {
	sessions, stages map[bos.ComponentID]string
}

// add notes the names in what is written into a component.
func (c *claims) add(id bos.ComponentID, written *bos.Component) {
	note := func(names *map[bos.ComponentID]string, name string) {
		if name == "" {
			return
		}
		if *names == nil {
			*names = map[bos.ComponentID]string{}
		}
		(*names)[id] = name
	}
	note(&c.sessions, written.SessionName())
	note(&c.stages, written.StagedSession())
}

// keep records in the transaction which sessions the names mean, for the writer of ctx who has told
// (bos.WithSessionTenant).
func (c *claims) keep(ctx context.Context, tx store.Tx) error {
	tenant, known := bos.SessionTenant(ctx)
	if !known {
		return nil
	}
	if err := keepOwners(tx, tenant, tx.Owners(), c.sessions); err != nil {
		return err
	}
	return keepOwners(tx, tenant, tx.StageOwners(), c.stages)
}

func keepOwners(tx store.Tx, tenant string, owners store.TxCollection[bos.ComponentID, store.Owner], sessions map[bos.ComponentID]string) error {
	if len(sessions) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(sessions))
	before, err := owners.GetMany(ids)
	if err != nil {
		return err
	}
	incarnations := map[string]string{}
	for _, id := range ids {
		name := sessions[id]
		if _, read := incarnations[name]; !read {
			incarnation, err := tx.Incarnations().Get(bos.TenantKey{Tenant: tenant, Name: name})
			if err != nil && !isNotFound(err) {
				return err
			}
			incarnations[name] = incarnation
		}
		owner := store.Owner{Tenant: tenant, Session: name, Incarnation: incarnations[name]}
		if before[id] == owner {
			continue
		}
		if err := owners.Put(id, owner); err != nil {
			return err
		}
	}
	return nil
}

// recordOwners keeps the owners in transactions of their own, for writes that are not part of one. It comes before the
// write: until that has happened nobody believes it.
func (s *Service) recordOwners(ctx context.Context, c *claims) error {
	if _, known := bos.SessionTenant(ctx); !known {
		return nil
	}
	flush := func(part claims) error {
		return storeError(s.st.Transact(ctx, func(tx store.Tx) error { return part.keep(ctx, tx) }))
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(c.sessions)), stepSize) {
		if err := flush(claims{sessions: only(c.sessions, chunk)}); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(c.stages)), stepSize) {
		if err := flush(claims{stages: only(c.stages, chunk)}); err != nil {
			return err
		}
	}
	return nil
}

func only(names map[bos.ComponentID]string, ids []bos.ComponentID) map[bos.ComponentID]string {
	part := make(map[bos.ComponentID]string, len(ids))
	for _, id := range ids {
		part[id] = names[id]
	}
	return part
}

// componentsOf yields the components that match f, without those known to belong to another session of the key's name.
// That name is f.Session or f.StagedSession.
func (s *Service) componentsOf(ctx context.Context, key bos.TenantKey, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		size, left := stepSize, -1 // no limit
		if f.PageSize > 0 {
			size, left = min(size, f.PageSize), f.PageSize
		}
		f.PageSize = 0
		var batch []bos.Component
		flush := func() bool {
			own, err := s.belonging(ctx, key, &f, batch)
			if err != nil {
				yield(bos.Component{}, err)
				return false
			}
			batch = nil
			for _, c := range own {
				if !yield(c, nil) {
					return false
				}
				if left--; left == 0 {
					return false
				}
			}
			return true
		}
		for c, err := range store.QueryComponents(ctx, s.st, f) {
			if err != nil {
				yield(bos.Component{}, storeError(err))
				return
			}
			if batch = append(batch, c); len(batch) == size && !flush() {
				return
			}
		}
		if len(batch) > 0 {
			flush()
		}
	}
}

// belonging returns those of the components, which match f, that are not known to belong, or to carry the stage of,
// another session of the key's name.
func (s *Service) belonging(ctx context.Context, key bos.TenantKey, f *bos.ComponentFilter, cs []bos.Component) ([]bos.Component, error) {
	ids := make([]bos.ComponentID, len(cs))
	for i := range cs {
		ids[i] = cs[i].ID
	}
	var owners, stageOwners map[bos.ComponentID]store.Owner
	var incarnation string
	err := s.st.Transact(ctx, func(tx store.Tx) (err error) {
		if incarnation, err = tx.Incarnations().Get(key); err != nil && !isNotFound(err) {
			return err
		}
		if f.Session != "" {
			if owners, err = tx.Owners().GetMany(ids); err != nil {
				return err
			}
		}
		if f.StagedSession != "" {
			stageOwners, err = tx.StageOwners().GetMany(ids)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	incarnations := map[string]string{key.Name: incarnation}
	others := func(owners map[bos.ComponentID]store.Owner, id bos.ComponentID, name string) bool {
		o, known := owners[id]
		return known && foreign(o, bos.TenantKey{Tenant: key.Tenant, Name: name}, incarnations[name])
	}
	return slices.DeleteFunc(cs, func(c bos.Component) bool {
		return others(owners, c.ID, f.Session) || others(stageOwners, c.ID, f.StagedSession)
	}), nil
}

// foreign reports whether the owner of a component that carries the name of the session is another session of that name.
func foreign(o store.Owner, key bos.TenantKey, incarnation string) bool {
	return o.Session == key.Name &&
		(o.Tenant != key.Tenant || incarnation != "" && o.Incarnation != "" && o.Incarnation != incarnation)
}
