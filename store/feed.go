package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/bootorch/bosgo/bos"
)

// FeedSize is how many changes a Feed remembers. A subscriber that is further behind gets a resync.
const FeedSize = 10_000

// Feed is the sequence of changes of one database as this process knows it: the last FeedSize of them, in order of
// revision without gaps. Drivers publish into it; neither publishing nor a slow subscriber ever waits. It is safe for
// concurrent use.
type Feed struct {
	mu     sync.Mutex
	epoch  string
	ahead  uint64 // revision of a commit of this process whose change may not be here yet, see Reached
	first  uint64 // revision of the oldest change in ring
	ring   []bos.Change
	head   int // where the oldest change is, once the ring is full
	subs   map[*Subscription]struct{}
	closed bool
}

// NewFeed returns a feed that stands at the given cursor: the first change published will have the next revision.
func NewFeed(at bos.Cursor) *Feed {
	return &Feed{epoch: at.Epoch, first: at.Revision + 1, subs: map[*Subscription]struct{}{}}
}

// NewEpoch returns a random epoch for a feed that starts anew.
func NewEpoch() string { return rand.Text()[:12] }

// Cursor returns the place of the latest change that this process knows of.
func (f *Feed) Cursor() bos.Cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.present()
}

func (f *Feed) present() bos.Cursor {
	return bos.Cursor{Epoch: f.epoch, Revision: max(f.last(), f.ahead)}
}

// Reached says that a commit of this process has got revisions up to that of the cursor, where the changes come back
// from the database later. Whoever subscribes to the present from now on does not see them.
func (f *Feed) Reached(at bos.Cursor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.Epoch == f.epoch {
		f.ahead = max(f.ahead, at.Revision)
	}
}

// cursor is where the ring ends.
func (f *Feed) cursor() bos.Cursor { return bos.Cursor{Epoch: f.epoch, Revision: f.last()} }

func (f *Feed) last() uint64 { return f.first + uint64(len(f.ring)) - 1 }

// Publish gives the changes of committed writes the next revisions and appends them. The caller makes sure that calls
// come in the order of the commits.
func (f *Feed) Publish(writes []Mutation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	published := false
	for i := range writes {
		if c := writes[i].Change; c != nil {
			c.Cursor = bos.Cursor{Epoch: f.epoch, Revision: f.last() + 1}
			f.push(*c)
			published = true
		}
	}
	if published {
		f.wake()
	}
}

// Append adds changes that have their cursors already, in ascending order. Known ones are skipped; a gap, or another
// epoch, makes subscribers resync.
func (f *Feed) Append(changes []bos.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		switch at := c.Cursor; {
		case at.Epoch != f.epoch:
			f.restart(bos.Cursor{Epoch: at.Epoch, Revision: at.Revision - 1})
			f.push(c)
		case at.Revision <= f.last():
		case at.Revision == f.last()+1:
			f.push(c)
		default:
			f.restart(bos.Cursor{Epoch: at.Epoch, Revision: at.Revision - 1})
			f.push(c)
		}
	}
	f.wake()
}

// Restart forgets all changes and goes on from the given cursor; every subscriber resyncs, unless that is where the
// feed already stands.
func (f *Feed) Restart(at bos.Cursor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at != f.cursor() {
		f.restart(at)
		f.wake()
	}
}

func (f *Feed) restart(at bos.Cursor) {
	if at.Epoch != f.epoch {
		f.ahead = 0
	}
	f.epoch, f.first, f.ring, f.head = at.Epoch, at.Revision+1, nil, 0
	for s := range f.subs {
		s.resync = true
	}
}

func (f *Feed) push(c bos.Change) {
	if len(f.ring) < FeedSize {
		f.ring = append(f.ring, c)
		return
	}
	f.ring[f.head] = c
	f.head = (f.head + 1) % FeedSize
	f.first++
}

// at returns the change of a revision that is in the ring.
func (f *Feed) at(revision uint64) bos.Change {
	return f.ring[(f.head+int(revision-f.first))%FeedSize]
}

func (f *Feed) wake() {
	for s := range f.subs {
		s.signal()
	}
}

// Subscribe returns a subscription to what comes after since. The zero cursor means the present.
func (f *Feed) Subscribe(since bos.Cursor) *Subscription {
	s := &Subscription{feed: f, wake: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if since.IsZero() {
		since = f.present()
	}
	s.seen = since.Revision
	s.resync = since.Epoch != f.epoch || since.Revision > f.present().Revision
	f.subs[s] = struct{}{}
	s.signal()
	return s
}

// Close ends the feed: subscriptions hand out what is pending and then fail.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wake()
}

// Subscription is a place in a feed that moves on as changes are taken. It is used by one goroutine.
type Subscription struct {
	feed *Feed
	wake chan struct{} // holds an element while there may be something to take

	// guarded by feed.mu
	seen   uint64 // revision of the last change handed out
	resync bool   // what seen refers to is gone
	closed bool
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next returns all changes since the last call, waiting until there is at least one. A subscriber that fell further
// behind than the feed remembers, or whose place the feed does not know, gets a single bos.ChangeResync instead; the
// changes after its cursor follow with the next call. The error is that of ctx, or matches bos.ErrUnavailable once the
// store or the subscription is closed.
func (s *Subscription) Next(ctx context.Context) ([]bos.Change, error) {
	for {
		changes, err := s.take()
		if len(changes) > 0 || err != nil {
			return changes, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *Subscription) take() ([]bos.Change, error) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.last()
	switch {
	case s.closed:
		return nil, fmt.Errorf("subscription closed: %w", bos.ErrUnavailable)
	case s.resync || s.seen+1 < f.first:
		s.resync, s.seen = false, last
		return []bos.Change{{Cursor: f.cursor(), Kind: bos.ChangeResync}}, nil
	case s.seen < last:
		changes := make([]bos.Change, 0, last-s.seen)
		for s.seen < last {
			s.seen++
			changes = append(changes, f.at(s.seen))
		}
		return changes, nil
	case f.closed:
		return nil, fmt.Errorf("store closed: %w", bos.ErrUnavailable)
	}
	return nil, nil
}

// Close ends the subscription; a waiting Next fails. Closing again does nothing.
func (s *Subscription) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.closed = true
	delete(s.feed.subs, s)
	s.signal()
}
