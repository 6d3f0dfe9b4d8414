package rest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
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
		{"http://u:geheim@x", ""}, {"http://u:geheim@x y", ""}, {"u:geheim@x", ""}, {"http://x?token=geheim", ""}, {"x?token=geheim", ""}, {"http://x?y", ""}, {"http://x#y", ""}, {"http://x/%zz", ""}, {"http://x y", ""},
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

// outages is a service that answers 503 while away is set.
type outages struct {
	away     bool
	requests int
}

func (o *outages) RoundTrip(r *http.Request) (*http.Response, error) {
	o.requests++
	if o.away {
		return status(503, "no healthy upstream")(r)
	}
	return status(200, "")(r)
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

func TestBreakerTellsWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight of 2000-01-01
		service := &outages{away: true}
		var log strings.Builder
		c, err := rest.New("svc", "http://svc", rest.Config{
			Retries: func() int { return 0 }, Transport: service, BreakAfter: 2, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ask := func() error { return c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil) }
		_ = ask()
		time.Sleep(5 * time.Second)
		_ = ask()
		const want = "svc: GET http://svc/x: not asked: away since 2000-01-01T00:00:05Z, tried again every 2s; " +
			"last: Non-2XX response (503) to GET http://svc/x; Service Unavailable no healthy upstream"
		for n := range 3 { // between the calls that are let through, and after them
			time.Sleep(time.Second)
			err := ask()
			e, ok := errors.AsType[*rest.Error](err)
			if !ok || err.Error() != want || e.RetryAfter != time.Second || !errors.Is(err, bos.ErrUnavailable) {
				t.Fatalf("error\n%v, want\n%s\nand a second to wait", err, want)
			}
			if open, ok := errors.AsType[*rest.OpenError](err); !ok || time.Until(open.Next) != time.Second {
				t.Errorf("error %+v, want the time of the next call", open)
			}
			time.Sleep(time.Second + 1)
			if err := ask(); service.requests != 3+n || err == nil || strings.Contains(err.Error(), "not asked") {
				t.Errorf("error %v after %d requests, want one call let through", err, service.requests)
			}
		}
		service.away = false
		time.Sleep(2*time.Second + 1)
		if err := ask(); err != nil {
			t.Error(err)
		}
		if text := log.String(); strings.Count(text, "service is away") != 1 || strings.Count(text, "service is back") != 1 || !strings.Contains(text, "healthy") {
			t.Errorf("log %s, want the beginning and the end of the outage", text)
		}
	})
}

func TestBreakerLetsOneThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		var requests atomic.Int32
		c, err := rest.New("svc", "http://svc", rest.Config{
			Retries: func() int { return 0 }, BreakAfter: 1, MaxInFlight: 100,
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if away {
					return status(503, "")(r)
				}
				requests.Add(1)
				select {
				case <-time.After(time.Second):
					return status(200, "")(r)
				case <-r.Context().Done():
					return nil, context.Cause(r.Context())
				}
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(ctx context.Context) error { return c.Do(ctx, rest.Request{Method: "GET", Path: "x"}, nil) }
		_ = ask(t.Context())
		away = false
		time.Sleep(2*time.Second + 1)

		gaveUp, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if err := ask(gaveUp); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		requests.Store(0)
		var calls sync.WaitGroup
		var answered, refused atomic.Int32
		for range 50 {
			calls.Go(func() {
				err := ask(t.Context())
				if err == nil {
					answered.Add(1)
					return
				}
				refused.Add(1)
				if open, ok := errors.AsType[*rest.OpenError](err); !ok || open.Next.After(time.Now()) {
					t.Errorf("error %+v while a call is under way, want no time to come", err)
				}
			})
		}
		calls.Wait()
		if requests.Load() != 1 || answered.Load() != 1 || refused.Load() != 49 {
			t.Errorf("%d requests, %d answered, %d refused: want one call to find out, also after one whose caller gave up", requests.Load(), answered.Load(), refused.Load())
		}
		for range 50 {
			calls.Go(func() {
				if err := ask(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
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

// A caller with many calls and one deadline makes the rest of them in vain. That says nothing of the service.
func TestBreakerIgnoresCallsAfterTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := rest.New("svc", "http://svc", rest.Config{BreakAfter: 2, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if err := r.Context().Err(); err != nil {
				return nil, err
			}
			return status(200, "")(r)
		})})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(2 * time.Second)
		for range 10 {
			if err := c.Do(ctx, rest.Request{Method: "GET", Path: "x"}, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("error %v, want that of the deadline", err)
			}
		}
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

func TestTokensThatAServiceRepeats(t *testing.T) {
	for code, body := range map[int]string{401: `{"detail":"Jwt geheim is expired"}`, 403: "geheim may not", 200: "<html>geheim"} {
		c, err := rest.New("svc", "http://svc", rest.Config{
			Token:     func(context.Context) (string, error) { return "geheim", nil },
			Transport: status(code, body), Retries: func() int { return 0 },
		})
		if err != nil {
			t.Fatal(err)
		}
		var v any
		err = c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, rest.JSON(&v))
		e, ok := errors.AsType[*rest.Error](err)
		if !ok || strings.Contains(e.Error()+e.Detail+e.Title, "geheim") || !strings.Contains(e.Error(), "[token]") {
			t.Errorf("%d: error %v, detail %q, want them without the token", code, err, e.Detail)
		}
	}
}

// refusedWith asks a service that is away and says when to come back.
func refusedWith(t *testing.T, retryAfter string) (requests int, took time.Duration, err error) {
	t.Helper()
	c, err := rest.New("svc", "http://svc", rest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		requests++
		resp, err := status(503, "")(r)
		resp.Header.Set("Retry-After", retryAfter)
		return resp, err
	})})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil)
	return requests, time.Since(began), err
}

func TestRetryAfterNoTimeAtAll(t *testing.T) {
	for _, header := range []string{"0", "Thu, 01 Jan 1970 00:00:00 GMT", "-1"} {
		synctest.Test(t, func(t *testing.T) {
			requests, took, err := refusedWith(t, header)
			if requests != 5 || took < 7*time.Second || !errors.Is(err, bos.ErrUnavailable) {
				t.Errorf("%s: %d requests in %v, want the usual waits", header, requests, took)
			}
		})
	}
}

// A time that is too far away for a duration is a long one nevertheless: there is no retry within the budget.
func TestRetryAfterForEver(t *testing.T) {
	for _, header := range []string{"2147483647", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		synctest.Test(t, func(t *testing.T) {
			requests, took, err := refusedWith(t, header)
			e, ok := errors.AsType[*rest.Error](err)
			if requests != 1 || took != 0 || !ok || e.RetryAfter < 1000*time.Hour {
				t.Errorf("%s: %d requests in %v, error %+v, want one and a long time to wait", header, requests, took, e)
			}
		})
	}
}

func TestMalformedItems(t *testing.T) {
	for body, want := range map[string]string{
		`[{"ID":"a"},{"ID":"x1","NID":"many"}]`: `item 2, "x1": `,
		`[{"ID":"a"},7]`:                        "item 2: ",
		`[{"ID":"a"},{"ID":7}]`:                 "item 2: ",
		`[{"ID":"a"},{"ID":"` + strings.Repeat("x", 2*rest.MaxItem) + `"}]`: "an item of more than 16777216 bytes",
		`[` + strings.Repeat(" ", rest.MaxItem) + `]`:                       "an item of more than 16777216 bytes",
	} {
		c, err := rest.New("svc", "http://svc", rest.Config{Transport: status(200, body)})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, func(a *rest.Answer) error {
			return rest.ReadList(a, "", func(item) error { return nil })
		})
		if !errors.Is(err, rest.ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: error %v, want %s", body, err, want)
		}
	}
}

type item struct {
	ID  string
	NID int
}

func (i item) String() string { return i.ID }

// A list is bounded item by item, so that a long one is read nevertheless.
func TestLongLists(t *testing.T) {
	text := "[" + strings.Repeat(`"`+strings.Repeat("x", 1<<20)+`",`, 20) + `""]`
	c, err := rest.New("svc", "http://svc", rest.Config{Transport: status(200, text)})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, func(a *rest.Answer) error {
		return rest.ReadList(a, "", func(string) error { n++; return nil })
	})
	if err != nil || n != 21 {
		t.Errorf("%d items, error %v, want 21", n, err)
	}
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
	unknown := errors.Join(errors.New("no answer"), bos.ErrUnavailable, rest.ErrOutcomeUnknown)
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
		{"bad, then down", 2, []error{bad, down}, 2, "a b c d e", nil},
		{"bad, then down at last", 2, []error{bad, bad, down}, 3, "a b c d e", nil},
		{"outcome unknown", 5, []error{unknown}, 1, "", unknown},
		{"outcome unknown of some", 2, []error{unknown}, 1, "a b c d e", nil},
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
	err := rest.InBatches([]bos.ComponentID{"a", "b"}, 1, func([]bos.ComponentID) error { return unknown })
	partial, ok := errors.AsType[*bos.BatchError](err)
	if !ok || !errors.Is(partial.Failed["a"], rest.ErrOutcomeUnknown) {
		t.Fatalf("error %v, want it of each", err)
	}
	if b := partial.Failed["b"]; !errors.Is(b, bos.ErrUnavailable) || errors.Is(b, rest.ErrOutcomeUnknown) || !strings.Contains(b.Error(), "no answer") {
		t.Errorf("error %v of what was never sent, want an outage with the cause", b)
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
