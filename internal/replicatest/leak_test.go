package replicatest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/internal/app"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/storetest"
)

// leaks returns a function that fails the test if goroutines run that did not when leaks was called.
func leaks(t *testing.T) (check func()) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	return func() {
		t.Helper()
		goleak.VerifyNone(t, before)
	}
}

// TestStoresLeaveNothing uses each store and closes it while somebody still follows its changes.
func TestStoresLeaveNothing(t *testing.T) {
	for name, url := range map[string]func(t *testing.T) string{
		"memory": func(*testing.T) string { return "memory:" },
		"bolt":   func(t *testing.T) string { return "bolt:" + filepath.Join(t.TempDir(), "bos.db") },
		"redis":  func(t *testing.T) string { return storetest.NewRedisServer(t) },
	} {
		t.Run(name, func(t *testing.T) {
			u := url(t)
			check := leaks(t)
			st, err := app.OpenStore(t.Context(), u, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			var following sync.WaitGroup
			seen := make(chan struct{})
			following.Go(func() {
				n := 0
				for _, err := range st.Changes(context.Background(), st.Cursor()) {
					if err != nil {
						if n == 0 {
							t.Error(err)
							close(seen)
						}
						return
					}
					if n++; n == 1 {
						close(seen)
					}
				}
			})
			for written := false; !written; { // the subscription may come after the first
				if err := st.Components().Put(t.Context(), "x1", bos.Component{ID: "x1", Enabled: new(false)}); err != nil {
					t.Fatal(err)
				}
				if err := st.Components().Put(t.Context(), "x1", bos.Component{ID: "x1", Enabled: new(true)}); err != nil {
					t.Fatal(err)
				}
				select {
				case <-seen:
					written = true
				default:
				}
			}
			n := 0
			for _, err := range store.QueryComponents(t.Context(), st, bos.ComponentFilter{Enabled: new(true)}) {
				if n++; err != nil {
					t.Error(err)
				}
			}
			if n != 1 {
				t.Errorf("%d components, want 1", n)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
			following.Wait()
			check()
		})
	}
}

// TestHandlerLeavesNothing sends requests of all sorts, opens streams of changes and goes away.
func TestHandlerLeavesNothing(t *testing.T) {
	check := leaks(t)
	st := memstore.New()
	closing := make(chan struct{})
	server := httptest.NewServer(bosserver.NewHandler(bosserver.New(st, bosserver.Config{}), bosserver.HandlerConfig{Closing: closing}))
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	api, err := bosclient.New(server.URL, bosclient.Config{Transport: transport, RetryBudget: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var streams sync.WaitGroup
	following := make(chan struct{}, 16)
	for i := range cap(following) {
		streams.Go(func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v2/events", nil)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := transport.RoundTrip(r)
			following <- struct{}{}
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if i%2 == 0 { // this one goes away at once; the others are told that the server closes
				return
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
		})
	}
	for range cap(following) {
		<-following
	}
	var requests sync.WaitGroup
	for i := range 8 {
		requests.Go(func() {
			id := bos.ComponentID("x1000c0s0b0n" + string(rune('0'+i)))
			for range 50 {
				_, err := api.PutComponent(ctx, id, bos.Component{ID: id})
				_, patchErr := api.PatchComponent(ctx, "", id, bos.ComponentPatch{Error: new("e")})
				_, missing := api.GetComponent(ctx, "", "x9")
				for _, listErr := range api.ListComponents(ctx, bos.ComponentFilter{}) {
					err = errors.Join(err, listErr)
				}
				if err := errors.Join(err, patchErr); err != nil || !errors.Is(missing, bos.ErrNotFound) {
					t.Error(err, missing)
				}
			}
		})
	}
	requests.Wait()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := api.GetComponent(gone, "", "x1"); !errors.Is(err, context.Canceled) {
		t.Errorf("a request of a caller who has gone: %v", err)
	}
	close(closing)
	streams.Wait()
	stop()
	_ = api.Close()
	server.Close()
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	check()
}

// nothing is an operator that does nothing, and says when it has.
type nothing struct{ passes chan struct{} }

func (nothing) Name() string { return "nothing" }

func (n nothing) Run(context.Context, operator.Tick) error {
	select {
	case n.passes <- struct{}{}:
	default:
	}
	return nil
}

func (nothing) Wakes(c *bos.Change) bool { return strings.HasPrefix(c.ID, "x") }

// TestLoopLeavesNothing runs loops, of which one stands by, over HTTP and ends them.
func TestLoopLeavesNothing(t *testing.T) {
	check := leaks(t)
	st := memstore.New()
	svc := bosserver.New(st, bosserver.Config{})
	closing := make(chan struct{})
	server := httptest.NewServer(bosserver.NewHandler(svc, bosserver.HandlerConfig{Closing: closing}))
	api, err := bosclient.New(server.URL, bosclient.Config{RetryBudget: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	ended := errors.New("the test is over")
	var loops sync.WaitGroup
	op := nothing{make(chan struct{}, 1)}
	for _, a := range []operator.API{api, api, svc} {
		loops.Go(func() {
			loop := &operator.Loop{Operator: op, API: a, Holder: "one"}
			if a != operator.API(api) {
				loop.Holder = "another"
			}
			if err := loop.Run(ctx); !errors.Is(err, ended) {
				t.Errorf("Run = %v", err)
			}
		})
	}
	<-op.passes
	if _, err := svc.PutComponent(ctx, "x1", bos.Component{ID: "x1"}); err != nil {
		t.Fatal(err)
	}
	<-op.passes // woken, or in time
	stop(ended)
	loops.Wait()
	_ = api.Close()
	close(closing)
	server.Close()
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	check()
}
