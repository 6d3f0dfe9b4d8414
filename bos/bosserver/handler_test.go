package bosserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/ims/imstest"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/clients/tapms/tapmstest"
	"github.com/bootorch/bosgo/store/memstore"
)

// system is a handler over a store in memory and fakes of the other services.
type system struct {
	t       testing.TB
	doc     *openapi3.T
	svc     *Service
	handler http.Handler
	tenants *tapmstest.Fake
	images  *imstest.Fake
	objects *manifesttest.Fake
	route   string // of the last request
}

func newSystem(t testing.TB, change ...func(*Config, *HandlerConfig)) *system {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(bos.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	s := &system{t: t, doc: doc, tenants: new(tapmstest.Fake), images: imstest.New(ims.Image{ID: "img1", Arch: "x86_64"}), objects: new(manifesttest.Fake)}
	s.tenants.Set("ten1", "n0", "n1")
	s.objects.PutImage("img1", "root=live")
	cfg := Config{Tenants: s.tenants, Images: s.images, Manifests: s.objects}
	hcfg := HandlerConfig{Observe: func(route, _ string, _ int, _ time.Duration) { s.route = route }}
	for _, fn := range change {
		fn(&cfg, &hcfg)
	}
	st := memstore.New()
	t.Cleanup(func() { _ = st.Close() })
	s.svc = New(st, cfg)
	s.handler = NewHandler(s.svc, hcfg)
	return s
}

// do sends a request and checks that the answer follows the document. Headers are given as name, value.
func (s *system) do(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	s.checkAnswer(method, w)
	return w
}

func (s *system) checkAnswer(method string, w *httptest.ResponseRecorder) {
	s.t.Helper()
	var op *openapi3.Operation
	if item := s.doc.Paths.Find(s.route); item != nil {
		op = item.GetOperation(method)
	}
	if w.Code >= 400 {
		sameProblem(s.t, w)
	}
	if op == nil || method == "HEAD" {
		return
	}
	response := op.Responses.Status(w.Code)
	if response == nil {
		response = op.Responses.Default()
	}
	contentType, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	content := response.Value.Content[contentType]
	switch {
	case len(response.Value.Content) == 0 && w.Body.Len() == 0:
	case content == nil:
		s.t.Errorf("%s %s: %d has content type %q, which the document does not know", method, s.route, w.Code, contentType)
	case strings.HasSuffix(contentType, "json"):
		if err := content.Schema.Value.VisitJSON(fromJSON[any](s.t, w.Body.String()), openapi3.VisitAsResponse()); err != nil {
			s.t.Errorf("%s %s: %d does not follow the document: %v\n%s", method, s.route, w.Code, err, w.Body)
		}
	}
}

// sameProblem checks that the answer is a problem document with exactly its four members.
func sameProblem(t testing.TB, w *httptest.ResponseRecorder) bos.Problem {
	t.Helper()
	if w.Body.Len() == 0 { // HEAD
		return bos.Problem{}
	}
	p := fromJSON[bos.Problem](t, w.Body.String())
	if n := len(fromJSON[map[string]any](t, w.Body.String())); n != 4 || p.Type != "about:blank" || p.Status != w.Code ||
		w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s is no problem document", w.Code, w.Body)
	}
	return p
}

// want checks a status and the title and detail of a problem, as far as given.
func (s *system) want(w *httptest.ResponseRecorder, code int, title, detail string) {
	s.t.Helper()
	if w.Code != code {
		s.t.Fatalf("status %d, want %d: %s", w.Code, code, w.Body)
	}
	if title == "" && detail == "" {
		return
	}
	if p := fromJSON[bos.Problem](s.t, w.Body.String()); title != "" && p.Title != title || !strings.Contains(p.Detail, detail) {
		s.t.Errorf("problem %q %q, want %q %q", p.Title, p.Detail, title, detail)
	}
}

func TestRouting(t *testing.T) {
	s := newSystem(t)
	s.do("PUT", "/v2/components/n0", `{"enabled":false}`)
	for _, tt := range []struct {
		method, target string
		code           int
		allow          string
	}{
		{"GET", "/nope", 404, ""},
		{"GET", "/v2/", 404, ""},
		{"GET", "/v2//components", 404, ""},
		{"GET", "/v2/components/n0/", 404, ""},
		{"GET", "/v2/components/n0%2fx", 404, ""},
		{"GET", "/v2/components/..", 404, ""},
		{"GET", "/v2/components/.%2e/options", 404, ""},
		{"GET", "/v2/components/n0", 200, ""},
		{"HEAD", "/v2/components/n0", 200, ""},
		{"HEAD", "/v2/components/none", 404, ""},
		{"POST", "/v2/healthz", 405, "GET, HEAD, OPTIONS"},
		{"HEAD", "/v2/applystaged", 405, "POST, OPTIONS"},
		{"BREW", "/v2/options", 405, "GET, HEAD, PATCH, OPTIONS"},
		{"OPTIONS", "/v2/components/n0", 200, "DELETE, GET, HEAD, PATCH, PUT, OPTIONS"},
		{"OPTIONS", "/nope", 404, ""},
		{"GET", "/v2?unknown=1&%zz", 200, ""},
	} {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			w := s.do(tt.method, tt.target, "")
			if w.Code != tt.code || w.Header().Get("Allow") != tt.allow {
				t.Errorf("%d, Allow %q", w.Code, w.Header().Get("Allow"))
			}
			switch w.Code {
			case 404:
				if tt.method != "HEAD" {
					s.want(w, 404, "Not Found", bos.DetailRouteNotFound)
				}
			case 405:
				s.want(w, 405, "Method Not Allowed", bos.DetailMethodNotKnown)
			}
		})
	}
}

// TestEveryRouteAnswers asks each operation of the document for something that it can give, so that no route is only there.
func TestEveryRouteAnswers(t *testing.T) {
	s := newSystem(t)
	answered := map[string]bool{}
	for _, tt := range []struct {
		method, target, body string
		code                 int
	}{
		{"GET", "/", "", 200}, {"GET", "/v2", "", 200}, {"GET", "/v2/version", "", 200}, {"GET", "/v2/healthz", "", 200},
		{"GET", "/openapi.json", "", 200}, {"GET", "/openapi.yaml", "", 200},
		{"GET", "/v2/options", "", 200}, {"PATCH", "/v2/options", `{"polling_frequency":20,"Polling_Frequency":"x"}`, 200},
		{"GET", "/v2/settings", "", 200}, {"PATCH", "/v2/settings", `{"max_configure_wait_time":60}`, 200},
		{"GET", "/v2/sessiontemplatetemplate", "", 200},
		{"PUT", "/v2/sessiontemplates/t1", `{"boot_sets":{"a":{"path":"s3://boot-images/img1/manifest.json","type":"s3","node_groups":["g"]}}}`, 200},
		{"PATCH", "/v2/sessiontemplates/t1", `{"description":"d"}`, 200},
		{"GET", "/v2/sessiontemplates", "", 200}, {"GET", "/v2/sessiontemplates/t1", "", 200}, {"GET", "/v2/sessiontemplatesvalid/t1", "", 200},
		{"POST", "/v2/sessions", `{"name":"s1","operation":"boot","template_name":"t1"}`, 201},
		{"GET", "/v2/sessions", "", 200}, {"GET", "/v2/sessions/s1", "", 200}, {"PATCH", "/v2/sessions/s1", `{"status":{"status":"running"}}`, 200},
		{"PUT", "/v2/components", `[{"id":"n0","session":"s1","error":"e"},{"id":"n1","staged_state":{"session":"s1"}}]`, 200},
		{"GET", "/v2/sessions/s1/status", "", 200}, {"POST", "/v2/sessions/s1/status", "", 200},
		{"GET", "/v2/components", "", 200}, {"PATCH", "/v2/components", `[{"id":"n0","enabled":true}]`, 200},
		{"PUT", "/v2/components/n2", `{"enabled":false}`, 200}, {"GET", "/v2/components/n2", "", 200},
		{"PATCH", "/v2/components/n2", `{"error":"e"}`, 200}, {"DELETE", "/v2/components/n2", "", 204},
		{"POST", "/v2/applystaged", `{"xnames":["n1","n9"]}`, 200},
		{"PUT", "/v2/bootartifacts/tok", `{"kernel":"k","kernel_parameters":"p","initrd":"i"}`, 204},
		{"DELETE", "/v2/bootartifacts?unused_for=3600", "", 200},
		{"PUT", "/v2/leases/power-on", `{"holder":"me","ttl_seconds":15}`, 200},
		{"PUT", "/v2/transitions/t1", `{"service_id":"s","operation":"On","operator":"power-on","accepted":5,"components":["n0"]}`, 204},
		{"GET", "/v2/transitions?ids=t1,t2", "", 200}, {"DELETE", "/v2/transitions/t1", "", 204},
		{"POST", "/v2/componentpatches", `{"patches":[{"id":"n0","patch":{"error":""}}]}`, 200},
		{"DELETE", "/v2/leases/power-on?holder=me", "", 204},
		{"POST", "/v2/sessions/s1/cancel", "", 200}, {"POST", "/v2/sessions/s1/cancel", `{"reason":"again"}`, 200},
		{"DELETE", "/v2/sessions/s1", "", 204}, {"DELETE", "/v2/sessions", "", 204}, {"DELETE", "/v2/sessiontemplates/t1", "", 204},
		{"HEAD", "/v2/events", "", 200},
	} {
		w := s.do(tt.method, tt.target, tt.body)
		if w.Code != tt.code {
			t.Errorf("%s %s: %d %s", tt.method, tt.target, w.Code, w.Body)
		}
		answered[strings.Replace(tt.method, "HEAD", "GET", 1)+" "+s.route] = true
	}
	for name := range loadDocument().ops {
		if !answered[name] {
			t.Errorf("%s was not asked", name)
		}
	}
	if o, _ := s.svc.Options(t.Context()); o.PollingFrequency != 20*time.Second {
		t.Errorf("polling frequency %v: an option of another name was taken for it", o.PollingFrequency)
	}
}

func TestOrderOfChecks(t *testing.T) {
	s := newSystem(t)
	long := strings.Repeat("t", 128)
	s.want(s.do("POST", "/v2/sessions", `{`, "Content-Type", "text/plain", "Cray-Tenant-Name", long), 415, "Unsupported Media Type", "Invalid Content-type (text/plain), expected JSON data")
	s.want(s.do("POST", "/v2/sessions", `{`, "Cray-Tenant-Name", long), 400, "Bad Request", "Request body is not valid JSON")
	s.want(s.do("POST", "/v2/sessions", `{}`, "Cray-Tenant-Name", long), 400, "Bad Request", "required property")
	s.want(s.do("POST", "/v2/sessions", `{"operation":"boot","template_name":"t"}`, "Cray-Tenant-Name", long), 400, "Bad Request", "Cray-Tenant-Name")
	s.want(s.do("POST", "/v2/sessions", `{"operation":"boot","template_name":"t"}`, "Cray-Tenant-Name", "other"), 400, bos.TitleInvalidTenant, "")
}

func TestContentTypes(t *testing.T) {
	s := newSystem(t)
	for contentType, code := range map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "application/merge-patch+json": 200, "APPLICATION/JSON": 200,
		"text/json": 415, "application/xml": 415, "json": 415, "": 415, ";": 415,
	} {
		r := httptest.NewRequest(http.MethodPatch, "/v2/options", strings.NewReader(`{"clear_stage":true}`))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		if s.handler.ServeHTTP(w, r); w.Code != code {
			t.Errorf("%q: %d, want %d", contentType, w.Code, code)
		}
	}
}

func TestQueryParameters(t *testing.T) {
	s := newSystem(t)
	s.do("PUT", "/v2/components", `[{"id":"a","enabled":true},{"id":"b","enabled":false},{"id":"c"}]`)
	for _, tt := range []struct {
		query string
		code  int
		ids   string
	}{
		{"", 200, "a,b,c"},
		{"ids=a&ids=b", 200, "b"},
		{"ids=a,,c,zz", 200, "a,c"},
		{"ids=" + strings.Repeat("zzzzzzzz,", 2000) + "c", 200, "c"},
		{"ids=", 400, ""},
		{"enabled=True", 200, "a"}, {"enabled=false", 200, "b"}, {"enabled=1", 400, ""}, {"enabled=", 400, ""},
		{"page_size=2", 200, "a,b"}, {"page_size=%2B2", 200, "a,b"}, {"page_size=2&page_size=0", 200, "a,b,c"},
		{"page_size=-1", 400, ""}, {"page_size=1.0", 400, ""}, {"page_size=1048577", 400, ""}, {"page_size=99999999999999999999", 400, ""}, {"page_size=", 400, ""},
		{"page_size=1&start_after_id=a", 200, "b"}, {"start_after_id=", 400, ""},
		{"status=on_hold,stable", 200, "a,b,c"}, {"status=", 200, "a,b,c"}, {"status=on_hold%20", 200, ""}, {"status=" + strings.Repeat("s", 513), 400, ""},
		{"phase=", 200, "a,b,c"}, {"phase=bogus", 400, ""}, {"session=-x", 400, ""}, {"staged_session=", 400, ""}, {"start_after_id=%ff", 400, ""},
	} {
		t.Run(clip(tt.query), func(t *testing.T) {
			w := s.do("GET", "/v2/components?"+tt.query, "")
			if w.Code != tt.code {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w.Code != 200 {
				return
			}
			var ids []string
			for _, c := range fromJSON[[]bos.Component](t, w.Body.String()) {
				ids = append(ids, string(c.ID))
			}
			if got := strings.Join(ids, ","); got != tt.ids {
				t.Errorf("ids = %s, want %s", got, tt.ids)
			}
		})
	}
}

// FuzzQuery sends any query: the answer is 200 or a 400 that follows the document.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"ids=a&ids=b", "enabled=True&page_size=1", "page_size=-0", "status=,&phase=", "%zz;=&a", "min_age=1d&max_age=0", "min_age=9999999w", "kind=component&ids=x"} {
		f.Add(seed)
	}
	s := newSystem(f)
	f.Fuzz(func(t *testing.T, query string) {
		s.t = t
		for _, path := range []string{"/v2/components", "/v2/sessions"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if s.checkAnswer("GET", w); w.Code != 200 && w.Code != 400 {
				t.Errorf("%s?%s: %d %s", path, query, w.Code, w.Body)
			}
		}
	})
}

func TestSessionAges(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) // a whole second: the hard case of max_age=0
	s := newSystem(t, func(c *Config, _ *HandlerConfig) { c.Now = func() time.Time { return now } })
	s.do("PUT", "/v2/sessiontemplates/t1", `{"boot_sets":{"a":{"path":"s3://boot-images/img1/manifest.json","type":"s3","node_groups":["g"]}}}`)
	s.want(s.do("POST", "/v2/sessions", `{"name":"s1","operation":"shutdown","template_name":"t1"}`), 201, "", "")
	for query, want := range map[string]int{
		"min_age=0": 1, "max_age=0": 0, "min_age=0m": 1, "min_age=1m": 0, "max_age=1m": 1, "min_age=500000d": 0, "max_age=500000D": 1, "min_age=104000w": 0,
		"min_age=1s": -1, "min_age=100000000d": -1, "min_age=9999999d": -1, "min_age=": -1, "min_age=01d": -1, "status=": -1, "status=pending": 1, "status=bogus": -1,
	} {
		w := s.do("GET", "/v2/sessions?"+query, "")
		if want < 0 {
			s.want(w, 400, "Bad Request", "")
		} else if n := len(fromJSON[[]bos.Session](t, w.Body.String())); w.Code != 200 || n != want {
			t.Errorf("%s: %d %d sessions, want %d", query, w.Code, n, want)
		}
	}
}

func TestBodyLimits(t *testing.T) {
	s := newSystem(t)
	tooLong := func(n int64) io.Reader { return io.LimitReader(endless{}, n) }
	for _, tt := range []struct {
		name, method, target string
		length               int64 // of the body; negative = chunked
		code                 int
	}{
		{"16 MiB and one", "PATCH", "/v2/options", maxBody + 1, 413},
		{"16 MiB and one, chunked", "PATCH", "/v2/options", -maxBody - 1, 413},
		{"a list may be longer", "PUT", "/v2/components", maxBody + 1, 400},
		{"64 MiB and one", "PUT", "/v2/components", maxListBody + 1, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.target, tooLong(max(tt.length, -tt.length)))
			r.ContentLength = max(tt.length, -1)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			if s.handler.ServeHTTP(w, r); w.Code != tt.code {
				t.Errorf("%d %.200s", w.Code, w.Body)
			}
			sameProblem(t, w)
		})
	}
}

// endless is a body of spaces, which are nothing wrong in JSON.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestBodiesInMemoryAreBounded(t *testing.T) {
	h := &handler{}
	h.bodies.Store(maxBodies - 100)
	r := httptest.NewRequest(http.MethodPatch, "/v2/options", strings.NewReader(strings.Repeat(" ", 1000)))
	_, release, err := h.receive(httptest.NewRecorder(), r, maxBody)
	release()
	if !errors.Is(err, bos.ErrUnavailable) || h.bodies.Load() != maxBodies-100 {
		t.Errorf("err = %v, %d bytes counted", err, h.bodies.Load())
	}
	h.bodies.Store(0)
	body, release, err := h.receive(httptest.NewRecorder(), httptest.NewRequest(http.MethodPatch, "/v2/options", strings.NewReader(strings.Repeat("x", 1<<20))), maxBody)
	if err != nil || len(body) != 1<<20 || h.bodies.Load() < 1<<20 {
		t.Errorf("err = %v, %d bytes, %d counted", err, len(body), h.bodies.Load())
	}
	if release(); h.bodies.Load() != 0 {
		t.Errorf("%d bytes counted after release", h.bodies.Load())
	}
}

func TestTooManyItems(t *testing.T) {
	s := newSystem(t)
	list := "[" + strings.TrimSuffix(strings.Repeat(`{"id":"a"},`, maxListItems+1), ",") + "]"
	s.want(s.do("PATCH", "/v2/components", list), 413, "Request Entity Too Large", "components")
	s.want(s.do("PUT", "/v2/components", list), 413, "", "")
	s.want(s.do("POST", "/v2/componentpatches", `{"patches":`+strings.ReplaceAll(list, `"a"`, `"a","patch":{"error":""}`)+`}`), 413, "", "")
}

// broken is an API whose components fail or panic.
type broken struct {
	bos.API
	err   error
	panic any
	list  []bos.Component
}

func (b broken) ListComponents(context.Context, bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		for _, c := range b.list {
			if !yield(c, nil) {
				return
			}
		}
		if b.panic != nil {
			panic(b.panic)
		}
		yield(bos.Component{}, b.err)
	}
}

func TestErrorsOfTheAPI(t *testing.T) {
	for _, tt := range []struct {
		name  string
		api   broken
		code  int
		title string
	}{
		{"the store is away", broken{err: fmt.Errorf("dial tcp 10.1.2.3:6379: %w", bos.ErrUnavailable)}, 503, bos.TitleStoreDown},
		{"something else is away", broken{err: &bos.StatusError{Status: 503, Detail: "tenants", Err: bos.ErrUnavailable}}, 503, "Service Unavailable"},
		{"out of time", broken{err: context.DeadlineExceeded}, 503, "Service Unavailable"},
		{"not authenticated", broken{err: bos.ErrUnauthenticated}, 401, "Unauthorized"},
		{"forbidden", broken{err: bos.ErrForbidden}, 403, "Forbidden"},
		{"a bug", broken{err: errors.New("index of 10.1.2.3 is nil")}, 500, "Internal Server Error"},
		{"a panic", broken{panic: "10.1.2.3"}, 500, "Internal Server Error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			h := NewHandler(tt.api, HandlerConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2/components", nil))
			p := sameProblem(t, w)
			if w.Code != tt.code || p.Title != tt.title || strings.Contains(p.Detail, "10.1.2.3") {
				t.Errorf("%d %+v", w.Code, p)
			}
			if (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("Retry-After = %q", w.Header().Get("Retry-After"))
			}
			if w.Code == 500 && (p.Detail != bos.DetailInternalError || !strings.Contains(log.String(), "10.1.2.3") || !strings.Contains(log.String(), w.Header().Get("X-Request-Id"))) {
				t.Errorf("detail %q, log %s", p.Detail, &log)
			}
		})
	}
}

// TestListCutShort fails after the answer has begun: nobody may take the part for the whole.
func TestListCutShort(t *testing.T) {
	long := bos.Component{ID: "a", Error: new(strings.Repeat("e", listBuffer))}
	server := httptest.NewServer(NewHandler(broken{err: bos.ErrUnavailable, list: []bos.Component{long}}, HandlerConfig{}))
	defer server.Close()
	resp, err := http.Get(server.URL + "/v2/components")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if data, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%d bytes of status %d look complete", len(data), resp.StatusCode)
	}
}

func TestHeaders(t *testing.T) {
	s := newSystem(t)
	w := s.do("PUT", "/v2/components/a", `{"enabled":true}`, "X-Request-Id", "req-1")
	if w.Header().Get("X-Request-Id") != "req-1" || w.Header().Get("Bos-Revision") != s.svc.Cursor().String() {
		t.Errorf("headers %v, revision %v", w.Header(), s.svc.Cursor())
	}
	if w := s.do("GET", "/v2", "", "X-Request-Id", "a b\n"); len(w.Header().Get("X-Request-Id")) != 36 {
		t.Errorf("request id %q", w.Header().Get("X-Request-Id"))
	}
	s.want(s.do("PATCH", "/v2/components/a", `{"error":"e"}`, "Bos-Operator", "-x"), 400, "", "operator")
}

// TestStandbyIsQuiet: a process that stands by asks for leases all day, and is refused;
// that is worth no line in the log, another conflict is.
func TestStandbyIsQuiet(t *testing.T) {
	var log bytes.Buffer
	s := newSystem(t, func(_ *Config, h *HandlerConfig) { h.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	s.want(s.do("PUT", "/v2/leases/status", `{"holder":"a","ttl_seconds":30}`), 200, "", "")
	s.want(s.do("PUT", "/v2/leases/status", `{"holder":"b","ttl_seconds":30}`), 409, "", "")
	if log.Len() != 0 {
		t.Errorf("log of a lease that is held:\n%s", &log)
	}
	s.want(s.do("PUT", "/v2/leases/status", `{"holder":""}`), 400, "", "")
	if !strings.Contains(log.String(), "status=400") {
		t.Errorf("log of a lease that cannot be:\n%s", &log)
	}
}

func TestLinks(t *testing.T) {
	s := newSystem(t, func(_ *Config, h *HandlerConfig) { h.ProxyPath = "/apis/bos/" })
	for _, tt := range []struct{ forwarded, self, versions string }{
		{"1.2.3.4", "http://api-gw/apis/bos/", "http://api-gw/apis/bos/v2"},
		{"", "http://api-gw/", "http://api-gw/v2"},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://api-gw/v2", nil)
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		sameJSON(t, fromJSON[any](t, w.Body.String()), `{"major":"2","minor":"50","patch":"0","links":[{"rel":"self","href":"`+tt.self+`"},{"rel":"versions","href":"`+tt.versions+`"}]}`)
	}
}

// TestTokensStayOutOfTheLog sends tokens by every way in and looks for them.
func TestTokensStayOutOfTheLog(t *testing.T) {
	var log bytes.Buffer
	var routes []string
	s := newSystem(t, func(c *Config, h *HandlerConfig) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		h.Log = c.Log
		next := h.Observe
		h.Observe = func(route, method string, code int, d time.Duration) {
			next(route, method, code, d)
			routes = append(routes, route)
		}
	})
	const artifacts = `{"kernel":"k","kernel_parameters":"p","initrd":"i"}`
	s.want(s.do("PUT", "/v2/bootartifacts/sesame", artifacts), 204, "", "")
	s.want(s.do("PUT", "/v2/bootartifacts/sesame", artifacts), 204, "", "")
	s.want(s.do("PUT", "/v2/bootartifacts/sesame", `{"kernel":"other","kernel_parameters":"p","initrd":"i"}`), 409, "Conflict", "")
	s.want(s.do("PUT", "/v2/bootartifacts/sesame", `{}`), 400, "", "")
	s.want(s.do("PUT", "/v2/bootartifacts/sesame/", artifacts), 404, "", "")
	s.want(s.do("GET", "/v2/bootartifacts/sesame", ""), 405, "", "")
	s.do("PUT", "/v2/components/a", `{"enabled":false}`)
	s.want(s.do("PATCH", "/v2/components/a", `{"actual_state":{"bss_token":"sesame"}}`), 200, "", "")
	s.want(s.do("PATCH", "/v2/components/a", `{"actual_state":{"bss_token":"sesame-unknown"}}`), 200, "", "")
	if strings.Contains(log.String(), "sesame") || !strings.Contains(log.String(), "/v2/bootartifacts/{token}") {
		t.Errorf("log:\n%s", &log)
	}
	for _, route := range routes {
		if strings.Contains(route, "sesame") {
			t.Errorf("observed route %s", route)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	type key struct{}
	var asked []string
	s := newSystem(t, func(_ *Config, h *HandlerConfig) {
		h.Authenticate = func(r *http.Request, route string) (context.Context, error) {
			asked = append(asked, route)
			switch r.Header.Get("Authorization") {
			case "":
				return nil, fmt.Errorf("no bearer token: %w", bos.ErrUnauthenticated)
			case "Bearer node":
				return nil, bos.ErrForbidden
			}
			return context.WithValue(r.Context(), key{}, "admin"), nil
		}
	})
	w := s.do("PATCH", "/v2/options", `{`)
	if s.want(w, 401, "Unauthorized", "no bearer token"); w.Header().Get("WWW-Authenticate") == "" {
		t.Error("no WWW-Authenticate")
	}
	s.want(s.do("GET", "/v2/options", "", "Authorization", "Bearer node"), 403, "Forbidden", "")
	s.want(s.do("GET", "/v2/components/a", "", "Authorization", "Bearer admin"), 404, "", "")
	if got := strings.Join(asked, " "); got != "/v2/options /v2/options /v2/components/{component_id}" {
		t.Errorf("asked about %s", got)
	}
}

func TestCreateOnly(t *testing.T) {
	s := newSystem(t)
	s.do("PUT", "/v2/components/a", `{"enabled":false,"error":"mine"}`)
	w := s.do("PUT", "/v2/components", `[{"id":"b","enabled":false},{"id":"a","enabled":false}]`, "If-None-Match", "*")
	if s.want(w, 200, "", ""); len(fromJSON[[]bos.Component](t, w.Body.String())) != 1 {
		t.Errorf("created %s", w.Body)
	}
	if c, err := s.svc.GetComponent(t.Context(), "", "a"); err != nil || c.ErrorText() != "mine" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestPatchSessionWithNull(t *testing.T) {
	s := newSystem(t)
	s.do("PUT", "/v2/sessiontemplates/t1", `{"boot_sets":{"a":{"path":"s3://boot-images/img1/manifest.json","type":"s3","node_groups":["g"]}}}`)
	s.do("POST", "/v2/sessions", `{"name":"s1","operation":"shutdown","template_name":"t1"}`)
	s.want(s.do("PATCH", "/v2/sessions/s1", `{"status":{"error":"e","end_time":"2026-01-01T00:00:00"}}`), 200, "", "")
	w := s.do("PATCH", "/v2/sessions/s1", `{"status":{"error":null,"end_time":null,"start_time":"2026-01-01T00:00:00"}}`)
	sameJSON(t, fromJSON[map[string]any](t, w.Body.String())["status"], `{"start_time":"2026-01-01T00:00:00","end_time":null,"status":"pending","error":null}`)
}

func TestRequestTimeout(t *testing.T) {
	var left atomic.Int64
	h := NewHandler(deadlineAPI{left: &left}, HandlerConfig{RequestTimeout: time.Hour})
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v2/options", nil))
	if d := time.Duration(left.Load()); d < 50*time.Minute || d > time.Hour {
		t.Errorf("%v left", d)
	}
}

// TestBodyThatNeverComes holds the connection without sending what it has announced.
func TestBodyThatNeverComes(t *testing.T) {
	st := memstore.New()
	defer st.Close()
	server := httptest.NewServer(NewHandler(New(st, Config{}), HandlerConfig{RequestTimeout: 50 * time.Millisecond}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PATCH /v2/options HTTP/1.1\r\nHost: bos\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

// TestStreamOutlivesTheRequestTimeout follows over a connection on which the time limit of requests has been in force.
func TestStreamOutlivesTheRequestTimeout(t *testing.T) {
	st := memstore.New()
	defer st.Close()
	svc := New(st, Config{})
	server := httptest.NewServer(NewHandler(svc, HandlerConfig{RequestTimeout: 20 * time.Millisecond, Heartbeat: 10 * time.Millisecond}))
	defer server.Close()
	if resp, err := server.Client().Get(server.URL + "/v2"); err != nil {
		t.Fatal(err)
	} else {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	resp, err := server.Client().Get(server.URL + "/v2/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for beats := 0; beats < 10 && lines.Scan(); {
		if lines.Text() == ": heartbeat" {
			beats++
		}
	}
	if _, err := svc.PutComponents(t.Context(), []bos.Component{{ID: "a"}}); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		if lines.Text() == "event: component" {
			return
		}
	}
	t.Errorf("the stream ended: %v", lines.Err())
}

// deadlineAPI tells how much time a request has.
type deadlineAPI struct {
	bos.API
	left *atomic.Int64
}

func (d deadlineAPI) Options(ctx context.Context) (bos.Options, error) {
	if at, ok := ctx.Deadline(); ok {
		d.left.Store(int64(time.Until(at)))
	}
	return bos.DefaultOptions(), nil
}
