package bosclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// Config says how to speak to the API. The zero value works.
type Config struct {
	// Token returns the bearer token to send; an empty one is not sent. It must be safe for concurrent use. Nil means
	// TokenFile.
	Token func(ctx context.Context) (string, error)
	// TokenFile holds the bearer token; it is read again when it changes. Empty means no token.
	TokenFile string
	// CAFile holds PEM certificates to trust besides those of the system.
	CAFile string
	// CertFile and KeyFile hold the client's own certificate and its key, in PEM.
	CertFile, KeyFile string
	// InsecureSkipVerify accepts any certificate of the server.
	InsecureSkipVerify bool
	// Transport sends the requests instead of the network; then nothing about connections and TLS applies.
	Transport http.RoundTripper

	// Timeout is the longest silence of the server, before its answer begins and between two pieces of it. It does not
	// limit the answer as a whole: that is what the context is for. Zero means 35 s, a little more than the server takes
	// at most.
	Timeout time.Duration
	// ConnectTimeout bounds the making of a connection, and the TLS handshake on it. Zero means 3 s.
	ConnectTimeout time.Duration
	// RetryBudget ends the retries of a call: none begins later than this after the call began. Zero means 10 s, since
	// the callers' own loops are the long retry; negative means that nothing is retried.
	RetryBudget time.Duration
	// MaxInFlight bounds the requests under way at the same time; others wait their turn. Zero means 32.
	MaxInFlight int

	// PageSize is how many components are asked for at a time. Zero means 2800.
	PageSize int
	// UserAgent is sent with every request. Empty means "bosgo".
	UserAgent string
	// Log takes a debug record per retry, and warnings about broken streams and clocks that differ. Nil discards.
	Log *slog.Logger
}

// Defaults of Config.
const (
	defaultTimeout     = 35 * time.Second
	defaultRetryBudget = 10 * time.Second
	defaultMaxInFlight = 32
	defaultPageSize    = 2800
	retryWait          = 200 * time.Millisecond
	maxStreams         = 1024
)

// Client asks a BOS API server. It is safe for concurrent use.
type Client struct {
	cfg       Config
	log       *slog.Logger
	transport http.RoundTripper
	calls     *rest.Client // with retries and time-outs
	streams   *rest.Client // without

	additions sync.Map    // name → time.Time: when the server was found not to have it; nouns of paths, features and laterMembers
	shortIDs  atomic.Bool // the server refuses long lists of ids in a URL
	clockOff  atomic.Bool // a difference of the clocks has been reported
}

var _ bos.API = (*Client)(nil)

// New returns a client of the API at baseURL, to which /v2/… is appended: "http://cray-bos", or "https://gw/apis/bos"
// behind the gateway. No request is made. Errors match bos.ErrInvalid.
func New(baseURL string, cfg Config) (*Client, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	cfg.RetryBudget = cmp.Or(cfg.RetryBudget, defaultRetryBudget)
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, defaultMaxInFlight)
	cfg.PageSize = cmp.Or(cfg.PageSize, defaultPageSize)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "bosgo")
	if cfg.PageSize < 1 || cfg.PageSize > 1<<20 {
		return nil, &bos.FieldError{Field: "PageSize", Reason: fmt.Sprintf("%d is not between 1 and 1048576", cfg.PageSize)}
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	plumbing := rest.Config{
		Token: cfg.Token, TokenFile: cfg.TokenFile,
		CAFile: cfg.CAFile, CertFile: cfg.CertFile, KeyFile: cfg.KeyFile, InsecureSkipVerify: cfg.InsecureSkipVerify,
		Transport: cfg.Transport, ConnectTimeout: cfg.ConnectTimeout, MaxInFlight: cfg.MaxInFlight,
		Timeout: func() time.Duration { return cfg.Timeout }, RetryBudget: cfg.RetryBudget, RetryWait: retryWait,
		BreakAfter: -1, Log: log,
	}
	if cfg.RetryBudget < 0 {
		plumbing.Retries = func() int { return 0 }
	}
	if plumbing.Transport == nil {
		network, err := plumbing.NetworkTransport()
		if err != nil {
			return nil, err
		}
		plumbing.Transport = network
	}
	c := &Client{cfg: cfg, log: log, transport: plumbing.Transport}
	var err error
	if c.calls, err = rest.New("bos", baseURL, plumbing); err != nil {
		return nil, err
	}
	plumbing.Retries = func() int { return 0 }
	plumbing.Timeout = func() time.Duration { return streamSilence }
	plumbing.MaxInFlight = maxStreams
	c.streams, err = rest.New("bos", baseURL, plumbing)
	return c, err
}

// Base returns the base URL, without trailing slash.
func (c *Client) Base() string { return c.calls.Base() }

// Close closes the connections that are idle. The client may still be used.
func (c *Client) Close() error {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// request is one request of the API.
type request struct {
	method     string
	path       string // below the base URL, escaped
	query      url.Values
	tenant     string
	header     http.Header // besides the usual ones
	body       any
	repeatable bool // a POST that may be sent again
	once       bool // a PUT that may not
	secret     bool // the last element of path must not be shown

	// feature names an addition that came after others of its noun; empty = the noun itself.
	feature string
}

// do makes a request and decodes the answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, r request, out any) error {
	return c.ask(ctx, c.calls, r, func(a *rest.Answer) error {
		c.compareClocks(a.Header.Get("Date"))
		if out == nil {
			return nil
		}
		return rest.JSON(out)(a)
	})
}

func (c *Client) ask(ctx context.Context, via *rest.Client, r request, read func(*rest.Answer) error) error {
	if err := checkPath(r.path); err != nil {
		return err
	}
	header := http.Header{"User-Agent": {c.cfg.UserAgent}}
	for name, values := range r.header {
		header[name] = values
	}
	if r.tenant != "" {
		header.Set("Cray-Tenant-Name", r.tenant)
	}
	if operator := bos.Writer(ctx); operator != "" {
		header.Set("Bos-Operator", operator)
	}
	if tenant, known := bos.SessionTenant(ctx); known {
		header.Set("Bos-Session-Tenant", tenant)
	}
	shown := ""
	if r.secret {
		shown = r.path[1:strings.LastIndexByte(r.path, '/')] + "/{token}"
	}
	err := via.Do(ctx, rest.Request{
		Method: r.method, Path: r.path[1:], Query: r.query, Header: header, Body: r.body,
		ReadOnly: r.repeatable, Once: r.once, Shown: shown,
	}, read)
	return c.asBOS(err)
}

// checkPath refuses names that a URL cannot carry: servers read them as another path.
func checkPath(path string) error {
	for part := range strings.SplitSeq(path[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return &bos.FieldError{Reason: fmt.Sprintf("'%s' cannot be a name", part)}
		}
	}
	return nil
}

// asBOS turns an error answer into the *bos.StatusError that the server had. Trouble with the connection makes the
// client ask again for what the server could not do: it may be another one now.
func (c *Client) asBOS(err error) error {
	e, ok := errors.AsType[*rest.Error](err)
	if !ok {
		return err
	}
	if e.Status == 0 {
		if errors.Is(e, bos.ErrUnavailable) {
			c.additions.Clear()
			c.shortIDs.Store(false)
		}
		return err
	}
	answer := &bos.StatusError{Status: e.Status, Title: e.Title, Detail: e.Detail, RetryAfter: e.RetryAfter}
	if e.Title == "" { // no answer of the API, but of something before it
		answer.Detail = fmt.Sprintf("%s %s is answered %d %s without a problem document", e.Method, e.URL, e.Status, e.Reason)
		if body := strings.TrimSpace(e.Body); body != "" {
			answer.Detail += ": " + body
		}
	}
	return answer
}

// supportFor is how long a client believes that a server lacks one of our additions before it asks again: servers
// behind one address are replaced without a connection breaking.
const supportFor = time.Minute

// addition is do for a path that a reference server does not have. It fails with bos.ErrUnsupported there, from then on
// without asking.
func (c *Client) addition(ctx context.Context, r request, out any) error {
	return c.ifSupported(r, func() error { return c.do(ctx, r, out) })
}

func (c *Client) ifSupported(r request, do func() error) error {
	noun, name, _ := strings.Cut(strings.TrimPrefix(r.path, "/v2/"), "/")
	feature := cmp.Or(r.feature, noun)
	if strings.Contains(name, "%2F") {
		// Servers have no route for it and answer 404, as if they had none at all.
		return &bos.FieldError{Reason: "a name with a slash cannot be asked for over HTTP: /v2/" + noun}
	}
	if c.lacks(feature) {
		return unsupported(noun)
	}
	err := do()
	if errors.Is(err, bos.ErrNotFound) {
		c.additions.Store(feature, time.Now())
		return unsupported(noun)
	}
	return err
}

// lacks reports whether the server was found not to have an addition, a short while ago.
func (c *Client) lacks(addition string) bool {
	since, missing := c.additions.Load(addition)
	return missing && time.Since(since.(time.Time)) < supportFor
}

func unsupported(noun string) error {
	return fmt.Errorf("/v2/%s: %w", noun, bos.ErrUnsupported)
}

// maxClockDifference is how far the clocks of client and server may be apart before a warning: waits of the operators
// compare stamps of the server with their own time.
const maxClockDifference = 2 * time.Second

// compareClocks warns once when the server's clock differs.
func (c *Client) compareClocks(date string) {
	server, err := http.ParseTime(date)
	if err != nil {
		return
	}
	ahead := time.Since(server) // the header is cut to whole seconds
	off := ahead > maxClockDifference+time.Second || ahead < -maxClockDifference
	if off && !c.clockOff.Swap(off) {
		c.log.Warn("clock differs from that of the API server", "ahead", ahead.Truncate(time.Second))
	}
	if !off {
		c.clockOff.Store(false)
	}
}

// boolean writes a boolean query parameter the way the reference's clients do.
func boolean(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
