package storetest

import (
	"slices"

	"context"
	"errors"
	"fmt"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// Fault is what goes wrong with one call of a driver.
type Fault int

// The faults.
const (
	None   Fault = iota
	Refuse       // nothing is done, the call fails
	Drop         // the call does its work, but its answer is lost
	Race         // somebody else wrote first: every write that replaces or deletes a record loses; of Commit only
)

var errInjected = errors.New("injected fault")

// Faulty is a driver whose calls fail on demand. Wrap the driver of a store in one and make a new store of it.
type Faulty struct {
	store.Driver
	// Next says what happens to the next call: "get", "scan", "commit", "ping", "track" or "touched". It is called by whoever makes the call.
	Next func(op string) Fault
}

var _ store.Driver = (*Faulty)(nil)

// NewFaulty returns a store over d that fails as next says.
func NewFaulty(d store.Driver, next func(op string) Fault) *store.DB {
	return store.New(&Faulty{Driver: d, Next: next}, store.Config{})
}

func injected(op string) error { return fmt.Errorf("%s: %w: %w", op, bos.ErrUnavailable, errInjected) }

// Get implements store.Driver.
func (f *Faulty) Get(ctx context.Context, b store.Bucket, keys []string) ([][]byte, error) {
	if f.Next("get") != None {
		return nil, injected("get")
	}
	return f.Driver.Get(ctx, b, keys)
}

// Scan implements store.Driver. A faulty one breaks off after the first record.
func (f *Faulty) Scan(ctx context.Context, b store.Bucket, after string, limit int) store.Entries {
	return func(yield func(store.Entry, error) bool) {
		fault := f.Next("scan")
		for e, err := range f.Driver.Scan(ctx, b, after, limit) {
			if !yield(e, err) || err != nil {
				return
			}
			if fault != None {
				break
			}
		}
		if fault != None {
			yield(store.Entry{}, injected("scan"))
		}
	}
}

// Commit implements store.Driver.
func (f *Faulty) Commit(ctx context.Context, writes []store.Mutation, atomic bool) ([]int, error) {
	switch f.Next("commit") {
	case Refuse:
		return nil, injected("commit")
	case Drop:
		if _, err := f.Driver.Commit(ctx, writes, atomic); err != nil {
			return nil, err
		}
		return nil, injected("commit")
	case Race:
		return f.race(ctx, writes, atomic)
	}
	return f.Driver.Commit(ctx, writes, atomic)
}

// race commits only the writes that create a record, or nothing when one that must not lose does.
func (f *Faulty) race(ctx context.Context, writes []store.Mutation, atomic bool) ([]int, error) {
	var lost, kept []int
	var rest []store.Mutation
	must := slices.ContainsFunc(writes, func(w store.Mutation) bool { return w.Must })
	for i, w := range writes {
		if w.Old != nil || must {
			lost = append(lost, i)
		} else {
			kept = append(kept, i)
			rest = append(rest, w)
		}
	}
	if len(lost) == 0 || atomic {
		if len(lost) > 0 {
			return lost, nil
		}
		return f.Driver.Commit(ctx, writes, atomic)
	}
	if len(rest) > 0 {
		also, err := f.Driver.Commit(ctx, rest, false)
		if err != nil {
			return nil, err
		}
		for _, i := range also {
			lost = append(lost, kept[i])
		}
	}
	return lost, nil
}

// Track implements store.Tracker where the driver does.
func (f *Faulty) Track(b store.Bucket) (store.Tracking, error) {
	tracker, ok := f.Driver.(store.Tracker)
	if !ok {
		return nil, bos.ErrUnsupported
	}
	if f.Next("track") != None {
		return nil, injected("track")
	}
	tracking, err := tracker.Track(b)
	return &faultyTracking{tracking, f.Next}, err
}

type faultyTracking struct {
	store.Tracking
	next func(op string) Fault
}

// Touched implements store.Tracking.
func (t *faultyTracking) Touched(ctx context.Context) ([]string, bool, error) {
	if t.next("touched") != None {
		return nil, false, injected("touched")
	}
	return t.Tracking.Touched(ctx)
}

// Ping implements store.Driver.
func (f *Faulty) Ping(ctx context.Context) error {
	if f.Next("ping") != None {
		return injected("ping")
	}
	return f.Driver.Ping(ctx)
}
