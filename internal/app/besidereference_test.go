package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/redisstore"
	"github.com/bootorch/bosgo/store/storetest"
)

// referenceServer is an API server that has no paths of ours, until it is replaced by one that has.
type referenceServer struct {
	http.Handler
	ours atomic.Bool
}

func newReferenceServer(st store.Store) *referenceServer {
	return &referenceServer{Handler: bosserver.NewHandler(bosserver.New(st, bosserver.Config{}), bosserver.HandlerConfig{})}
}

func (s *referenceServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	noun, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	additions := []string{"leases", "transitions", "events", "settings", "bootartifacts", "componentpatches"}
	if !s.ours.Load() && slices.Contains(additions, noun) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(bos.Problem{Type: "about:blank", Title: "Not Found", Status: 404, Detail: bos.DetailRouteNotFound})
		return
	}
	s.Handler.ServeHTTP(w, r)
}

// process is the API as one process has it.
func (s *referenceServer) process(t *testing.T, st store.Store, alone bool, log *slog.Logger) *besideReference {
	t.Helper()
	client, err := bosclient.New("http://bos", bosclient.Config{Transport: inProcess{s}, RetryBudget: -1})
	if err != nil {
		t.Fatal(err)
	}
	return newBesideReference(client, st, alone, log)
}

// lease reads the lease record of an operator.
func lease(t *testing.T, st store.Store, operator string) (rec store.LeaseRecord) {
	t.Helper()
	err := st.Transact(t.Context(), func(tx store.Tx) (err error) {
		rec, err = tx.Leases().Get(operator)
		return err
	})
	if err != nil && !errors.Is(err, bos.ErrNotFound) {
		t.Fatal(err)
	}
	return rec
}

// TestReferenceTokens has a reference server whose Redis the operators know, with records as the reference writes them:
// what no component refers to is removed. Without that Redis nothing is.
func TestReferenceTokens(t *testing.T) {
	ctx := t.Context()
	api := memstore.New()
	defer api.Close()
	server := newReferenceServer(api)
	url := storetest.NewRedis(t)
	st, err := redisstore.Open(ctx, url, redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	d := st.Driver()
	const artifacts = `{"kernel": "k", "kernel_parameters": "p", "initrd": "i", "timestamp": "2020-03-01T12:00:00"}`
	_, err = d.Commit(ctx, []store.Mutation{
		{Bucket: store.BucketArtifacts, Key: "unused", New: []byte(artifacts)},
		{Bucket: store.BucketArtifacts, Key: "used", New: []byte(artifacts)},
		{Bucket: store.BucketComponents, Key: "x1", New: []byte(`{"id": "x1", "actual_state": {"bss_token": "used"}, "enabled": false}`)},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.process(t, st, true, discard()).PruneBootArtifacts(ctx, time.Hour); !errors.Is(err, bos.ErrUnsupported) {
		t.Errorf("without the server's Redis: %v, want bos.ErrUnsupported", err)
	}
	if n, err := server.process(t, st, false, discard()).PruneBootArtifacts(ctx, time.Hour); err != nil || n != 1 {
		t.Errorf("removed %d, %v; want 1", n, err)
	}
	found, err := st.BootArtifacts().GetMany(ctx, []bos.BSSToken{"unused", "used"})
	if _, kept := found["used"]; err != nil || len(found) != 1 || !kept {
		t.Errorf("%d tokens are left, %v; want the one in use", len(found), err)
	}
}

// TestReferenceLeases has two processes that share a Redis against a reference server.
func TestReferenceLeases(t *testing.T) {
	ctx, cancel := context.WithTimeout(bos.WithWriter(t.Context(), "power-on"), safety)
	defer cancel()
	api := memstore.New()
	defer api.Close()
	server := newReferenceServer(api)
	url := storetest.NewRedis(t)
	process := func() *besideReference {
		st, err := redisstore.Open(ctx, url, redisstore.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		return server.process(t, st, false, discard())
	}
	a, b := process(), process()

	first, err := a.AcquireLease(ctx, "power-on", "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.AcquireLease(ctx, "power-on", "a", time.Minute); err != nil || again.Token != first.Token {
		t.Errorf("renewed as %+v, %v; want the token %d", again, err, first.Token)
	}
	if _, err := b.AcquireLease(ctx, "power-on", "b", time.Minute); !errors.Is(err, bos.ErrConflict) || !strings.Contains(err.Error(), "held by a") {
		t.Errorf("taken twice: %v", err)
	}
	if _, err := b.AcquireLease(ctx, "status", "b", time.Minute); err != nil {
		t.Errorf("the lease of another operator: %v", err)
	}

	record := bos.PowerTransition{ID: "t1", Service: "s", Operation: "On", Operator: "power-on", Accepted: 5, Components: []bos.ComponentID{"x1"}}
	if err := a.PutPowerTransition(ctx, record); err != nil {
		t.Fatal(err)
	}
	for _, ids := range [][]string{nil, {"t1", "t2"}} {
		found, err := b.PowerTransitions(ctx, ids)
		if diff := cmp.Diff([]bos.PowerTransition{record}, found); err != nil || diff != "" {
			t.Errorf("transitions of the other process, ids %v (-want +got):\n%s%v", ids, diff, err)
		}
	}
	if err := b.DeletePowerTransition(ctx, "t1"); err != nil {
		t.Fatal(err)
	}
	if found, err := a.PowerTransitions(ctx, nil); err != nil || len(found) > 0 {
		t.Errorf("after the other removed it: %v, %v", found, err)
	}

	next, stop := iter.Pull2(b.Changes(ctx, bos.ChangeFilter{Kinds: []bos.ChangeKind{bos.ChangeLease}, Since: b.beside.Cursor()}))
	defer stop()
	if err := a.ReleaseLease(ctx, "power-on", "a"); err != nil {
		t.Fatal(err)
	}
	for {
		c, err, ok := next()
		if !ok || err != nil {
			t.Fatalf("no change tells of the release: %v", err)
		}
		if c.ID == "power-on" && c.Deleted {
			break
		}
	}
	second, err := b.AcquireLease(ctx, "power-on", "b", time.Minute)
	if err != nil || second.Token <= first.Token {
		t.Fatalf("%+v, %v after %+v was released", second, err, first)
	}

	if err := api.Components().Put(ctx, "x1", bos.Component{ID: "x1"}); err != nil {
		t.Fatal(err)
	}
	write := func(p *besideReference, token int64, text string) error {
		_, err := p.PatchGuarded(ctx, bos.GuardedPatches{
			Lease: token, Patches: []bos.GuardedPatch{{ID: "x1", Patch: bos.ComponentPatch{Error: new(text)}}},
		})
		return err
	}
	if err := write(b, second.Token, "by b"); err != nil {
		t.Error(err)
	}
	if err := write(a, first.Token, "by a"); !errors.Is(err, bos.ErrConflict) {
		t.Errorf("a write under the old lease: %v", err)
	}
	if c, err := api.Components().Get(ctx, "x1"); err != nil || c.ErrorText() != "by b" {
		t.Errorf("the component says %q, %v", c.ErrorText(), err)
	}
}

// TestReferenceReplaced puts a server of ours in the place of the reference one.
func TestReferenceReplaced(t *testing.T) {
	for _, row := range []struct {
		name   string
		shared bool // both keep their records in one database
	}{{"by one on the same database", true}, {"by one on another database", false}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api, beside := memstore.New(), memstore.New()
				defer api.Close()
				defer beside.Close()
				if row.shared {
					beside = api
				}
				server := newReferenceServer(api)
				p := server.process(t, beside, false, discard())
				take := func() bos.Lease {
					t.Helper()
					l, err := p.AcquireLease(t.Context(), "status", "me", time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					return l
				}
				first := take()
				if lease(t, beside, "status").Holder != "me" {
					t.Error("the lease is not in the store beside the server")
				}
				server.ours.Store(true)
				for range 3 { // the client believes the first answer for a minute
					time.Sleep(25 * time.Second)
					take()
				}
				last := take()
				if rec := lease(t, api, "status"); rec.Holder != "me" || rec.Token != last.Token {
					t.Errorf("the server keeps the lease %+v, want %+v", rec, last)
				}
				if same := first.Token == last.Token; same != row.shared {
					t.Errorf("the same token: %v, want %v", same, row.shared)
				}
			})
		})
	}
}

// acting is an operator that notes under which lease it acted.
type acting struct {
	name   string
	mu     sync.Mutex
	leases []operator.Fence
}

func (a *acting) Name() string { return a.name }

func (a *acting) Run(_ context.Context, t operator.Tick) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leases = append(a.leases, t.Lease)
	return nil
}

// passes returns how many passes the operator has made, and whether all of them were under a lease.
func (a *acting) passes() (n int, leased bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.leases), !slices.Contains(a.leases, nil)
}

// TestReferenceLoops runs two operators in two processes. Each is active in one of them, until that one stops.
func TestReferenceLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, beside := memstore.New(), memstore.New()
		defer api.Close()
		defer beside.Close()
		server := newReferenceServer(api)
		names := []string{"power-on", "status"}
		start := func(holder string) (loops map[string]*operator.Loop, ops map[string]*acting, stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			shared := shareChanges(ctx, server.process(t, beside, false, discard()))
			loops, ops = map[string]*operator.Loop{}, map[string]*acting{}
			var wg sync.WaitGroup
			for _, name := range names {
				ops[name] = &acting{name: name}
				l := &operator.Loop{Operator: ops[name], API: shared, Holder: holder}
				loops[name] = l
				wg.Go(func() { _ = l.Run(ctx) })
			}
			return loops, ops, func() { cancel(); wg.Wait() }
		}
		first, firstOps, stopFirst := start("first")
		time.Sleep(time.Second)
		second, secondOps, stopSecond := start("second")
		defer stopSecond()
		time.Sleep(2 * time.Minute)
		for _, name := range names {
			if !first[name].Active() || second[name].Active() {
				t.Errorf("%s: active in the first process %v, in the second %v", name, first[name].Active(), second[name].Active())
			}
			for i, l := range []*operator.Loop{first[name], second[name]} {
				if err := l.Ready(); err != nil {
					t.Errorf("process %d is not ready: %v", i, err)
				}
			}
			if n, leased := firstOps[name].passes(); n == 0 || !leased {
				t.Errorf("%s: %d passes, all under a lease %v", name, n, leased)
			}
			if n, _ := secondOps[name].passes(); n != 0 {
				t.Errorf("%s made %d passes in the process that stands by", name, n)
			}
		}
		stopFirst()
		time.Sleep(100 * time.Millisecond) // far less than the lease lasts, or is asked for again
		for _, name := range names {
			if n, leased := secondOps[name].passes(); !second[name].Active() || n == 0 || !leased {
				t.Errorf("%s did not go over: active %v, %d passes, all under a lease %v", name, second[name].Active(), n, leased)
			}
		}
	})
}

// TestReferenceAlone runs two operators without a store that others see.
func TestReferenceAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, own := memstore.New(), memstore.New()
		defer api.Close()
		defer own.Close()
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		server := newReferenceServer(api)
		ctx, cancel := context.WithCancel(t.Context())
		shared := shareChanges(ctx, server.process(t, own, true, log))
		var wg sync.WaitGroup
		for _, name := range []string{"power-on", "status"} {
			l := &operator.Loop{Operator: &acting{name: name}, API: shared, Holder: "me", Log: log}
			wg.Go(func() { _ = l.Run(ctx) })
			defer func() {
				if n, _ := l.Operator.(*acting).passes(); n < 4 {
					t.Errorf("%s made %d passes", name, n)
				}
			}()
		}
		time.Sleep(100 * time.Second) // no pass is under way then
		cancel()
		wg.Wait()
		if text := out.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "--store") {
			t.Errorf("want one warning that names --store:\n%s", text)
		}
	})
}

// changesStub is an API whose changes begin one day.
type changesStub struct {
	bos.API
	told  atomic.Bool
	asked []time.Duration
	since bos.Cursor
	begin time.Time
}

func (s *changesStub) Changes(_ context.Context, f bos.ChangeFilter) iter.Seq2[bos.Change, error] {
	return func(yield func(bos.Change, error) bool) {
		s.asked = append(s.asked, time.Since(s.begin))
		if !s.told.Load() {
			yield(bos.Change{}, bos.ErrUnsupported)
			return
		}
		s.since = f.Since
		if yield(bos.Change{Kind: bos.ChangeOptions}, nil) {
			yield(bos.Change{}, bos.ErrUnavailable)
		}
	}
}

// TestReferenceChanges goes on from the changes of the store to those of the API once there are some.
func TestReferenceChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		defer st.Close()
		stub := &changesStub{begin: time.Now()}
		p := newBesideReference(stub, st, false, discard())
		time.AfterFunc(besideFor/2, func() {
			if _, err := store.AcquireLease(t.Context(), st, "status", "me", time.Minute, time.Now()); err != nil {
				t.Error(err)
			}
		})
		time.AfterFunc(besideFor+time.Second, func() { stub.told.Store(true) })
		var kinds []bos.ChangeKind
		var failed error
		for c, err := range p.Changes(t.Context(), bos.ChangeFilter{}) {
			if failed = err; err == nil {
				kinds = append(kinds, c.Kind)
			}
		}
		if want := []bos.ChangeKind{bos.ChangeLease, bos.ChangeOptions}; !slices.Equal(kinds, want) || !errors.Is(failed, bos.ErrUnavailable) {
			t.Errorf("changes %v, then %v; want %v and the error of the API", kinds, failed, want)
		}
		if want := []time.Duration{0, besideFor, 2 * besideFor}; !slices.Equal(stub.asked, want) {
			t.Errorf("asked the API at %v, want %v", stub.asked, want)
		}
		if stub.since != st.Cursor() {
			t.Errorf("asked the API for what came after %s, want %s", stub.since, st.Cursor())
		}
	})
}

// TestRunOperatorsAgainstReference runs two processes against a reference server over HTTP.
func TestRunOperatorsAgainstReference(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), safety)
	defer cancel()
	api := memstore.New()
	defer api.Close()
	server := httptest.NewServer(newReferenceServer(api))
	defer server.Close()
	url := storetest.NewRedis(t)
	st, err := OpenStore(ctx, url, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	run := func() (stop func()) {
		cfg, err := ParseOperatorFlags([]string{"--api", server.URL, "--store", url, "--run", "session-cleanup"}, environment(nil), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := RunOperators(ctx, cfg, t.Output()); err != nil {
				t.Error(err)
			}
		})
		return func() { cancel(); wg.Wait() }
	}
	holder := func() string { return lease(t, st, "session-cleanup").Holder }
	stopFirst := run()
	await(t, ctx, "the first process", func() bool { return holder() != "" })
	first := holder()
	stopSecond := run()
	defer stopSecond()
	stopFirst()
	await(t, ctx, "the second process", func() bool { return holder() != "" && holder() != first })
}
