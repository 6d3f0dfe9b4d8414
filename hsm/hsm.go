// Package hsm speaks to the Hardware State Manager: which nodes exist, what they are, who is grouped and locked.
package hsm

import (
	"context"

	"github.com/bootorch/bosgo/bos"
)

// Node is what HSM knows of a component of type Node. Members HSM leaves out are empty.
type Node struct {
	ID      bos.ComponentID
	Enabled bool   // absent counts as true
	State   string // "Ready", "Off" …; BOS decides nothing by it
	Role    string // "Compute", "Application", "Management" …
	SubRole string // "UAN", "Worker" …
	Arch    string // "X86", "ARM", "Other", "UNKNOWN" or empty
	Class   string // "River", "Mountain", "Hill"
	NID     int    // 0 = none
}

// Inventory is what BOS needs of HSM. Implementations are safe for concurrent use; their errors match
// bos.ErrUnavailable for an outage and carry service, call, status and the service's own words.
type Inventory interface {
	// Nodes returns every node of the system, management nodes included, in no order.
	Nodes(ctx context.Context) ([]Node, error)
	// Query returns what HSM knows of ids; unknown ones are left out. No ids, no call.
	Query(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]Node, error)
	// Groups returns the members of each group by label. A group without members is empty, not missing.
	Groups(ctx context.Context) (map[string][]bos.ComponentID, error)
	// Partitions returns the members of each partition by name.
	Partitions(ctx context.Context) (map[string][]bos.ComponentID, error)
	// RoleMembers returns the members of each role: keys "Role" and "Role_SubRole", components of all types.
	RoleMembers(ctx context.Context) (map[string][]bos.ComponentID, error)
	// LockedNodes returns the nodes under an administrative lock.
	LockedNodes(ctx context.Context) (map[bos.ComponentID]bool, error)
}
