package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// Client speaks to one service. It is safe for concurrent use.
type Client struct {
	service string
	base    *url.URL
	cfg     Config
	http    *http.Client
	breaker *Breaker
}

// Request is one request of a service.
type Request struct {
	Method string
	Path   string      // below the base URL, escaped, without leading slash
	Query  url.Values  // may be nil
	Body   any         // encoded as JSON; nil = none
	Header http.Header // sent besides, or instead of, the usual ones; may be nil
	// ReadOnly marks a POST that changes nothing, and so may be repeated like a GET.
	ReadOnly bool
	// Once marks a PUT or DELETE that must not be repeated once it may have been seen, like a POST.
	Once bool
	// Shown stands for Path in errors and logs where Path holds a secret. Empty means Path.
	Shown string
}

// New returns a client of the service at baseURL, such as "http://cray-smd/hsm/v2". No request is made. Errors match
// bos.ErrInvalid.
func New(service, baseURL string, cfg Config) (*Client, error) {
	base, err := ParseBase(baseURL)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", service, err)
	}
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, fmt.Errorf("%s: %w", service, err)
	}
	c := &Client{service: service, base: base, cfg: cfg}
	c.http = &http.Client{Transport: newTransport(cfg), CheckRedirect: c.checkRedirect}
	c.breaker = NewBreaker(service, cfg.BreakAfter, cfg.BreakFor, cfg.Log, outage)
	return c, nil
}

// ParseBase checks the base URL of a service and drops its trailing slashes. The error matches bos.ErrInvalid.
func ParseBase(baseURL string) (*url.URL, error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, badConfig("'%s' is not a URL of a service: write http://host or https://host, with a path if there is one", withoutSecrets(baseURL))
	case u.User != nil:
		return nil, badConfig("the URL of %s holds a user name: use a token file instead", u.Host)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, badConfig("'%s' is not a base URL: leave out what follows the path", withoutSecrets(baseURL))
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// withoutSecrets returns a URL that may be none without the parts where passwords and tokens are put.
func withoutSecrets(text string) string {
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		text = text[:i] + "…"
	}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		text = "…" + text[i:]
	}
	return text
}

// Base returns the base URL, without trailing slash.
func (c *Client) Base() string { return c.base.String() }

// Config returns the configuration, with what was not set filled in.
func (c *Client) Config() Config { return c.cfg }

// outage reports whether err says that the service is away, or not itself.
func outage(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Status == 0 || e.Status >= 500) && e.class != ErrMalformed //nolint:errorlint // class is one of ours, never wrapped
}

// Do makes the call and gives the first answer with a 2xx status to read, which may be nil. Each retry that gets an
// answer calls read anew. Every error is an *Error or what read returned beside one; an *Error around an *OpenError when
// the service has been away for a while and was not asked.
func (c *Client) Do(ctx context.Context, r Request, read func(*Answer) error) error {
	err := c.breaker.Do(ctx, func() error { return c.do(ctx, r, read) })
	if open, ok := err.(*OpenError); ok { //nolint:errorlint // the breaker's own, not one that a call brought
		e := (&call{client: c, method: r.Method, where: c.where(r)}).error(open)
		e.RetryAfter = max(0, time.Until(open.Next))
		return e
	}
	return err
}

// encode is json.Marshal without its second look at what a value has written of itself.
func encode(v any) ([]byte, error) {
	if m, ok := v.(json.Marshaler); ok {
		return m.MarshalJSON()
	}
	return json.Marshal(v)
}

func (c *Client) do(ctx context.Context, r Request, read func(*Answer) error) error {
	t := newCall(c, r, read)
	var body any
	if r.Body != nil {
		text, err := encode(r.Body)
		if err != nil {
			return fmt.Errorf("%s: encode the body of %s %s: %w", c.service, r.Method, t.where, err)
		}
		body = text
	}
	target := c.base.String() + "/" + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return t.error(withoutURL(err))
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "bosgo")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, r.Header)
	if c.cfg.Token != nil {
		token, err := c.cfg.Token(ctx)
		if err != nil {
			return t.error(fmt.Errorf("get a token: %w", err))
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
			t.token = token
		}
	}
	req.SetResponseHandler(t.receive)
	policy := &retryablehttp.Client{
		HTTPClient: c.http, RetryMax: c.cfg.Retries(), CheckRetry: t.again, Backoff: t.backoff, ErrorHandler: t.fail,
	}
	if _, err := policy.Do(req); err != nil { //nolint:bodyclose // receive and fail close it
		if t.final != nil {
			return t.final
		}
		return t.transportError(err)
	}
	return nil
}

// where returns the URL without query, as errors and logs show it.
func (c *Client) where(r Request) string {
	return c.base.String() + "/" + cmp.Or(r.Shown, r.Path)
}

// checkRedirect follows redirects that keep method and body, up to five. The token goes to no other host.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 5 || req.Method != first.Method {
		return http.ErrUseLastResponse
	}
	if req.URL.Host != c.base.Host || req.URL.Scheme != c.base.Scheme {
		req.Header.Del("Authorization")
	}
	return nil
}
