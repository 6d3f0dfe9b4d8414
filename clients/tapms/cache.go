package tapms

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// MaxTTL is the longest time for which an answer may be reused.
const MaxTTL = 10 * time.Second

// Cached returns a client that reuses the answers of c for ttl, at most MaxTTL; 0 means MaxTTL. Errors are not kept.
func Cached(c TenantClient, ttl time.Duration) TenantClient {
	if ttl <= 0 || ttl > MaxTTL {
		ttl = MaxTTL
	}
	return &cache{client: c, ttl: ttl, answers: map[string]answer{}}
}

type cache struct {
	client TenantClient
	ttl    time.Duration

	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	nodes   map[bos.ComponentID]bool
	expires time.Time
}

func (c *cache) TenantNodes(ctx context.Context, tenant string) (map[bos.ComponentID]bool, error) {
	now := time.Now() // the age counts from before the question
	c.mu.Lock()
	a, ok := c.answers[tenant]
	c.mu.Unlock()
	if ok && now.Before(a.expires) {
		return maps.Clone(a.nodes), nil
	}
	nodes, err := c.client.TenantNodes(ctx, tenant)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.answers, func(_ string, a answer) bool { return !now.Before(a.expires) })
	c.answers[tenant] = answer{maps.Clone(nodes), now.Add(c.ttl)}
	return nodes, nil
}
