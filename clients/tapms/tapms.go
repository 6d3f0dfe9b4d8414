// Package tapms speaks to the Tenant and Partition Management System: which nodes a tenant owns.
package tapms

import (
	"context"

	"github.com/bootorch/bosgo/bos"
)

// TenantClient is what BOS needs of TAPMS. Implementations are safe for concurrent use.
type TenantClient interface {
	// TenantNodes returns the nodes that tenant owns. It fails with bos.ErrNotFound for an unknown tenant and with
	// bos.ErrUnavailable for an outage; the two must never be confused.
	TenantNodes(ctx context.Context, tenant string) (map[bos.ComponentID]bool, error)
}
