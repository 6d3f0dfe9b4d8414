package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos/reporter"
)

// ask sends a request to the gateway, in process.
func ask(m *Machine, method, path, token string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	m.Gateway().ServeHTTP(w, r)
	return w
}

// inject adds a fault or ends the test; the result ends the fault.
func inject(t testing.TB, m *Machine, f Fault) (end func()) {
	t.Helper()
	id, err := m.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := m.Clear(id); err != nil {
			t.Error(err)
		}
	}
}

// TestGatewayPaths reaches every service through the gateway, and none without a
// token; inside the mesh nobody asks for one.
func TestGatewayPaths(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Tenants: map[string][]string{"blue": {x0}}})
	urls := GatewayURLs("")
	for name, path := range map[string]string{
		"hsm": "/State/Components", "pcs": "/power-status", "capmc": "/health", "cfs": "/components", "bss": "/service/status", "ims": "/images", "tapms": "/tenants/blue",
	} {
		path = urls[name] + path
		if w := ask(m, "GET", path, "", nil); w.Code != 401 || w.Body.String() != "Jwt is missing" || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a token = %d %s", path, w.Code, w.Body)
		}
		if w := ask(m, "GET", path, "any", nil); w.Code != 200 {
			t.Errorf("%s = %d %s", path, w.Code, w.Body)
		}
		if calls := m.Calls(name); len(calls) != 1 || !strings.HasPrefix(calls[0].Path, BaseURLs("")[name]) {
			t.Errorf("calls of %s: %+v", name, calls)
		}
	}
	if calls := m.Calls(gateway); len(calls) != 7 || calls[0].Status != 401 {
		t.Errorf("the gateway recorded %+v", calls)
	}
	if w := ask(m, "GET", "/s3/boot-images/06901f40-f2a6-4a64-bc26-772a5cc9d321/kernel", "", nil); w.Code != 200 {
		t.Errorf("S3 = %d", w.Code)
	}
	for path, status := range map[string]int{"/apis/dns/v1": 404, "/apis/bos/v2/version": 503, "/hsm/v2/groups": 404, "/_sim/nodes": 404} {
		if w := ask(m, "GET", path, "any", nil); w.Code != status {
			t.Errorf("%s = %d, want %d", path, w.Code, status)
		}
	}
	want(t, m, "GET", "/hsm/v2/groups", "", 200, nil)
	r := httptest.NewRequest("GET", urls["hsm"]+"/groups", nil)
	r.SetBasicAuth("admin", "secret")
	w := httptest.NewRecorder()
	if m.Gateway().ServeHTTP(w, r); w.Code != 401 {
		t.Errorf("basic authentication = %d", w.Code)
	}
}

// TestRequireAuth: services can be made to want a token inside the mesh, and the
// gateway to do without.
func TestRequireAuth(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	path := GatewayURLs("")["hsm"] + "/groups"
	end := inject(t, m, Fault{Kind: "require_auth", Service: "hsm"})
	want(t, m, "GET", "/hsm/v2/groups", "", 401, nil)
	want(t, m, "GET", "/ims/v3/images", "", 200, nil)
	if w := ask(m, "GET", path, "any", nil); w.Code != 200 {
		t.Errorf("with a token = %d", w.Code)
	}
	end()
	want(t, m, "GET", "/hsm/v2/groups", "", 200, nil)
	inject(t, m, Fault{Kind: "require_auth", Value: "off"})
	if w := ask(m, "GET", path, "", nil); w.Code != 200 {
		t.Errorf("gateway without tokens = %d", w.Code)
	}
}

// TestTokenEndpoint asks for tokens in every way, right and wrong.
func TestTokenEndpoint(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Speed: 1, Manual: true})
	defer run(t, m)()
	type answer struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		ExpiresIn    int    `json:"expires_in"`
		RefreshIn    int    `json:"refresh_expires_in"`
		Type         string `json:"token_type"`
		Scope, Error string
	}
	get := func(form url.Values) (int, answer) {
		w := ask(m, "POST", tokenPath, "", form)
		var a answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%v: %v in %s", form, err, w.Body)
		}
		return w.Code, a
	}
	service := url.Values{"grant_type": {"client_credentials"}, "client_id": {"admin-client"}, "client_secret": {"s"}}
	user := url.Values{"grant_type": {"password"}, "client_id": {"shasta"}, "username": {"u"}, "password": {"p"}}
	var last answer
	for _, form := range []url.Values{service, user} {
		code, a := get(form)
		if code != 200 || a.AccessToken == "" || a.RefreshToken == "" || a.ExpiresIn != 3600 || a.RefreshIn != 36000 || a.Type != "Bearer" || a.Scope == "" {
			t.Errorf("%v = %d %+v", form, code, a)
		}
		last = a
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {"shasta"}, "refresh_token": {last.RefreshToken}}
	if code, a := get(refresh); code != 200 || a.AccessToken == last.AccessToken || readClaims(a.AccessToken).Subject != "u" {
		t.Errorf("refresh = %d %+v", code, a)
	}
	for _, tc := range []struct {
		form   url.Values
		status int
		err    string
	}{
		{url.Values{"client_id": {"c"}}, 400, "invalid_request"},
		{url.Values{"grant_type": {"implicit"}}, 400, "unsupported_grant_type"},
		{url.Values{"grant_type": {"client_credentials"}, "client_id": {"c"}}, 401, "invalid_client"},
		{url.Values{"grant_type": {"password"}, "username": {"u"}, "password": {"p"}}, 401, "invalid_client"},
		{url.Values{"grant_type": {"password"}, "client_id": {"shasta"}, "username": {"u"}}, 401, "invalid_grant"},
		{url.Values{"grant_type": {"refresh_token"}, "client_id": {"shasta"}, "refresh_token": {last.AccessToken}}, 400, "invalid_grant"},
		{url.Values{"grant_type": {"refresh_token"}, "client_id": {"other"}, "refresh_token": {last.RefreshToken}}, 400, "invalid_grant"},
	} {
		if code, a := get(tc.form); code != tc.status || a.Error != tc.err || a.AccessToken != "" {
			t.Errorf("%v = %d %+v, want %d %s", tc.form, code, a, tc.status, tc.err)
		}
	}
	if w := ask(m, "GET", tokenPath, "", nil); w.Code != 405 {
		t.Errorf("GET = %d", w.Code)
	}
	if calls := m.Calls(keycloak); len(calls) != 11 || calls[0].Status != 200 {
		t.Errorf("%d calls", len(calls))
	}
	advance(t, m, 11*time.Hour)
	if code, a := get(refresh); code != 400 {
		t.Errorf("a refresh token of yesterday = %d %+v", code, a)
	}
	end := inject(t, m, Fault{Kind: "outage", Service: keycloak})
	if w := ask(m, "POST", tokenPath, "", service); w.Code != 503 {
		t.Errorf("during an outage = %d", w.Code)
	}
	end()
	inject(t, m, Fault{Kind: "outage"}) // of all services: not of what is before them
	if code, _ := get(service); code != 200 {
		t.Errorf("during an outage of others = %d", code)
	}
}

// TestExpiredTokens: a token is good until the time that it names, or that the fault
// allows since its issue or, without a date, since its first use.
func TestExpiredTokens(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Speed: 1, Manual: true})
	defer run(t, m)()
	path := GatewayURLs("")["hsm"] + "/groups"
	check := func(what, token string, status int) {
		t.Helper()
		if w := ask(m, "GET", path, token, nil); w.Code != status || status == 401 && w.Body.String() != "Jwt is expired" {
			t.Errorf("%s = %d %s, want %d", what, w.Code, w.Body, status)
		}
	}
	node, err := m.NodeToken(x0)
	if err != nil {
		t.Fatal(err)
	}
	advance(t, m, 59*time.Minute)
	check("a token of an hour after 59 minutes", node, 200)
	advance(t, m, time.Minute+time.Second)
	check("and after an hour", node, 401)
	check("a token without a date", "opaque", 200)
	old, err := m.NodeToken(x0)
	if err != nil {
		t.Fatal(err)
	}
	advance(t, m, 10*time.Minute)
	end := inject(t, m, Fault{Kind: "expire_tokens_after", Value: "5m"})
	check("a token of ten minutes", old, 401)
	check("first use", "opaque", 200)
	fresh, err := m.NodeToken(x0)
	if c := readClaims(fresh); err != nil || c.Expires-c.Issued != 300 {
		t.Errorf("a new token says %+v", c)
	}
	advance(t, m, 4*time.Minute)
	check("a token of four minutes", fresh, 200)
	check("four minutes after its first use", "opaque", 200)
	advance(t, m, time.Minute)
	check("a token of five minutes", fresh, 401)
	check("five minutes after its first use", "opaque", 401)
	end()
	check("without the fault", "opaque", 200)
}

// TestNodeToken reads the identity tokens of nodes.
func TestNodeToken(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2, Faults: []Fault{{Kind: "spire_unavailable", Nodes: []string{x1}}}})
	w := call(t, m, "GET", "/_sim/nodes/"+x0+"/token", "")
	if c := readClaims(strings.TrimSpace(w.Body.String())); w.Code != 200 || c.node() != x0 || c.Audience != "system-compute" || c.Expires <= c.Issued {
		t.Errorf("%d, claims %+v", w.Code, c)
	}
	want(t, m, "GET", "/_sim/nodes/"+x1+"/token", "", 503, nil)
	want(t, m, "GET", "/_sim/nodes/x1c0s0b0n0/token", "", 404, nil)
	for _, token := range []string{"", "a.b", "a.b.c", "a.e30.c"} {
		if c := readClaims(token); c != (claims{}) {
			t.Errorf("%q has claims %+v", token, c)
		}
	}
}

// fakeBOS notes which components reported, through which gateway.
func fakeBOS(t *testing.T) (url string, reported chan string) {
	t.Helper()
	reported = make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		reported <- r.Method + " " + r.URL.Path + " " + string(body)
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(s.Close)
	return s.URL + "/below", reported
}

// TestReporterThroughGateway runs the real reporter against the gateway: a token that
// has expired is replaced, and that of another node refused.
func TestReporterThroughGateway(t *testing.T) {
	base, reported := fakeBOS(t)
	m := newMachine(t, Config{Nodes: 2, Speed: 1, Manual: true, BOSURL: base})
	defer run(t, m)()
	gw := httptest.NewServer(m.Gateway())
	defer gw.Close()
	old, err := m.NodeToken(x0)
	if err != nil {
		t.Fatal(err)
	}
	advance(t, m, 2*time.Hour)
	report := func(node string) error {
		r, err := reporter.New(reporter.Config{
			ID: x0, API: GatewayURLs(gw.URL)["bos"], TTL: "0h",
			BSSToken: func() (string, error) { return "booted", nil },
			Tokens: reporter.TokenFunc(func(_ context.Context, fresh bool) (string, error) {
				if !fresh {
					return old, nil
				}
				return m.NodeToken(node)
			}),
			Sleep: func(context.Context, time.Duration) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		return r.Once(t.Context())
	}
	inject(t, m, Fault{Kind: "deny_xname_mismatch"})
	if err := report(x0); err != nil {
		t.Error(err)
	}
	if got := <-reported; got != `PATCH /below/v2/components/`+x0+` {"id":"`+x0+`","actual_state":{"bss_token":"booted"}}` {
		t.Errorf("BOS got %s", got)
	}
	if calls := m.Calls(gateway); len(calls) != 1 || calls[0].Status != 401 {
		t.Errorf("the gateway refused %+v", calls)
	}
	err = report(x1)
	if u, ok := errors.AsType[*reporter.Undelivered](err); !ok || u.Last.Status != 403 || u.Last.Outcome != reporter.Refused {
		t.Errorf("as another node: %v", err)
	}
	if len(reported) != 0 {
		t.Errorf("BOS got %s", <-reported)
	}
}

// TestNodesThroughGateway: the machine's own nodes report through the gateway, with
// tokens of their own; one that lies about its name is refused.
func TestNodesThroughGateway(t *testing.T) {
	base, reported := fakeBOS(t)
	m := newMachine(t, Config{Nodes: 2, Manual: true, BOSURL: base, ThroughGateway: true, Faults: []Fault{
		{Kind: "reporter_lies_xname", Nodes: []string{x1}, Value: x0}, {Kind: "deny_xname_mismatch"},
	}})
	defer run(t, m)()
	end := inject(t, m, Fault{Kind: "outage", Service: gateway, Value: "refuse"})
	token := putBoot(t, m, "Compute", "quiet")
	bootAll(t, m)
	advance(t, m, 500*time.Millisecond)
	if a := state(t, m, x0); a.Phase != "up" || a.Reported {
		t.Errorf("while the gateway is down: %+v", a)
	}
	end()
	advance(t, m, time.Minute)
	if got := <-reported; got != `PATCH /below/v2/components/`+x0+` {"id":"`+x0+`","actual_state":{"bss_token":"`+token+`"}}` || len(reported) != 0 {
		t.Errorf("BOS got %s and %d more", got, len(reported))
	}
	if a, b := state(t, m, x0), state(t, m, x1); !a.Reported || b.Reported {
		t.Errorf("%+v %+v", a, b)
	}
	statuses := map[int]int{}
	for _, c := range m.Calls(gateway) {
		statuses[c.Status]++
	}
	if statuses[403] == 0 || statuses[0] == 0 || len(statuses) != 2 {
		t.Errorf("the gateway refused, by status: %v", statuses)
	}
	if _, err := New(Config{Nodes: 1, ThroughGateway: true}); err == nil {
		t.Error("a gateway without BOS is accepted")
	}
}
