// Package memstore keeps the records of BOS in memory: for tests and for systems that live as long as their process.
// It is the reference for what a driver does.
package memstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// New returns an empty store.
func New() *store.DB { return Open(store.Config{}) }

// Open is New with a configuration.
func Open(cfg store.Config) *store.DB { return store.New(NewDriver(), cfg) }

// Driver is a store.Driver over maps.
type Driver struct {
	store.Touches
	feed *store.Feed

	mu      sync.RWMutex
	buckets map[store.Bucket]*bucket
	closed  bool
}

var _ store.Driver = (*Driver)(nil)

type bucket struct {
	values map[string][]byte
	sorted []string // the keys in order, nil when that is not known; a Scan may still hold it, so it is never modified
}

// NewDriver returns a driver without records.
func NewDriver() *Driver {
	d := &Driver{feed: store.NewFeed(bos.Cursor{Epoch: store.NewEpoch()}), buckets: map[store.Bucket]*bucket{}}
	for _, b := range store.Buckets() {
		d.buckets[b] = &bucket{values: map[string][]byte{}}
	}
	return d
}

// check returns why no records can be had, if so. The caller holds the lock.
func (d *Driver) check(ctx context.Context) error {
	switch {
	case d.closed:
		return fmt.Errorf("the store is closed: %w", bos.ErrUnavailable)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", bos.ErrUnavailable, context.Cause(ctx))
	}
	return nil
}

// Get implements store.Driver.
func (d *Driver) Get(ctx context.Context, b store.Bucket, keys []string) ([][]byte, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.check(ctx); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = d.buckets[b].values[key]
	}
	return values, nil
}

// Scan implements store.Driver.
func (d *Driver) Scan(ctx context.Context, b store.Bucket, after string, limit int) store.Entries {
	return func(yield func(store.Entry, error) bool) {
		keys := d.keys(b)
		start, found := slices.BinarySearch(keys, after)
		if found {
			start++
		}
		n := 0
		for _, key := range keys[start:] {
			d.mu.RLock()
			value, err := d.buckets[b].values[key], d.check(ctx)
			d.mu.RUnlock()
			if err != nil {
				yield(store.Entry{}, err)
				return
			}
			if value == nil {
				continue
			}
			if !yield(store.Entry{Key: key, Value: value}, nil) {
				return
			}
			if n++; n == limit {
				return
			}
		}
		d.mu.RLock()
		err := d.check(ctx)
		d.mu.RUnlock()
		if err != nil {
			yield(store.Entry{}, err)
		}
	}
}

// keys returns the keys of a bucket in order.
func (d *Driver) keys(b store.Bucket) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	bucket := d.buckets[b]
	if bucket.sorted == nil {
		bucket.sorted = slices.Sorted(maps.Keys(bucket.values))
	}
	return bucket.sorted
}

// Commit implements store.Driver.
func (d *Driver) Commit(ctx context.Context, writes []store.Mutation, atomic bool) ([]int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(ctx); err != nil {
		return nil, err
	}
	applied, lost := store.Race(writes, atomic, func(b store.Bucket, key string) []byte { return d.buckets[b].values[key] })
	for _, w := range applied {
		d.buckets[w.Bucket].set(w.Key, w.New)
	}
	d.Mark(applied)
	d.feed.Publish(applied)
	return lost, nil
}

func (b *bucket) set(key string, value []byte) {
	_, existed := b.values[key]
	if value == nil {
		delete(b.values, key)
	} else {
		b.values[key] = value
	}
	if existed != (value != nil) {
		b.sorted = nil
	}
}

// Feed implements store.Driver.
func (d *Driver) Feed() *store.Feed { return d.feed }

// Ping implements store.Driver.
func (d *Driver) Ping(ctx context.Context) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.check(ctx)
}

// Close implements store.Driver. The records are gone.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, b := range store.Buckets() {
		d.buckets[b] = &bucket{values: map[string][]byte{}}
	}
	d.CloseTracks()
	d.feed.Close()
	return nil
}
