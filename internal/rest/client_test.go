package rest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// roundTripper is a service in memory.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func status(code int, body string) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func TestBaseURL(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"http://cray-smd/hsm/v2", "http://cray-smd/hsm/v2"},
		{"https://gw:8443/apis/smd/hsm/v2//", "https://gw:8443/apis/smd/hsm/v2"},
		{"http://[fd00::1]:80", "http://[fd00::1]:80"},
		{"http://cray-smd/", "http://cray-smd"},
		{"", ""}, {"cray-smd", ""}, {"cray-smd:80/hsm", ""}, {"ftp://x", ""}, {"http://", ""}, {"http:///hsm", ""}, {"http://:80", ""},
		{"http://u:geheim@x", ""}, {"http://x?y", ""}, {"http://x#y", ""}, {"http://x/%zz", ""}, {"http://x y", ""},
	} {
		c, err := rest.New("hsm", tt.url, rest.Config{})
		if tt.want == "" {
			if !errors.Is(err, bos.ErrInvalid) || !strings.HasPrefix(err.Error(), "hsm: ") || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%q: error %v, want ErrInvalid that names the service and no password", tt.url, err)
			}
			continue
		}
		if err != nil || c.Base() != tt.want {
			t.Errorf("%q: base %q, error %v, want %q", tt.url, c.Base(), err, tt.want)
		}
	}
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests, code := 0, 503
		cfg := rest.Config{Retries: func() int { return 0 }, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			requests++
			return status(code, "")(r)
		})}
		c, err := rest.New("svc", "http://svc", cfg)
		if err != nil {
			t.Fatal(err)
		}
		ask := func() error { return c.Do(t.Context(), rest.Request{Method: "POST", Path: "x"}, nil) }
		for range 4 {
			_ = ask()
		}
		code = 404
		if err := ask(); !errors.Is(err, bos.ErrNotFound) {
			t.Fatalf("error %v, want ErrNotFound", err)
		}
		code = 503
		for range 8 {
			if err := ask(); !errors.Is(err, bos.ErrUnavailable) || errors.Is(err, rest.ErrOutcomeUnknown) {
				t.Fatalf("error %v, want ErrUnavailable", err)
			}
		}
		if requests != 10 {
			t.Errorf("%d requests, want 10: after five outages in a row nobody asks, and an answer in between counts", requests)
		}
		time.Sleep(2*time.Second + 1)
		code = 200
		for range 3 {
			if err := ask(); err != nil {
				t.Errorf("the service is back: %v", err)
			}
		}
	})
}

func TestBreakerIgnoresCallersThatGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := true
		c, err := rest.New("svc", "http://svc", rest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if silent {
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			}
			return status(200, "")(r)
		})})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if err := c.Do(ctx, rest.Request{Method: "GET", Path: "x"}, nil); !errors.Is(err, context.Canceled) || errors.Is(err, bos.ErrUnavailable) {
				t.Fatalf("error %v, want context.Canceled", err)
			}
		}
		silent = false
		if err := c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestHugeAnswers(t *testing.T) {
	endless := func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(blanks{}), Request: r}, nil
	}
	c, err := rest.New("svc", "http://svc", rest.Config{Transport: roundTripper(endless)})
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, rest.JSON(&v)); !errors.Is(err, rest.ErrMalformed) {
		t.Errorf("error %v, want ErrMalformed", err)
	}
	c, err = rest.New("svc", "http://svc", rest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := endless(r)
		resp.StatusCode = 400
		return resp, err
	})})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, rest.JSON(&v)); !errors.Is(err, bos.ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
}

// blanks never ends.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestNoSecretsInLogsAndErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c, err := rest.New("svc", "http://svc", rest.Config{
			Token:     func(context.Context) (string, error) { return "geheim", nil },
			Transport: status(503, "no healthy upstream"),
			Log:       slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Do(t.Context(), rest.Request{Method: "GET", Path: "x", Query: map[string][]string{"ids": {"a"}}, Body: "geheim"}, nil)
		if text := log.String() + err.Error(); strings.Contains(text, "geheim") || !strings.Contains(log.String(), "retrying") {
			t.Errorf("log and error: %s", text)
		}
	})
}

func TestErrorsOfTheReader(t *testing.T) {
	c, err := rest.New("svc", "http://svc", rest.Config{Transport: status(200, `[1,2,3]`)})
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	n := 0
	err = c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, func(a *rest.Answer) error {
		return rest.ReadList(a, "", func(int) error {
			if n++; n == 2 {
				return enough
			}
			return nil
		})
	})
	if err != enough || n != 2 { //nolint:errorlint // it must come as it is
		t.Errorf("error %v after %d items, want the reader's own after 2", err, n)
	}
}

func TestInBatches(t *testing.T) {
	down := errors.Join(errors.New("down"), bos.ErrUnavailable)
	bad := errors.Join(errors.New("bad"), bos.ErrInvalid)
	for _, tt := range []struct {
		name    string
		size    int
		answers []error
		calls   int
		failed  string // ids of a BatchError
		whole   error  // an error for the call as a whole
	}{
		{"all at once", 0, []error{nil}, 1, "", nil},
		{"pairs", 2, []error{nil, nil, nil}, 3, "", nil},
		{"one is bad", 2, []error{nil, bad, nil}, 3, "c d", nil},
		{"down at once", 2, []error{down}, 1, "", down},
		{"down later", 2, []error{nil, down}, 2, "c d e", nil},
		{"all bad", 2, []error{bad, bad, bad}, 3, "", bad},
		{"named ones", 2, []error{&bos.BatchError{Failed: map[bos.ComponentID]error{"b": bad}}, nil, nil}, 3, "b", nil},
		{"bad, then down", 2, []error{bad, down}, 2, "", bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			err := rest.InBatches([]bos.ComponentID{"a", "b", "c", "d", "e"}, tt.size, func([]bos.ComponentID) error {
				calls++
				return tt.answers[calls-1]
			})
			var failed []string
			if partial, ok := errors.AsType[*bos.BatchError](err); ok {
				for _, id := range partial.IDs() {
					failed = append(failed, string(id))
				}
			} else if err != tt.whole { //nolint:errorlint // it must come as it is
				t.Errorf("error %v, want %v", err, tt.whole)
			}
			if strings.Join(failed, " ") != tt.failed || calls != tt.calls {
				t.Errorf("failed %v after %d calls, want %q after %d", failed, calls, tt.failed, tt.calls)
			}
		})
	}
	if err := rest.InBatches(nil, 2, func([]bos.ComponentID) error { panic("called") }); err != nil {
		t.Error(err)
	}
}

func TestASlowReaderIsNotASilentService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := strings.Split(`[1 ,2 ,3 ]`, " ")
		cfg := rest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: &pieces{r.Context(), items}}, nil
		})}
		c, err := rest.New("svc", "http://svc", cfg)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		err = c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, func(a *rest.Answer) error {
			return rest.ReadList(a, "", func(n int) error {
				time.Sleep(time.Minute)
				sum += n
				return nil
			})
		})
		if err != nil || sum != 6 {
			t.Errorf("sum %d, error %v, want 6", sum, err)
		}
	})
}

// pieces is a body that gives one piece per read, as long as its request lives.
type pieces struct {
	ctx  context.Context
	rest []string
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[0])
	p.rest = p.rest[1:]
	return n, nil
}

func (*pieces) Close() error { return nil }
