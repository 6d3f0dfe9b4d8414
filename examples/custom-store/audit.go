// Package audit wraps a store so that every change of a component's enabled flag leaves a line in an audit log. It
// shows how to add behaviour to a store by embedding: everything else stays as it is.
package audit

import (
	"context"
	"log/slog"

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

// components watches the writes that change a record in place.
type components struct {
	store.Collection[bos.ComponentID, bos.Component]
	log *slog.Logger
}

func (c components) note(ctx context.Context, id bos.ComponentID, before, after bool) {
	if before != after {
		c.log.InfoContext(ctx, "component switched", "xname", id, "enabled", after, "writer", bos.Writer(ctx))
	}
}

// Update notes what fn did once it is stored.
func (c components) Update(ctx context.Context, id bos.ComponentID, fn func(*bos.Component) error) (bos.Component, error) {
	var before bool
	after, err := c.Collection.Update(ctx, id, func(v *bos.Component) error {
		before = v.IsEnabled()
		return fn(v)
	})
	if err == nil {
		c.note(ctx, id, before, after.IsEnabled())
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
		c.note(ctx, after[i].ID, before[after[i].ID], after[i].IsEnabled())
	}
	return after, err
}
