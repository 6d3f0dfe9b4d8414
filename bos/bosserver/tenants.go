package bosserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// tenantTimeout bounds a look-up in TAPMS, retries included.
const tenantTimeout = 10 * time.Second

// errUnknownTenant is what lookUp says of a tenant that TAPMS does not have.
var errUnknownTenant = errors.New("unknown tenant")

// lookUp returns the nodes of the tenant, nil for the system, which has all.
func (s *Service) lookUp(ctx context.Context, tenant string) (map[bos.ComponentID]bool, error) {
	if tenant == "" {
		return nil, nil
	}
	if len(tenant) > 127 {
		return nil, invalid("%s is too long", quoteText(tenant))
	}
	if s.tenants == nil {
		return nil, errUnknownTenant
	}
	ctx, cancel := context.WithTimeout(ctx, tenantTimeout)
	defer cancel()
	nodes, err := s.tenants.TenantNodes(ctx, tenant)
	switch {
	case errors.Is(err, bos.ErrNotFound):
		return nil, errUnknownTenant
	case err != nil:
		s.log.WarnContext(ctx, "tenant look-up failed", "tenant", tenant, "err", err)
		return nil, &bos.StatusError{
			Status: http.StatusServiceUnavailable, Detail: "the tenant service cannot be reached; try again later", RetryAfter: retryAfter,
			Err: fmt.Errorf("%w: %w", bos.ErrUnavailable, err),
		}
	case nodes == nil:
		nodes = map[bos.ComponentID]bool{}
	}
	return nodes, nil
}

// verifyTenant fails unless the tenant exists; the system always does.
func (s *Service) verifyTenant(ctx context.Context, tenant string) error {
	_, err := s.lookUp(ctx, tenant)
	if errors.Is(err, errUnknownTenant) {
		return &bos.StatusError{
			Status: http.StatusBadRequest, Title: bos.TitleInvalidTenant, Detail: "The provided tenant does not exist", Err: bos.ErrInvalid,
		}
	}
	return err
}

// ownedNodes returns the nodes of the tenant for an operation on components; nil = all.
func (s *Service) ownedNodes(ctx context.Context, tenant string) (map[bos.ComponentID]bool, error) {
	nodes, err := s.lookUp(ctx, tenant)
	if errors.Is(err, errUnknownTenant) {
		return nil, &bos.StatusError{
			Status: http.StatusBadRequest, Title: bos.TitleInvalidTenant, Detail: "Data not found for tenant " + tenant, Err: bos.ErrInvalid,
		}
	}
	return nodes, err
}

// ownedNodesForBody is ownedNodes for the operations whose answer the reference words differently.
func (s *Service) ownedNodesForBody(ctx context.Context, tenant string) (map[bos.ComponentID]bool, error) {
	nodes, err := s.lookUp(ctx, tenant)
	if errors.Is(err, errUnknownTenant) {
		return nil, invalid("Error parsing the data provided: Data not found for tenant %s", tenant)
	}
	return nodes, err
}

// within returns the ids that are among nodes, which nil does not narrow: nil ids are all nodes.
func within(nodes map[bos.ComponentID]bool, ids []bos.ComponentID) []bos.ComponentID {
	switch {
	case nodes == nil:
		return ids
	case ids == nil:
		all := make([]bos.ComponentID, 0, len(nodes))
		for id, owned := range nodes {
			if owned {
				all = append(all, id)
			}
		}
		slices.Sort(all)
		return all
	}
	kept := make([]bos.ComponentID, 0, len(ids))
	for _, id := range ids {
		if nodes[id] {
			kept = append(kept, id)
		}
	}
	return kept
}
