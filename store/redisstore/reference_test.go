package redisstore_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/storetest"
)

// referenceRecord is a record as the reference writes it: ", " and ": " as separators, nothing but ASCII.
type referenceRecord struct {
	Database int    `json:"database"`
	Key      string `json:"key"`
	Value    string `json:"value"`
}

func referenceRecords(t *testing.T) []referenceRecord {
	t.Helper()
	data, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []referenceRecord
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// database returns a plain client of one database, as another program has it.
func database(t *testing.T, url string, number int) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DB = number
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// touchAll rewrites every record of a collection with a change that fn makes.
func touchAll[K comparable, V any](t *testing.T, coll store.Collection[K, V], keyOf func(*V) K, fn func(*V)) {
	t.Helper()
	for v, err := range coll.Scan(t.Context(), store.Page[K]{}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := coll.Update(t.Context(), keyOf(&v), func(v *V) error { fn(v); return nil }); err != nil {
			t.Error(err)
		}
	}
}

func TestReferenceRecords(t *testing.T) {
	for name, newURL := range map[string]func(testing.TB) string{"in process": storetest.NewRedis, "server": storetest.NewRedisServer} {
		t.Run(name, func(t *testing.T) { testReferenceRecords(t, newURL(t)) })
	}
}

func testReferenceRecords(t *testing.T, url string) {
	ctx := t.Context()
	written := referenceRecords(t)
	for _, r := range written {
		if err := database(t, url, r.Database).Set(ctx, r.Key, r.Value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	st := open(t, url)

	// Theirs to ours.
	o, err := st.Options().Get(ctx)
	want := bos.DefaultOptions()
	want.SessionLimitRequired, want.Extra = true, bos.Extra{"disable_components_on_completion": json.RawMessage("true")}
	if diff := cmp.Diff(want, o); err != nil || diff != "" {
		t.Errorf("options: %v (-want +got):\n%s", err, diff)
	}
	c, err := st.Components().Get(ctx, "x1000c0s0b0n1")
	if err != nil || c.ErrorText() != "café 😀 <&>" || bos.Value(c.ActualState.BootArtifacts.KernelParameters) != `console=ttyS0 "quoted"` {
		t.Errorf("component = %+v, %v", c, err)
	}
	template, err := st.Templates().Get(ctx, bos.TenantKey{Name: "t1"})
	if err != nil || template.BootSets["compute"].NodeGroups[0] != "g" || template.Tenant != "" {
		t.Errorf("template = %+v, %v", template, err)
	}
	session, err := st.Sessions().Get(ctx, bos.TenantKey{Tenant: "t1", Name: "s1"})
	if err != nil || session.State() != bos.SessionRunning {
		t.Errorf("session = %+v, %v", session, err)
	}
	artifacts, err := st.BootArtifacts().Get(ctx, "tok")
	if err != nil || artifacts.Timestamp != "2026-01-31T10:00:00" {
		t.Errorf("artifacts = %+v, %v", artifacts, err)
	}
	status, err := st.SavedStatuses().Get(ctx, bos.TenantKey{Name: "s1"})
	if err != nil || status.PercentSuccessful != 66.67 || status.ErrorSummary["broken"].Count != 1 {
		t.Errorf("saved status = %+v, %v", status, err)
	}

	// Ours to theirs: a change there and back rewrites each record; it must say the same as before, under the same key,
	// and nothing may be beside it.
	touchAll(t, st.Components(), func(c *bos.Component) bos.ComponentID { return c.ID }, func(c *bos.Component) { c.RetryPolicy = new(7) })
	touchAll(t, st.Components(), func(c *bos.Component) bos.ComponentID { return c.ID }, func(c *bos.Component) { c.RetryPolicy = nil })
	touchAll(t, st.Templates(), (*bos.SessionTemplate).Key, func(v *bos.SessionTemplate) { v.Description = new("x") })
	touchAll(t, st.Templates(), (*bos.SessionTemplate).Key, func(v *bos.SessionTemplate) { v.Description = nil })
	touchAll(t, st.Sessions(), (*bos.Session).Key, func(v *bos.Session) { v.Limit = "x" })
	touchAll(t, st.Sessions(), (*bos.Session).Key, func(v *bos.Session) { v.Limit = "" })
	for _, n := range []int{2, 3} {
		if _, err := st.SavedStatuses().Update(ctx, bos.TenantKey{Name: "s1"}, func(v *bos.ExtendedStatus) error { v.ManagedComponentsCount = 5 - n; return nil }); err != nil {
			t.Error(err)
		}
		if _, err := st.SavedStatuses().Update(ctx, bos.TenantKey{Name: "s1"}, func(v *bos.ExtendedStatus) error { v.ManagedComponentsCount = 3; return nil }); err != nil {
			t.Error(err)
		}
	}
	artifacts.Kernel = "other"
	first := st.BootArtifacts().Put(ctx, "tok", artifacts)
	artifacts.Kernel = "s3://boot-images/i/kernel"
	if err := errors.Join(first, st.BootArtifacts().Put(ctx, "tok", artifacts)); err != nil {
		t.Error(err)
	}
	for _, ttl := range []string{"1d", "7d"} {
		if _, err := st.Options().Update(ctx, func(o *bos.Options) error { o.CleanupCompletedSessionTTL = ttl; return nil }); err != nil {
			t.Error(err)
		}
	}

	keys := map[int][]string{}
	for _, r := range written {
		keys[r.Database] = append(keys[r.Database], r.Key)
		value := database(t, url, r.Database).Get(ctx, r.Key).Val()
		if value == r.Value {
			t.Errorf("database %d, %s was not rewritten", r.Database, r.Key)
		}
		var before, after map[string]any
		if err := errors.Join(json.Unmarshal([]byte(r.Value), &before), json.Unmarshal([]byte(value), &after)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("database %d, %s (-before +after):\n%s", r.Database, r.Key, diff)
		}
	}
	for number := range 6 {
		found := database(t, url, number).Keys(ctx, "*").Val()
		if len(found) != len(keys[number]) {
			t.Errorf("database %d holds %q, want %q", number, found, keys[number])
		}
	}
	ours := database(t, url, 6).Keys(ctx, "*").Val()
	for _, key := range ours {
		if !strings.HasPrefix(key, "bos:") {
			t.Errorf("database 6 holds the key %q", key)
		}
	}
	if len(ours) == 0 {
		t.Error("database 6 is empty, so nothing was published")
	}
	if n := database(t, url, 7).DBSize(ctx).Val(); n != 0 {
		t.Errorf("database 7 holds %d keys", n)
	}
}

// TestForeignKeys puts what is no record among the records.
func TestForeignKeys(t *testing.T) {
	url := storetest.NewRedisServer(t)
	ctx := t.Context()
	st := open(t, url)
	if err := st.Components().Create(ctx, "x1", bos.Component{ID: "x1"}); err != nil {
		t.Fatal(err)
	}
	if err := database(t, url, 1).HSet(ctx, "x0", "field", "value").Err(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range store.QueryComponents(ctx, st, bos.ComponentFilter{}) {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("query yields %d components, want 1", n)
	}
	if err := st.Components().Put(ctx, "x0", bos.Component{}); !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("Put over a hash = %v, want bos.ErrUnavailable", err)
	}
	if _, err := st.Components().UpdateMany(ctx, []bos.ComponentID{"x1", "x0"}, func(_ bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
		c.Error = new("written")
		return store.Write, nil
	}); err == nil {
		t.Error("UpdateMany over a hash succeeded")
	}
	if c, err := st.Components().Get(ctx, "x1"); err != nil || c.ErrorText() != "" {
		t.Errorf("a commit that failed wrote %q, %v", c.ErrorText(), err)
	}
}
