// Package storetest checks stores: Run is the conformance suite that every driver passes, Model drives a store beside
// the one in memory at random, NewRedis and NewRedisServer bring a Redis to test with, Faulty fails on demand, and
// MockDriver is for single calls.
package storetest

//go:generate go tool mockgen -write_package_comment=false -destination mock_driver.go -package storetest -source ../driver.go

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// Caps say what a store can do beyond the least. The zero value is a store that lives and dies with its process.
type Caps struct {
	// Reopen closes the store and opens the same database again; nil = records do not outlive the store.
	Reopen func(t *testing.T, st store.Store) store.Store
	// Second opens the database of the store once more, as another process would; nil = only one may have it open.
	Second func(t *testing.T, st store.Store) store.Store
}

// Run checks everything that the interfaces of package store promise. open returns a new, empty store each time; Run
// closes it.
func Run(t *testing.T, open func(t *testing.T) store.Store, caps Caps) {
	run := func(name string, test func(t *testing.T, st store.Store)) {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			t.Cleanup(func() { _ = st.Close() })
			test(t, st)
		})
	}
	run("components", func(t *testing.T, st store.Store) {
		testCollection(t, st.Components(), componentFixture)
	})
	run("sessions", func(t *testing.T, st store.Store) {
		testCollection(t, st.Sessions(), sessionFixture)
	})
	run("templates", func(t *testing.T, st store.Store) {
		testCollection(t, st.Templates(), templateFixture)
	})
	run("saved statuses", func(t *testing.T, st store.Store) {
		testCollection(t, st.SavedStatuses(), statusFixture)
	})
	run("boot artifacts", func(t *testing.T, st store.Store) {
		testCollection(t, st.BootArtifacts(), artifactsFixture)
		testTokens(t, st)
	})
	run("power transitions", func(t *testing.T, st store.Store) {
		// Neighbours in the bucket.
		for _, operator := range []string{"power-on", "status"} {
			if _, err := store.AcquireLease(t.Context(), st, operator, "me", time.Minute, fixedNow); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := st.Settings().Update(t.Context(), func(s *bos.Settings) error { s.MaxNodesPerTransition = 3; return nil }); err != nil {
			t.Fatal(err)
		}
		if d, ok := st.(interface{ Driver() store.Driver }); ok { // what a later release may keep behind them
			if _, err := d.Driver().Commit(t.Context(), []store.Mutation{{Bucket: store.BucketOurs, Key: "bos:unknown:1", New: []byte(`{"id":"none"}`)}}, true); err != nil {
				t.Fatal(err)
			}
		}
		testCollection(t, st.PowerTransitions(), transitionFixture)
	})
	run("options and settings", testSingletons)
	run("values are copies", testCopies)
	run("unknown members survive", testUnknownMembers)
	run("corrupt records", testCorrupt)
	run("unusable keys", testKeys)
	run("no update is lost", testConcurrentUpdates)
	run("one of many creators wins", testConcurrentCreate)
	run("bulk updates race", testBulkRaces)
	run("scan while records come and go", testScanRaces)
	run("query", testQuery)
	run("transaction", testTransact)
	run("transaction sees one moment", testTransactIsolation)
	run("transactions race", testTransactRaces)
	run("writes under a lease", testHold)
	run("changes", testChanges)
	run("changes in order", testChangesInOrder)
	run("cursors", testCursors)
	run("slow subscriber", testSlowSubscriber)
	run("leases", testLeases)
	run("lease fences a write", testLeaseFence)
	run("ended context", testEndedContext)
	run("ping and close", testClose)
	if caps.Reopen != nil {
		run("reopen", func(t *testing.T, st store.Store) { testReopen(t, st, caps.Reopen) })
	}
	if caps.Second != nil {
		run("second process", func(t *testing.T, st store.Store) { testSecond(t, st, caps.Second(t, st)) })
	}
}

// fixture makes records of one kind. n tells records and their versions apart.
type fixture[K comparable, V any] struct {
	key   func(n int) K
	value func(n int) V
}

func xname(n int) bos.ComponentID {
	return bos.ComponentID(fmt.Sprintf("x%04dc0s%db0n0", 1000+n/8, n%8))
}

var componentFixture = fixture[bos.ComponentID, bos.Component]{
	key: xname,
	value: func(n int) bos.Component {
		return bos.Component{
			ID:      xname(n),
			Enabled: new(n%2 == 0),
			Error:   new(fmt.Sprintf("reason %d", n)),
			DesiredState: &bos.DesiredState{
				BootArtifacts: bos.BootArtifacts{Kernel: fmt.Sprintf("s3://boot-images/%d/kernel", n)}.Fields(),
				Configuration: new("é <&> \u2028 \x00"),
			},
			Extra: bos.Extra{"vendor": json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))},
		}
	},
}

func tenantKey(n int) bos.TenantKey {
	return bos.TenantKey{Tenant: []string{"", "vcluster-blue"}[n%2], Name: fmt.Sprintf("name-%d", n/2)}
}

var sessionFixture = fixture[bos.TenantKey, bos.Session]{
	key: tenantKey,
	value: func(n int) bos.Session {
		key := tenantKey(n)
		return bos.Session{
			Name: key.Name, Tenant: bos.NullString(key.Tenant), Operation: bos.OperationReboot, TemplateName: fmt.Sprint("t", n),
			Status: &bos.SessionStatus{StartTime: "2026-01-31T10:00:00", Status: bos.SessionPending},
		}
	},
}

var templateFixture = fixture[bos.TenantKey, bos.SessionTemplate]{
	key: tenantKey,
	value: func(n int) bos.SessionTemplate {
		key := tenantKey(n)
		return bos.SessionTemplate{
			Name: key.Name, Tenant: bos.NullString(key.Tenant), EnableCFS: new(true),
			BootSets: map[string]bos.BootSet{"compute": {Path: fmt.Sprintf("s3://boot-images/%d/manifest.json", n), Type: "s3", NodeList: []string{"x1"}}},
		}
	},
}

var statusFixture = fixture[bos.TenantKey, bos.ExtendedStatus]{
	key: tenantKey,
	value: func(n int) bos.ExtendedStatus {
		return bos.ExtendedStatus{
			Status: bos.SessionComplete, ManagedComponentsCount: n, PercentSuccessful: 16.67,
			ErrorSummary: map[string]bos.ErrorSummary{"broken": {Count: 1, List: "x1"}},
			Timing:       bos.SessionTiming{StartTime: "2026-01-31T10:00:00", Duration: "0:00:01.580470"},
		}
	},
}

var artifactsFixture = fixture[bos.BSSToken, bos.BootArtifacts]{
	key: func(n int) bos.BSSToken { return bos.BSSToken(fmt.Sprintf("token-%03d", n)) },
	value: func(n int) bos.BootArtifacts {
		return bos.BootArtifacts{Kernel: fmt.Sprint("kernel-", n), Initrd: "initrd", Timestamp: "2026-01-31T10:00:00"}
	},
}

var transitionFixture = fixture[string, bos.PowerTransition]{
	key: func(n int) string { return fmt.Sprintf("transition-%03d", n) },
	value: func(n int) bos.PowerTransition {
		return bos.PowerTransition{
			ID: fmt.Sprintf("transition-%03d", n), Service: "s", Operation: "On", Operator: "power-on", Accepted: int64(n),
			Aborted: n%2 == 0, Components: []bos.ComponentID{xname(n), xname(n + 1)},
		}
	},
}

// dbKey returns what a Scan sorts by.
func dbKey(key any) string {
	switch k := key.(type) {
	case bos.TenantKey:
		return k.DatabaseKey()
	case bos.ComponentID:
		return string(k)
	case bos.BSSToken:
		return string(k)
	case string:
		return k
	}
	panic("unknown key")
}

// testTokens puts records into the store, one of them corrupt where that can be done, and lists their keys.
func testTokens(t *testing.T, st store.Store) {
	for token, err := range st.Tokens(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := st.BootArtifacts().Delete(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	want := []bos.BSSToken{"b", "é", "x:1"}
	for _, token := range want {
		if err := st.BootArtifacts().Put(t.Context(), token, artifactsFixture.value(1)); err != nil {
			t.Fatal(err)
		}
	}
	if d, ok := st.(interface{ Driver() store.Driver }); ok {
		if _, err := d.Driver().Commit(t.Context(), []store.Mutation{{Bucket: store.BucketArtifacts, Key: "a", New: []byte("no JSON")}}, true); err != nil {
			t.Fatal(err)
		}
		want = append(want, "a")
	}
	var got []bos.BSSToken
	for token, err := range st.Tokens(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, token)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d tokens, not the %d that are stored, or in another order", len(got), len(want))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range st.Tokens(ended) {
		if err == nil {
			t.Error("tokens after the context ended")
		}
	}
}

func testCollection[K comparable, V any](t *testing.T, coll store.Collection[K, V], f fixture[K, V]) {
	ctx := t.Context()
	const count = 7
	var keys []K
	for n := range count {
		keys = append(keys, f.key(n))
	}
	want := func(n, version int) {
		t.Helper()
		got, err := coll.Get(ctx, f.key(n))
		if err != nil {
			t.Fatalf("Get(%v): %v", f.key(n), err)
		}
		if diff := cmp.Diff(f.value(version), got); diff != "" {
			t.Errorf("Get(%v) (-want +got):\n%s", f.key(n), diff)
		}
	}
	missing := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, bos.ErrNotFound) {
			t.Errorf("%s of a missing record = %v, want bos.ErrNotFound", what, err)
		}
	}

	_, err := coll.Get(ctx, f.key(0))
	missing("Get", err)
	_, err = coll.Update(ctx, f.key(0), func(*V) error { t.Error("fn called for a missing record"); return nil })
	missing("Update", err)
	missing("Delete", coll.Delete(ctx, f.key(0)))
	if got := collect(t, coll.Scan(ctx, store.Page[K]{})); len(got) != 0 {
		t.Errorf("Scan of an empty collection = %v", got)
	}

	// In an order that no index has.
	for _, n := range []int{3, 0, 6, 1, 5, 2} {
		if err := coll.Create(ctx, f.key(n), f.value(n)); err != nil {
			t.Fatalf("Create: %v", err)
		}
		want(n, n)
	}
	if err := coll.Create(ctx, f.key(3), f.value(9)); !errors.Is(err, bos.ErrExists) {
		t.Errorf("second Create = %v, want bos.ErrExists", err)
	}
	want(3, 3)
	if err := coll.Put(ctx, f.key(4), f.value(4)); err != nil { // creates
		t.Fatalf("Put: %v", err)
	}
	if err := coll.Put(ctx, f.key(3), f.value(13)); err != nil { // replaces
		t.Fatalf("Put: %v", err)
	}
	want(4, 4)
	want(3, 13)

	got, err := coll.Update(ctx, f.key(3), func(v *V) error {
		if diff := cmp.Diff(f.value(13), *v); diff != "" {
			t.Errorf("Update sees (-want +got):\n%s", diff)
		}
		*v = f.value(3)
		return nil
	})
	if diff := cmp.Diff(f.value(3), got); err != nil || diff != "" {
		t.Errorf("Update = %v (-want +got):\n%s", err, diff)
	}
	want(3, 3)
	boom := errors.New("boom")
	if _, err = coll.Update(ctx, f.key(3), func(v *V) error { *v = f.value(8); return boom }); !errors.Is(err, boom) {
		t.Errorf("Update whose fn fails = %v, want its error", err)
	}
	want(3, 3)

	many, err := coll.GetMany(ctx, []K{f.key(1), f.key(100), f.key(2), f.key(1)})
	if diff := cmp.Diff(map[K]V{f.key(1): f.value(1), f.key(2): f.value(2)}, many); err != nil || diff != "" {
		t.Errorf("GetMany = %v (-want +got):\n%s", err, diff)
	}

	slices.SortFunc(keys, func(a, b K) int { return strings.Compare(dbKey(a), dbKey(b)) })
	var sorted []V
	for _, key := range keys {
		v, err := coll.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		sorted = append(sorted, v)
	}
	for _, row := range []struct {
		name string
		page store.Page[K]
		want []V
	}{
		{"all", store.Page[K]{}, sorted},
		{"limit", store.Page[K]{Limit: 3}, sorted[:3]},
		{"limit beyond the end", store.Page[K]{Limit: 100}, sorted},
		{"after", store.Page[K]{After: keys[2]}, sorted[3:]},
		{"after and limit", store.Page[K]{After: keys[2], Limit: 2}, sorted[3:5]},
		{"after the last", store.Page[K]{After: keys[count-1]}, nil},
	} {
		if diff := cmp.Diff(row.want, collect(t, coll.Scan(ctx, row.page))); diff != "" {
			t.Errorf("Scan, %s (-want +got):\n%s", row.name, diff)
		}
	}
	for _, err := range coll.Scan(ctx, store.Page[K]{}) {
		if err != nil {
			t.Errorf("Scan: %v", err)
		}
		break // a consumer may leave at any time
	}

	// UpdateMany: write, skip, remove, create, a key twice.
	var seen []K
	written, err := coll.UpdateMany(ctx, []K{f.key(5), f.key(0), f.key(50), f.key(51), f.key(1), f.key(5)}, func(key K, v *V, exists bool) (store.Decision, error) {
		seen = append(seen, key)
		if isNew := key == f.key(50) || key == f.key(51); exists == isNew {
			t.Errorf("exists = %v for %v", exists, key)
		}
		switch key {
		case f.key(5):
			*v = f.value(55)
		case f.key(50):
			*v = f.value(50)
		case f.key(1):
			return store.Remove, nil
		default:
			return store.Skip, nil
		}
		return store.Write, nil
	})
	if diff := cmp.Diff([]V{f.value(55), f.value(50), f.value(1)}, written); err != nil || diff != "" {
		t.Errorf("UpdateMany = %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]K{f.key(5), f.key(0), f.key(50), f.key(51), f.key(1)}, seen); diff != "" {
		t.Errorf("UpdateMany called fn for (-want +got):\n%s", diff)
	}
	want(5, 55)
	want(0, 0)
	want(50, 50)
	_, err = coll.Get(ctx, f.key(1))
	missing("Get", err)
	_, err = coll.Get(ctx, f.key(51))
	missing("Get", err)
	if _, err := coll.UpdateMany(ctx, []K{f.key(0), f.key(2)}, func(key K, v *V, _ bool) (store.Decision, error) {
		*v = f.value(99)
		if key == f.key(2) {
			return store.Write, boom
		}
		return store.Write, nil
	}); !errors.Is(err, boom) {
		t.Errorf("UpdateMany whose fn fails = %v, want its error", err)
	}
	want(0, 0) // nothing of the chunk was written
	if written, err := coll.UpdateMany(ctx, nil, nil); len(written) != 0 || err != nil {
		t.Errorf("UpdateMany of nothing = %v, %v", written, err)
	}

	if err := coll.Delete(ctx, f.key(0)); err != nil {
		t.Errorf("Delete: %v", err)
	}
	_, err = coll.Get(ctx, f.key(0))
	missing("Get", err)
	missing("second Delete", coll.Delete(ctx, f.key(0)))
}

// collect returns what a sequence yields.
func collect[V any](t *testing.T, seq func(yield func(V, error) bool)) []V {
	t.Helper()
	var all []V
	for v, err := range seq {
		if err != nil {
			t.Fatalf("sequence ended with %v", err)
		}
		all = append(all, v)
	}
	return all
}

func testSingletons(t *testing.T, st store.Store) {
	ctx := t.Context()
	o, err := st.Options().Get(ctx)
	if diff := cmp.Diff(bos.DefaultOptions(), o); err != nil || diff != "" {
		t.Errorf("options of an empty store: %v (-want +got):\n%s", err, diff)
	}
	want := bos.DefaultOptions()
	want.PollingFrequency = 99 * time.Second
	got, err := st.Options().Update(ctx, func(o *bos.Options) error { o.PollingFrequency = 99 * time.Second; return nil })
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Update: %v (-want +got):\n%s", err, diff)
	}
	if got, err = st.Options().Get(ctx); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("Get after Update: %v\n%s", err, cmp.Diff(want, got))
	}
	boom := errors.New("boom")
	if _, err := st.Options().Update(ctx, func(o *bos.Options) error { o.PollingFrequency = 1; return boom }); !errors.Is(err, boom) {
		t.Errorf("Update whose fn fails = %v", err)
	}
	if got, _ = st.Options().Get(ctx); got.PollingFrequency != want.PollingFrequency {
		t.Errorf("a failed Update wrote %v", got.PollingFrequency)
	}

	s, err := st.Settings().Get(ctx)
	if err != nil || s != bos.DefaultSettings() {
		t.Errorf("settings of an empty store = %+v, %v", s, err)
	}
	if _, err := st.Settings().Update(ctx, func(s *bos.Settings) error { s.MaxNodesPerTransition = 7; return nil }); err != nil {
		t.Error(err)
	}
	wantSettings := bos.DefaultSettings()
	wantSettings.MaxNodesPerTransition = 7
	if s, err = st.Settings().Get(ctx); err != nil || s != wantSettings {
		t.Errorf("settings = %+v, %v, want %+v", s, err, wantSettings)
	}
}

func testCopies(t *testing.T, st store.Store) {
	ctx := t.Context()
	id := xname(1)
	given := componentFixture.value(1)
	if err := st.Components().Create(ctx, id, given); err != nil {
		t.Fatal(err)
	}
	spoil := func(c *bos.Component) {
		*c.Enabled = !*c.Enabled
		*c.DesiredState.BootArtifacts.Kernel = "spoiled"
		c.Extra["vendor"][1] = 'X'
		c.Extra["more"] = json.RawMessage("1")
	}
	spoil(&given)
	check := func(after string) {
		t.Helper()
		got, err := st.Components().Get(ctx, id)
		if diff := cmp.Diff(componentFixture.value(1), got); err != nil || diff != "" {
			t.Errorf("after spoiling what %s: %v (-want +got):\n%s", after, err, diff)
		}
	}
	check("was given")
	got, _ := st.Components().Get(ctx, id)
	spoil(&got)
	check("Get returned")
	for _, c := range collect(t, st.Components().Scan(ctx, store.Page[bos.ComponentID]{})) {
		spoil(&c)
	}
	check("Scan yielded")
	for _, c := range collect(t, store.QueryComponents(ctx, st, bos.ComponentFilter{})) {
		spoil(&c)
	}
	check("QueryComponents yielded")
	kept, err := st.Components().Update(ctx, id, func(*bos.Component) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	spoil(&kept)
	check("Update returned")
	_, _ = st.Components().Update(ctx, id, func(c *bos.Component) error { spoil(c); return errors.New("no") })
	check("a failed Update changed")
}

// driverOf returns what the records are kept in, to write what the typed layer would not.
func driverOf(t *testing.T, st store.Store) store.Driver {
	t.Helper()
	d, ok := st.(interface{ Driver() store.Driver })
	if !ok {
		t.Skip("the store gives no access to its driver")
	}
	return d.Driver()
}

// putRaw writes a record byte by byte, as another program would.
func putRaw(t *testing.T, st store.Store, b store.Bucket, key, value string) {
	t.Helper()
	d := driverOf(t, st)
	old, err := d.Get(t.Context(), b, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	lost, err := d.Commit(t.Context(), []store.Mutation{{Bucket: b, Key: key, Old: old[0], New: []byte(value)}}, true)
	if err != nil || len(lost) > 0 {
		t.Fatalf("Commit = %v, %v", lost, err)
	}
}

func rawOf(t *testing.T, st store.Store, b store.Bucket, key string) string {
	t.Helper()
	values, err := driverOf(t, st).Get(t.Context(), b, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	return string(values[0])
}

func testUnknownMembers(t *testing.T, st store.Store) {
	ctx := t.Context()
	id := string(xname(1))
	putRaw(t, st, store.BucketComponents, id, `{"id": "`+id+`", "enabled": false, "future": {"a": [1, 2.50]}, "desired_state": {"configuration": "", "novel": "\u00e9"}, "last_action": {"why": null}}`)
	if _, err := st.Components().Update(ctx, xname(1), func(c *bos.Component) error { c.Enabled = new(true); return nil }); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal([]byte(rawOf(t, st, store.BucketComponents, id)), &got); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"id": "`+id+`", "enabled": true, "future": {"a": [1, 2.5]}, "desired_state": {"configuration": "", "novel": "é"}, "last_action": {"why": null}}`), &want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored record (-want +got):\n%s", diff)
	}

	key := bos.TenantKey{Name: "s1"}
	putRaw(t, st, store.BucketSessions, key.DatabaseKey(), `{"name": "s1", "operation": "boot", "template_name": "t", "status": {"start_time": "x", "novel": 1}, "kept": true}`)
	if _, err := st.Sessions().Update(ctx, key, func(s *bos.Session) error { s.Components = "x1"; return nil }); err != nil {
		t.Fatal(err)
	}
	var session map[string]any
	_ = json.Unmarshal([]byte(rawOf(t, st, store.BucketSessions, key.DatabaseKey())), &session)
	if status, _ := session["status"].(map[string]any); session["kept"] != true || status["novel"] != 1.0 {
		t.Errorf("stored session lost a member: %v", session)
	}

	putRaw(t, st, store.BucketOptions, "options", `{"component_actual_state_ttl": "30m", "oldopt": 1, "polling_frequency": 99}`)
	o, err := st.Options().Get(ctx)
	if err != nil || o.ComponentActualStateTTL != "4h" || o.PollingFrequency != 99*time.Second || o.DiscoveryFrequency != 300*time.Second {
		t.Errorf("options of an old database = %+v, %v", o, err)
	}
}

func testCorrupt(t *testing.T, st store.Store) {
	ctx := t.Context()
	good, bad := xname(1), xname(2)
	if err := st.Components().Create(ctx, good, componentFixture.value(1)); err != nil {
		t.Fatal(err)
	}
	isCorrupt := func(what string, err error) {
		t.Helper()
		var c *store.CorruptError
		if !errors.As(err, &c) || c.Bucket != store.BucketComponents || c.Key != string(bad) {
			t.Errorf("%s of a corrupt record = %v, want a *CorruptError with its key", what, err)
		}
		for _, sentinel := range []error{bos.ErrNotFound, bos.ErrInvalid, bos.ErrUnavailable} {
			if errors.Is(err, sentinel) {
				t.Errorf("%s of a corrupt record matches %v", what, sentinel)
			}
		}
	}
	for _, raw := range []string{`{"id": `, `[1]`, `"text"`, `null`, ` 7`, `{"enabled": "yes"}`} {
		putRaw(t, st, store.BucketComponents, string(bad), raw)
		_, err := st.Components().Get(ctx, bad)
		isCorrupt("Get", err)
		_, err = st.Components().Update(ctx, bad, func(*bos.Component) error { return nil })
		isCorrupt("Update", err)
		isCorrupt("Get in a transaction", st.Transact(ctx, func(tx store.Tx) error {
			_, err := tx.Components().Get(bad)
			return err
		}))
		many, err := st.Components().GetMany(ctx, []bos.ComponentID{good, bad})
		if err != nil || len(many) != 1 {
			t.Errorf("GetMany = %v, %v, want the good record only", many, err)
		}
		for what, seq := range map[string]func(func(bos.Component, error) bool){
			"Scan":            st.Components().Scan(ctx, store.Page[bos.ComponentID]{}),
			"QueryComponents": store.QueryComponents(ctx, st, bos.ComponentFilter{}),
		} {
			if all := collect(t, seq); len(all) != 1 || all[0].ID != good {
				t.Errorf("%s over %s = %v, want the good record only", what, raw, all)
			}
		}
	}
	if err := st.Components().Create(ctx, bad, componentFixture.value(2)); !errors.Is(err, bos.ErrExists) {
		t.Errorf("Create over a corrupt record = %v, want bos.ErrExists", err)
	}
	if err := st.Components().Put(ctx, bad, componentFixture.value(2)); err != nil {
		t.Errorf("Put over a corrupt record: %v", err)
	}
	if _, err := st.Components().Get(ctx, bad); err != nil {
		t.Errorf("Get after Put: %v", err)
	}
	putRaw(t, st, store.BucketComponents, string(bad), `{`)
	if err := st.Components().Delete(ctx, bad); err != nil {
		t.Errorf("Delete of a corrupt record: %v", err)
	}
	putRaw(t, st, store.BucketOptions, "options", `[]`)
	var c *store.CorruptError
	if _, err := st.Options().Get(ctx); !errors.As(err, &c) {
		t.Errorf("corrupt options = %v, want a *CorruptError", err)
	}

	putRaw(t, st, store.BucketArtifacts, "secret-token", `1`)
	if _, err := st.BootArtifacts().Get(ctx, "secret-token"); !errors.As(err, &c) || c.Key == "secret-token" {
		t.Errorf("corrupt artifacts = %v, want a *CorruptError without the token", err)
	}
}

func testKeys(t *testing.T, st store.Store) {
	ctx := t.Context()
	for _, id := range []bos.ComponentID{"", bos.ComponentID(make([]byte, store.MaxKeySize+1))} {
		if _, err := st.Components().Get(ctx, id); !errors.Is(err, bos.ErrNotFound) {
			t.Errorf("Get with a key of %d bytes = %v, want bos.ErrNotFound", len(id), err)
		}
		if many, err := st.Components().GetMany(ctx, []bos.ComponentID{id}); err != nil || len(many) != 0 {
			t.Errorf("GetMany with a key of %d bytes = %v, %v", len(id), many, err)
		}
		if err := st.Components().Create(ctx, id, bos.Component{}); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("Create with a key of %d bytes = %v, want bos.ErrInvalid", len(id), err)
		}
		if err := st.Components().Put(ctx, id, bos.Component{}); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("Put with a key of %d bytes = %v, want bos.ErrInvalid", len(id), err)
		}
	}
	for _, id := range []bos.ComponentID{"a b", "é", "x\x00y", "bos:feed", "options", "%s{}*?[", bos.ComponentID(make([]byte, store.MaxKeySize))} {
		if err := st.Components().Create(ctx, id, bos.Component{ID: id}); err != nil {
			t.Errorf("Create with key %.20q: %v", id, err)
		}
		if _, err := st.Components().Get(ctx, id); err != nil {
			t.Errorf("Get with key %.20q: %v", id, err)
		}
	}
}

// inParallel runs fn n times at once.
func inParallel(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func testConcurrentUpdates(t *testing.T, st store.Store) {
	ctx := t.Context()
	const writers, rounds = 32, 5
	id := xname(1)
	if err := st.Components().Create(ctx, id, bos.Component{ID: id, EventStats: bos.ZeroEventStats()}); err != nil {
		t.Fatal(err)
	}
	inParallel(writers, func(i int) {
		for range rounds {
			if _, err := st.Components().Update(ctx, id, func(c *bos.Component) error {
				*c.EventStats.PowerOnAttempts++
				if c.Extra == nil {
					c.Extra = bos.Extra{}
				}
				c.Extra[fmt.Sprint("writer-", i)] = json.RawMessage("true")
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
	})
	got, err := st.Components().Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := got.Attempts(); n != writers*rounds || len(got.Extra) != writers {
		t.Errorf("after %d writers of %d updates: counter %d, %d members", writers, rounds, n, len(got.Extra))
	}
}

func testConcurrentCreate(t *testing.T, st store.Store) {
	var mu sync.Mutex
	var winners []int
	inParallel(16, func(i int) {
		err := st.Sessions().Create(t.Context(), bos.TenantKey{Name: "s1"}, sessionFixture.value(i))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			winners = append(winners, i)
		case !errors.Is(err, bos.ErrExists):
			t.Errorf("Create = %v, want bos.ErrExists", err)
		}
	})
	if len(winners) != 1 {
		t.Fatalf("%d creators succeeded, want 1", len(winners))
	}
	got, _ := st.Sessions().Get(t.Context(), bos.TenantKey{Name: "s1"})
	if want := sessionFixture.value(winners[0]); got.TemplateName != want.TemplateName {
		t.Errorf("stored is %s, the winner wrote %s", got.TemplateName, want.TemplateName)
	}
}

func testBulkRaces(t *testing.T, st store.Store) {
	ctx := t.Context()
	const count, writers, single = 1200, 4, 100
	ids := make([]bos.ComponentID, count)
	for i := range ids {
		ids[i] = xname(i)
	}
	created, err := st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, exists bool) (store.Decision, error) {
		*c = bos.Component{ID: id, EventStats: bos.ZeroEventStats()}
		return store.Write, nil
	})
	if err != nil || len(created) != count {
		t.Fatalf("UpdateMany wrote %d, %v", len(created), err)
	}
	inParallel(writers+1, func(i int) {
		if i == writers {
			for n := range single {
				if _, err := st.Components().Update(ctx, ids[n*12], func(c *bos.Component) error { c.Error = new("seen"); return nil }); err != nil {
					t.Error(err)
				}
			}
			return
		}
		written, err := st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, exists bool) (store.Decision, error) {
			*c.EventStats.PowerOnAttempts++
			return store.Write, nil
		})
		if err != nil || len(written) != count {
			t.Errorf("UpdateMany wrote %d, %v", len(written), err)
		}
		for n, c := range written {
			if c.ID != ids[n] {
				t.Errorf("result %d is %s, want %s", n, c.ID, ids[n])
				return
			}
		}
	})
	n := 0
	for _, c := range collect(t, st.Components().Scan(ctx, store.Page[bos.ComponentID]{})) {
		if on, _, _ := c.Attempts(); on != writers {
			t.Errorf("%s was counted %d times, want %d", c.ID, on, writers)
		}
		if c.ErrorText() != "" {
			n++
		}
	}
	if n != single {
		t.Errorf("%d single updates are left of %d", n, single)
	}
}

func testScanRaces(t *testing.T, st store.Store) {
	ctx := t.Context()
	const count = 1500 // several pages
	ids := make([]bos.ComponentID, count)
	for i := range ids {
		ids[i] = xname(i)
	}
	create := func(ids []bos.ComponentID) {
		if _, err := st.Components().UpdateMany(ctx, ids, func(id bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
			c.ID = id
			return store.Write, nil
		}); err != nil {
			t.Error(err)
		}
	}
	create(ids)
	seen := map[bos.ComponentID]int{}
	var before bos.ComponentID
	for c, err := range st.Components().Scan(ctx, store.Page[bos.ComponentID]{}) {
		if err != nil {
			t.Fatal(err)
		}
		if c.ID <= before {
			t.Fatalf("%s comes after %s", c.ID, before)
		}
		before = c.ID
		seen[c.ID]++
		switch len(seen) { // behind, at and before the place of the scan
		case 100:
			create([]bos.ComponentID{"x0001", "x1050", "x9999"})
		case 700:
			for _, i := range []int{1, 700, 701, 1400} {
				if err := st.Components().Delete(ctx, ids[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i, id := range ids {
		if removed := i == 701 || i == 700 || i == 1400 || i == 1; !removed && seen[id] != 1 {
			t.Errorf("%s, present throughout, was seen %d times", id, seen[id])
		}
	}
}

func testQuery(t *testing.T, st store.Store) {
	ctx := t.Context()
	var all []bos.Component
	phases := []bos.Phase{bos.PhaseNone, bos.PhasePoweringOn, bos.PhasePoweringOff, bos.PhaseConfiguring}
	for n := range 64 {
		c := bos.Component{ID: xname(n), Status: &bos.ComponentStatus{Phase: new(phases[n%4])}, Session: new([]string{"", "s1", "s2"}[n%3])}
		if n%5 > 0 {
			c.Enabled = new(n%5 > 2)
		}
		if n%7 == 0 {
			c.StagedState = &bos.StagedState{Session: new("s3")}
		}
		if n%11 == 0 {
			c.Status.StatusOverride = new(bos.StatusFailed)
		}
		if n%13 == 0 {
			c.LastAction = &bos.LastAction{Action: new(bos.ActionPoweringOn)}
		}
		all = append(all, c)
		if err := st.Components().Put(ctx, c.ID, c); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name string
		f    bos.ComponentFilter
	}{
		{"all", bos.ComponentFilter{}},
		{"enabled", bos.ComponentFilter{Enabled: new(true)}},
		{"disabled", bos.ComponentFilter{Enabled: new(false)}},
		{"session", bos.ComponentFilter{Session: "s1"}},
		{"unknown session", bos.ComponentFilter{Session: "s9"}},
		{"staged session", bos.ComponentFilter{StagedSession: "s3"}},
		{"phase", bos.ComponentFilter{Phase: bos.PhaseConfiguring}},
		{"status", bos.ComponentFilter{Status: []bos.Status{bos.StatusPowerOnCalled}}},
		{"statuses", bos.ComponentFilter{Status: []bos.Status{bos.StatusFailed, bos.StatusPowerOffPending, bos.StatusFailed}}},
		{"status without a match", bos.ComponentFilter{Status: []bos.Status{"nonesuch"}}},
		{"ids", bos.ComponentFilter{IDs: []bos.ComponentID{xname(9), xname(3), "x9999", "", xname(9), xname(1)}}},
		{"no ids", bos.ComponentFilter{IDs: []bos.ComponentID{}}},
		{"ids and state", bos.ComponentFilter{IDs: []bos.ComponentID{xname(9), xname(3), xname(4)}, Enabled: new(true)}},
		{"ids after", bos.ComponentFilter{IDs: []bos.ComponentID{xname(9), xname(3)}, StartAfter: xname(3)}},
		{"after", bos.ComponentFilter{StartAfter: xname(40)}},
		{"after one that is not there", bos.ComponentFilter{StartAfter: "x1003z"}},
		{"page", bos.ComponentFilter{PageSize: 5}},
		{"page of matches", bos.ComponentFilter{PageSize: 5, Session: "s2", StartAfter: xname(7)}},
		{"everything at once", bos.ComponentFilter{Session: "s1", Enabled: new(true), Phase: bos.PhasePoweringOff, StartAfter: xname(3), PageSize: 2}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var want []bos.ComponentID
			for _, c := range all {
				if row.f.Match(&c) && (row.f.PageSize == 0 || len(want) < row.f.PageSize) {
					want = append(want, c.ID)
				}
			}
			var got []bos.ComponentID
			for _, c := range collect(t, store.QueryComponents(ctx, st, row.f)) {
				got = append(got, c.ID)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
	// Selections follow writes at once.
	moved := all[1].ID
	f := bos.ComponentFilter{Session: "moved"}
	if _, err := st.Components().Update(ctx, moved, func(c *bos.Component) error { c.Session = new("moved"); return nil }); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, store.QueryComponents(ctx, st, f)); len(got) != 1 || got[0].ID != moved {
		t.Errorf("after a write the query yields %v", got)
	}
	if err := st.Components().Delete(ctx, moved); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, store.QueryComponents(ctx, st, f)); len(got) != 0 {
		t.Errorf("after a delete the query yields %v", got)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range store.QueryComponents(ctx, st, bos.ComponentFilter{}) {
		if err == nil || !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("query with an ended context: %v", err)
		}
		break
	}
}
