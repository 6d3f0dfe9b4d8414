package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/storetest"
)

// slow is a server that takes a second for a batch.
type slow struct{ batches [][]string }

func (s *slow) send(_ context.Context, batch []string) ([]string, error) {
	s.batches = append(s.batches, batch) // one at a time
	time.Sleep(time.Second)
	if slices.Contains(batch, "bad") {
		return nil, errors.New("refused")
	}
	answers := make([]string, len(batch))
	for i, q := range batch {
		answers[i] = "re: " + q
	}
	return answers, nil
}

func TestTogether(t *testing.T) {
	for _, tc := range []struct {
		name     string
		requests []string // the first alone, then the others at the same time
		apart    bool
		want     string // the batches
	}{
		{"alone", []string{"a"}, false, "a"},
		{"while one is on its way", []string{"a", "b", "c"}, false, "a; b c"},
		{"no more than three", []string{"a", "b", "c", "d", "e"}, false, "a; b c d; e"},
		{"the same", []string{"a", "b", "b", "c"}, false, "a; b b c"},
		{"the same, apart", []string{"a", "b", "b", "c", "b"}, true, "a; b c; b; b"},
		{"an error is everybody's", []string{"a", "bad", "c"}, false, "a; bad c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var server slow
				tog := together[string, string]{few: 1, most: 3, send: server.send}
				if tc.apart {
					tog.name = strings.Clone
				}
				var wg sync.WaitGroup
				answers, errs := make([]string, len(tc.requests)), make([]error, len(tc.requests))
				for i, q := range tc.requests {
					wg.Go(func() { answers[i], errs[i] = tog.do(t.Context(), q) })
					synctest.Wait() // it waits, or is on its way
				}
				wg.Wait()
				var got []string
				for _, b := range server.batches {
					got = append(got, strings.Join(b, " "))
				}
				for i, q := range tc.requests {
					refused := slices.ContainsFunc(server.batches, func(b []string) bool { return slices.Contains(b, q) && slices.Contains(b, "bad") })
					if refused != (errs[i] != nil) || !refused && answers[i] != "re: "+q {
						t.Errorf("%s was answered %q, %v", q, answers[i], errs[i])
					}
				}
				if got := strings.Join(got, "; "); got != tc.want {
					t.Errorf("sent %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// TestTogetherGivesUp: who no longer waits gets an answer at once, and is not sent.
func TestTogetherGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var server slow
		tog := together[string, string]{few: 1, most: 3, send: server.send}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = tog.do(t.Context(), "a") })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := tog.do(ctx, "b"); !errors.Is(err, bos.ErrUnavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if answer, err := tog.do(t.Context(), "c"); answer != "re: c" || err != nil {
				t.Errorf("answered %q, %v", answer, err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if got := fmt.Sprint(server.batches); got != "[[a] [c]]" {
			t.Errorf("sent %s", got)
		}
	})
}

// TestSingles sends what several callers want as one: each gets the answer to its own request.
func TestSingles(t *testing.T) {
	ctx := t.Context()
	d, err := OpenDriver(ctx, storetest.NewRedis(t), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b := store.BucketComponents
	add := func(key string) store.Mutation { return store.Mutation{Bucket: b, Key: key, New: []byte(key)} }
	if _, err := d.commitSingles(ctx, []store.Mutation{add("b"), add("c")}); err != nil {
		t.Fatal(err)
	}
	lost, err := d.commitSingles(ctx, []store.Mutation{
		add("d"), add("b"),
		{Bucket: b, Key: "c", Old: []byte("x"), New: []byte("x"), Must: true},
		{Bucket: b, Key: "e", New: []byte("e")},
	})
	if want := []bool{false, true, true, false}; err != nil || !slices.Equal(lost, want) {
		t.Errorf("lost %v, %v; want %v", lost, err, want)
	}
	keys := []string{"e", "c", "x", "e", "b", "d", "c"}
	values, err := d.getSingles(ctx, b, keys)
	if err != nil || len(values) != len(keys) {
		t.Fatalf("%d values, %v", len(values), err)
	}
	for i, key := range keys {
		if want := strings.Trim(key, "x"); string(values[i]) != want || want == "" && values[i] != nil {
			t.Errorf("%s is %q", key, values[i])
		}
	}
}
