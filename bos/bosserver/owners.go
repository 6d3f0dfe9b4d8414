package bosserver

import (
	"context"
	"iter"
	"slices"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// A component holds the bare name of its session, which says little: tenants may use the same name, and it may come
// back after a session was deleted. So who a name belongs to is kept beside the component, where the writer has told,
// and believed only while the component still has that name. Without it a component counts as in the reference.

// keepOwners records in the transaction which session the names mean that are written into components, for the writer
// of ctx who has told (bos.WithSessionTenant).
func keepOwners(ctx context.Context, tx store.Tx, sessions map[bos.ComponentID]string) error {
	tenant, known := bos.SessionTenant(ctx)
	if !known || len(sessions) == 0 {
		return nil
	}
	ids := make([]bos.ComponentID, 0, len(sessions))
	for id := range sessions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	before, err := tx.Owners().GetMany(ids)
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
		if err := tx.Owners().Put(id, owner); err != nil {
			return err
		}
	}
	return nil
}

// recordOwners is keepOwners in transactions of its own, for writes that are not part of one. It comes before the
// write: until that has happened nobody believes it.
func (s *Service) recordOwners(ctx context.Context, sessions map[bos.ComponentID]string) error {
	if _, known := bos.SessionTenant(ctx); !known {
		return nil
	}
	chunk := map[bos.ComponentID]string{}
	flush := func() error {
		err := s.st.Transact(ctx, func(tx store.Tx) error { return keepOwners(ctx, tx, chunk) })
		clear(chunk)
		return storeError(err)
	}
	for id, name := range sessions {
		if chunk[id] = name; len(chunk) == stepSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// componentsOf yields the components that match f, without those known to belong to another session of the key's name.
// f.Session is that name.
func (s *Service) componentsOf(ctx context.Context, key bos.TenantKey, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		size, left := stepSize, -1 // no limit
		if f.PageSize > 0 {
			size, left = min(size, f.PageSize), f.PageSize
		}
		f.PageSize = 0
		var batch []bos.Component
		flush := func() bool {
			own, err := s.belonging(ctx, key, batch)
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

// belonging returns those of the components, which all carry the name of the session, that are not known to belong to
// another session of that name.
func (s *Service) belonging(ctx context.Context, key bos.TenantKey, cs []bos.Component) ([]bos.Component, error) {
	ids := make([]bos.ComponentID, len(cs))
	for i := range cs {
		ids[i] = cs[i].ID
	}
	var owners map[bos.ComponentID]store.Owner
	var incarnation string
	err := s.st.Transact(ctx, func(tx store.Tx) (err error) {
		if incarnation, err = tx.Incarnations().Get(key); err != nil && !isNotFound(err) {
			return err
		}
		owners, err = tx.Owners().GetMany(ids)
		return err
	})
	if err != nil {
		return nil, storeError(err)
	}
	return slices.DeleteFunc(cs, func(c bos.Component) bool {
		o, known := owners[c.ID]
		return known && foreign(o, key, incarnation)
	}), nil
}

// foreign reports whether the owner of a component that carries the name of the session is another session of that name.
func foreign(o store.Owner, key bos.TenantKey, incarnation string) bool {
	return o.Session == key.Name &&
		(o.Tenant != key.Tenant || incarnation != "" && o.Incarnation != "" && o.Incarnation != incarnation)
}
