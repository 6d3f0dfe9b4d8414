package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/mock/gomock"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/storetest"
)

func Example() {
	ctx := context.Background()
	st := memstore.New()
	defer st.Close()

	// One step over several records: nothing is written unless all is.
	key := bos.TenantKey{Name: "reboot-rack-1"}
	err := st.Transact(ctx, func(tx store.Tx) error {
		if _, err := tx.Sessions().Get(key); !errors.Is(err, bos.ErrNotFound) {
			return bos.ErrExists
		}
		return errors.Join(
			tx.Sessions().Put(key, bos.Session{Name: key.Name, Operation: bos.OperationReboot}),
			tx.Components().Put("x3000c0s1b0n0", bos.Component{ID: "x3000c0s1b0n0", Session: &key.Name}),
		)
	})
	fmt.Println(err)
	for c, err := range store.QueryComponents(ctx, st, bos.ComponentFilter{Session: key.Name}) {
		fmt.Println(c.ID, err)
	}
	// Output:
	// <nil>
	// x3000c0s1b0n0 <nil>
}

// newMock returns a store over a mock that holds one component, and the record's bytes.
func newMock(t *testing.T) (*store.DB, *storetest.MockDriver) {
	d := storetest.NewMockDriver(gomock.NewController(t))
	d.EXPECT().Feed().Return(store.NewFeed(bos.Cursor{Epoch: "a"})).AnyTimes()
	d.EXPECT().Get(gomock.Any(), store.BucketComponents, []string{"x1"}).Return([][]byte{[]byte(`{"id": "x1", "enabled": false}`)}, nil).AnyTimes()
	return store.New(d, store.Config{}), d
}

// TestNoWriteWithoutChange: the mock fails the test on any Commit.
func TestNoWriteWithoutChange(t *testing.T) {
	st, _ := newMock(t)
	c, err := st.Components().Update(t.Context(), "x1", func(c *bos.Component) error { c.Enabled = new(false); return nil })
	if err != nil || c.ID != "x1" {
		t.Errorf("Update = %+v, %v", c, err)
	}
	written, err := st.Components().UpdateMany(t.Context(), []bos.ComponentID{"x1"}, func(bos.ComponentID, *bos.Component, bool) (store.Decision, error) {
		return store.Write, nil
	})
	if err != nil || len(written) != 1 {
		t.Errorf("UpdateMany = %v, %v, want the record as it is", written, err)
	}
	if err := st.Transact(t.Context(), func(tx store.Tx) error { _, err := tx.Components().Get("x1"); return err }); err != nil {
		t.Errorf("Transact = %v", err)
	}
}

// TestWritesInChunks: 1,200 records take three rounds.
func TestWritesInChunks(t *testing.T) {
	d := storetest.NewMockDriver(gomock.NewController(t))
	st := store.New(d, store.Config{})
	var sizes []int
	d.EXPECT().Get(gomock.Any(), gomock.Any(), gomock.Any()).DoAndReturn(func(_ context.Context, _ store.Bucket, keys []string) ([][]byte, error) {
		return make([][]byte, len(keys)), nil
	}).Times(3)
	d.EXPECT().Commit(gomock.Any(), gomock.Any(), false).DoAndReturn(func(_ context.Context, writes []store.Mutation, _ bool) ([]int, error) {
		sizes = append(sizes, len(writes))
		if len(sizes) == 3 {
			return nil, bos.ErrUnavailable
		}
		return nil, nil
	}).Times(3)
	ids := make([]bos.ComponentID, 1200)
	for n := range ids {
		ids[n] = benchID(n)
	}
	written, err := st.Components().UpdateMany(t.Context(), ids, func(bos.ComponentID, *bos.Component, bool) (store.Decision, error) { return store.Write, nil })
	if !errors.Is(err, bos.ErrUnavailable) || len(written) != 1000 || fmt.Sprint(sizes) != "[500 500 200]" {
		t.Errorf("UpdateMany wrote %d in chunks of %v, %v, want the first 1000", len(written), sizes, err)
	}
}

// TestLosersOnly: of three records the one that lost is read and written again.
func TestLosersOnly(t *testing.T) {
	d := storetest.NewMockDriver(gomock.NewController(t))
	st := store.New(d, store.Config{})
	gomock.InOrder(
		d.EXPECT().Get(gomock.Any(), gomock.Any(), []string{"x1", "x2", "x3"}).Return(make([][]byte, 3), nil),
		d.EXPECT().Commit(gomock.Any(), gomock.Len(3), false).Return([]int{1}, nil),
		d.EXPECT().Get(gomock.Any(), gomock.Any(), []string{"x2"}).Return([][]byte{[]byte(`{"error": "theirs"}`)}, nil),
		d.EXPECT().Commit(gomock.Any(), gomock.Len(1), false).Return(nil, nil),
	)
	written, err := st.Components().UpdateMany(t.Context(), []bos.ComponentID{"x1", "x2", "x3"}, func(_ bos.ComponentID, c *bos.Component, exists bool) (store.Decision, error) {
		c.Session = new("s")
		return store.Write, nil
	})
	if err != nil || len(written) != 3 || written[1].ErrorText() != "theirs" || written[1].SessionName() != "s" {
		t.Errorf("UpdateMany = %+v, %v", written, err)
	}
}

// TestLostRacesEnd: a race that is always lost ends with the context, and pauses between attempts.
func TestLostRacesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, d := newMock(t)
		attempts := 0
		d.EXPECT().Commit(gomock.Any(), gomock.Any(), gomock.Any()).DoAndReturn(func(context.Context, []store.Mutation, bool) ([]int, error) {
			attempts++
			return []int{0}, nil
		}).AnyTimes()
		for name, write := range map[string]func(ctx context.Context) error{
			"update": func(ctx context.Context) error {
				_, err := st.Components().Update(ctx, "x1", func(c *bos.Component) error { c.Enabled = new(true); return nil })
				return err
			},
			"transact": func(ctx context.Context) error {
				return st.Transact(ctx, func(tx store.Tx) error { return tx.Components().Delete("x1") })
			},
		} {
			attempts = 0
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := write(ctx)
			cancel()
			if !errors.Is(err, bos.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || attempts < 20 || attempts > 2000 {
				t.Errorf("%s = %v after %d attempts in a second", name, err, attempts)
			}
		}
	})
}

func TestCorruptRecordsAreLogged(t *testing.T) {
	var log bytes.Buffer
	d := memstore.NewDriver()
	st := store.New(d, store.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	fill(t, st, record{store.BucketComponents, "x1", "{"}, record{store.BucketArtifacts, "secret", "{"})
	for range st.Components().Scan(t.Context(), store.Page[bos.ComponentID]{}) {
		t.Error("Scan yields a corrupt record")
	}
	for range st.BootArtifacts().Scan(t.Context(), store.Page[bos.BSSToken]{}) {
		t.Error("Scan yields a corrupt record")
	}
	if text := log.String(); strings.Count(text, "skipping corrupt record") != 2 || !strings.Contains(text, "x1") || strings.Contains(text, "secret") {
		t.Errorf("log:\n%s", text)
	}
}

// TestQueryReadsWhatChanged: a second query reads only what was written since the first.
func TestQueryReadsWhatChanged(t *testing.T) {
	var calls []string
	d := memstore.NewDriver()
	st := storetest.NewFaulty(d, func(op string) storetest.Fault { calls = append(calls, op); return storetest.None })
	query := func() int {
		n := 0
		for _, err := range store.QueryComponents(t.Context(), st, bos.ComponentFilter{}) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	plain := store.New(d, store.Config{})
	for n := range 600 {
		if err := plain.Components().Create(t.Context(), benchID(n), bos.Component{ID: benchID(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := query(); n != 600 || fmt.Sprint(calls) != "[track touched scan]" {
		t.Errorf("the first query finds %d with %v", n, calls)
	}
	calls = nil
	if n := query(); n != 600 || fmt.Sprint(calls) != "[touched]" {
		t.Errorf("the second query finds %d with %v", n, calls)
	}
	calls = nil
	if err := errors.Join(plain.Components().Delete(t.Context(), benchID(3)), plain.Components().Put(t.Context(), "new", bos.Component{ID: "new"}), plain.Components().Put(t.Context(), "new2", bos.Component{ID: "new2"})); err != nil {
		t.Fatal(err)
	}
	if n := query(); n != 601 || fmt.Sprint(calls) != "[touched get]" {
		t.Errorf("after writes a query finds %d with %v", n, calls)
	}
	calls = nil
	for range store.QueryComponents(t.Context(), st, bos.ComponentFilter{IDs: []bos.ComponentID{"new"}}) {
	}
	if fmt.Sprint(calls) != "[get]" {
		t.Errorf("a query for one id calls %v", calls)
	}
}

func TestTouches(t *testing.T) {
	var touches store.Touches
	tracking, err := touches.Track(store.BucketComponents)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	expect := func(what string, wantAll bool, want int) {
		t.Helper()
		keys, all, err := tracking.Touched(ctx)
		if err != nil || all != wantAll || len(keys) != want {
			t.Errorf("%s: %d keys, all %v, %v, want %d, %v", what, len(keys), all, err, want, wantAll)
		}
	}
	expect("first", true, 0)
	expect("second", false, 0)
	touches.Mark([]store.Mutation{
		{Bucket: store.BucketComponents, Key: "a", New: []byte("1")}, {Bucket: store.BucketComponents, Key: "a", New: []byte("1")},
		{Bucket: store.BucketSessions, Key: "b", New: []byte("1")}, {Bucket: store.BucketComponents, Key: "c", Old: []byte("1"), New: []byte("1")},
	})
	expect("one write, one of another bucket, one check", false, 1)
	for n := range 100_001 {
		touches.Mark([]store.Mutation{{Bucket: store.BucketComponents, Key: fmt.Sprint(n), New: []byte("1")}})
	}
	expect("too many", true, 0)
	expect("and then", false, 0)
	touches.CloseTracks()
	if _, _, err := tracking.Touched(ctx); !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("Touched of a closed store = %v, want bos.ErrUnavailable", err)
	}
}
