package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
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
	shared     map[artifactsKey]*bos.ArtifactFields

	mu    sync.RWMutex // held briefly, inside refreshing when writing
	byKey map[string]*cached
	order []*cached        // by key
	noted map[string]noted // written since the last query, so that it need not be decoded; nil before the first query
}

// noted is a component as it was stored.
type noted struct {
	raw []byte
	c   bos.Component
}

// maxNoted bounds what is noted between two queries.
const maxNoted = 5000

// recall implements memo.
func (cc *componentCache) recall(key string, raw []byte) (c bos.Component, ok bool) {
	cc.mu.RLock()
	fresh, written := cc.noted[key]
	entry := cc.byKey[key]
	cc.mu.RUnlock()
	switch {
	case written && bytes.Equal(fresh.raw, raw):
		return fresh.c, true
	case entry != nil && entry.ok && entry.sum == sha256.Sum256(raw):
		return entry.c, true
	}
	return c, false
}

// note implements memo.
func (cc *componentCache) note(key string, raw []byte, c bos.Component) {
	c = c.Clone()
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.noted == nil {
		return
	}
	if len(cc.noted) >= maxNoted {
		clear(cc.noted)
	}
	cc.noted[key] = noted{raw, c}
}

// cached is one component. It is replaced, never modified.
type cached struct {
	key string
	sum [sha256.Size]byte // of the record, to know it again
	c   bos.Component
	ok  bool // false: corrupt
}

// artifactsKey is what boot artifacts say, for those that many nodes have in common.
type artifactsKey struct {
	kernel, parameters, initrd, timestamp             string
	hasKernel, hasParameters, hasInitrd, hasTimestamp bool
}

// maxShared is how many boot artifacts are kept to be shared.
const maxShared = 1000

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

func byKey(e *cached, key string) int { return strings.Compare(e.key, key) }

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
		i, found := slices.BinarySearchFunc(candidates, string(f.StartAfter), byKey)
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
	found := map[string]*cached{}
	var order []*cached
	for e, err := range cc.db.driver.Scan(ctx, BucketComponents, "", 0) {
		if err != nil {
			return fmt.Errorf("read components: %w", err)
		}
		entry := cc.byKey[e.Key] // written under refreshing only
		if sum := sha256.Sum256(e.Value); entry == nil || entry.sum != sum {
			entry = cc.decode(ctx, e.Key, e.Value, sum)
		}
		found[e.Key] = entry
		order = append(order, entry)
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.byKey, cc.order, cc.noted = found, order, map[string]noted{}
	return nil
}

func (cc *componentCache) decode(ctx context.Context, key string, raw []byte, sum [sha256.Size]byte) *cached {
	c, ok := cc.takeNoted(key, raw)
	if !ok {
		var err error
		if c, err = components.decode(key, raw); err != nil {
			cc.db.log.WarnContext(ctx, "skipping corrupt record", "err", err)
			return &cached{key: key, sum: sum}
		}
	}
	// The states may be those of a noted component that somebody is reading: copies.
	if c.ActualState != nil {
		s := *c.ActualState
		s.BootArtifacts = cc.share(s.BootArtifacts)
		c.ActualState = &s
	}
	if c.DesiredState != nil {
		s := *c.DesiredState
		s.BootArtifacts = cc.share(s.BootArtifacts)
		c.DesiredState = &s
	}
	if c.StagedState != nil {
		s := *c.StagedState
		s.BootArtifacts = cc.share(s.BootArtifacts)
		c.StagedState = &s
	}
	return &cached{key: key, sum: sum, c: c, ok: true}
}

// takeNoted returns the component as it was stored by this process, if that is what raw says.
func (cc *componentCache) takeNoted(key string, raw []byte) (c bos.Component, ok bool) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	fresh, ok := cc.noted[key]
	if !ok || !bytes.Equal(fresh.raw, raw) {
		return c, false // it was written again since
	}
	delete(cc.noted, key)
	return fresh.c, true
}

// share returns artifacts that say the same as a, for many components to point to: they are most of a record.
func (cc *componentCache) share(a *bos.ArtifactFields) *bos.ArtifactFields {
	if a == nil || a.Extra != nil {
		return a
	}
	key := artifactsKey{
		kernel: bos.Value(a.Kernel), parameters: bos.Value(a.KernelParameters), initrd: bos.Value(a.Initrd), timestamp: string(bos.Value(a.Timestamp)),
		hasKernel: a.Kernel != nil, hasParameters: a.KernelParameters != nil, hasInitrd: a.Initrd != nil, hasTimestamp: a.Timestamp != nil,
	}
	if known := cc.shared[key]; known != nil {
		return known
	}
	if len(cc.shared) >= maxShared || cc.shared == nil {
		cc.shared = map[artifactsKey]*bos.ArtifactFields{}
	}
	cc.shared[key] = a
	return a
}

// apply takes in the present values of some keys.
func (cc *componentCache) apply(ctx context.Context, keys []string, values [][]byte) {
	fresh := make([]*cached, 0, len(keys))
	var gone []string
	for i, key := range keys {
		old := cc.byKey[key]
		if values[i] == nil {
			if old != nil {
				gone = append(gone, key)
			}
			continue
		}
		if sum := sha256.Sum256(values[i]); old == nil || old.sum != sum {
			fresh = append(fresh, cc.decode(ctx, key, values[i], sum))
		}
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	moved := len(gone) > 0
	for _, key := range gone {
		delete(cc.byKey, key)
	}
	for _, e := range fresh {
		if cc.byKey[e.key] == nil {
			moved = true
		} else if !moved {
			i, _ := slices.BinarySearchFunc(cc.order, e.key, byKey)
			cc.order[i] = e
		}
		cc.byKey[e.key] = e
	}
	if moved {
		cc.order = cc.order[:0]
		for _, e := range cc.byKey {
			cc.order = append(cc.order, e)
		}
		slices.SortFunc(cc.order, func(a, b *cached) int { return strings.Compare(a.key, b.key) })
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
