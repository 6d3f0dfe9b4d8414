package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/redisstore"
	"github.com/bootorch/bosgo/store/storetest"
)

// next returns the changes that are pending, waiting for at least one.
func next(t *testing.T, sub *store.Subscription) []bos.Change {
	t.Helper()
	changes, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func put(ctx context.Context, st store.Store, name string) error {
	return st.Templates().Put(ctx, bos.TenantKey{Name: name}, bos.SessionTemplate{Name: name})
}

// eventually tries until it works or the test's time is over: Redis may need a moment to accept connections.
func eventually(t *testing.T, fn func() error) {
	t.Helper()
	for {
		err := fn()
		if err == nil {
			return
		}
		if !errors.Is(err, bos.ErrUnavailable) {
			t.Fatal(err)
		}
		if t.Context().Err() != nil {
			t.Fatalf("the time is over: %v", err)
		}
	}
}

func TestRestart(t *testing.T) {
	server := storetest.StartRedis(t, storetest.RedisConfig{Durable: true})
	ctx := t.Context()
	st := open(t, server.URL)
	if err := put(ctx, st, "before"); err != nil {
		t.Fatal(err)
	}
	sub, before := st.Subscribe(bos.Cursor{}), st.Cursor()
	server.Kill()
	if err := st.Ping(ctx); !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("Ping without a server = %v, want bos.ErrUnavailable", err)
	}
	if err := put(ctx, st, "meanwhile"); !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("Put without a server = %v, want bos.ErrUnavailable", err)
	}
	if _, err := st.Templates().Get(ctx, bos.TenantKey{Name: "before"}); !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("Get without a server = %v, want bos.ErrUnavailable", err)
	}
	server.Restart()
	eventually(t, func() error { return put(ctx, st, "after") })
	if _, err := st.Templates().Get(ctx, bos.TenantKey{Name: "before"}); err != nil {
		t.Errorf("Get after the restart: %v", err)
	}
	// What was written last may be lost with a server, so its revisions cannot be trusted: subscribers look again.
	if c := next(t, sub)[0]; c.Kind != bos.ChangeResync {
		t.Errorf("after the restart comes %+v, want a resync", c)
	}
	if err := put(ctx, st, "later"); err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		for _, c := range next(t, sub) {
			done = done || c.ID == "later"
		}
	}
	if st.Cursor().Epoch == before.Epoch {
		t.Error("the epoch outlived the server")
	}
}

func TestEmptiedFeed(t *testing.T) {
	url := storetest.NewRedisServer(t)
	ctx := t.Context()
	st, other := open(t, url), open(t, url)
	if err := put(ctx, st, "before"); err != nil {
		t.Fatal(err)
	}
	subs := []*store.Subscription{st.Subscribe(bos.Cursor{}), other.Subscribe(st.Cursor())}
	if err := database(t, url, 6).FlushDB(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if err := put(ctx, other, "after"); err != nil {
		t.Fatal(err)
	}
	for i, sub := range subs {
		if c := next(t, sub)[0]; c.Kind != bos.ChangeResync {
			t.Errorf("process %d: after database 6 was emptied comes %+v, want a resync", i, c)
		}
	}
}

func TestResumeInAnotherProcess(t *testing.T) {
	url := storetest.NewRedisServer(t)
	ctx := t.Context()
	st := open(t, url)
	if err := put(ctx, st, "t0"); err != nil {
		t.Fatal(err)
	}
	cursor := st.Cursor()
	for n := 1; n < 4; n++ {
		if err := put(ctx, st, fmt.Sprint("t", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	sub := open(t, url).Subscribe(cursor)
	var got []string
	for len(got) < 3 {
		for _, c := range next(t, sub) {
			got = append(got, c.ID)
		}
	}
	if strings.Join(got, " ") != "t1 t2 t3" {
		t.Errorf("after the cursor of another process come %q", got)
	}
}

func TestFeedIsBounded(t *testing.T) {
	url := storetest.NewRedisServer(t)
	ctx := t.Context()
	st := open(t, url)
	ids := make([]bos.ComponentID, 500)
	for i := range ids {
		ids[i] = bos.ComponentID(fmt.Sprint("x", i))
	}
	for n := range 2*store.FeedSize/len(ids) + 1 {
		if _, err := st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
			c.RetryPolicy = new(n)
			return store.Write, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n := database(t, url, 6).XLen(ctx, "bos:feed").Val(); n < store.FeedSize || n > store.FeedSize+200 {
		t.Errorf("the stream has %d entries, want about %d", n, store.FeedSize)
	}
}

func TestOpenWithoutServer(t *testing.T) {
	server := storetest.StartRedis(t, storetest.RedisConfig{Args: []string{"--requirepass", "s3cret"}})
	server.Kill()
	url := strings.Replace(server.URL, "://", "://:s3cret@", 1)
	st := open(t, url)
	err := put(t.Context(), st, "t")
	if !errors.Is(err, bos.ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Put without a server = %v, want bos.ErrUnavailable without the password", err)
	}
	sub := st.Subscribe(bos.Cursor{})
	server.Restart()
	eventually(t, func() error { return put(t.Context(), st, "t") })
	next(t, sub)

	for name, url := range map[string]string{"no password": server.URL, "another password": strings.Replace(server.URL, "://", "://:guess@", 1)} {
		if err := put(t.Context(), open(t, url), "t"); !errors.Is(err, bos.ErrUnavailable) || strings.Contains(err.Error(), "guess") {
			t.Errorf("Put with %s = %v, want bos.ErrUnavailable without it", name, err)
		}
	}
}

func TestSentinel(t *testing.T) {
	server := storetest.StartRedis(t, storetest.RedisConfig{})
	sentinels := storetest.StartSentinel(t, "bos-master", server)
	st, err := redisstore.Open(t.Context(), "redis+sentinel://"+sentinels+"/bos-master", redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	sub := st.Subscribe(bos.Cursor{})
	if err := put(t.Context(), st, "t"); err != nil {
		t.Fatal(err)
	}
	if c := next(t, sub)[0]; c.ID != "t" {
		t.Errorf("the change is %+v", c)
	}
	if n := database(t, server.URL, 2).DBSize(t.Context()).Val(); n != 1 {
		t.Errorf("the master holds %d templates, want 1", n)
	}
}
