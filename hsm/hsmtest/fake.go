// Package hsmtest helps to test code that uses package hsm: a [Fake] inventory, the same as an HTTP server ([Handler]),
// the conformance suite [Run] for implementations of hsm.Inventory, and a generated mock.
package hsmtest

//go:generate go tool mockgen -write_package_comment=false -destination mock.go -package hsmtest -source ../hsm.go

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/hsm"
)

// Call is one call that a Fake has answered.
type Call struct {
	Method string            // of hsm.Inventory, such as "Query"
	IDs    []bos.ComponentID // of Query
}

// Fake is an inventory in memory. The zero value is empty and ready; use it as a pointer. It is safe for concurrent use.
type Fake struct {
	// OnCall, if set before the first use, sees each call first; an error is the call's answer.
	OnCall func(Call) error

	mu         sync.Mutex
	nodes      map[bos.ComponentID]hsm.Node
	groups     map[string][]bos.ComponentID
	partitions map[string][]bos.ComponentID
	locked     map[bos.ComponentID]bool
	calls      []Call
}

var _ hsm.Inventory = (*Fake)(nil)

// New returns a Fake that knows the nodes.
func New(nodes ...hsm.Node) *Fake {
	f := new(Fake)
	f.Set(nodes...)
	return f
}

// NewNodes returns a Fake that knows the ids as enabled x86 compute nodes.
func NewNodes(ids ...bos.ComponentID) *Fake {
	f := new(Fake)
	for i, id := range ids {
		f.Set(hsm.Node{ID: id, Enabled: true, State: "Off", Role: "Compute", Arch: "X86", Class: "River", NID: i + 1})
	}
	return f
}

// Set adds nodes, or replaces those of the same id. Every member is taken as given: a node without Enabled is disabled.
func (f *Fake) Set(nodes ...hsm.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nodes == nil {
		f.nodes = map[bos.ComponentID]hsm.Node{}
	}
	for _, n := range nodes {
		f.nodes[n.ID] = n
	}
}

// Remove makes ids unknown; groups and partitions keep them, as HSM's do.
func (f *Fake) Remove(ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		delete(f.nodes, id)
	}
}

// SetGroup makes ids the members of the group.
func (f *Fake) SetGroup(label string, ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.groups == nil {
		f.groups = map[string][]bos.ComponentID{}
	}
	f.groups[label] = slices.Clone(ids)
}

// SetPartition makes ids the members of the partition.
func (f *Fake) SetPartition(name string, ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.partitions == nil {
		f.partitions = map[string][]bos.ComponentID{}
	}
	f.partitions[name] = slices.Clone(ids)
}

// Lock puts ids under an administrative lock.
func (f *Fake) Lock(ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked == nil {
		f.locked = map[bos.ComponentID]bool{}
	}
	for _, id := range ids {
		f.locked[id] = true
	}
}

// Unlock lifts the locks of ids.
func (f *Fake) Unlock(ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		delete(f.locked, id)
	}
}

// Calls returns the calls so far, in order; failed ones are among them.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// ForgetCalls empties the record of calls.
func (f *Fake) ForgetCalls() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

// begin records a call and asks OnCall about it, without holding the lock.
func (f *Fake) begin(ctx context.Context, c Call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.IDs = slices.Clone(c.IDs)
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	if f.OnCall != nil {
		return f.OnCall(c)
	}
	return nil
}

// Nodes implements hsm.Inventory; the answer is sorted.
func (f *Fake) Nodes(ctx context.Context) ([]hsm.Node, error) {
	if err := f.begin(ctx, Call{Method: "Nodes"}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	nodes := make([]hsm.Node, 0, len(f.nodes))
	for _, id := range slices.Sorted(maps.Keys(f.nodes)) {
		nodes = append(nodes, f.nodes[id])
	}
	return nodes, nil
}

// Query implements hsm.Inventory.
func (f *Fake) Query(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]hsm.Node, error) {
	found := make(map[bos.ComponentID]hsm.Node, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	if err := f.begin(ctx, Call{Method: "Query", IDs: ids}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if n, ok := f.nodes[id]; ok {
			found[id] = n
		}
	}
	return found, nil
}

// Groups implements hsm.Inventory.
func (f *Fake) Groups(ctx context.Context) (map[string][]bos.ComponentID, error) {
	if err := f.begin(ctx, Call{Method: "Groups"}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return cloneMembers(f.groups), nil
}

// Partitions implements hsm.Inventory.
func (f *Fake) Partitions(ctx context.Context) (map[string][]bos.ComponentID, error) {
	if err := f.begin(ctx, Call{Method: "Partitions"}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return cloneMembers(f.partitions), nil
}

// RoleMembers implements hsm.Inventory; members are sorted.
func (f *Fake) RoleMembers(ctx context.Context) (map[string][]bos.ComponentID, error) {
	if err := f.begin(ctx, Call{Method: "RoleMembers"}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	members := map[string][]bos.ComponentID{}
	for _, id := range slices.Sorted(maps.Keys(f.nodes)) {
		n := f.nodes[id]
		if n.Role != "" {
			members[n.Role] = append(members[n.Role], id)
		}
		if n.SubRole != "" {
			key := n.Role + "_" + n.SubRole
			members[key] = append(members[key], id)
		}
	}
	return members, nil
}

// LockedNodes implements hsm.Inventory.
func (f *Fake) LockedNodes(ctx context.Context) (map[bos.ComponentID]bool, error) {
	if err := f.begin(ctx, Call{Method: "LockedNodes"}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	locked := make(map[bos.ComponentID]bool, len(f.locked))
	maps.Copy(locked, f.locked)
	return locked, nil
}

func cloneMembers(members map[string][]bos.ComponentID) map[string][]bos.ComponentID {
	out := make(map[string][]bos.ComponentID, len(members))
	for name, ids := range members {
		out[name] = append([]bos.ComponentID{}, ids...)
	}
	return out
}
