package bosclient

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// Version returns the release of the server.
func (c *Client) Version(ctx context.Context) (v bos.Version, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: "/v2/version"}, &v)
	return v, err
}

// Health returns what the server says of itself and of its store.
func (c *Client) Health(ctx context.Context) (h bos.Health, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: "/v2/healthz"}, &h)
	return h, err
}

// Options returns the options in force.
func (c *Client) Options(ctx context.Context) (o bos.Options, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: "/v2/options"}, &o)
	return o, err
}

// UpdateOptions changes the options that are present in p.
func (c *Client) UpdateOptions(ctx context.Context, p bos.OptionsPatch) (o bos.Options, err error) {
	err = c.do(ctx, request{method: http.MethodPatch, path: "/v2/options", body: p}, &o)
	return o, err
}

// Settings fails with bos.ErrUnsupported against a reference server.
func (c *Client) Settings(ctx context.Context) (s bos.Settings, err error) {
	err = c.addition(ctx, request{method: http.MethodGet, path: "/v2/settings"}, &s)
	return s, err
}

// UpdateSettings fails with bos.ErrUnsupported against a reference server.
func (c *Client) UpdateSettings(ctx context.Context, p bos.SettingsPatch) (s bos.Settings, err error) {
	err = c.addition(ctx, request{method: http.MethodPatch, path: "/v2/settings", body: p}, &s)
	return s, err
}

func templatePath(key bos.TenantKey) string {
	return "/v2/sessiontemplates/" + url.PathEscape(key.Name)
}

// ListTemplates returns the templates of the tenant, or those of all tenants for the empty one.
func (c *Client) ListTemplates(ctx context.Context, tenant string) (ts []bos.SessionTemplate, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: "/v2/sessiontemplates", tenant: tenant}, &ts)
	return ts, err
}

// GetTemplate fails with bos.ErrNotFound.
func (c *Client) GetTemplate(ctx context.Context, key bos.TenantKey) (t bos.SessionTemplate, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: templatePath(key), tenant: key.Tenant}, &t)
	return t, err
}

// PutTemplate creates or replaces the template under key. Members that the API does not know are not sent.
func (c *Client) PutTemplate(ctx context.Context, key bos.TenantKey, t bos.SessionTemplate) (stored bos.SessionTemplate, err error) {
	// A patch has all members of a template but the read-only ones, which the API refuses.
	body := bos.TemplatePatch{Description: t.Description, EnableCFS: t.EnableCFS, CFS: t.CFS, BootSets: t.BootSets}
	err = c.do(ctx, request{method: http.MethodPut, path: templatePath(key), tenant: key.Tenant, body: body}, &stored)
	return stored, err
}

// PatchTemplate merges p into the template.
func (c *Client) PatchTemplate(ctx context.Context, key bos.TenantKey, p bos.TemplatePatch) (t bos.SessionTemplate, err error) {
	err = c.do(ctx, request{method: http.MethodPatch, path: templatePath(key), tenant: key.Tenant, body: p}, &t)
	return t, err
}

// DeleteTemplate fails with bos.ErrNotFound.
func (c *Client) DeleteTemplate(ctx context.Context, key bos.TenantKey) error {
	return c.do(ctx, request{method: http.MethodDelete, path: templatePath(key), tenant: key.Tenant}, nil)
}

// ValidateTemplate says in words whether a boot session with the template could be set up.
func (c *Client) ValidateTemplate(ctx context.Context, key bos.TenantKey) (text string, err error) {
	path := "/v2/sessiontemplatesvalid/" + url.PathEscape(key.Name)
	err = c.do(ctx, request{method: http.MethodGet, path: path, tenant: key.Tenant}, &text)
	return text, err
}

// ExampleTemplate returns the template of the documentation.
func (c *Client) ExampleTemplate(ctx context.Context) (t bos.SessionTemplate, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: "/v2/sessiontemplatetemplate"}, &t)
	return t, err
}

func sessionPath(key bos.TenantKey) string { return "/v2/sessions/" + url.PathEscape(key.Name) }

// ListSessions returns the sessions that match. The API knows ages in whole minutes: MinAge is rounded up and MaxAge
// down, so that the list is never longer than asked for.
func (c *Client) ListSessions(ctx context.Context, f bos.SessionFilter) (ss []bos.Session, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: "/v2/sessions", query: sessionQuery(f), tenant: f.Tenant}, &ss)
	return ss, err
}

// GetSession fails with bos.ErrNotFound.
func (c *Client) GetSession(ctx context.Context, key bos.TenantKey) (s bos.Session, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: sessionPath(key), tenant: key.Tenant}, &s)
	return s, err
}

// CreateSession fails with bos.ErrExists where the name is taken. It is sent once: after bos.ErrUnavailable the session
// may exist.
func (c *Client) CreateSession(ctx context.Context, tenant string, create bos.SessionCreate) (s bos.Session, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: "/v2/sessions", tenant: tenant, body: create}, &s)
	return s, err
}

// PatchSession changes the members that are present in p.
func (c *Client) PatchSession(ctx context.Context, key bos.TenantKey, p bos.SessionPatch) (s bos.Session, err error) {
	err = c.do(ctx, request{method: http.MethodPatch, path: sessionPath(key), tenant: key.Tenant, body: p}, &s)
	return s, err
}

// CancelSession ends a session that is pending or running. Repeating it is harmless, so it is retried. Against a reference
// server it fails with bos.ErrUnsupported.
func (c *Client) CancelSession(ctx context.Context, key bos.TenantKey, reason string) (done bos.SessionCanceled, err error) {
	body := struct {
		Reason string `json:"reason,omitempty"`
	}{reason}
	r := request{method: http.MethodPost, path: sessionPath(key) + "/cancel", tenant: key.Tenant, body: body, repeatable: true}
	err = c.do(ctx, r, &done)
	// Both kinds of server have sessions; only the title tells which of the two is missing, the session or the path.
	if errors.Is(err, bos.ErrNotFound) && bos.AsStatus(err).Title != bos.TitleNotFound {
		err = unsupported("sessions/{session_id}/cancel")
	}
	return done, err
}

// DeleteSession fails with bos.ErrNotFound.
func (c *Client) DeleteSession(ctx context.Context, key bos.TenantKey) error {
	return c.do(ctx, request{method: http.MethodDelete, path: sessionPath(key), tenant: key.Tenant}, nil)
}

// DeleteSessions deletes every session that matches, in any state. Ages are rounded as in ListSessions, towards fewer
// sessions.
func (c *Client) DeleteSessions(ctx context.Context, f bos.SessionFilter) error {
	return c.do(ctx, request{method: http.MethodDelete, path: "/v2/sessions", query: sessionQuery(f), tenant: f.Tenant}, nil)
}

// SessionStatus returns the summary of a session over its components.
func (c *Client) SessionStatus(ctx context.Context, key bos.TenantKey) (s bos.ExtendedStatus, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: sessionPath(key) + "/status", tenant: key.Tenant}, &s)
	return s, err
}

// SaveSessionStatus makes the server compute the summary and keep it. Repeating it is harmless, so it is retried.
func (c *Client) SaveSessionStatus(ctx context.Context, key bos.TenantKey) (s bos.ExtendedStatus, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: sessionPath(key) + "/status", tenant: key.Tenant, repeatable: true}, &s)
	return s, err
}

func sessionQuery(f bos.SessionFilter) url.Values {
	q := url.Values{}
	if f.MinAge != nil {
		q.Set("min_age", age(*f.MinAge, true))
	}
	if f.MaxAge != nil {
		q.Set("max_age", age(*f.MaxAge, false))
	}
	if f.Status != "" {
		q.Set("status", string(f.Status))
	}
	return q
}

// age writes a duration as the API reads it: a number of at most seven digits and a unit.
func age(d time.Duration, up bool) string {
	units := []struct {
		name string
		size time.Duration
	}{{"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}, {"w", 7 * 24 * time.Hour}}
	d = max(d, 0)
	for _, u := range units {
		n := int64(d / u.size)
		if up && d%u.size != 0 {
			n++
		}
		if n == 0 {
			return "0"
		}
		if n <= 9_999_999 {
			return strconv.FormatInt(n, 10) + u.name
		}
	}
	return "9999999w" // not reached: a duration ends at 292 years
}
