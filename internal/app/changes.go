package app

import (
	"context"
	"iter"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// sharedChanges is an API whose subscribers share one stream of changes, so that what happens crosses the network once
// and not once for each operator of the process. The stream begins with the first subscriber; when it fails for good,
// all of them learn why, and the next one tries again.
type sharedChanges struct {
	bos.API
	ctx context.Context // of the process

	mu     sync.Mutex
	stream *stream // nil = none
}

// stream is one subscription at the API, handed on through a feed.
type stream struct {
	feed *store.Feed
	err  error // why it ended; set before the feed is closed
}

func shareChanges(ctx context.Context, api bos.API) *sharedChanges {
	return &sharedChanges{API: api, ctx: ctx}
}

// Changes implements bos.API.
func (s *sharedChanges) Changes(ctx context.Context, f bos.ChangeFilter) iter.Seq2[bos.Change, error] {
	if f.Tenant != "" {
		return s.API.Changes(ctx, f)
	}
	return func(yield func(bos.Change, error) bool) {
		st := s.join()
		sub := st.feed.Subscribe(f.Since)
		defer sub.Close()
		for {
			changes, err := sub.Next(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				yield(bos.Change{}, st.err)
				return
			}
			for i := range changes {
				if f.Match(&changes[i]) && !yield(changes[i], nil) {
					return
				}
			}
		}
	}
}

// join returns the stream of the moment, beginning one where there is none.
func (s *sharedChanges) join() *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == nil {
		s.stream = &stream{feed: store.NewFeed(bos.Cursor{})}
		go s.follow(s.stream)
	}
	return s.stream
}

// follow fills the feed until the stream ends.
func (s *sharedChanges) follow(st *stream) {
	err := context.Cause(s.ctx)
	for c, failed := range s.API.Changes(s.ctx, bos.ChangeFilter{}) {
		switch {
		case failed != nil:
			err = failed
		case c.Kind == bos.ChangeResync:
			st.feed.Restart(c.Cursor)
		default:
			st.feed.Append([]bos.Change{c})
		}
		if failed != nil {
			break
		}
	}
	if err == nil {
		err = context.Cause(s.ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream, st.err = nil, err
	st.feed.Close()
}
