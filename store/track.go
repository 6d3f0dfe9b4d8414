package store

import (
	"context"
	"fmt"
	"sync"

	"github.com/bootorch/bosgo/bos"
)

// Tracker is an optional ability of a Driver: to tell which records were written. With it a DB answers queries from
// memory.
type Tracker interface {
	// Track begins to take note of writes to the bucket, whoever makes them. It fails with bos.ErrUnsupported where the
	// database cannot tell.
	Track(b Bucket) (Tracking, error)
}

// Tracking is what a Tracker takes note of for one caller. It is used by one goroutine at a time.
type Tracking interface {
	// Touched returns the keys of records that may have been written since the last call. Every write that its writer
	// knows to be done when Touched is called is among them. With all set the keys are not known: at the first call, and
	// whenever track was lost.
	Touched(ctx context.Context) (keys []string, all bool, err error)
	// Close ends the tracking.
	Close()
}

// maxTouched is how many keys a tracking remembers before it says "all".
const maxTouched = 100_000

// Touches is a Tracker for drivers that make all writes themselves. Its zero value is ready; a Driver embeds one and
// calls Mark for each commit, once its writes can be read and before anybody is told that they are done.
type Touches struct {
	mu     sync.Mutex
	active map[*touches]struct{}
	closed bool
}

// touches implements Tracking.
type touches struct {
	of     *Touches
	bucket Bucket
	keys   map[string]struct{}
	all    bool
}

// Track implements Tracker.
func (t *Touches) Track(b Bucket) (Tracking, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active == nil {
		t.active = map[*touches]struct{}{}
	}
	one := &touches{of: t, bucket: b, all: true}
	t.active[one] = struct{}{}
	return one, nil
}

// Mark takes note of writes.
func (t *Touches) Mark(writes []Mutation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for one := range t.active {
		for i := range writes {
			if w := &writes[i]; w.Bucket == one.bucket && !one.all && !w.isCheck() {
				one.keys[w.Key] = struct{}{}
			}
		}
		if len(one.keys) > maxTouched {
			one.all, one.keys = true, nil
		}
	}
}

// CloseTracks makes every Touched fail from now on.
func (t *Touches) CloseTracks() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// Touched implements Tracking.
func (t *touches) Touched(ctx context.Context) (keys []string, all bool, err error) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	switch {
	case t.of.closed:
		return nil, false, fmt.Errorf("the store is closed: %w", bos.ErrUnavailable)
	case ctx.Err() != nil:
		return nil, false, fmt.Errorf("%w: %w", bos.ErrUnavailable, context.Cause(ctx))
	}
	all = t.all
	for key := range t.keys {
		keys = append(keys, key)
	}
	if all || len(keys) > 0 {
		t.all, t.keys = false, map[string]struct{}{}
	}
	return keys, all, nil
}

// Close implements Tracking.
func (t *touches) Close() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	delete(t.of.active, t)
}
