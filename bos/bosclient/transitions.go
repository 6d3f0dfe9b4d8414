package bosclient

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/bootorch/bosgo/bos"
)

func transitionPath(id string) string { return "/v2/transitions/" + url.PathEscape(id) }

// PowerTransitions returns the power transitions that operators have open: those of ids, or all for nil.
func (c *Client) PowerTransitions(ctx context.Context, ids []string) (ts []bos.PowerTransition, err error) {
	q := url.Values{}
	if ids != nil {
		if len(ids) == 0 {
			return nil, nil
		}
		q.Set("ids", strings.Join(ids, ","))
	}
	err = c.addition(ctx, request{method: http.MethodGet, path: "/v2/transitions", query: q}, &ts)
	return ts, err
}

// PutPowerTransition creates or replaces the record of t.ID.
func (c *Client) PutPowerTransition(ctx context.Context, t bos.PowerTransition) error {
	return c.addition(ctx, request{method: http.MethodPut, path: transitionPath(t.ID), body: t}, nil)
}

// DeletePowerTransition removes a record, if there is one.
func (c *Client) DeletePowerTransition(ctx context.Context, id string) error {
	return c.addition(ctx, request{method: http.MethodDelete, path: transitionPath(id)}, nil)
}
