package rest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// TestRetryTable is the table of the package comment, method by method.
func TestRetryTable(t *testing.T) {
	const all, none = 3, 0 // retries
	answer := func(code int, retryAfter string) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := status(code, "")(r)
			if retryAfter != "" {
				resp.Header.Set("Retry-After", retryAfter)
			}
			return resp, err
		}
	}
	fails := func(err error) roundTripper {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	outcomes := []struct {
		name         string
		answer       roundTripper
		safe, unsafe int  // retries of requests that may be repeated, and of others
		unknown      bool // the outcome of others is
	}{
		{"refused", fails(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), all, all, false},
		{"no such host", fails(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}}), all, all, false},
		{"connection reset", fails(&net.OpError{Op: "read", Err: syscall.ECONNRESET}), all, none, true},
		{"dropped", fails(io.EOF), all, none, true},
		{"silent", func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, all, none, true},
		{"500", answer(500, ""), all, none, false},
		{"502", answer(502, ""), all, none, false},
		{"503", answer(503, ""), all, none, false},
		{"503 with Retry-After", answer(503, "1"), all, none, false},
		{"504", answer(504, ""), all, none, true}, // a gateway's, which has sent it on
		{"501", answer(501, ""), none, none, false},
		{"505", answer(505, ""), none, none, false},
		{"429", answer(429, ""), none, none, false},
		{"429 with Retry-After", answer(429, "1"), all, none, false},
		{"413", answer(413, ""), none, none, false},
		{"413 with Retry-After", answer(413, "1"), all, none, false},
		{"404 with Retry-After", answer(404, "1"), none, none, false},
		{"400", answer(400, ""), none, none, false},
		{"409", answer(409, ""), none, none, false},
	}
	requests := map[string]rest.Request{
		"POST that reads": {Method: "POST", ReadOnly: true, Body: 1}, "POST": {Method: "POST", Body: 1}, "PATCH": {Method: "PATCH", Body: 1},
		"PUT": {Method: "PUT", Body: 1}, "PUT once": {Method: "PUT", Once: true, Body: 1}, "DELETE once": {Method: "DELETE", Once: true},
		"GET": {Method: "GET"}, "HEAD": {Method: "HEAD"}, "DELETE": {Method: "DELETE"}, "OPTIONS": {Method: "OPTIONS"},
	}
	for name, r := range requests {
		r.Path = "x"
		safe := name != "POST" && name != "PATCH" && !r.Once
		for _, o := range outcomes {
			t.Run(fmt.Sprint(name, " ", o.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tries := 0
					c, err := rest.New("svc", "http://svc", rest.Config{
						Retries: func() int { return all }, RetryBudget: -1, Timeout: func() time.Duration { return time.Second },
						Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
							tries++
							return o.answer(r)
						}),
					})
					if err != nil {
						t.Fatal(err)
					}
					err = c.Do(t.Context(), r, nil)
					want := o.unsafe
					if safe {
						want = o.safe
					}
					if err == nil || tries != 1+want {
						t.Errorf("error %v after %d retries, want %d", err, tries-1, want)
					}
					if got, want := errors.Is(err, rest.ErrOutcomeUnknown), o.unknown && !safe; got != want {
						t.Errorf("error %v, outcome unknown: %v, want %v", err, got, want)
					}
				})
			})
		}
	}
}

// One service that does not answer must not keep another from being asked.
func TestASlowServiceStallsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "slow" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return status(200, "")(r)
		})
		client := func(name string) *rest.Client {
			c, err := rest.New(name, "http://"+name, rest.Config{Transport: network, Retries: func() int { return 0 }})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		slow, quick := client("slow"), client("quick")
		for range 100 {
			go func() { _ = slow.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil) }()
		}
		synctest.Wait()
		began := time.Now()
		for range 100 {
			if err := quick.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
		time.Sleep(time.Minute)
		if err := slow.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
		synctest.Wait()
	})
}
