package fleet

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
)

// What may have faults besides the services, when it is named.
const (
	gateway  = "gateway" // the way in from outside of the mesh
	keycloak = "auth"    // the token endpoint
)

// gatewayRoutes say below which path of /apis the gateway has a service, and what
// that path is replaced by.
var gatewayRoutes = []struct{ path, service, prefix string }{
	{"smd", "hsm", ""},
	{"power-control", "pcs", "/pcs"},
	{"capmc", "capmc", ""},
	{"cfs", "cfs", "/cfs"},
	{"bss", "bss", "/bss"},
	{"ims", "ims", "/ims"},
	{"tapms", "tapms", "/tapms"},
}

// GatewayURLs returns the base URL of each service when [Machine.Gateway] is served at
// root, of BOS as "bos" (without /v2), and the token endpoint as "token". S3 is beside
// the gateway and wants no token.
func GatewayURLs(root string) map[string]string {
	return map[string]string{
		"hsm": root + "/apis/smd/hsm/v2", "pcs": root + "/apis/power-control/v1", "capmc": root + "/apis/capmc/capmc/v1", "cfs": root + "/apis/cfs/v3",
		"bss": root + "/apis/bss/boot/v1", "ims": root + "/apis/ims/v3", "s3": root + "/s3", "tapms": root + "/apis/tapms/v1alpha3",
		"bos": root + "/apis/bos", "token": root + tokenPath,
	}
}

// Gateway serves what can be reached from outside of the mesh: the services and BOS
// below /apis, for those with a bearer token, and the token endpoint. Any token will
// do unless it has expired; faults of kind require_auth, expire_tokens_after and
// deny_xname_mismatch say otherwise.
func (m *Machine) Gateway() http.Handler { return m.gateway }

// routeGateway builds the handler of the gateway; bos is the URL of BOS, if any.
func (m *Machine) routeGateway(bos *url.URL, transport http.RoundTripper) {
	mux := http.NewServeMux()
	for _, route := range gatewayRoutes {
		path := "/apis/" + route.path
		mux.Handle(path+"/", m.guard(true, rebase(path, route.prefix, m.services[route.service])))
	}
	mux.Handle("/apis/", m.guard(true, http.NotFoundHandler()))
	mux.Handle("/apis/bos/", m.guard(true, m.proxy(bos, transport)))
	token := http.NewServeMux()
	token.HandleFunc("POST "+tokenPath, m.issueToken)
	mux.Handle(tokenPath, m.guard(false, m.serve(keycloak, token)))
	mux.Handle("/s3/", m.services["s3"])
	m.gateway = mux
}

// rebase replaces the beginning of the path.
func rebase(from, to string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := *r
		u := *r.URL
		u.Path = to + strings.TrimPrefix(u.Path, from)
		u.RawPath = "" // no path of a service needs one
		in.URL = &u
		h.ServeHTTP(w, &in)
	})
}

// guard applies the faults of the gateway and, where asked to, its check of tokens.
// What it lets through is answered, and recorded, by next.
func (m *Machine) guard(tokens bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, passed := m.newAnswer(gateway, r), false
		defer a.release()
		defer func() {
			if !passed {
				a.record()
			}
		}()
		if !m.refuse(gateway, a, w, r) && (!tokens || !m.wantsToken() || m.authorised(gateway, a, r)) {
			passed = true
			next.ServeHTTP(w, r)
			return
		}
		a.send(w)
	})
}

// wantsToken reports whether the gateway checks tokens.
func (m *Machine) wantsToken() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !slices.ContainsFunc(m.faults, func(a *activeFault) bool {
		return a.Kind == "require_auth" && a.Value == "off" && m.active(a)
	})
}

// proxy passes requests on to BOS.
func (m *Machine) proxy(bos *url.URL, transport http.RoundTripper) http.Handler {
	if bos == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no healthy upstream", http.StatusServiceUnavailable)
		})
	}
	return http.StripPrefix("/apis/bos", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(bos)
			r.SetXForwarded()
			if q := r.Out.URL.Query(); q.Has(redirected) { // of no interest to BOS
				q.Del(redirected)
				r.Out.URL.RawQuery = q.Encode()
			}
		},
		Transport: transport,
		ErrorLog:  slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "upstream connect error or disconnect/reset before headers", http.StatusServiceUnavailable)
		},
	})
}

// throughGateway carries requests of nodes to the gateway of their machine without a
// socket.
type throughGateway struct{ m *Machine }

var errBroken = errors.New("the gateway broke the connection")

// RoundTrip sends one request.
func (t throughGateway) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	a := &answer{header: http.Header{}, body: new(bytes.Buffer)}
	defer func() {
		if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // what net/http asks for, as it is
			resp, err = nil, errBroken
			if cause := r.Context().Err(); cause != nil {
				err = cause
			}
		} else if p != nil {
			panic(p)
		}
	}()
	t.m.gateway.ServeHTTP(a, r)
	a.WriteHeader(http.StatusOK)
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Header: a.header, Body: io.NopCloser(a.body), ContentLength: int64(a.body.Len()),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
	}, nil
}
