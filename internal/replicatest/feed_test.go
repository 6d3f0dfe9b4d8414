package replicatest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
)

// follower collects what a client sees of the components' changes.
type follower struct {
	t       *testing.T
	changes chan bos.Change
}

// follow subscribes to what comes after since, until the test ends.
func follow(t *testing.T, api *bosclient.Client, since bos.Cursor) *follower {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	f := &follower{t: t, changes: make(chan bos.Change, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for c, err := range api.Changes(ctx, bos.ChangeFilter{Since: since, Kinds: []bos.ChangeKind{bos.ChangeComponent}}) {
			if err != nil {
				t.Errorf("changes from %s: %v", api.Base(), err)
				return
			}
			f.changes <- c
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return f
}

// next returns the next change.
func (f *follower) next() bos.Change {
	f.t.Helper()
	select {
	case c := <-f.changes:
		return c
	case <-time.After(safety):
		f.t.Fatal("no change comes")
		return bos.Change{}
	}
}

// sees checks that the next changes are those of ids, in this order, and returns the last of them.
func (f *follower) sees(what string, ids ...bos.ComponentID) bos.Change {
	f.t.Helper()
	var got []bos.ComponentID
	var c bos.Change
	var last uint64
	for range ids {
		c = f.next()
		if c.Kind != bos.ChangeComponent || c.Cursor.Revision <= last {
			f.t.Fatalf("%s: %+v after revision %d", what, c, last)
		}
		last = c.Cursor.Revision
		got = append(got, bos.ComponentID(c.ID))
	}
	if !slices.Equal(got, ids) {
		f.t.Fatalf("%s: changes of %v, want %v", what, got, ids)
	}
	return c
}

// TestChangesOfOthers watches one server while writes go through the other, and while the one it watches is replaced.
func TestChangesOfOthers(t *testing.T) {
	s := newSystem(t, 1, 0)
	ctx := t.Context()
	writes := 0
	write := func(through int, n int) (ids []bos.ComponentID) {
		t.Helper()
		for range n {
			writes++
			id := bos.ComponentID(fmt.Sprintf("x1000c0s0b0n%d", writes))
			if _, err := s.api[through].PutComponent(ctx, id, bos.Component{ID: id, Enabled: new(false)}); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		return ids
	}
	// A subscription takes a moment: repeat a write until it is seen.
	f := follow(t, s.api[1], bos.Cursor{})
	var first bos.Change
	until(t, safety, "the first change", func(context.Context) error {
		write(0, 1)
		select {
		case first = <-f.changes:
			return nil
		default:
			return errNotYet
		}
	})
	mark := write(0, 1)[0]
	for c := first; c.ID != string(mark); c = f.next() {
		if c.Kind != bos.ChangeComponent {
			t.Fatalf("%+v", c)
		}
	}

	place := f.sees("through the other server", write(0, 50)...).Cursor
	mixed := slices.Concat(write(0, 5), write(1, 5), write(0, 5))
	f.sees("through both", mixed...)

	s.servers[1].stop()
	missed := write(0, 50)
	s.servers[1].start()
	f.sees("while the server was away", missed...)
	after := slices.Concat(write(0, 5), write(1, 5))
	f.sees("after it came back", after...)

	all := slices.Concat(mixed, missed, after)
	for i, api := range s.api {
		follow(t, api, place).sees(fmt.Sprintf("from a cursor of server 1 on, at server %d", i), all...)
	}
	select {
	case c := <-f.changes:
		t.Errorf("one change too many: %+v", c)
	default:
	}
}
