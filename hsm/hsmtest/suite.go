package hsmtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/hsm"
)

// Subject is an inventory under test and what it must know. The machine has at least two nodes and does not change.
type Subject struct {
	Inventory  hsm.Inventory
	Nodes      []hsm.Node // all of them; State is not compared
	Unknown    bos.ComponentID
	Groups     map[string][]bos.ComponentID
	Partitions map[string][]bos.ComponentID
	Locked     []bos.ComponentID
}

// Run checks that an implementation of hsm.Inventory keeps the promises of the interface.
func Run(t *testing.T, s Subject) {
	t.Helper()
	byID := map[bos.ComponentID]hsm.Node{}
	roles := map[string][]bos.ComponentID{}
	for _, n := range s.Nodes {
		byID[n.ID] = n
		if n.Role != "" {
			roles[n.Role] = append(roles[n.Role], n.ID)
		}
		if n.SubRole != "" {
			roles[n.Role+"_"+n.SubRole] = append(roles[n.Role+"_"+n.SubRole], n.ID)
		}
	}
	sameNode := cmpopts.IgnoreFields(hsm.Node{}, "State")
	sameMembers := cmpopts.SortSlices(func(a, b bos.ComponentID) bool { return a < b })

	t.Run("nodes", func(t *testing.T) {
		got, err := s.Inventory.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		inOrder := cmpopts.SortSlices(func(a, b hsm.Node) bool { return a.ID < b.ID })
		if diff := cmp.Diff(s.Nodes, got, inOrder, sameNode); diff != "" {
			t.Errorf("nodes (-want +got):\n%s", diff)
		}
	})
	t.Run("query", func(t *testing.T) {
		a, b := s.Nodes[0].ID, s.Nodes[1].ID
		for _, tt := range []struct {
			name string
			ids  []bos.ComponentID
			want []bos.ComponentID
		}{
			{"one", []bos.ComponentID{a}, []bos.ComponentID{a}},
			{"unknown ids are left out", []bos.ComponentID{b, s.Unknown, a}, []bos.ComponentID{a, b}},
			{"repeated", []bos.ComponentID{a, a}, []bos.ComponentID{a}},
			{"only unknown ones", []bos.ComponentID{s.Unknown}, nil},
			{"none", nil, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				want := map[bos.ComponentID]hsm.Node{}
				for _, id := range tt.want {
					want[id] = byID[id]
				}
				got, err := s.Inventory.Query(t.Context(), tt.ids)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, sameNode); diff != "" {
					t.Errorf("query (-want +got):\n%s", diff)
				}
			})
		}
	})
	for name, tt := range map[string]struct {
		ask  func(context.Context) (map[string][]bos.ComponentID, error)
		want map[string][]bos.ComponentID
	}{
		"groups":     {s.Inventory.Groups, s.Groups},
		"partitions": {s.Inventory.Partitions, s.Partitions},
		"roles":      {s.Inventory.RoleMembers, roles},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second answer must not show what the first caller did to his
				got, err := tt.ask(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got, sameMembers, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("members (-want +got):\n%s", diff)
				}
				for _, members := range got {
					clear(members)
				}
				clear(got)
			}
		})
	}
	t.Run("locked nodes", func(t *testing.T) {
		got, err := s.Inventory.LockedNodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := map[bos.ComponentID]bool{}
		for _, id := range s.Locked {
			want[id] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("locked (-want +got):\n%s", diff)
		}
	})
	t.Run("a caller that gave up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Inventory.Nodes(ctx)
		if !errors.Is(err, context.Canceled) || errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want context.Canceled and no outage", err)
		}
	})
	t.Run("concurrent use", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				ids := slices.Collect(func(yield func(bos.ComponentID) bool) {
					for _, n := range s.Nodes {
						if !yield(n.ID) {
							return
						}
					}
				})
				if got, err := s.Inventory.Query(t.Context(), ids); err != nil || len(got) != len(s.Nodes) {
					t.Errorf("%d nodes, error %v, want %d", len(got), err, len(s.Nodes))
				}
			})
		}
		wg.Wait()
	})
}
