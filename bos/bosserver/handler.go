package bosserver

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"

	"github.com/bootorch/bosgo/bos"
)

// The limits of a request. See also HandlerConfig.RequestTimeout.
const (
	maxListBody  = 64 << 20 // lists of components
	maxBody      = 16 << 20 // any other body
	maxBodies    = 96 << 20 // bodies in memory at the same time
	maxWork      = 32 << 20 // bodies being worked on at the same time, which takes several times their size; a longer one is alone
	minWork      = 1 << 20  // a body that is worked on at any time
	maxDepth     = 64       // of JSON
	maxListItems = 1 << 17  // components in one request
)

// HandlerConfig is what a handler works with beside its API. The zero value works.
type HandlerConfig struct {
	Log *slog.Logger // one line a request; nil = discard

	// ProxyPath is the path under which a gateway shows the API ("/apis/bos"). Links have it when a request comes
	// through the gateway, which X-Forwarded-For tells. Source: BOS v2, PROXY_PATH.
	ProxyPath string

	// Observe is called after each request with the pattern of its route (empty for an unknown one), never the path,
	// which may hold a token.
	Observe func(route, method string, code int, d time.Duration)

	// Authenticate, when set, is asked about each request to a known route. It returns the context to go on with; an
	// error that matches bos.ErrUnauthenticated or bos.ErrForbidden becomes 401 or 403.
	Authenticate func(r *http.Request, route string) (context.Context, error)

	// Closing ends the event streams when it is closed, which a graceful shutdown has to do first.
	Closing <-chan struct{}

	RequestTimeout time.Duration // of everything but event streams; default 30 s
	Heartbeat      time.Duration // between comments in event streams; default 15 s
}

// NewHandler returns the HTTP API over s. Where s has a method Cursor() bos.Cursor, as Service has, answers carry it in
// the header Bos-Revision.
func NewHandler(s bos.API, cfg HandlerConfig) http.Handler {
	h := &handler{api: s, doc: loadDocument(), cfg: cfg, log: cfg.Log, work: semaphore.NewWeighted(maxWork)}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.cfg.RequestTimeout <= 0 {
		h.cfg.RequestTimeout = 30 * time.Second
	}
	if h.cfg.Heartbeat <= 0 {
		h.cfg.Heartbeat = 15 * time.Second
	}
	h.cursor = func() bos.Cursor { return bos.Cursor{} }
	if c, ok := s.(interface{ Cursor() bos.Cursor }); ok {
		h.cursor = c.Cursor
	}
	mux := http.NewServeMux()
	for pattern, methods := range h.byPath() {
		mux.Handle(pattern, methods)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeProblem(w, errRoute()) })
	return h.outermost(mux)
}

type handler struct {
	api    bos.API
	doc    *document
	cfg    HandlerConfig
	log    *slog.Logger
	cursor func() bos.Cursor
	bodies atomic.Int64        // bytes of bodies in memory
	work   *semaphore.Weighted // bytes of large bodies being worked on
}

// route is one method of one path of the OpenAPI document.
type route struct {
	method, path string
	handle       func(c *call) error
}

// call is one request that has been found well-formed.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	route  *route
	body   []byte
	query  url.Values // each with the last value given
	tenant string     // on routes that take one
}

func (c *call) ctx() context.Context { return c.r.Context() }

func (c *call) param(name string) string { return c.query.Get(name) }

func (c *call) flag(name string) bool { return strings.EqualFold(c.query.Get(name), "true") }

// has reports whether the query parameter is given and not empty.
func (c *call) has(name string) bool { return c.query.Get(name) != "" }

// byPath returns the routes as the mux wants them. A path answers every method, be it with 405.
func (h *handler) byPath() map[string]*methods {
	byPath := map[string]*methods{}
	for _, rt := range h.routes() {
		op, ok := h.doc.ops[rt.method+" "+rt.path]
		if !ok {
			panic("bosserver: the OpenAPI document lacks " + rt.method + " " + rt.path)
		}
		pattern := rt.path
		if pattern == "/" {
			pattern = "/{$}"
		}
		m := byPath[pattern]
		if m == nil {
			m = &methods{handler: h, path: rt.path, handlers: map[string]http.Handler{}}
			byPath[pattern] = m
		}
		m.handlers[rt.method] = h.serve(&rt, op)
	}
	return byPath
}

// serve checks a request in the order that the API promises and handles it.
func (h *handler) serve(rt *route, op *operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.handle(w, r, rt, op); err != nil {
			traceOf(r).err = err
			writeProblem(w, err)
		}
	})
}

func (h *handler) handle(w http.ResponseWriter, r *http.Request, rt *route, op *operation) error {
	if h.cfg.Authenticate != nil {
		ctx, err := h.cfg.Authenticate(r, rt.path)
		if err != nil {
			return err
		}
		r = r.WithContext(ctx)
	}
	c := &call{w: w, r: r, route: rt}
	if op.body != nil {
		body, release, err := h.readBody(w, r, op, bodyLimit(rt))
		defer release()
		if err != nil {
			return err
		}
		c.body = body
	}
	if err := c.readParams(op); err != nil {
		return err
	}
	if name := r.Header.Get("Bos-Operator"); name != "" {
		if !bos.ValidName(name) {
			return invalid("%s is not the name of an operator", quoteText(name))
		}
		c.r = r.WithContext(bos.WithWriter(r.Context(), name))
	}
	if tenants := r.Header.Values("Bos-Session-Tenant"); len(tenants) > 0 {
		tenant := tenants[len(tenants)-1]
		if len(tenant) > maxIDLength {
			return invalid("%s is too long for header parameter 'Bos-Session-Tenant'", quoteText(tenant))
		}
		c.r = c.r.WithContext(bos.WithSessionTenant(c.ctx(), tenant))
	}
	traceOf(r).tenant = c.tenant
	return rt.handle(c)
}

// bodyLimit returns the longest body of a route.
func bodyLimit(rt *route) int64 {
	switch rt.path {
	case "/v2/components", "/v2/componentpatches":
		return maxListBody
	}
	return maxBody
}

// methods dispatches one path by method.
type methods struct {
	handler  *handler
	path     string
	handlers map[string]http.Handler
}

func (m *methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	traceOf(r).route = m.path
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if next, ok := m.handlers[method]; ok {
		next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Allow", m.allow())
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	writeProblem(w, &bos.StatusError{Status: http.StatusMethodNotAllowed, Detail: bos.DetailMethodNotKnown, Err: bos.ErrInvalid})
}

// allow lists what the path answers.
func (m *methods) allow() string {
	var list []string
	for _, method := range []string{"DELETE", "GET", "PATCH", "POST", "PUT"} {
		if m.handlers[method] == nil {
			continue
		}
		list = append(list, method)
		if method == "GET" {
			list = append(list, "HEAD")
		}
	}
	return strings.Join(append(list, "OPTIONS"), ", ")
}

// errRoute is the answer to a path that does not exist.
func errRoute() error {
	return &bos.StatusError{Status: http.StatusNotFound, Title: "Not Found", Detail: bos.DetailRouteNotFound, Err: bos.ErrUnsupported}
}

// knownPath reports whether a path can be a route at all: no empty or dotted parts, no slash at the end or encoded
// in an id.
func knownPath(u *url.URL) bool {
	p := u.EscapedPath()
	return p == path.Clean(p) && !strings.Contains(strings.ToUpper(p), "%2F")
}

// readParams checks the parameters and keeps the last value of each.
func (c *call) readParams(op *operation) error {
	given, _ := url.ParseQuery(c.r.URL.RawQuery) // what cannot be read is ignored, like any unknown parameter
	c.query = url.Values{}
	for _, p := range op.params {
		var value string
		var present bool
		switch p.in {
		case "path":
			value, present = c.r.PathValue(p.name), true
		case "query":
			if all := given[p.name]; len(all) > 0 {
				value, present = all[len(all)-1], true
			}
		case "header":
			if all := c.r.Header.Values(p.name); len(all) > 0 {
				value, present = all[len(all)-1], true
			}
		}
		if !present {
			continue
		}
		if err := p.check(value); err != nil {
			return err
		}
		switch {
		case p.in == "query":
			c.query.Set(p.name, value)
		case p.name == "Cray-Tenant-Name":
			c.tenant = value
		}
	}
	return nil
}

// check checks the text of a parameter.
func (p *parameter) check(value string) error {
	if !utf8.ValidString(value) {
		return invalid("%s parameter '%s' is not UTF-8", p.in, p.name)
	}
	var data []byte
	switch p.schema.kind {
	case kindBoolean:
		if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			return invalid("Wrong type, expected 'boolean' for %s parameter '%s'", p.in, p.name)
		}
		return nil
	case kindInteger:
		if _, err := strconv.ParseInt(value, 10, 64); err != nil && !errors.Is(err, strconv.ErrRange) {
			return invalid("Wrong type, expected 'integer' for %s parameter '%s'", p.in, p.name)
		}
		data = []byte(strings.TrimPrefix(value, "+"))
	default:
		var err error
		if data, err = json.Marshal(value); err != nil {
			return invalid("%s parameter '%s': %v", p.in, p.name, err)
		}
	}
	if err := p.schema.checkRequest(data); err != nil {
		return invalid("%v for %s parameter '%s'", err, p.in, p.name)
	}
	return nil
}
