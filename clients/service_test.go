package clients_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/internal/rest"
)

// service is a service in memory that answers from a script, whose last step repeats. It stands in for the network.
type service struct {
	script []step
	once   bool // clients do not retry

	mu       sync.Mutex
	requests []request
}

// step answers a request.
type step func(*http.Request) (*http.Response, error)

// request is what the service was asked.
type request struct {
	method, path, query, body string
	at                        time.Time
}

// roundTripper is a service that thinks for itself.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func serve(script ...step) *service { return &service{script: script} }

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	s.mu.Lock()
	n := min(len(s.requests), len(s.script)-1)
	s.requests = append(s.requests, request{r.Method, r.URL.Path, r.URL.RawQuery, string(body), time.Now()})
	s.mu.Unlock()
	return s.script[n](r)
}

// asked returns the requests so far.
func (s *service) asked() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.requests...)
}

// config lets a client talk to the service: no limit on the time of retries, no variation of waits, no breaker.
func (s *service) config() hsm.Config {
	cfg := hsm.Config{
		Transport: s, RetryBudget: -1, BreakAfter: -1, Jitter: func(d time.Duration) time.Duration { return d },
		Timeout: func() time.Duration { return 20 * time.Second },
	}
	if s.once {
		cfg.Retries = func() int { return 0 }
	}
	return cfg
}

// reply answers with a status, a body and headers given as name and value.
func reply(status int, body string, headers ...string) step {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, status, strings.NewReader(body), headers...), nil
	}
}

func response(r *http.Request, status int, body io.Reader, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{
		StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status),
		Header: h, Body: &boundBody{r.Context(), body}, ContentLength: -1, Request: r, ProtoMajor: 1, ProtoMinor: 1,
	}
}

// boundBody ends with its request, as a body from the network does.
type boundBody struct {
	ctx context.Context
	r   io.Reader
}

func (b *boundBody) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return b.r.Read(p)
}

func (*boundBody) Close() error { return nil }

// refused is a service that is not there.
func refused(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

// silent is a service that takes the request and never answers.
func silent(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

// dropped is a service that takes the request and breaks the connection.
func dropped(*http.Request) (*http.Response, error) { return nil, io.EOF }

// truncated breaks the connection in the middle of the body.
func truncated(body string) step {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, 200, io.MultiReader(strings.NewReader(body), broken{})), nil
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// late answers after a while.
func late(wait time.Duration, then step) step {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(wait):
			return then(r)
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
	}
}

// trickle sends the body one byte each pause.
func trickle(body string, pause time.Duration) step {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, 200, &slow{r.Context(), bytes.NewReader([]byte(body)), pause}), nil
	}
}

type slow struct {
	ctx   context.Context
	r     *bytes.Reader
	pause time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	select {
	case <-time.After(s.pause):
		return s.r.Read(p[:1])
	case <-s.ctx.Done():
		return 0, context.Cause(s.ctx)
	}
}

// expectError fails the test unless err matches all of want and none of others.
func expectError(t *testing.T, err error, want []error, others ...error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("error %q does not match %q", err, w)
		}
	}
	if e, ok := errors.AsType[*hsm.Error](err); ok { // as other modules see it
		if e.Timeout() != errors.Is(err, rest.ErrTimeout) || e.Malformed() != errors.Is(err, rest.ErrMalformed) {
			t.Errorf("error %q: timeout %v, malformed %v", err, e.Timeout(), e.Malformed())
		}
	}
	for _, o := range others {
		if errors.Is(err, o) {
			t.Errorf("error %q matches %q", err, o)
		}
	}
}
