package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
)

// directIDs is up to how many ids a query reads from the driver rather than from the cache.
const directIDs = 64

// componentCache holds all components decoded and in order of id, for queries. Before each query it asks the driver
// what was written since the last one and reads just that: what a query yields is never older than the query. It is
// filled by the first query.
type componentCache struct {
	db *DB

	refreshing sync.Mutex // held while the following are used
	tracking   Tracking   // nil = not begun
	stale      map[string]struct{}
	filled     bool

	mu    sync.RWMutex // held briefly, inside refreshing when writing
	byKey map[string]*cached
	order []*cached // by key
}

// cached is one component. It is replaced, never modified.
type cached struct {
	key string
	raw []byte
	c   bos.Component
	ok  bool // false: corrupt
}

// QueryComponents implements Querier.
func (db *DB) QueryComponents(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		if f.IDs == nil || len(f.IDs) > directIDs {
			matches, err := db.cache.query(ctx, &f)
			switch {
			case err == nil:
				for _, m := range matches {
					if !yield(m.c.Clone(), nil) {
						return
					}
				}
				return
			case !errors.Is(err, bos.ErrUnsupported):
				yield(bos.Component{}, err)
				return
			}
		}
		for c, err := range scanMatches(ctx, db, f) {
			if !yield(c, err) {
				return
			}
		}
	}
}

// query returns the components that match. The error matches bos.ErrUnsupported where the driver cannot tell what was
// written.
func (cc *componentCache) query(ctx context.Context, f *bos.ComponentFilter) ([]*cached, error) {
	if err := cc.refresh(ctx); err != nil {
		return nil, err
	}
	cc.mu.RLock()
	defer cc.mu.RUnlock()
	candidates := cc.order
	if f.IDs != nil {
		candidates = nil
		for _, id := range queriedIDs(*f) {
			if e, ok := cc.byKey[string(id)]; ok {
				candidates = append(candidates, e)
			}
		}
	} else if f.StartAfter != "" {
		i, found := slices.BinarySearchFunc(candidates, string(f.StartAfter), func(e *cached, key string) int { return cmp.Compare(e.key, key) })
		if found {
			i++
		}
		candidates = candidates[i:]
	}
	var matches []*cached
	for _, e := range candidates {
		if e.ok && f.MatchState(&e.c) {
			if matches = append(matches, e); len(matches) == f.PageSize {
				break
			}
		}
	}
	return matches, nil
}

// refresh brings the cache up to everything that was written before the call.
func (cc *componentCache) refresh(ctx context.Context) error {
	cc.refreshing.Lock()
	defer cc.refreshing.Unlock()
	if ctx.Err() != nil { // it may have ended while waiting
		return fmt.Errorf("%w: %w", bos.ErrUnavailable, context.Cause(ctx))
	}
	if cc.tracking == nil {
		tracker, ok := cc.db.driver.(Tracker)
		if !ok {
			return bos.ErrUnsupported
		}
		tracking, err := tracker.Track(BucketComponents)
		if err != nil {
			return err
		}
		cc.tracking = tracking
	}
	keys, all, err := cc.tracking.Touched(ctx)
	if err != nil {
		return fmt.Errorf("read components: %w", err)
	}
	if cc.filled = cc.filled && !all; !cc.filled {
		if err := cc.fill(ctx); err != nil {
			return err
		}
		cc.stale, cc.filled = map[string]struct{}{}, true
		return nil
	}
	for _, key := range keys {
		cc.stale[key] = struct{}{}
	}
	if len(cc.stale) == 0 {
		return nil
	}
	keys = keys[:0]
	for key := range cc.stale {
		keys = append(keys, key)
	}
	values := make([][]byte, 0, len(keys))
	for chunk := range slices.Chunk(keys, chunkSize) {
		found, err := cc.db.driver.Get(ctx, BucketComponents, chunk)
		if err != nil {
			return fmt.Errorf("read components: %w", err) // the keys stay stale
		}
		values = append(values, found...)
	}
	cc.apply(ctx, keys, values)
	clear(cc.stale)
	return nil
}

// fill reads all components.
func (cc *componentCache) fill(ctx context.Context) error {
	byKey := map[string]*cached{}
	var order []*cached
	for e, err := range cc.db.driver.Scan(ctx, BucketComponents, "", 0) {
		if err != nil {
			return fmt.Errorf("read components: %w", err)
		}
		entry := cc.byKey[e.Key] // written under refreshing only
		if entry == nil || !bytes.Equal(entry.raw, e.Value) {
			entry = cc.decode(ctx, e.Key, e.Value)
		}
		byKey[e.Key] = entry
		order = append(order, entry)
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.byKey, cc.order = byKey, order
	return nil
}

func (cc *componentCache) decode(ctx context.Context, key string, raw []byte) *cached {
	c, err := components.decode(key, raw)
	if err != nil {
		cc.db.log.WarnContext(ctx, "skipping corrupt record", "err", err)
	}
	return &cached{key: key, raw: raw, c: c, ok: err == nil}
}

// apply takes in the present values of some keys.
func (cc *componentCache) apply(ctx context.Context, keys []string, values [][]byte) {
	fresh := make([]*cached, 0, len(keys))
	for i, key := range keys {
		old := cc.byKey[key]
		switch {
		case values[i] == nil && old != nil:
			fresh = append(fresh, &cached{key: key}) // gone
		case values[i] != nil && (old == nil || !bytes.Equal(old.raw, values[i])):
			fresh = append(fresh, cc.decode(ctx, key, values[i]))
		}
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	moved := false
	for _, e := range fresh {
		switch {
		case e.raw == nil:
			delete(cc.byKey, e.key)
			moved = true
		case cc.byKey[e.key] == nil:
			cc.byKey[e.key] = e
			moved = true
		default:
			cc.byKey[e.key] = e
			if !moved {
				i, _ := slices.BinarySearchFunc(cc.order, e.key, func(e *cached, key string) int { return cmp.Compare(e.key, key) })
				cc.order[i] = e
			}
		}
	}
	if moved {
		cc.order = cc.order[:0]
		for _, e := range cc.byKey {
			cc.order = append(cc.order, e)
		}
		slices.SortFunc(cc.order, func(a, b *cached) int { return cmp.Compare(a.key, b.key) })
	}
}

// close frees what the driver keeps for the cache.
func (cc *componentCache) close() {
	cc.refreshing.Lock()
	defer cc.refreshing.Unlock()
	if cc.tracking != nil {
		cc.tracking.Close()
	}
}
