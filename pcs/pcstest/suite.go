package pcstest

import (
	"context"
	"errors"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/pcs"
)

// Subject is a power back end under test. Its nodes are off, answer and obey.
type Subject struct {
	Client  pcs.PowerClient
	Nodes   []bos.ComponentID // at least three
	Unknown bos.ComponentID   // an xname of a node that the back end does not know
	Settle  func()            // returns when accepted operations have had their effect; nil = they have at once
}

// Run checks that an implementation of pcs.PowerClient keeps the promises of the interface, and of
// pcs.TransitionReader where it is one. Each test leaves the nodes off.
func Run(t *testing.T, s Subject) {
	t.Helper()
	if s.Settle == nil {
		s.Settle = func() {}
	}
	states := func(t *testing.T, want pcs.State, ids ...bos.ComponentID) {
		t.Helper()
		got, err := s.Client.PowerStatus(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if got[id].State != want || got[id].Error != "" || !got[id].Available {
				t.Errorf("%s is %+v, want %s and available", id, got[id], want)
			}
		}
	}
	do := func(t *testing.T, op pcs.Operation, ids ...bos.ComponentID) pcs.TransitionID {
		t.Helper()
		id, err := s.Client.Transition(t.Context(), op, ids)
		if err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		s.Settle()
		return id
	}

	t.Run("on and off again", func(t *testing.T) {
		a, b, c := s.Nodes[0], s.Nodes[1], s.Nodes[2]
		states(t, pcs.StateOff, a, b, c)
		do(t, pcs.On, a, b, b)
		states(t, pcs.StateOn, a, b)
		states(t, pcs.StateOff, c)
		do(t, pcs.ForceOff, a, b)
		states(t, pcs.StateOff, a, b, c)
	})
	t.Run("already as wanted", func(t *testing.T) {
		do(t, pcs.ForceOff, s.Nodes[0])
		states(t, pcs.StateOff, s.Nodes[0])
	})
	t.Run("status of unknown and malformed ids", func(t *testing.T) {
		ids := []bos.ComponentID{s.Nodes[0], s.Unknown, "not an xname", ""}
		got, err := s.Client.PowerStatus(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		if got[s.Nodes[0]].State != pcs.StateOff {
			t.Errorf("%s is %+v, want off: the others must not spoil it", s.Nodes[0], got[s.Nodes[0]])
		}
		if st, ok := got[s.Unknown]; ok && st.Error == "" {
			t.Errorf("unknown node is %+v, want it missing or with an error", st)
		}
		for _, id := range ids[2:] {
			if got[id].Error == "" {
				t.Errorf("malformed id %q is %+v, want an error", id, got[id])
			}
		}
	})
	t.Run("status of nothing", func(t *testing.T) {
		got, err := s.Client.PowerStatus(t.Context(), nil)
		if err != nil || len(got) != 0 {
			t.Errorf("got %v, error %v, want neither", got, err)
		}
	})
	t.Run("transition of nothing", func(t *testing.T) {
		if _, err := s.Client.Transition(t.Context(), pcs.On, nil); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("error %v, want ErrInvalid", err)
		}
	})
	t.Run("a caller that gave up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Client.Transition(ctx, pcs.On, s.Nodes)
		if !errors.Is(err, context.Canceled) || errors.Is(err, pcs.ErrOutcomeUnknown) {
			t.Errorf("error %v, want context.Canceled and nothing sent", err)
		}
		s.Settle()
		states(t, pcs.StateOff, s.Nodes...)
	})
	if r, ok := s.Client.(pcs.TransitionReader); ok {
		runReader(t, s, r, do)
	}
}

func runReader(t *testing.T, s Subject, r pcs.TransitionReader, do func(*testing.T, pcs.Operation, ...bos.ComponentID) pcs.TransitionID) {
	t.Run("read a transition", func(t *testing.T) {
		id := do(t, pcs.On, s.Nodes[0], s.Nodes[1])
		defer do(t, pcs.ForceOff, s.Nodes[0], s.Nodes[1])
		got, err := r.ReadTransition(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != id || got.Operation != pcs.On || len(got.Tasks) != 2 {
			t.Errorf("transition %+v, want %s with operation On and two tasks", got, id)
		}
		for _, node := range s.Nodes[:2] {
			if state := got.Tasks[node].State; state == pcs.TaskFailed || state == "" {
				t.Errorf("task of %s is %+v", node, got.Tasks[node])
			}
		}
	})
	t.Run("a node that cannot be served", func(t *testing.T) {
		id := do(t, pcs.On, s.Nodes[0], s.Unknown)
		defer do(t, pcs.ForceOff, s.Nodes[0])
		got, err := r.ReadTransition(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got.Tasks[s.Unknown].State != pcs.TaskFailed || got.Tasks[s.Unknown].Reason() == "" {
			t.Errorf("task of the unknown node is %+v, want it failed with a reason", got.Tasks[s.Unknown])
		}
		if partial, ok := errors.AsType[*bos.BatchError](got.Err()); !ok || len(partial.Failed) != 1 {
			t.Errorf("error of the transition is %v, want one failed node", got.Err())
		}
	})
	t.Run("unknown transition", func(t *testing.T) {
		const unknown = "5a26c1f3-0000-4000-8000-000000000000"
		if _, err := r.ReadTransition(t.Context(), unknown); !errors.Is(err, bos.ErrNotFound) {
			t.Errorf("read: %v, want ErrNotFound", err)
		}
		if err := r.AbortTransition(t.Context(), unknown); !errors.Is(err, bos.ErrNotFound) {
			t.Errorf("abort: %v, want ErrNotFound", err)
		}
	})
	t.Run("abort", func(t *testing.T) {
		id := do(t, pcs.ForceOff, s.Nodes[0])
		for range 2 { // one that has ended needs no abort
			if err := r.AbortTransition(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
	})
}
