package rest_test

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// quick retries without a pause that a test would notice.
func quick() rest.Config {
	return rest.Config{RetryWait: time.Millisecond, Retries: func() int { return 3 }, BreakAfter: -1}
}

func newClient(t *testing.T, url string, cfg rest.Config) *rest.Client {
	t.Helper()
	c, err := rest.New("svc", url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// server counts the requests it hands to h.
func server(t *testing.T, h http.HandlerFunc) (url string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

// hangUp breaks the connection.
func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

func TestBrokenConnections(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"before the answer", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); hangUp(w) }},
		{"in the answer", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"a":`)
		}},
		{"in a chunk of the answer", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"a":`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, requests := server(t, tt.handler)
			c := newClient(t, url, quick())
			var v map[string]any
			err := c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, rest.JSON(&v))
			if !errors.Is(err, bos.ErrUnavailable) || errors.Is(err, rest.ErrMalformed) || errors.Is(err, rest.ErrOutcomeUnknown) || requests.Load() != 4 {
				t.Errorf("GET: error %v after %d requests, want an outage after 4", err, requests.Load())
			}
			requests.Store(0)
			err = c.Do(t.Context(), rest.Request{Method: "POST", Path: "x", Body: 1}, rest.JSON(&v))
			if !errors.Is(err, bos.ErrUnavailable) || !errors.Is(err, rest.ErrOutcomeUnknown) || requests.Load() != 1 {
				t.Errorf("POST: error %v after %d requests, want an unknown outcome after 1", err, requests.Load())
			}
		})
	}
}

func TestNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := newClient(t, "http://"+address, quick())
	err = c.Do(t.Context(), rest.Request{Method: "POST", Path: "x", Body: 1}, nil)
	if !errors.Is(err, bos.ErrUnavailable) || errors.Is(err, rest.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v, want an outage before anything was sent", err)
	}
	if n := strings.Count(err.Error(), address); n > 2 {
		t.Errorf("error %q repeats itself", err)
	}
}

func TestSentOverAConnectionThatIsBack(t *testing.T) {
	url, requests := server(t, func(http.ResponseWriter, *http.Request) {})
	refusals := 2
	cfg := quick()
	transport, err := cfg.NetworkTransport()
	if err != nil {
		t.Fatal(err)
	}
	network := transport.(*http.Transport)
	dial := network.DialContext
	network.DialContext = func(ctx context.Context, n, addr string) (net.Conn, error) {
		if refusals--; refusals >= 0 {
			return nil, errors.New("no route to host")
		}
		return dial(ctx, n, addr)
	}
	cfg.Transport = network
	if err := newClient(t, url, cfg).Do(t.Context(), rest.Request{Method: "POST", Path: "x", Body: 1}, nil); err != nil || requests.Load() != 1 {
		t.Errorf("error %v, %d requests, want one", err, requests.Load())
	}
}

func TestSilence(t *testing.T) {
	release := make(chan struct{})
	url, requests := server(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "body") {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		<-release
	})
	defer close(release)
	for _, path := range []string{"head", "body"} {
		cfg := quick()
		cfg.Timeout = func() time.Duration { return 200 * time.Millisecond }
		var v any
		requests.Store(0)
		err := newClient(t, url, cfg).Do(t.Context(), rest.Request{Method: "PATCH", Path: path, Body: strings.Repeat("x", 1<<20)}, rest.JSON(&v))
		if !errors.Is(err, rest.ErrTimeout) || !errors.Is(err, rest.ErrOutcomeUnknown) || requests.Load() != 1 {
			t.Errorf("%s: error %v after %d requests, want a time-out after 1", path, err, requests.Load())
		}
	}
}

func TestToken(t *testing.T) {
	var seen []string
	note := func(w http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header.Get("Authorization")) }
	elsewhere, _ := server(t, note)
	url, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		note(w, r)
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, elsewhere+"/x", http.StatusTemporaryRedirect)
		case "/near":
			http.Redirect(w, r, "/x", http.StatusPermanentRedirect)
		}
	})
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	cfg := quick()
	cfg.TokenFile = path
	c := newClient(t, url, cfg)
	do := func(path string) {
		t.Helper()
		if err := c.Do(t.Context(), rest.Request{Method: "POST", Path: path, Body: 1}, nil); err != nil {
			t.Error(err)
		}
	}
	write("one\n", time.Unix(1000, 0))
	do("x")
	write("two\n", time.Unix(2000, 0))
	do("near")
	do("away")
	write("", time.Unix(3000, 0))
	do("x")
	want := []string{"Bearer one", "Bearer two", "Bearer two", "Bearer two", "", ""}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("tokens %q, want %q: the other host must not see one", seen, want)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	err := c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil)
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names the token file", err)
	}
}

func TestEndlessRedirects(t *testing.T) {
	url, requests := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) })
	err := newClient(t, url, quick()).Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil)
	if err == nil || requests.Load() > 7 {
		t.Errorf("error %v after %d requests, want an end", err, requests.Load())
	}
}

func TestTLS(t *testing.T) {
	peer := ""
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for _, c := range r.TLS.PeerCertificates {
			peer = c.Subject.CommonName
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	defer s.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	get := func(change func(*rest.Config)) error {
		cfg := quick()
		change(&cfg)
		return newClient(t, s.URL, cfg).Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil)
	}
	if err := get(func(*rest.Config) {}); !errors.Is(err, bos.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: error %v", err)
	}
	if err := get(func(c *rest.Config) { c.CAFile = ca }); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	if err := get(func(c *rest.Config) { c.InsecureSkipVerify = true }); err != nil {
		t.Errorf("without verification: %v", err)
	}
	cert, key := ownCertificate(t, dir, 1)
	if err := get(func(c *rest.Config) { c.CAFile, c.CertFile, c.KeyFile = ca, cert, key }); err != nil || peer != "bos" {
		t.Errorf("with a certificate of its own: seen as %q, error %v", peer, err)
	}
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]rest.Config{
		"missing CA": {CAFile: filepath.Join(dir, "none")}, "empty CA": {CAFile: empty}, "certificate without key": {CertFile: cert},
	} {
		if _, err := rest.New("svc", s.URL, cfg); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
}

// Certificates are replaced while programs run.
func TestCertificatesAreReadAgain(t *testing.T) {
	var peer atomic.Value
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		peer.Store(r.TLS.PeerCertificates[0].SerialNumber.String())
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	defer s.Close()
	dir := t.TempDir()
	cert, key := ownCertificate(t, dir, 1)
	ca := filepath.Join(dir, "ca.pem")
	now := time.Unix(1000, 0)
	write := func(path string, text []byte) {
		t.Helper()
		now = now.Add(time.Second)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
	}
	trusted := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	stranger, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	write(ca, stranger)
	var text strings.Builder
	cfg := quick()
	cfg.CAFile, cfg.CertFile, cfg.KeyFile = ca, cert, key
	cfg.Log = slog.New(slog.NewTextHandler(&text, nil))
	c := newClient(t, s.URL, cfg)
	get := func() error { return c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil) }

	if err := get(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v, want one about the authority", err)
	}
	write(ca, trusted)
	if err := get(); err != nil || peer.Load() != "1" {
		t.Errorf("with the new authority: error %v, seen as %v", err, peer.Load())
	}
	write(ca, []byte("half"))
	for range 3 {
		if err := get(); err != nil {
			t.Errorf("with a half-written file: %v", err)
		}
	}
	if n := strings.Count(text.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want one: %s", n, &text)
	}
	ownCertificate(t, dir, 2)
	write(ca, trusted)
	if err := get(); err != nil || peer.Load() != "2" {
		t.Errorf("with a new certificate: error %v, seen as %v", err, peer.Load())
	}
	write(ca, stranger)
	if err := get(); err == nil {
		t.Error("the server is still trusted over an old connection")
	}
}

func ownCertificate(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "bos"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestConcurrencyIsBounded(t *testing.T) {
	var under, most atomic.Int32
	full := make(chan struct{}, 16)
	release := make(chan struct{})
	url, _ := server(t, func(http.ResponseWriter, *http.Request) {
		n := under.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		full <- struct{}{}
		<-release
		under.Add(-1)
	})
	cfg := quick()
	cfg.MaxInFlight = 3
	c := newClient(t, url, cfg)
	done := make(chan error, 9)
	for range 9 {
		go func() { done <- c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil) }()
	}
	for range 3 {
		<-full
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Do(ctx, rest.Request{Method: "POST", Path: "x", Body: 1}, nil); !errors.Is(err, context.Canceled) || errors.Is(err, rest.ErrOutcomeUnknown) {
		t.Errorf("error %v of a caller that gives up waiting, want context.Canceled", err)
	}
	close(release)
	for range 9 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d requests at a time, want 3", most.Load())
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var connections atomic.Int32
	failures := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/refused":
			http.Error(w, strings.Repeat("no ", 1000), http.StatusForbidden)
		case "/missing":
			http.NotFound(w, r)
		case "/flaky":
			if failures++; failures%2 == 1 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			io.WriteString(w, `[]`)
		case "/html":
			io.WriteString(w, "<html>"+strings.Repeat("sorry ", 200))
		default:
			io.WriteString(w, `[1,2,3]`)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := newClient(t, s.URL, quick())
	enough := errors.New("enough")
	list := func(a *rest.Answer) error { return rest.ReadList(a, "", func(int) error { return nil }) }
	for _, tt := range []struct {
		path string
		read func(*rest.Answer) error
		want error
	}{
		{"list", list, nil},
		{"not read", nil, nil},
		{"read in part", func(a *rest.Answer) error { return rest.ReadList(a, "", func(int) error { return enough }) }, enough},
		{"refused", list, bos.ErrForbidden},
		{"missing", nil, bos.ErrNotFound},
		{"flaky", list, nil},
		{"html", list, rest.ErrMalformed},
		{"list", list, nil},
	} {
		for range 2 {
			err := c.Do(t.Context(), rest.Request{Method: "GET", Path: strings.ReplaceAll(tt.path, " ", "-")}, tt.read)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: error %v, want %v", tt.path, err, tt.want)
			}
		}
		if n := connections.Load(); n != 1 {
			t.Fatalf("%d connections after %s, want one for all calls", n, tt.path)
		}
	}
}

// Redirects and retries need one slot at a time, and compressed answers are read like others.
func TestOneSlotIsEnough(t *testing.T) {
	tries := 0
	url, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/x":
			http.Redirect(w, r, "/y", http.StatusPermanentRedirect)
		case tries < 2:
			tries++
			http.Error(w, "busy", http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, `["a"]`)
			z.Close()
		}
	})
	cfg := quick()
	cfg.MaxInFlight = 1
	c := newClient(t, url, cfg)
	for range 3 {
		var got []string
		if err := c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, rest.JSON(&got)); err != nil || len(got) != 1 {
			t.Errorf("%v, error %v", got, err)
		}
	}
}
