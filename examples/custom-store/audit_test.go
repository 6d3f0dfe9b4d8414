package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/golang/mock/gomock"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/bos/bostest"
	audit "github.com/bootorch/bosgo/examples/custom-store"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/redisstore"
	"github.com/bootorch/bosgo/store/storetest"
)

// onRedis opens a store on a Redis inside this process (miniredis).
func onRedis(t *testing.T) store.Store {
	t.Helper()
	st, err := redisstore.Open(t.Context(), storetest.NewRedis(t), redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// The wrapper is still a store, over memory and over Redis.
func TestConformance(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) store.Store{
		"memory": func(*testing.T) store.Store { return memstore.New() },
		"redis":  onRedis,
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store { return audit.Wrap(open(t), slog.New(slog.DiscardHandler)) }, storetest.Caps{})
		})
	}
}

// An API server cannot tell it from any other store.
func TestAPI(t *testing.T) {
	bostest.RunMethods(t, func(t testing.TB) bos.API {
		st := audit.Wrap(memstore.New(), slog.New(slog.DiscardHandler))
		t.Cleanup(func() { st.Close() })
		return bostest.NewServer(t, bostest.Options{Store: st}).Service
	})
}

// watched wraps a store. The function returns the audit log since it was called last.
func watched(st store.Store) (*audit.Store, func() string) {
	var log bytes.Buffer
	handler := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}})
	return audit.Wrap(st, slog.New(handler)), func() string {
		defer log.Reset()
		return strings.TrimSpace(log.String())
	}
}

func component(id bos.ComponentID, enabled bool) bos.Component {
	return bos.Component{ID: id, Enabled: &enabled}
}

// Every way to write leaves its lines. The store is the fake: one in memory.
func TestEveryWayToWrite(t *testing.T) {
	enable := func(c *bos.Component) error { c.Enabled = new(true); return nil }
	for _, row := range []struct {
		name  string
		write func(context.Context, store.Store) error
		want  string
	}{
		{"create", func(ctx context.Context, st store.Store) error {
			return st.Components().Create(ctx, "x9", component("x9", true))
		}, "xname=x9 enabled=true writer=test"},
		{"put", func(ctx context.Context, st store.Store) error {
			return st.Components().Put(ctx, "on", component("on", false))
		}, "xname=on enabled=false writer=test"},
		{"update", func(ctx context.Context, st store.Store) error {
			_, err := st.Components().Update(ctx, "off", enable)
			return err
		}, "xname=off enabled=true writer=test"},
		{"update that changes nothing", func(ctx context.Context, st store.Store) error {
			_, err := st.Components().Update(ctx, "on", enable)
			return err
		}, ""},
		{"update many", func(ctx context.Context, st store.Store) error {
			_, err := st.Components().UpdateMany(ctx, []bos.ComponentID{"on", "off"}, func(_ bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
				return store.Write, enable(c)
			})
			return err
		}, "xname=off enabled=true writer=test"},
		{"transaction", func(ctx context.Context, st store.Store) error {
			return st.Transact(ctx, func(tx store.Tx) error {
				return errors.Join(tx.Components().Put("off", component("off", true)), tx.Components().Put("on", component("on", false)))
			})
		}, "xname=off enabled=true writer=test\nxname=on enabled=false writer=test"},
		{"transaction that is given up", func(ctx context.Context, st store.Store) error {
			_ = st.Transact(ctx, func(tx store.Tx) error {
				return errors.Join(tx.Components().Put("off", component("off", true)), bos.ErrConflict)
			})
			return nil
		}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			st, log := watched(memstore.New())
			defer st.Close()
			for _, c := range []bos.Component{component("on", true), component("off", false)} {
				if err := st.Components().Put(t.Context(), c.ID, c); err != nil {
					t.Fatal(err)
				}
			}
			log()
			if err := row.write(bos.WithWriter(t.Context(), "test"), st); err != nil {
				t.Fatal(err)
			}
			if got := log(); got != row.want {
				t.Errorf("audit log:\n%s\nwant:\n%s", got, row.want)
			}
		})
	}
}

// An API server over the wrapper, on Redis: also what an operator writes under its lease is watched.
func TestAuditOfAnAPIOnRedis(t *testing.T) {
	st, log := watched(onRedis(t))
	defer st.Close()
	api := bosserver.New(st, bosserver.Config{})
	if _, err := api.PutComponents(t.Context(), []bos.Component{component("x1", false), component("x2", false)}); err != nil {
		t.Fatal(err)
	}
	if got := log(); got != "" {
		t.Errorf("new components that are disabled leave lines:\n%s", got)
	}
	ctx := bos.WithWriter(t.Context(), "session-setup")
	if _, err := api.PatchComponent(ctx, "", "x1", bos.ComponentPatch{Enabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.PatchComponents(ctx, "", []bos.ComponentPatch{{ID: "x1", Error: new("e")}, {ID: "x2", Enabled: new(true)}}, false); err != nil {
		t.Fatal(err)
	}
	taken := bos.GuardedPatch{ID: "x1", Patch: bos.ComponentPatch{Enabled: new(false), Session: new("s1")}}
	if _, err := api.PatchGuarded(bos.WithSessionTenant(ctx, ""), bos.GuardedPatches{Patches: []bos.GuardedPatch{taken}}); err != nil {
		t.Fatal(err)
	}
	const want = "xname=x1 enabled=true writer=session-setup\nxname=x2 enabled=true writer=session-setup\nxname=x1 enabled=false writer=session-setup"
	if got := log(); got != want {
		t.Errorf("audit log:\n%s\nwant:\n%s", got, want)
	}
}

// A mock stands in for the database where a single call has to go wrong: what was not stored leaves no line.
func TestWithAMock(t *testing.T) {
	driver := storetest.NewMockDriver(gomock.NewController(t))
	driver.EXPECT().Feed().Return(store.NewFeed(bos.Cursor{})).AnyTimes()
	driver.EXPECT().Get(gomock.Any(), store.BucketComponents, []string{"x1"}).Return([][]byte{[]byte(`{"id":"x1","enabled":false}`)}, nil)
	driver.EXPECT().Commit(gomock.Any(), gomock.Len(1), gomock.Any()).Return(nil, fmt.Errorf("the disk is full: %w", bos.ErrUnavailable))
	st, log := watched(store.New(driver, store.Config{}))
	if _, err := st.Components().Update(t.Context(), "x1", func(c *bos.Component) error { c.Enabled = new(true); return nil }); !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("error = %v", err)
	}
	if got := log(); got != "" {
		t.Errorf("audit log:\n%s", got)
	}
}

// A Faulty driver does the same to a store that works otherwise: here somebody else writes first, and the line tells what
// was stored in the end.
func TestLostRace(t *testing.T) {
	races := 2
	st, log := watched(storetest.NewFaulty(memstore.NewDriver(), func(op string) storetest.Fault {
		if op == "commit" && races > 0 {
			races--
			return storetest.Race
		}
		return storetest.None
	}))
	defer st.Close()
	if err := st.Components().Create(t.Context(), "x1", component("x1", false)); err != nil {
		t.Fatal(err)
	}
	err := st.Transact(t.Context(), func(tx store.Tx) error { return tx.Components().Put("x1", component("x1", true)) })
	if err != nil || races > 0 {
		t.Fatalf("error %v, %d races to come", err, races)
	}
	if got := log(); got != `xname=x1 enabled=true writer=""` {
		t.Errorf("audit log:\n%s", got)
	}
}
