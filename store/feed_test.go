package store_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// changesOf describes what is pending, "epoch-revision" each, resyncs with a star.
func changesOf(t *testing.T, sub *store.Subscription) (all []string) {
	t.Helper()
	changes, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		text := c.Cursor.String()
		if c.Kind == bos.ChangeResync {
			text += "*"
		}
		all = append(all, text)
	}
	return all
}

func change(epoch string, revision uint64) bos.Change {
	return bos.Change{Kind: bos.ChangeTemplate, Cursor: bos.Cursor{Epoch: epoch, Revision: revision}}
}

func TestFeedAppend(t *testing.T) {
	for _, row := range []struct {
		name   string
		append func(f *store.Feed)
		want   []string
		cursor string
	}{
		{"next ones", func(f *store.Feed) { f.Append([]bos.Change{change("a", 11), change("a", 12)}) }, []string{"a-11", "a-12"}, "a-12"},
		{"known ones again", func(f *store.Feed) {
			f.Append([]bos.Change{change("a", 11)})
			f.Append([]bos.Change{change("a", 10), change("a", 11), change("a", 12)})
		}, []string{"a-11", "a-12"}, "a-12"},
		{"a gap", func(f *store.Feed) { f.Append([]bos.Change{change("a", 11), change("a", 13)}) }, []string{"a-13*"}, "a-13"},
		{"another epoch", func(f *store.Feed) { f.Append([]bos.Change{change("a", 11), change("b", 12)}) }, []string{"b-12*"}, "b-12"},
		{"restart", func(f *store.Feed) { f.Restart(bos.Cursor{Epoch: "b", Revision: 3}) }, []string{"b-3*"}, "b-3"},
		{"restart where it is", func(f *store.Feed) {
			f.Append([]bos.Change{change("a", 11)})
			f.Restart(bos.Cursor{Epoch: "a", Revision: 11})
		}, []string{"a-11"}, "a-11"},
		{"reached", func(f *store.Feed) {
			f.Append([]bos.Change{change("a", 11)})
			f.Reached(bos.Cursor{Epoch: "a", Revision: 15})
		}, []string{"a-11"}, "a-15"},
		{"reached in an epoch that is over", func(f *store.Feed) {
			f.Append([]bos.Change{change("a", 11)})
			f.Reached(bos.Cursor{Epoch: "z", Revision: 15})
		}, []string{"a-11"}, "a-11"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := store.NewFeed(bos.Cursor{Epoch: "a", Revision: 10})
			sub := f.Subscribe(bos.Cursor{})
			row.append(f)
			if diff := cmp.Diff(row.want, changesOf(t, sub)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if got := f.Cursor().String(); got != row.cursor {
				t.Errorf("Cursor = %s, want %s", got, row.cursor)
			}
		})
	}
}

// TestFeedReached subscribes to the present while changes of this process are still on their way.
func TestFeedReached(t *testing.T) {
	f := store.NewFeed(bos.Cursor{Epoch: "a", Revision: 10})
	f.Reached(bos.Cursor{Epoch: "a", Revision: 12})
	present, known := f.Subscribe(bos.Cursor{}), f.Subscribe(bos.Cursor{Epoch: "a", Revision: 12})
	for n := uint64(11); n <= 13; n++ {
		f.Append([]bos.Change{change("a", n)})
	}
	for name, sub := range map[string]*store.Subscription{"present": present, "cursor": known} {
		if diff := cmp.Diff([]string{"a-13"}, changesOf(t, sub)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFeedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := store.NewFeed(bos.Cursor{Epoch: "a"})
		sub := f.Subscribe(bos.Cursor{})
		var got []string
		go func() { got = changesOf(t, sub) }()
		synctest.Wait()
		if got != nil {
			t.Fatalf("Next returned %v before anything was published", got)
		}
		f.Publish([]store.Mutation{{Change: &bos.Change{}}, {}, {Change: &bos.Change{}}})
		synctest.Wait()
		if diff := cmp.Diff([]string{"a-1", "a-2"}, got); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		f.Publish([]store.Mutation{{Change: &bos.Change{}}})
		f.Close()
		if diff := cmp.Diff([]string{"a-3"}, changesOf(t, sub)); diff != "" {
			t.Errorf("changes after Close (-want +got):\n%s", diff)
		}
		if _, err := sub.Next(t.Context()); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("Next after the last change of a closed feed = %v, want bos.ErrUnavailable", err)
		}
	})
}

func TestFeedWrapsAround(t *testing.T) {
	f := store.NewFeed(bos.Cursor{Epoch: "a"})
	quick, slow := f.Subscribe(bos.Cursor{}), f.Subscribe(bos.Cursor{})
	const count = store.FeedSize + 7
	for n := 1; n <= count; n++ {
		f.Publish([]store.Mutation{{Change: &bos.Change{}}})
		if got := changesOf(t, quick); len(got) != 1 || got[0] != fmt.Sprint("a-", n) {
			t.Fatalf("change %d is %v", n, got)
		}
	}
	if got := changesOf(t, slow); len(got) != 1 || got[0] != fmt.Sprintf("a-%d*", count) {
		t.Errorf("a slow subscriber gets %.3v, want a resync", got)
	}
	oldest := bos.Cursor{Epoch: "a", Revision: count - store.FeedSize}
	if got := changesOf(t, f.Subscribe(oldest)); len(got) != store.FeedSize || got[0] != fmt.Sprint("a-", oldest.Revision+1) {
		t.Errorf("from the oldest cursor come %d changes, the first %v", len(got), got[0])
	}
}

func BenchmarkFeed(b *testing.B) {
	f := store.NewFeed(bos.Cursor{Epoch: "a"})
	for range 10 {
		f.Subscribe(bos.Cursor{})
	}
	writes := []store.Mutation{{Change: &bos.Change{Kind: bos.ChangeComponent, ID: "x1"}}}
	b.ReportAllocs()
	for b.Loop() {
		f.Publish(writes)
	}
}
