package store_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
)

type record struct {
	bucket     store.Bucket
	key, value string
}

// fill writes records byte by byte.
func fill(t *testing.T, st *store.DB, records ...record) {
	t.Helper()
	var writes []store.Mutation
	for _, r := range records {
		writes = append(writes, store.Mutation{Bucket: r.bucket, Key: r.key, New: []byte(r.value)})
	}
	if lost, err := st.Driver().Commit(t.Context(), writes, true); err != nil || len(lost) > 0 {
		t.Fatalf("Commit = %v, %v", lost, err)
	}
}

func dump(t *testing.T, st *store.DB) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := store.Dump(t.Context(), st.Driver(), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var dumped = []record{
	{store.BucketOptions, "options", `{"polling_frequency": 15}`},
	{store.BucketComponents, "x1", "{\"id\": \"x1\",\n \"error\": \"caf\\u00e9 <&>\", \"n\": 2.50}"},
	{store.BucketComponents, "corrupt", "{\xff"},
	{store.BucketComponents, "raw\xffkey", `{}`},
	{store.BucketArtifacts, "token", `{"kernel":"k"}`},
	{store.BucketOurs, "bos:owner:x1", `{"session":"s1"}`},
	{store.BucketOurs, "bos:lease:status", `{"holder":"a","token":7}`},
	{store.BucketOurs, "bos:transition:t1", `{"id":"t1"}`},
}

func TestDumpRestore(t *testing.T) {
	ctx := t.Context()
	from, to := memstore.New(), memstore.New()
	fill(t, from, dumped...)
	text := dump(t, from)
	if strings.Contains(text, "lease") || strings.Contains(text, "transition") {
		t.Error("the dump holds a lease or a power transition")
	}
	s, err := store.ParseDump(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if s.Total() != 6 || s.Len(store.BucketComponents) != 3 {
		t.Errorf("the snapshot has %d records, %d components", s.Total(), s.Len(store.BucketComponents))
	}
	sub := to.Subscribe(bos.Cursor{})
	diff, err := store.Restore(ctx, to.Driver(), s, false)
	if err != nil || diff.Adds() != 6 || diff.Drops() != 0 {
		t.Errorf("Restore into an empty database = %+v, %v", diff, err)
	}
	if changes, err := sub.Next(ctx); err != nil || changes[0].Kind != bos.ChangeResync {
		t.Errorf("after a restore comes %v, %v, want a resync", changes, err)
	}
	if diff := cmp.Diff(text, dump(t, to)); diff != "" {
		t.Errorf("dump of the restored database (-want +got):\n%s", diff)
	}
	if diff, err := store.Restore(ctx, to.Driver(), s, false); err != nil || diff.Same != 6 || diff.Adds()+diff.Drops() != 0 {
		t.Errorf("second Restore = %+v, %v, want nothing to do", diff, err)
	}
	if diff, err := store.Compare(ctx, from.Driver(), s); err != nil || diff.Same != 6 {
		t.Errorf("the database that was dumped differs from its dump: %+v, %v", diff, err)
	}
}

func TestRestoreDropsNothingSilently(t *testing.T) {
	ctx := t.Context()
	from, to := memstore.New(), memstore.New()
	fill(t, from, record{store.BucketComponents, "x1", `{"a":1}`}, record{store.BucketComponents, "x2", `{}`}, record{store.BucketComponents, "x3", `{}`})
	fill(t, to, record{store.BucketComponents, "x1", `{"a":2}`}, record{store.BucketComponents, "x2", `{ }`}, record{store.BucketTemplates, "t", `{}`},
		record{store.BucketOurs, "bos:lease:status", `{"token":7}`})
	s, err := store.ReadSnapshot(ctx, from.Driver())
	if err != nil {
		t.Fatal(err)
	}
	want := &store.Diff{
		Added:   map[store.Bucket][]string{store.BucketComponents: {"x3"}},
		Changed: map[store.Bucket][]string{store.BucketComponents: {"x1"}},
		Removed: map[store.Bucket][]string{store.BucketTemplates: {"t"}},
		Same:    1,
	}
	before := dump(t, to)
	diff, err := store.Restore(ctx, to.Driver(), s, false)
	if !errors.Is(err, bos.ErrConflict) {
		t.Errorf("Restore = %v, want bos.ErrConflict", err)
	}
	if d := cmp.Diff(want, diff); d != "" {
		t.Errorf("difference (-want +got):\n%s", d)
	}
	if dump(t, to) != before {
		t.Error("a refused Restore wrote")
	}
	if _, err := store.Restore(ctx, to.Driver(), s, true); err != nil {
		t.Errorf("forced Restore: %v", err)
	}
	if diff, err := store.Compare(ctx, to.Driver(), s); err != nil || diff.Adds()+diff.Drops() != 0 {
		t.Errorf("after a forced Restore remains %+v, %v", diff, err)
	}
	if lease, err := to.Driver().Get(ctx, store.BucketOurs, []string{"bos:lease:status"}); err != nil || lease[0] == nil {
		t.Errorf("Restore deleted a lease: %v", err)
	}
}

func TestParseDumpRefuses(t *testing.T) {
	st := memstore.New()
	fill(t, st, dumped...)
	good := dump(t, st)
	lines := strings.SplitAfter(strings.TrimSuffix(good, "\n"), "\n")
	join := func(lines ...[]string) string { return strings.Join(slices.Concat(lines...), "") }
	for name, text := range map[string]string{
		"nothing":            "",
		"other text":         "hello\n",
		"other JSON":         "{}\n",
		"newer version":      strings.Replace(good, `"version":1`, `"version":2`, 1),
		"header only":        lines[0],
		"cut in a line":      good[:len(good)/2],
		"without the end":    join(lines[:len(lines)-1]),
		"without a record":   join(lines[:2], lines[3:], []string{"\n"}),
		"with another value": strings.Replace(good, `"polling_frequency":15`, `"polling_frequency":16`, 1),
		"unknown bucket":     strings.Replace(good, `"options"`, `"opinions"`, 1),
	} {
		if _, err := store.ParseDump(strings.NewReader(text)); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("%s: %v, want bos.ErrInvalid", name, err)
		}
	}
}

func FuzzParseDump(f *testing.F) {
	var seed bytes.Buffer
	if _, err := store.Dump(f.Context(), memstore.New().Driver(), &seed); err != nil {
		f.Fatal(err)
	}
	f.Add(seed.Bytes())
	f.Add([]byte("{\"format\":\"bosgo dump\",\"version\":1}\n{\"bucket\":\"components\",\"key\":\"x\",\"value\":{}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := store.ParseDump(bytes.NewReader(data))
		if err != nil {
			return
		}
		st := memstore.New()
		if diff, err := store.Restore(t.Context(), st.Driver(), s, false); err != nil || diff.Adds() != s.Total() {
			t.Errorf("Restore = %+v, %v", diff, err)
		}
		again, err := store.ParseDump(strings.NewReader(dump(t, st)))
		if err != nil || again.Total() != s.Total() {
			t.Errorf("a dump of what was restored has %d records, %v, want %d", again.Total(), err, s.Total())
		}
	})
}
