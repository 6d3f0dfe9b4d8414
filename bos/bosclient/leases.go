package bosclient

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/bootorch/bosgo/bos"
)

func leasePath(operator string) string { return "/v2/leases/" + url.PathEscape(operator) }

// AcquireLease takes or renews the lease of an operator. ttl is cut to whole seconds. The lease counts from the moment of
// the call, not from that of the answer. Against a reference server it fails with bos.ErrUnsupported.
func (c *Client) AcquireLease(ctx context.Context, operator, holder string, ttl time.Duration) (bos.Lease, error) {
	body := struct {
		Holder     string `json:"holder"`
		TTLSeconds int64  `json:"ttl_seconds"`
	}{holder, int64(ttl / time.Second)}
	var answer struct {
		Token     int64 `json:"token"`
		ExpiresIn int64 `json:"expires_in"`
	}
	if err := c.addition(ctx, request{method: http.MethodPut, path: leasePath(operator), body: body}, &answer); err != nil {
		return bos.Lease{}, err
	}
	return bos.Lease{Holder: holder, Token: answer.Token, ExpiresIn: time.Duration(answer.ExpiresIn) * time.Second}, nil
}

// ReleaseLease gives the lease up. Against a reference server it fails with bos.ErrUnsupported.
func (c *Client) ReleaseLease(ctx context.Context, operator, holder string) error {
	q := url.Values{}
	q.Set("holder", holder)
	return c.addition(ctx, request{method: http.MethodDelete, path: leasePath(operator), query: q}, nil)
}
