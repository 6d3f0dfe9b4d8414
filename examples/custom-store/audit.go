// Package audit wraps a store so that every change of a component's enabled flag leaves a line in an audit log. It
// shows how to add behaviour to a store by embedding: everything else stays as it is. A store is written to through its
// collections and in transactions; a wrapper that is to miss nothing has to watch both.
package audit

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// Store is a store with an audit log.
type Store struct {
	store.Store
	log *slog.Logger
}

// Wrap returns st with an audit log. It must be the only way to write: what goes to st directly leaves no line.
func Wrap(st store.Store, log *slog.Logger) *Store { return &Store{Store: st, log: log} }

// Components returns the components, watched.
func (s *Store) Components() store.Collection[bos.ComponentID, bos.Component] {
	return components{s.Store.Components(), s.log}
}

// Transact notes what fn did to components once it is committed. fn may run again, so the last run counts.
func (s *Store) Transact(ctx context.Context, fn func(store.Tx) error) error {
	var seen txComponents
	err := s.Store.Transact(ctx, func(tx store.Tx) error {
		seen = txComponents{tx.Components(), map[bos.ComponentID]bool{}, map[bos.ComponentID]bool{}}
		return fn(watchedTx{tx, seen})
	})
	if err != nil {
		return err // nothing was written
	}
	for _, id := range slices.Sorted(maps.Keys(seen.after)) {
		note(ctx, s.log, id, seen.before[id], seen.after[id])
	}
	return nil
}

// note leaves a line if the flag has changed. A component that was not there counts as disabled.
func note(ctx context.Context, log *slog.Logger, id bos.ComponentID, before, after bool) {
	if before != after {
		log.InfoContext(ctx, "component switched", "xname", id, "enabled", after, "writer", bos.Writer(ctx))
	}
}

// components watches the writes to single records.
type components struct {
	store.Collection[bos.ComponentID, bos.Component]
	log *slog.Logger
}

// Create notes a component that is enabled from the beginning.
func (c components) Create(ctx context.Context, id bos.ComponentID, v bos.Component) error {
	err := c.Collection.Create(ctx, id, v)
	if err == nil {
		note(ctx, c.log, id, false, v.IsEnabled())
	}
	return err
}

// Put is an UpdateMany of one record, which tells what was there before in the same step.
func (c components) Put(ctx context.Context, id bos.ComponentID, v bos.Component) error {
	_, err := c.UpdateMany(ctx, []bos.ComponentID{id}, func(_ bos.ComponentID, old *bos.Component, _ bool) (store.Decision, error) {
		*old = v
		return store.Write, nil
	})
	return err
}

// Update notes what fn did once it is stored.
func (c components) Update(ctx context.Context, id bos.ComponentID, fn func(*bos.Component) error) (bos.Component, error) {
	var before bool
	after, err := c.Collection.Update(ctx, id, func(v *bos.Component) error {
		before = v.IsEnabled()
		return fn(v)
	})
	if err == nil {
		note(ctx, c.log, id, before, after.IsEnabled())
	}
	return after, err
}

// UpdateMany notes what fn did to each record once they are stored. fn may be called again for a record that somebody
// else changed meanwhile, so the last call counts.
func (c components) UpdateMany(ctx context.Context, ids []bos.ComponentID, fn func(bos.ComponentID, *bos.Component, bool) (store.Decision, error), under ...store.Hold) ([]bos.Component, error) {
	before := make(map[bos.ComponentID]bool, len(ids))
	after, err := c.Collection.UpdateMany(ctx, ids, func(id bos.ComponentID, v *bos.Component, exists bool) (store.Decision, error) {
		before[id] = exists && v.IsEnabled()
		return fn(id, v, exists)
	}, under...)
	for i := range after { // with an error, those that were written nevertheless
		note(ctx, c.log, after[i].ID, before[after[i].ID], after[i].IsEnabled())
	}
	return after, err
}

// watchedTx is a transaction whose components are watched.
type watchedTx struct {
	store.Tx
	seen txComponents
}

func (t watchedTx) Components() store.TxCollection[bos.ComponentID, bos.Component] { return t.seen }

// txComponents remembers what a transaction does to components.
type txComponents struct {
	store.TxCollection[bos.ComponentID, bos.Component]
	before, after map[bos.ComponentID]bool // enabled, of those that were put
}

func (c txComponents) Put(id bos.ComponentID, v bos.Component) error {
	if _, again := c.after[id]; !again {
		old, err := c.Get(id)
		_, corrupt := errors.AsType[*store.CorruptError](err)
		if err != nil && !corrupt && !errors.Is(err, bos.ErrNotFound) {
			return err
		}
		c.before[id] = old.IsEnabled()
	}
	c.after[id] = v.IsEnabled()
	return c.TxCollection.Put(id, v)
}
