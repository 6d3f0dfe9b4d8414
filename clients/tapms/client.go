package tapms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// Config says how to speak to the service. The zero value works; Timeout then is 10 s.
//
// It says how long to wait (Timeout, ConnectTimeout), how often to try (Retries, RetryBudget, RetryWait, Jitter), how much
// at a time (MaxInFlight, MaxNodes), when to leave a service alone (BreakAfter, BreakFor), who asks (Token, TokenFile,
// CertFile, KeyFile), whom to trust (CAFile, InsecureSkipVerify), and Transport and Log. Each field is explained by
//
//	go doc github.com/bootorch/bosgo/internal/rest.Config
type Config = rest.Config

// Error is what a call of the service fails with; it carries the service's own words, and tells a time-out and a malformed
// answer from other failures.
type Error = rest.Error

// Client is a TenantClient over HTTP. It is safe for concurrent use.
type Client struct{ rest *rest.Client }

var _ TenantClient = (*Client)(nil)

// New returns a client of TAPMS at baseURL, such as "http://cray-tapms/v1alpha3". No request is made. Errors match
// bos.ErrInvalid.
func New(baseURL string, cfg Config) (*Client, error) {
	if cfg.Timeout == nil {
		cfg.Timeout = func() time.Duration { return 10 * time.Second }
	}
	c, err := rest.New("tapms", baseURL, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// TenantNodes implements TenantClient. What counts is the status of the tenant, not its specification: a tenant that is
// still being deployed owns nothing.
func (c *Client) TenantNodes(ctx context.Context, tenant string) (map[bos.ComponentID]bool, error) {
	if tenant == "" || tenant == "." || tenant == ".." {
		return nil, fmt.Errorf("tenant '%s': %w", tenant, bos.ErrNotFound)
	}
	var record struct {
		Status struct {
			Resources []struct {
				Xnames []bos.ComponentID `json:"xnames"`
			} `json:"tenantresources"`
		} `json:"status"`
	}
	err := c.rest.Do(ctx, rest.Request{Method: http.MethodGet, Path: "tenants/" + url.PathEscape(tenant)}, rest.JSON(&record))
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound && e.Detail == "Page not found" {
		return nil, fmt.Errorf("the URL of tapms leads elsewhere: %w: %s", bos.ErrUnavailable, e.Error()) // an unknown tenant is a JSON string
	}
	if err = rest.CheckRoute(err); err != nil {
		return nil, fmt.Errorf("tenant '%s': %w", tenant, err)
	}
	nodes := map[bos.ComponentID]bool{}
	for _, r := range record.Status.Resources {
		for _, x := range r.Xnames {
			nodes[x] = true
		}
	}
	return nodes, nil
}
