package redisstore_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/storetest"
)

// TestForeignWriter writes as another program does and looks at once.
func TestForeignWriter(t *testing.T) {
	for name, newURL := range map[string]func(testing.TB) string{"in process": storetest.NewRedis, "server": storetest.NewRedisServer} {
		t.Run(name, func(t *testing.T) { testForeignWriter(t, newURL(t)) })
	}
}

func testForeignWriter(t *testing.T, url string) {
	ctx := t.Context()
	st := open(t, url)
	foreign := database(t, url, 1)
	check := func(what string, want ...bos.ComponentID) {
		t.Helper()
		var got []bos.ComponentID
		for c, err := range store.QueryComponents(ctx, st, bos.ComponentFilter{Session: "s"}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, c.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
	}
	record := func(id, session string) string { return fmt.Sprintf(`{"id": %q, "session": %q}`, id, session) }
	set := func(id, session string) {
		t.Helper()
		if err := foreign.Set(ctx, id, record(id, session), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	check("nothing")
	for n := range 100 {
		set("x1", "s")
		check(fmt.Sprint("round ", n, ": set"), "x1")
		if err := foreign.MSet(ctx, "x1", record("x1", ""), "x2", record("x2", "s")).Err(); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprint("round ", n, ": set many"), "x2")
		if err := foreign.GetDel(ctx, "x2").Err(); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprint("round ", n, ": deleted"))
	}
	set("x3", "s")
	check("set", "x3")
	if err := foreign.FlushDB(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	check("database emptied")
	set("x4", "s")
	check("set", "x4")
	if err := foreign.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	check("everything emptied")
}

// TestLostTracking writes while the connection that tells of writes is gone.
func TestLostTracking(t *testing.T) {
	url := storetest.NewRedisServer(t)
	ctx := t.Context()
	st := open(t, url)
	foreign := database(t, url, 1)
	count := func() (n int) {
		for _, err := range store.QueryComponents(ctx, st, bos.ComponentFilter{}) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	for n := range 5 {
		if got := count(); got != n {
			t.Fatalf("%d components, want %d", got, n)
		}
		if err := foreign.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("x", n)
		if err := foreign.Set(ctx, id, fmt.Sprintf(`{"id": %q}`, id), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
