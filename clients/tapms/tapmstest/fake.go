// Package tapmstest helps to test code that uses package tapms: a [Fake] tenant service, the same as an HTTP server
// ([Handler]), the conformance suite [Run] for implementations of tapms.TenantClient, and a generated mock.
package tapmstest

//go:generate go tool mockgen -write_package_comment=false -destination mock.go -package tapmstest -source ../tapms.go

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/tapms"
)

// Fake is a tenant service in memory. It is safe for concurrent use; use it as a pointer. The zero value has no tenant.
type Fake struct {
	// OnCall, if set before the first use, sees each call first; an error is the call's answer.
	OnCall func(tenant string) error

	mu      sync.Mutex
	tenants map[string][]bos.ComponentID
	calls   []string
}

var _ tapms.TenantClient = (*Fake)(nil)

// Set makes ids the nodes of the tenant, which may have none.
func (f *Fake) Set(tenant string, ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tenants == nil {
		f.tenants = map[string][]bos.ComponentID{}
	}
	f.tenants[tenant] = slices.Clone(ids)
}

// Remove makes the tenant unknown.
func (f *Fake) Remove(tenant string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tenants, tenant)
}

// Calls returns the tenants asked for so far, in order; failed calls are among them.
func (f *Fake) Calls() []string {
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

// TenantNodes implements tapms.TenantClient.
func (f *Fake) TenantNodes(ctx context.Context, tenant string) (map[bos.ComponentID]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.calls = append(f.calls, tenant)
	f.mu.Unlock()
	if f.OnCall != nil {
		if err := f.OnCall(tenant); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ids, ok := f.tenants[tenant]
	if !ok {
		return nil, fmt.Errorf("tenant '%s': %w", tenant, bos.ErrNotFound)
	}
	nodes := make(map[bos.ComponentID]bool, len(ids))
	for _, id := range ids {
		nodes[id] = true
	}
	return nodes, nil
}
