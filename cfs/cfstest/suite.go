package cfstest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
)

// Subject is a configuration service under test. Nothing but the suite changes what its components shall have.
type Subject struct {
	Client     cfs.ConfigClient
	Components []bos.ComponentID // all of them, at least three
	Unknown    bos.ComponentID
}

// Run checks that an implementation of cfs.ConfigClient keeps the promises of the interface.
func Run(t *testing.T, s Subject) {
	t.Helper()
	read := func(t *testing.T, ids []bos.ComponentID) map[bos.ComponentID]cfs.Component {
		t.Helper()
		got, err := s.Client.Components(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for id, c := range got {
			if c.ID != id {
				t.Errorf("under %s is %+v", id, c)
			}
		}
		return got
	}

	t.Run("all components", func(t *testing.T) {
		got := read(t, nil)
		for _, id := range s.Components {
			if _, ok := got[id]; !ok {
				t.Errorf("%s is missing", id)
			}
		}
		if len(got) != len(s.Components) {
			t.Errorf("%d components, want %d", len(got), len(s.Components))
		}
	})
	t.Run("some components", func(t *testing.T) {
		a, b := s.Components[0], s.Components[1]
		got := read(t, []bos.ComponentID{b, s.Unknown, a, a})
		if _, ok := got[a]; !ok || len(got) != 2 {
			t.Errorf("got %v, want %s and %s", got, a, b)
		}
	})
	t.Run("no components", func(t *testing.T) {
		for _, ids := range [][]bos.ComponentID{{}, {""}, {s.Unknown}} {
			if got := read(t, ids); len(got) != 0 {
				t.Errorf("asked for %q, got %v, want nothing", ids, got)
			}
		}
	})
	t.Run("assign", func(t *testing.T) {
		a, b, c := s.Components[0], s.Components[1], s.Components[2]
		before := read(t, []bos.ComponentID{c})
		err := s.Client.Assign(t.Context(), []bos.ComponentID{a, b, a}, cfs.Assignment{Configuration: "conformance-1", Session: "s1", ClearState: true})
		if err != nil {
			t.Fatal(err)
		}
		got := read(t, []bos.ComponentID{a, b})
		for _, id := range []bos.ComponentID{a, b} {
			if got[id].DesiredConfig != "conformance-1" || got[id].Enabled || got[id].ErrorCount != 0 {
				t.Errorf("%s is %+v, want conformance-1 and disabled", id, got[id])
			}
		}
		if diff := cmp.Diff(before, read(t, []bos.ComponentID{c})); diff != "" {
			t.Errorf("a component that was not named has changed:\n%s", diff)
		}
	})
	t.Run("assign nothing in particular", func(t *testing.T) {
		a := s.Components[0]
		if err := s.Client.Assign(t.Context(), []bos.ComponentID{a}, cfs.Assignment{Enabled: true, ClearState: true}); err != nil {
			t.Fatal(err)
		}
		got := read(t, []bos.ComponentID{a})[a]
		if got.DesiredConfig != "" || got.Status != cfs.StatusUnconfigured || !got.Enabled {
			t.Errorf("%+v, want no configuration, unconfigured and enabled", got)
		}
	})
	t.Run("assign to unknown ones too", func(t *testing.T) {
		a := s.Components[0]
		err := s.Client.Assign(t.Context(), []bos.ComponentID{s.Unknown, a}, cfs.Assignment{Configuration: "conformance-2"})
		partial, ok := errors.AsType[*bos.BatchError](err)
		if !ok || len(partial.Failed) != 1 || !errors.Is(partial.Failed[s.Unknown], bos.ErrNotFound) {
			t.Errorf("error %v, want a *bos.BatchError for %s alone, with ErrNotFound", err, s.Unknown)
		}
		if got := read(t, []bos.ComponentID{a})[a]; got.DesiredConfig != "conformance-2" {
			t.Errorf("%s has %q: the unknown one must not stop the others", a, got.DesiredConfig)
		}
	})
	t.Run("assign to nobody", func(t *testing.T) {
		before := read(t, nil)
		if err := s.Client.Assign(t.Context(), nil, cfs.Assignment{Configuration: "conformance-3"}); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("error %v, want ErrInvalid", err)
		}
		if err := s.Client.Assign(t.Context(), []bos.ComponentID{""}, cfs.Assignment{Configuration: "conformance-3"}); err == nil {
			t.Error("no error for an empty id")
		}
		if diff := cmp.Diff(before, read(t, nil)); diff != "" {
			t.Errorf("components have changed:\n%s", diff)
		}
	})
	t.Run("a caller that gave up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Client.Components(ctx, nil); !errors.Is(err, context.Canceled) || errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want context.Canceled and no outage", err)
		}
	})
}
