package bosclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder answers every request with the same JSON and keeps what was asked.
type recorder struct {
	answer string
	status int

	mu    sync.Mutex
	asked []string // "METHOD path?query body"
	last  http.Header
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, strings.TrimSpace(req.Method+" "+req.RequestURI+" "+string(body)))
	r.last = req.Header
	if r.status == http.StatusNoContent || r.answer == "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(max(r.status, 200))
	_, _ = io.WriteString(w, r.answer)
}

// serve starts a server and returns a client of it that does not wait between tries.
func serve(t *testing.T, h http.Handler, cfg bosclient.Config) *bosclient.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return client(t, srv.URL, cfg)
}

func client(t *testing.T, baseURL string, cfg bosclient.Config) *bosclient.Client {
	t.Helper()
	c, err := bosclient.New(baseURL, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

func TestRequests(t *testing.T) {
	var (
		ctx     = t.Context()
		owned   = bos.TenantKey{Tenant: "ten1", Name: "n 1"}
		enabled = bos.ComponentPatch{ID: "x1", Enabled: new(true)}
	)
	tests := []struct {
		name   string
		answer string // empty = 204
		call   func(c *bosclient.Client) error
		want   string
		tenant string
	}{
		{"version", `{}`, func(c *bosclient.Client) error { _, err := c.Version(ctx); return err }, "GET /b/v2/version", ""},
		{"health", `{}`, func(c *bosclient.Client) error { _, err := c.Health(ctx); return err }, "GET /b/v2/healthz", ""},
		{"options", `{}`, func(c *bosclient.Client) error { _, err := c.Options(ctx); return err }, "GET /b/v2/options", ""},
		{"update options", `{}`, func(c *bosclient.Client) error {
			_, err := c.UpdateOptions(ctx, bos.OptionsPatch{PollingFrequency: new(20)})
			return err
		}, `PATCH /b/v2/options {"polling_frequency":20}`, ""},
		{"settings", `{}`, func(c *bosclient.Client) error { _, err := c.Settings(ctx); return err }, "GET /b/v2/settings", ""},
		{"update settings", `{}`, func(c *bosclient.Client) error {
			_, err := c.UpdateSettings(ctx, bos.SettingsPatch{MaxConfigureWaitTime: new(5)})
			return err
		}, `PATCH /b/v2/settings {"max_configure_wait_time":5}`, ""},
		{"list templates", `[]`, func(c *bosclient.Client) error { _, err := c.ListTemplates(ctx, "ten1"); return err }, "GET /b/v2/sessiontemplates", "ten1"},
		{"get template", `{}`, func(c *bosclient.Client) error { _, err := c.GetTemplate(ctx, owned); return err }, "GET /b/v2/sessiontemplates/n%201", "ten1"},
		{"put template without what is read-only", `{}`, func(c *bosclient.Client) error {
			_, err := c.PutTemplate(ctx, owned, bos.SessionTemplate{Name: "x", Tenant: "y", BootSets: map[string]bos.BootSet{"c": {Path: "p", Type: "s3"}}})
			return err
		}, `PUT /b/v2/sessiontemplates/n%201 {"boot_sets":{"c":{"path":"p","type":"s3"}}}`, "ten1"},
		{"patch template", `{}`, func(c *bosclient.Client) error {
			_, err := c.PatchTemplate(ctx, owned, bos.TemplatePatch{Description: new("d")})
			return err
		}, `PATCH /b/v2/sessiontemplates/n%201 {"description":"d"}`, "ten1"},
		{"delete template", "", func(c *bosclient.Client) error { return c.DeleteTemplate(ctx, owned) }, "DELETE /b/v2/sessiontemplates/n%201", "ten1"},
		{"validate template", `"Valid"`, func(c *bosclient.Client) error { _, err := c.ValidateTemplate(ctx, owned); return err }, "GET /b/v2/sessiontemplatesvalid/n%201", "ten1"},
		{"example template", `{}`, func(c *bosclient.Client) error { _, err := c.ExampleTemplate(ctx); return err }, "GET /b/v2/sessiontemplatetemplate", ""},
		{"list sessions", `[]`, func(c *bosclient.Client) error {
			_, err := c.ListSessions(ctx, bos.SessionFilter{Tenant: "ten1", Status: "running", MinAge: new(90 * time.Second), MaxAge: new(90 * time.Second)})
			return err
		}, "GET /b/v2/sessions?max_age=1m&min_age=2m&status=running", "ten1"},
		{"list sessions of long ago", `[]`, func(c *bosclient.Client) error {
			_, err := c.ListSessions(ctx, bos.SessionFilter{MinAge: new(30 * 365 * 24 * time.Hour), MaxAge: new(time.Duration(0))})
			return err
		}, "GET /b/v2/sessions?max_age=0&min_age=262800h", ""},
		{"get session", `{}`, func(c *bosclient.Client) error { _, err := c.GetSession(ctx, owned); return err }, "GET /b/v2/sessions/n%201", "ten1"},
		{"create session", `{}`, func(c *bosclient.Client) error {
			_, err := c.CreateSession(ctx, "ten1", bos.SessionCreate{Operation: "boot", TemplateName: "t"})
			return err
		}, `POST /b/v2/sessions {"operation":"boot","template_name":"t"}`, "ten1"},
		{"patch session", `{}`, func(c *bosclient.Client) error {
			_, err := c.PatchSession(ctx, owned, bos.SessionPatch{Status: &bos.SessionStatusPatch{Error: new(bos.NullString(""))}})
			return err
		}, `PATCH /b/v2/sessions/n%201 {"status":{"error":null}}`, "ten1"},
		{"delete session", "", func(c *bosclient.Client) error { return c.DeleteSession(ctx, owned) }, "DELETE /b/v2/sessions/n%201", "ten1"},
		{"delete sessions", "", func(c *bosclient.Client) error {
			return c.DeleteSessions(ctx, bos.SessionFilter{Status: "complete", MinAge: new(48 * time.Hour)})
		}, "DELETE /b/v2/sessions?min_age=2880m&status=complete", ""},
		{"session status", `{}`, func(c *bosclient.Client) error { _, err := c.SessionStatus(ctx, owned); return err }, "GET /b/v2/sessions/n%201/status", "ten1"},
		{"save session status", `{}`, func(c *bosclient.Client) error { _, err := c.SaveSessionStatus(ctx, owned); return err }, "POST /b/v2/sessions/n%201/status", "ten1"},
		{"list components", `[]`, func(c *bosclient.Client) error {
			_, err := collect(c.ListComponents(ctx, bos.ComponentFilter{
				Tenant: "ten1", Session: "s1", StagedSession: "s2", Enabled: new(true), Phase: bos.PhasePoweringOn,
				Status: []bos.Status{"on_hold", "stable"}, StartAfter: "x0", PageSize: 7,
			}))
			return err
		}, "GET /b/v2/components?enabled=True&page_size=7&phase=powering_on&session=s1&staged_session=s2&start_after_id=x0&status=on_hold%2Cstable", "ten1"},
		{"components by id", `[]`, func(c *bosclient.Client) error {
			_, err := collect(c.ListComponents(ctx, bos.ComponentFilter{IDs: []bos.ComponentID{"b", "a", "b", "a,b", ""}, Enabled: new(false)}))
			return err
		}, "GET /b/v2/components?enabled=False&ids=a%2Cb", ""},
		{"get component", `{}`, func(c *bosclient.Client) error { _, err := c.GetComponent(ctx, "ten1", "x/1"); return err }, "GET /b/v2/components/x%2F1", "ten1"},
		{"put component", `{}`, func(c *bosclient.Client) error {
			_, err := c.PutComponent(ctx, "x1", bos.Component{Enabled: new(false), StagedState: &bos.StagedState{}})
			return err
		}, `PUT /b/v2/components/x1 {"staged_state":{},"enabled":false}`, ""},
		{"put components", `[]`, func(c *bosclient.Client) error {
			_, err := c.PutComponents(ctx, []bos.Component{{ID: "x1"}})
			return err
		}, `PUT /b/v2/components [{"id":"x1"}]`, ""},
		{"patch component", `{}`, func(c *bosclient.Client) error {
			_, err := c.PatchComponent(ctx, "ten1", "x1", bos.ComponentPatch{Enabled: new(true)})
			return err
		}, `PATCH /b/v2/components/x1 {"enabled":true}`, "ten1"},
		{"patch components", `[]`, func(c *bosclient.Client) error {
			_, err := c.PatchComponents(ctx, "ten1", []bos.ComponentPatch{enabled}, false)
			return err
		}, `PATCH /b/v2/components [{"id":"x1","enabled":true}]`, "ten1"},
		{"patch no components", `[]`, func(c *bosclient.Client) error { _, err := c.PatchComponents(ctx, "", nil, true); return err },
			`PATCH /b/v2/components?skip_bad_ids=True []`, ""},
		{"patch by ids", `[]`, func(c *bosclient.Client) error {
			_, err := c.PatchComponentsWhere(ctx, bos.ComponentsPatch{IDs: []bos.ComponentID{"a", "b"}, SkipBadIDs: true, Patch: bos.ComponentPatch{Error: new("E")}})
			return err
		}, `PATCH /b/v2/components?skip_bad_ids=True {"patch":{"error":"E"},"filters":{"ids":"a,b"}}`, ""},
		{"patch by session", `[]`, func(c *bosclient.Client) error {
			_, err := c.PatchComponentsWhere(ctx, bos.ComponentsPatch{Tenant: "ten1", Session: "s1", Patch: bos.ComponentPatch{Error: new("E")}})
			return err
		}, `PATCH /b/v2/components {"patch":{"error":"E"},"filters":{"session":"s1"}}`, "ten1"},
		{"delete component", "", func(c *bosclient.Client) error { return c.DeleteComponent(ctx, "ten1", "x1") }, "DELETE /b/v2/components/x1", "ten1"},
		{"apply staged", `{}`, func(c *bosclient.Client) error { _, err := c.ApplyStaged(ctx, "ten1", nil); return err }, `POST /b/v2/applystaged {"xnames":[]}`, "ten1"},
		{"patch guarded", `{}`, func(c *bosclient.Client) error {
			_, err := c.PatchGuarded(ctx, bos.GuardedPatches{Lease: 7, Patches: []bos.GuardedPatch{{ID: "x1", If: &bos.Guard{Session: new("s1")}, Patch: bos.ComponentPatch{Error: new("")}}}})
			return err
		}, `POST /b/v2/componentpatches {"lease":7,"patches":[{"id":"x1","if":{"session":"s1"},"patch":{"error":""}}]}`, ""},
		{"create components", `[]`, func(c *bosclient.Client) error {
			_, err := c.CreateComponents(ctx, []bos.Component{{ID: "x1"}})
			return err
		}, `PUT /b/v2/components [{"id":"x1"}]`, ""},
		{"boot artifacts", "", func(c *bosclient.Client) error {
			return c.PutBootArtifacts(ctx, "t 1", bos.BootArtifacts{Kernel: "k", Timestamp: "2026-01-31T10:00:00"})
		}, `PUT /b/v2/bootartifacts/t%201 {"kernel":"k","kernel_parameters":"","initrd":""}`, ""},
		{"prune boot artifacts", `{"removed":3}`, func(c *bosclient.Client) error {
			n, err := c.PruneBootArtifacts(ctx, time.Hour+time.Millisecond)
			if err == nil && n != 3 {
				err = fmt.Errorf("%d removed", n)
			}
			return err
		}, "DELETE /b/v2/bootartifacts?unused_for=3600", ""},
		{"acquire lease", `{"token":3,"expires_in":15}`, func(c *bosclient.Client) error {
			l, err := c.AcquireLease(ctx, "power-on", "pod-1", 15*time.Second)
			if want := (bos.Lease{Holder: "pod-1", Token: 3, ExpiresIn: 15 * time.Second}); err == nil && l != want {
				return fmt.Errorf("lease %+v, want %+v", l, want)
			}
			return err
		}, `PUT /b/v2/leases/power-on {"holder":"pod-1","ttl_seconds":15}`, ""},
		{"power transitions", `[{"id":"t1","service_id":"s","operation":"On","operator":"power-on","accepted":5,"components":["x1"]}]`, func(c *bosclient.Client) error {
			ts, err := c.PowerTransitions(ctx, []string{"t1", "t2"})
			want := []bos.PowerTransition{{ID: "t1", Service: "s", Operation: "On", Operator: "power-on", Accepted: 5, Components: []bos.ComponentID{"x1"}}}
			if diff := cmp.Diff(want, ts); err == nil && diff != "" {
				return errors.New(diff)
			}
			return err
		}, "GET /b/v2/transitions?ids=t1%2Ct2", ""},
		{"all power transitions", `[]`, func(c *bosclient.Client) error { _, err := c.PowerTransitions(ctx, nil); return err }, "GET /b/v2/transitions", ""},
		{"put power transition", "", func(c *bosclient.Client) error {
			return c.PutPowerTransition(ctx, bos.PowerTransition{ID: "t1", Service: "s", Operation: "On", Operator: "power-on", Accepted: 5, Aborted: true, Components: []bos.ComponentID{"x1"}})
		}, `PUT /b/v2/transitions/t1 {"id":"t1","service_id":"s","operation":"On","operator":"power-on","accepted":5,"aborted":true,"components":["x1"]}`, ""},
		{"delete power transition", "", func(c *bosclient.Client) error { return c.DeletePowerTransition(ctx, "t1") }, "DELETE /b/v2/transitions/t1", ""},
		{"release lease", "", func(c *bosclient.Client) error { return c.ReleaseLease(ctx, "power-on", "pod 1") }, "DELETE /b/v2/leases/power-on?holder=pod+1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := &recorder{answer: tt.answer}
			srv := httptest.NewServer(rec)
			defer srv.Close()
			c := client(t, srv.URL+"/b/", bosclient.Config{UserAgent: "test/1", Token: func(context.Context) (string, error) { return "secret", nil }})
			if err := tt.call(c); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.want}, rec.asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			for name, want := range map[string]string{"Cray-Tenant-Name": tt.tenant, "User-Agent": "test/1", "Authorization": "Bearer secret"} {
				if got := rec.last.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestOperatorAndCreateHeaders(t *testing.T) {
	rec := &recorder{answer: `[{"id":"x1"}]`}
	c := serve(t, rec, bosclient.Config{})
	ids, err := c.CreateComponents(bos.WithWriter(t.Context(), "discovery"), []bos.Component{{ID: "x1"}, {ID: "x2"}})
	if err != nil || len(ids) != 1 || ids[0] != "x1" {
		t.Errorf("created %v, %v; want [x1]", ids, err)
	}
	if rec.last.Get("Bos-Operator") != "discovery" || rec.last.Get("If-None-Match") != "*" {
		t.Errorf("headers %v", rec.last)
	}
	if _, err := c.GetComponent(t.Context(), "", "x1"); err == nil {
		t.Error("a list where a component is expected is no error")
	}
	if rec.last.Get("Bos-Operator") != "" {
		t.Errorf("Bos-Operator %q without a writer", rec.last.Get("Bos-Operator"))
	}
}

func TestLongFilterBecomesAList(t *testing.T) {
	rec := &recorder{answer: `[]`}
	c := serve(t, rec, bosclient.Config{})
	ids := make([]bos.ComponentID, 5000)
	for i := range ids {
		ids[i] = bos.ComponentID(fmt.Sprintf("x%04dc0s0b0n00", i))
	}
	if _, err := c.PatchComponentsWhere(t.Context(), bos.ComponentsPatch{IDs: ids, Patch: bos.ComponentPatch{Error: new("E")}}); err != nil {
		t.Fatal(err)
	}
	var items []bos.ComponentPatch
	if err := json.Unmarshal([]byte(strings.TrimPrefix(rec.asked[0], "PATCH /v2/components ")), &items); err != nil || len(items) != len(ids) || items[4999].ID != ids[4999] {
		t.Errorf("%d items, %v", len(items), err)
	}
}

// problemHandler answers everything with a problem document.
func problemHandler(p bos.Problem, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p)
	})
}

func TestErrorAnswers(t *testing.T) {
	sentinels := []error{
		bos.ErrInvalid, bos.ErrUnauthenticated, bos.ErrForbidden, bos.ErrNotFound, bos.ErrExists, bos.ErrConflict,
		bos.ErrTooLarge, bos.ErrUnavailable, bos.ErrUnsupported,
	}
	tests := []struct {
		status int
		title  string
		want   error // nil = none of them
	}{
		{400, "Bad Request", bos.ErrInvalid},
		{400, bos.TitleInvalidTenant, bos.ErrInvalid},
		{401, "Unauthorized", bos.ErrUnauthenticated},
		{403, "Forbidden", bos.ErrForbidden},
		{404, bos.TitleNotFound, bos.ErrNotFound},
		{404, "Not Found", bos.ErrNotFound},
		{405, "Method Not Allowed", bos.ErrInvalid},
		{409, bos.TitleExists, bos.ErrExists},
		{409, bos.TitleActualState, bos.ErrConflict},
		{409, "Conflict", bos.ErrConflict},
		{413, "Request Entity Too Large", bos.ErrTooLarge},
		{415, "Unsupported Media Type", bos.ErrInvalid},
		{500, "Internal Server Error", nil},
		{503, bos.TitleStoreDown, bos.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d %s", tt.status, tt.title), func(t *testing.T) {
			problem := bos.Problem{Type: "about:blank", Title: tt.title, Status: tt.status, Detail: "it says why"}
			c := serve(t, problemHandler(problem), bosclient.Config{RetryBudget: -1})
			_, err := c.GetSession(t.Context(), bos.TenantKey{Name: "s1"})
			for _, s := range sentinels {
				if got, want := errors.Is(err, s), errors.Is(s, tt.want); got != want {
					t.Errorf("errors.Is(%v, %v) = %v", err, s, got)
				}
			}
			answer, ok := errors.AsType[*bos.StatusError](err)
			if !ok || answer.Problem() != problem {
				t.Errorf("got %#v, want the problem of the server", err)
			}
		})
	}
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	c := serve(t, problemHandler(bos.Problem{Status: 503, Title: bos.TitleStoreDown, Detail: "d"}, "Retry-After", "5"), bosclient.Config{RetryBudget: -1})
	_, err := c.Options(t.Context())
	if answer, ok := errors.AsType[*bos.StatusError](err); !ok || answer.RetryAfter != 5*time.Second {
		t.Errorf("got %#v, want RetryAfter 5s", err)
	}
}

func TestAnswersThatAreNotOfTheAPI(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		is     error
		says   []string
	}{
		{"page of the gateway", 502, "<html><h1>Bad\nGateway</h1></html>", bos.ErrUnavailable, []string{"502", "<h1>Bad Gateway</h1>", "GET"}},
		{"no healthy upstream", 503, "no healthy upstream", bos.ErrUnavailable, []string{"503", "no healthy upstream"}},
		{"mesh refuses", 403, "RBAC: access denied", bos.ErrForbidden, []string{"403", "RBAC: access denied"}},
		{"login page", 200, "<html>log in</html>", bos.ErrUnavailable, []string{"malformed answer", "log in"}},
		{"empty", 200, "", bos.ErrUnavailable, []string{"malformed answer", "nothing in it"}},
		{"null", 200, "null", bos.ErrUnavailable, []string{"malformed answer", "null"}},
		{"another shape", 200, "[]", bos.ErrUnavailable, []string{"malformed answer"}},
		{"half", 200, `{"name":"s1"`, bos.ErrUnavailable, []string{"malformed answer"}},
		{"redirect in a circle", 302, "", bos.ErrInvalid, []string{"302"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				if tt.status == 302 {
					w.Header().Set("Location", r.URL.Path)
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}), bosclient.Config{RetryBudget: -1})
			_, err := c.GetSession(t.Context(), bos.TenantKey{Name: "s1"})
			if tt.status != 302 && !errors.Is(err, tt.is) || err == nil {
				t.Errorf("error %v, want %v", err, tt.is)
			}
			for _, part := range tt.says {
				if !strings.Contains(fmt.Sprint(err), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

// flaky fails the first tries.
type flaky struct {
	next     http.RoundTripper
	failures int
	fail     func(*http.Request) (*http.Response, error)

	mu    sync.Mutex
	tries int
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.tries++
	fails := f.tries <= f.failures
	f.mu.Unlock()
	if fails {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return f.fail(r)
	}
	return f.next.RoundTrip(r)
}

func (f *flaky) CloseIdleConnections() {
	if t, ok := f.next.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

func refused(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
}

func reset(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}
}

func busy(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Status: "503 Service Unavailable", Body: http.NoBody, Header: http.Header{}, Request: r}, nil
}

func TestRetries(t *testing.T) {
	calls := map[string]func(ctx context.Context, c *bosclient.Client) error{
		"get": func(ctx context.Context, c *bosclient.Client) error { _, err := c.Options(ctx); return err },
		"put": func(ctx context.Context, c *bosclient.Client) error {
			_, err := c.PutComponent(ctx, "x1", bos.Component{})
			return err
		},
		"delete": func(ctx context.Context, c *bosclient.Client) error { return c.DeleteComponent(ctx, "", "x1") },
		"post": func(ctx context.Context, c *bosclient.Client) error {
			_, err := c.CreateSession(ctx, "", bos.SessionCreate{})
			return err
		},
		"patch": func(ctx context.Context, c *bosclient.Client) error {
			_, err := c.PatchComponent(ctx, "", "x1", bos.ComponentPatch{})
			return err
		},
		"create": func(ctx context.Context, c *bosclient.Client) error {
			_, err := c.CreateComponents(ctx, []bos.Component{{ID: "x1"}})
			return err
		},
		"save": func(ctx context.Context, c *bosclient.Client) error {
			_, err := c.SaveSessionStatus(ctx, bos.TenantKey{Name: "s"})
			return err
		},
		"artifacts": func(ctx context.Context, c *bosclient.Client) error {
			return c.PutBootArtifacts(ctx, "t", bos.BootArtifacts{})
		},
	}
	faults := map[string]func(*http.Request) (*http.Response, error){"refused": refused, "reset": reset, "503": busy}
	once := map[string]bool{"post": true, "patch": true, "create": true}
	for name, call := range calls {
		for fault, fail := range faults {
			t.Run(name+" "+fault, func(t *testing.T) {
				answer := `{}`
				if name == "create" {
					answer = `[]`
				}
				transport := &flaky{next: http.DefaultTransport, failures: 1, fail: fail}
				c := serve(t, &recorder{answer: answer}, bosclient.Config{Transport: transport})
				err := call(t.Context(), c)
				if again := fault == "refused" || !once[name]; again && (err != nil || transport.tries != 2) {
					t.Errorf("%d tries, error %v; want a second try", transport.tries, err)
				} else if !again && (!errors.Is(err, bos.ErrUnavailable) || transport.tries != 1) {
					t.Errorf("%d tries, error %v; want one try and bos.ErrUnavailable", transport.tries, err)
				}
			})
		}
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := client(t, "http://bos", bosclient.Config{Transport: transport})
		start := time.Now()
		_, err := c.Options(ctx)
		if !errors.Is(err, bos.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("error %v after %v, want a deadline after 2s", err, time.Since(start))
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if _, err := c.Options(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want context.Canceled alone", err)
		}
	})
}

func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := client(t, "http://bos", bosclient.Config{Transport: transport, Timeout: 5 * time.Second, RetryBudget: -1})
		start := time.Now()
		if _, err := c.Options(t.Context()); !errors.Is(err, bos.ErrUnavailable) || time.Since(start) != 5*time.Second {
			t.Errorf("error %v after %v, want bos.ErrUnavailable after 5s", err, time.Since(start))
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSecretsStayOut(t *testing.T) {
	const secret = "s3cr3t"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("bearer-"+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for _, fail := range []func(*http.Request) (*http.Response, error){refused, reset, busy} {
		transport := &flaky{failures: 100, fail: fail}
		c := client(t, "http://bos", bosclient.Config{
			Transport: transport, TokenFile: file, RetryBudget: 100 * time.Millisecond,
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		err := c.PutBootArtifacts(t.Context(), secret, bos.BootArtifacts{Kernel: "k"})
		if !errors.Is(err, bos.ErrUnavailable) || strings.Contains(err.Error(), secret) {
			t.Errorf("error %v, want bos.ErrUnavailable without the token", err)
		}
		if transport.tries < 2 {
			t.Errorf("%d tries, want a retry that is logged", transport.tries)
		}
		_, err = c.PatchComponent(t.Context(), "", "x1", bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken(secret))}})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error %v, want one without the token", err)
		}
	}
	if text := log.String(); !strings.Contains(text, "bootartifacts/{token}") || strings.Contains(text, secret) {
		t.Errorf("the log shows the token or lacks the route:\n%s", text)
	}
}

func TestConfig(t *testing.T) {
	for _, base := range []string{"", "cray-bos", "ftp://cray-bos", "http://", "http://user:pw@cray-bos", "http://cray-bos?x=1"} {
		if _, err := bosclient.New(base, bosclient.Config{}); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("New(%q): %v, want bos.ErrInvalid", base, err)
		}
	}
	for name, cfg := range map[string]bosclient.Config{
		"page size":  {PageSize: -1},
		"CA file":    {CAFile: filepath.Join(t.TempDir(), "none.pem")},
		"client key": {CertFile: "none", KeyFile: "none"},
	} {
		if _, err := bosclient.New("http://cray-bos", cfg); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("%s: %v, want bos.ErrInvalid", name, err)
		}
	}
	if c := client(t, "https://gw/apis/bos/", bosclient.Config{}); c.Base() != "https://gw/apis/bos" {
		t.Errorf("Base() = %q", c.Base())
	}
}

func TestNamesThatAreNoPath(t *testing.T) {
	rec := &recorder{answer: `{}`}
	c := serve(t, rec, bosclient.Config{})
	for _, name := range []string{"", ".", ".."} {
		if _, err := c.GetComponent(t.Context(), "", bos.ComponentID(name)); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("component %q: %v, want bos.ErrInvalid", name, err)
		}
		if err := c.DeleteSession(t.Context(), bos.TenantKey{Name: name}); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("session %q: %v, want bos.ErrInvalid", name, err)
		}
	}
	if err := c.PutBootArtifacts(t.Context(), "a/secret", bos.BootArtifacts{}); !errors.Is(err, bos.ErrInvalid) || strings.Contains(err.Error(), "secret") {
		t.Errorf("token with a slash: %v, want bos.ErrInvalid without the token", err)
	}
	if len(rec.asked) > 0 {
		t.Errorf("asked %q", rec.asked)
	}
}

func TestClockDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			log   bytes.Buffer
			ahead time.Duration
		)
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			date := time.Now().Add(ahead).UTC().Format(http.TimeFormat)
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Date": {date}}, Body: io.NopCloser(strings.NewReader(`{}`)), Request: r}, nil
		})
		c := client(t, "http://bos", bosclient.Config{Transport: transport, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for _, tt := range []struct {
			ahead    time.Duration
			warnings int
		}{{0, 0}, {2 * time.Second, 0}, {-2 * time.Second, 0}, {5 * time.Second, 1}, {5 * time.Second, 1}, {0, 1}, {-5 * time.Second, 2}} {
			ahead = tt.ahead
			if _, err := c.Options(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(log.String(), "clock differs"); n != tt.warnings {
				t.Errorf("server %v ahead: %d warnings, want %d", tt.ahead, n, tt.warnings)
			}
		}
	})
}
