package app

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// feedAPI is an API of which only the changes matter.
type feedAPI struct {
	bos.API
	feed    *store.Feed
	err     error        // with which a subscription fails
	streams atomic.Int32 // open subscriptions
	begun   atomic.Int32
}

func (a *feedAPI) Changes(ctx context.Context, f bos.ChangeFilter) iter.Seq2[bos.Change, error] {
	return func(yield func(bos.Change, error) bool) {
		a.streams.Add(1)
		a.begun.Add(1)
		defer a.streams.Add(-1)
		if a.err != nil {
			yield(bos.Change{}, a.err)
			return
		}
		sub := a.feed.Subscribe(f.Since)
		defer sub.Close()
		for {
			changes, err := sub.Next(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(bos.Change{}, err)
				return
			}
			for _, c := range changes {
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}

func (a *feedAPI) publish(kind bos.ChangeKind, ids ...string) {
	var writes []store.Mutation
	for _, id := range ids {
		writes = append(writes, store.Mutation{Change: &bos.Change{Kind: kind, ID: id}})
	}
	a.feed.Publish(writes)
}

// subscriber collects what it hears until its context ends.
type subscriber struct {
	heard []string
	err   error
	stop  context.CancelFunc
}

func listen(ctx context.Context, api bos.API, f bos.ChangeFilter) *subscriber {
	ctx, stop := context.WithCancel(ctx)
	s := &subscriber{stop: stop}
	go func() {
		for c, err := range api.Changes(ctx, f) {
			if err != nil {
				s.err = err
				return
			}
			if c.Kind == bos.ChangeResync {
				s.heard = append(s.heard, "resync")
			} else {
				s.heard = append(s.heard, c.ID)
			}
		}
	}()
	return s
}

// TestSharedChanges has subscribers with filters of their own on one stream.
func TestSharedChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		up := &feedAPI{feed: store.NewFeed(bos.Cursor{Epoch: "e1", Revision: 7})}
		api := shareChanges(ctx, up)
		all := listen(ctx, api, bos.ChangeFilter{})
		sessions := listen(ctx, api, bos.ChangeFilter{Kinds: []bos.ChangeKind{bos.ChangeSession}})
		synctest.Wait()
		// The place where the stream begins is not known before the first change: everybody looks at everything then.
		up.publish(bos.ChangeComponent, "x0")
		synctest.Wait()
		up.publish(bos.ChangeComponent, "x1")
		up.publish(bos.ChangeSession, "s1")
		synctest.Wait()
		sessions.stop()
		synctest.Wait()
		up.publish(bos.ChangeSession, "s2")
		synctest.Wait()
		if want := []string{"resync", "x1", "s1", "s2"}; !slices.Equal(all.heard, want) {
			t.Errorf("all: %q, want %q", all.heard, want)
		}
		if want := []string{"resync", "s1"}; !slices.Equal(sessions.heard, want) {
			t.Errorf("sessions: %q, want %q", sessions.heard, want)
		}
		if n := up.begun.Load(); n != 1 {
			t.Errorf("%d streams for two subscribers", n)
		}

		up.feed.Restart(bos.Cursor{Epoch: "e2", Revision: 3})
		synctest.Wait()
		up.publish(bos.ChangeComponent, "x2")
		synctest.Wait()
		if want := []string{"resync", "x1", "s1", "s2", "resync", "x2"}; !slices.Equal(all.heard, want) {
			t.Errorf("after a resync: %q, want %q", all.heard, want)
		}
		stop()
		synctest.Wait()
		if n := up.streams.Load(); n != 0 || all.err != nil {
			t.Errorf("at the end %d streams are open; %v", n, all.err)
		}
	})
}

// TestSharedChangesFail hands the error of the stream to every subscriber, and tries again for the next.
func TestSharedChangesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		up := &feedAPI{feed: store.NewFeed(bos.Cursor{Epoch: "e1"}), err: bos.ErrUnsupported}
		api := shareChanges(ctx, up)
		a := listen(ctx, api, bos.ChangeFilter{})
		synctest.Wait()
		if !errors.Is(a.err, bos.ErrUnsupported) {
			t.Errorf("a reference server: %v", a.err)
		}
		up.err = nil
		b := listen(ctx, api, bos.ChangeFilter{})
		c := listen(ctx, api, bos.ChangeFilter{})
		synctest.Wait()
		up.publish(bos.ChangeComponent, "x0")
		synctest.Wait()
		up.publish(bos.ChangeComponent, "x1")
		synctest.Wait()
		up.feed.Close()
		synctest.Wait()
		for _, s := range []*subscriber{b, c} {
			if want := []string{"resync", "x1"}; !slices.Equal(s.heard, want) || !errors.Is(s.err, bos.ErrUnavailable) {
				t.Errorf("heard %q, want %q; then %v", s.heard, want, s.err)
			}
		}
	})
}
