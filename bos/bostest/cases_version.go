package bostest

import "strings"

var versionCases = []apiCase{
	{"API-001", "GET /", func(w *wire) {
		a := w.get("/").ok()
		if n := len(a.members("major")); n != 1 {
			a.errorf("%d versions, want 1", n)
		}
		a.set("0.major", "0.minor", "0.patch").lacks("0.links.1").has("0.links.0.rel", `"self"`)
		hrefEnds(a, "0.links.0.href", "/")
	}},
	{"API-002", "GET /v2", func(w *wire) {
		a := w.get("/v2").ok().set("major", "minor", "patch")
		a.has("links.0.rel", `"self"`).has("links.1.rel", `"versions"`).lacks("links.2")
		hrefEnds(a, "links.0.href", "/")
		hrefEnds(a, "links.1.href", "/v2")
	}},
	{"API-003", "GET /v2/version", func(w *wire) {
		w.get("/v2/version").ok().same(w.get("/v2").ok())
	}},
	{"API-004", "links behind the gateway", func(w *wire) {
		a := w.with("X-Forwarded-For", "1.2.3.4").with("Host", "api-gw").get("/v2").ok()
		a.has("links.0.href", `"http://api-gw/apis/bos/"`).has("links.1.href", `"http://api-gw/apis/bos/v2"`)
	}},
	{"API-005", "links without the gateway", func(w *wire) {
		a := w.with("Host", "api-gw").get("/v2").ok()
		a.has("links.0.href", `"http://api-gw/"`).has("links.1.href", `"http://api-gw/v2"`)
	}},
	{"API-006", "health", func(w *wire) {
		w.get("/v2/healthz").ok().json(`{"apiStatus":"ok","dbStatus":"ok"}`)
	}},
	{"API-007", "health, store down", func(w *wire) {
		w.storeDown()
		w.get("/v2/healthz").ok().json(`{"apiStatus":"ok","dbStatus":"not_available"}`)
	}},
	{"API-008", "components, store down", func(w *wire) {
		w.storeDown()
		w.get("/v2/components").problem(503, "Unable to connect to the Redis database")
	}},
	{"API-009", "unknown routes", func(w *wire) {
		const detail = "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
		for _, path := range []string{"/nope", "/v2/", "/v2/components/x/", "/v2/components/a%2Fb", "/v3/components"} {
			w.get(path).problem(404, "Not Found").detail(detail)
		}
	}},
	{"API-010", "wrong method", func(w *wire) {
		w.post("/v2/healthz", "").problem(405, "Method Not Allowed").detail("The method is not allowed for the requested URL.")
		w.send("HEAD", "/v2/healthz", "").is(200)
	}},
}

func hrefEnds(a *answer, path, end string) {
	a.w.t.Helper()
	if href := a.text(path); !strings.HasPrefix(href, a.w.f.URL) || strings.TrimPrefix(href, a.w.f.URL) != end {
		a.errorf("%s is %q, want %s%s", path, href, a.w.f.URL, end)
	}
}
