package clients_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/internal/rest"
	"github.com/bootorch/bosgo/pcs"
)

const node1, node2, node3 = bos.ComponentID("x3000c0s1b0n0"), bos.ComponentID("x3000c0s2b0n0"), bos.ComponentID("x3000c0s3b0n0")

// must is for constructors, whose errors are tested elsewhere.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// call is one call of a client over a service in memory.
type call struct {
	name     string
	method   string
	readOnly bool   // may be repeated
	answer   string // a good answer
	do       func(ctx context.Context, s *service) error
}

func (c call) String() string { return c.name }

// calls are all calls of all clients, but those of S3.
var calls = []call{
	{"hsm nodes", "GET", true, `{"Components":[]}`, func(ctx context.Context, s *service) error {
		_, err := must(hsm.New("http://cray-smd/hsm/v2", s.config())).Nodes(ctx)
		return err
	}},
	{"hsm query", "POST", true, `{"Components":[]}`, func(ctx context.Context, s *service) error {
		_, err := must(hsm.New("http://cray-smd/hsm/v2", s.config())).Query(ctx, []bos.ComponentID{node1})
		return err
	}},
	{"hsm groups", "GET", true, `[]`, func(ctx context.Context, s *service) error {
		_, err := must(hsm.New("http://cray-smd/hsm/v2", s.config())).Groups(ctx)
		return err
	}},
	{"hsm partitions", "GET", true, `[]`, func(ctx context.Context, s *service) error {
		_, err := must(hsm.New("http://cray-smd/hsm/v2", s.config())).Partitions(ctx)
		return err
	}},
	{"hsm roles", "GET", true, `{"Components":[]}`, func(ctx context.Context, s *service) error {
		_, err := must(hsm.New("http://cray-smd/hsm/v2", s.config())).RoleMembers(ctx)
		return err
	}},
	{"hsm locks", "GET", true, `{"Components":[]}`, func(ctx context.Context, s *service) error {
		_, err := must(hsm.New("http://cray-smd/hsm/v2", s.config())).LockedNodes(ctx)
		return err
	}},
	{"pcs status", "POST", true, `{"status":[]}`, func(ctx context.Context, s *service) error {
		_, err := must(pcs.New("http://cray-power-control", s.config())).PowerStatus(ctx, []bos.ComponentID{node1})
		return err
	}},
	{"pcs transition", "POST", false, `{"transitionID":"t"}`, func(ctx context.Context, s *service) error {
		_, err := must(pcs.New("http://cray-power-control", s.config())).Transition(ctx, pcs.On, []bos.ComponentID{node1})
		return err
	}},
	{"pcs read transition", "GET", true, `{"transitionStatus":"completed"}`, func(ctx context.Context, s *service) error {
		_, err := must(pcs.New("http://cray-power-control", s.config())).ReadTransition(ctx, "t")
		return err
	}},
	{"capmc status", "POST", true, `{"e":0,"on":[]}`, func(ctx context.Context, s *service) error {
		_, err := must(pcs.NewCAPMC("http://cray-capmc/capmc/v1", s.config())).PowerStatus(ctx, []bos.ComponentID{node1})
		return err
	}},
	{"capmc off", "POST", false, `{"e":0,"xnames":[]}`, func(ctx context.Context, s *service) error {
		_, err := must(pcs.NewCAPMC("http://cray-capmc/capmc/v1", s.config())).Transition(ctx, pcs.ForceOff, []bos.ComponentID{node1})
		return err
	}},
	{"cfs components", "GET", true, `{"components":[],"next":null}`, func(ctx context.Context, s *service) error {
		_, err := must(cfs.New("http://cray-cfs-api/v3", s.config())).Components(ctx, nil)
		return err
	}},
	{"cfs v2 components", "GET", true, `[]`, func(ctx context.Context, s *service) error {
		_, err := must(cfs.New("http://cray-cfs-api/v2", s.config())).Components(ctx, nil)
		return err
	}},
	{"cfs assign", "PATCH", false, `{"component_ids":["x3000c0s1b0n0"]}`, func(ctx context.Context, s *service) error {
		return must(cfs.New("http://cray-cfs-api/v3", s.config())).Assign(ctx, []bos.ComponentID{node1}, cfs.Assignment{Configuration: "c"})
	}},
	{"ims image", "GET", true, `{"id":"i"}`, func(ctx context.Context, s *service) error {
		_, err := must(ims.New("http://cray-ims/v3", s.config())).Image(ctx, "i")
		return err
	}},
	{"ims tag", "PATCH", false, `{"id":"i"}`, func(ctx context.Context, s *service) error {
		return must(ims.New("http://cray-ims/v3", s.config())).Tag(ctx, "i", "k", "v")
	}},
	{"tapms tenant", "GET", true, `{"status":{}}`, func(ctx context.Context, s *service) error {
		_, err := must(tapms.New("http://cray-tapms/v1alpha3", s.config())).TenantNodes(ctx, "blue")
		return err
	}},
}

// bssCall is apart: its answer is a header.
var bssCall = call{"bss parameters", "PUT", true, "", func(ctx context.Context, s *service) error {
	_, err := must(bss.New("http://cray-bss/boot/v1", s.config())).SetBootParameters(ctx, []bos.ComponentID{node1}, bos.BootArtifacts{Kernel: "k"})
	return err
}}

// odd are answers that are JSON, but malformed to one call.
var odd = map[string][]string{
	"hsm nodes":           {`{}`, `{"Components":null}`, `{"Components":{}}`, `{"Components":[7]}`, `{"Components":[{"ID":7}]}`, `[]`},
	"hsm query":           {`{}`, `{"Components":null}`, `{"Components":"x"}`, `{"Components":[[]]}`, `[]`},
	"hsm groups":          {`{}`, `[7]`, `[{"label":7}]`, `[{"label":"a","members":[]}]`},
	"hsm partitions":      {`{}`, `[7]`, `[{"name":[]}]`},
	"hsm roles":           {`{}`, `{"Components":null}`, `{"Components":[{"Role":7}]}`},
	"hsm locks":           {`[]`, `{"Components":{}}`, `{"Components":[7]}`},
	"pcs status":          {`{}`, `{"status":null}`, `{"status":{}}`, `{"status":[7]}`, `{"status":[{"xname":7}]}`, `[]`},
	"pcs transition":      {`[]`, `{"transitionID":7}`},
	"pcs read transition": {`{}`, `[]`, `{"transitionStatus":""}`, `{"transitionStatus":7}`, `{"transitionStatus":"new","tasks":{}}`, `{"transitionStatus":"new","tasks":[7]}`},
	"capmc status":        {`[]`, `{"e":"0"}`, `{"e":0,"on":{}}`, `{"e":0,"on":[7]}`},
	"capmc off":           {`[]`, `{"e":"0"}`, `{"e":0,"xnames":[7]}`},
	"cfs components":      {`{}`, `[]`, `{"components":null}`, `{"components":{}}`, `{"components":[7]}`, `{"components":[],"next":[]}`},
	"cfs v2 components":   {`{}`, `[7]`, `[{"id":7}]`},
	"cfs assign":          {`{}`, `[]`, `{"component_ids":null}`, `{"component_ids":"x3000c0s1b0n0"}`, `{"component_ids":[7]}`},
	"ims image":           {`{}`, `[]`, `{"id":null}`, `{"id":7}`, `{"id":"i","metadata":[]}`},
	"ims tag":             {`[]`},
	"tapms tenant":        {`[]`, `{"status":[]}`, `{"status":{"tenantresources":{}}}`, `{"status":{"tenantresources":[{"xnames":"x"}]}}`},
}

// bodiless are the calls that succeed without a body.
var bodiless = []string{"pcs transition", "ims tag"}

// each runs a test for all calls, each in a bubble of its own.
func each(t *testing.T, test func(t *testing.T, c call)) {
	for _, c := range append(slices.Clone(calls), bssCall) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, c) })
		})
	}
}

func good(c call) step { return reply(200, c.answer, "BSS-Referral-Token", "t") }

// waits returns the pauses between the requests, in seconds.
func waits(asked []request) []float64 {
	var w []float64
	for i := 1; i < len(asked); i++ {
		w = append(w, asked[i].at.Sub(asked[i-1].at).Seconds())
	}
	return w
}

func TestSVC(t *testing.T) {
	t.Run("SVC-001 repeated after 503", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			s := serve(reply(503, ""), reply(503, ""), good(c))
			err := c.do(t.Context(), s)
			if !c.readOnly {
				expectError(t, err, []error{bos.ErrUnavailable}, rest.ErrOutcomeUnknown)
				if n := len(s.asked()); n != 1 {
					t.Errorf("%d requests, want 1: %s is not repeated", n, c.method)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, want := waits(s.asked()), []float64{0, 1}; !slices.Equal(got, want) {
				t.Errorf("waits %v s, want %v", got, want)
			}
		})
	})
	t.Run("SVC-002 repeated at most ten times", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(reply(503, "no healthy upstream"))
			_, err := must(hsm.New("http://cray-smd/hsm/v2", s.config())).Groups(t.Context())
			expectError(t, err, []error{bos.ErrUnavailable}, rest.ErrTimeout, rest.ErrMalformed)
			if got, want := waits(s.asked()), []float64{0, 1, 2, 4, 8, 16, 32, 64, 120, 120}; !slices.Equal(got, want) {
				t.Errorf("waits %v s, want %v", got, want)
			}
		})
	})
	t.Run("SVC-002 jitter stays small", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(reply(503, ""))
			cfg := s.config()
			cfg.Jitter = nil
			_, err := must(hsm.New("http://cray-smd/hsm/v2", cfg)).Groups(t.Context())
			expectError(t, err, []error{bos.ErrUnavailable})
			for i, want := range []float64{0, 1, 2, 4, 8, 16, 32, 64, 120, 120} {
				if got := waits(s.asked())[i]; got < want || got > 1.1*want {
					t.Errorf("wait %d is %v s, want %v and up to a tenth more", i, got, want)
				}
			}
		})
	})
	t.Run("SVC-002 a canceled call ends at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(5*time.Second, cancel)
			began := time.Now()
			_, err := must(hsm.New("http://cray-smd/hsm/v2", serve(reply(503, "")).config())).Groups(ctx)
			expectError(t, err, []error{context.Canceled})
			if d := time.Since(began); d != 5*time.Second {
				t.Errorf("it took %v, want 5s", d)
			}
		})
	})
	t.Run("SVC-002 no wait for a retry that the deadline forbids", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			_, err := must(hsm.New("http://cray-smd/hsm/v2", serve(reply(503, "")).config())).Groups(ctx)
			expectError(t, err, []error{bos.ErrUnavailable}, context.DeadlineExceeded)
			if d := time.Since(began); d >= 5*time.Second {
				t.Errorf("it took %v, want to know earlier", d)
			}
		})
	})
	t.Run("SVC-002 within the default budget", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(reply(503, ""))
			cfg := s.config()
			cfg.RetryBudget = 0
			_, err := must(hsm.New("http://cray-smd/hsm/v2", cfg)).Groups(t.Context())
			expectError(t, err, []error{bos.ErrUnavailable})
			if got, want := waits(s.asked()), []float64{0, 1, 2, 4}; !slices.Equal(got, want) {
				t.Errorf("waits %v s, want %v: the next one would begin after 10 s", got, want)
			}
		})
	})
	t.Run("SVC-003 no transition is sent twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for name, step := range map[string]step{"503": reply(503, ""), "dropped": dropped, "silent": silent, "500": reply(500, ""), "truncated": truncated(`{"transi`)} {
				s := serve(step)
				_, err := must(pcs.New("http://cray-power-control", s.config())).Transition(t.Context(), pcs.On, []bos.ComponentID{node1})
				expectError(t, err, []error{bos.ErrUnavailable})
				if n := len(s.asked()); n != 1 {
					t.Errorf("%s: %d requests, want 1", name, n)
				}
			}
		})
	})
	t.Run("SVC-004 what was never sent is repeated", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			s := serve(refused, refused, refused, good(c))
			if err := c.do(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if got, want := waits(s.asked()), []float64{0, 1, 2}; !slices.Equal(got, want) {
				t.Errorf("waits %v s, want %v", got, want)
			}
		})
	})
	t.Run("SVC-004 a service that is never there", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			s := serve(refused)
			expectError(t, c.do(t.Context(), s), []error{bos.ErrUnavailable}, rest.ErrOutcomeUnknown, bos.ErrInvalid)
		})
	})
	t.Run("SVC-005 no answer", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			s := serve(silent, good(c))
			began := time.Now()
			err := c.do(t.Context(), s)
			limit := 20 * time.Second
			if strings.HasPrefix(c.name, "capmc") {
				limit = time.Minute
			}
			if d := time.Since(began); d != limit {
				t.Errorf("it took %v, want %v", d, limit)
			}
			if c.readOnly {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			expectError(t, err, []error{bos.ErrUnavailable, rest.ErrTimeout, rest.ErrOutcomeUnknown})
			if n := len(s.asked()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	})
	t.Run("SVC-005 no answer within the caller's deadline", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := c.do(ctx, serve(silent))
			expectError(t, err, []error{bos.ErrUnavailable, rest.ErrTimeout, context.DeadlineExceeded})
			if got := errors.Is(err, rest.ErrOutcomeUnknown); got == c.readOnly {
				t.Errorf("outcome unknown: %v, want %v", got, !c.readOnly)
			}
		})
	})
	t.Run("SVC-006 the token of the last answer counts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(dropped, reply(200, "", "BSS-Referral-Token", "second"))
			token, err := must(bss.New("http://cray-bss/boot/v1", s.config())).SetBootParameters(t.Context(), []bos.ComponentID{node1}, bos.BootArtifacts{Kernel: "k"})
			if err != nil || token != "second" || len(s.asked()) != 2 {
				t.Errorf("token of %d requests, error %v, want the second one's", len(s.asked()), err)
			}
		})
	})
	t.Run("SVC-007 HTML instead of JSON", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			s := serve(reply(200, "<html>"+strings.Repeat("sorry\n", 5000), "Content-Type", "text/html"), good(c))
			err := c.do(t.Context(), s)
			expectError(t, err, []error{rest.ErrMalformed, bos.ErrUnavailable}, bos.ErrInvalid, bos.ErrNotFound)
			if text := err.Error(); len(text) > 1500 || strings.Contains(text, "\n") || c.name != bssCall.name && !strings.Contains(text, "<html>") {
				t.Errorf("error of %d bytes, want one line with an excerpt: %q", len(text), text)
			}
			if n := len(s.asked()); n != 1 {
				t.Errorf("%d requests, want 1: the answer will not change", n)
			}
			if err := c.do(t.Context(), s); err != nil {
				t.Errorf("the next call fails: %v", err)
			}
		})
	})
	t.Run("SVC-008 an answer that is not what it should be", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			if c.name == bssCall.name {
				return // reads no body
			}
			bodies := append([]string{"7", `"status"`, "true", `{"Components":[{"ID":"x`, c.answer + " x", c.answer[:len(c.answer)-1]}, odd[c.name]...)
			if !slices.Contains(bodiless, c.name) {
				bodies = append(bodies, "", " \r\n", "null")
			}
			for _, body := range bodies {
				err := c.do(t.Context(), serve(reply(200, body)))
				if !errors.Is(err, rest.ErrMalformed) || !errors.Is(err, bos.ErrUnavailable) || errors.Is(err, bos.ErrInvalid) {
					t.Errorf("%s: error %v, want ErrMalformed, which may pass", body, err)
				}
				if got := errors.Is(err, rest.ErrOutcomeUnknown); got == c.readOnly {
					t.Errorf("%s: outcome unknown: %v, want %v: the service said that it succeeded", body, got, !c.readOnly)
				}
			}
		})
	})
	t.Run("SVC-008 calls that can do without a body", func(t *testing.T) {
		for _, c := range calls {
			for _, body := range []string{"", " \n", "null", "{}"} {
				if !slices.Contains(bodiless, c.name) {
					continue
				}
				if err := c.do(t.Context(), serve(reply(200, body))); err != nil {
					t.Errorf("%s, body %q: %v", c.name, body, err)
				}
			}
		}
	})
	t.Run("SVC-009 an answer that breaks off", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			if c.name == bssCall.name {
				return // reads no body
			}
			s := serve(truncated(c.answer[:len(c.answer)-2]), good(c))
			err := c.do(t.Context(), s)
			if c.readOnly {
				if err != nil || len(s.asked()) != 2 {
					t.Errorf("%d requests, error %v, want a second, good one", len(s.asked()), err)
				}
				return
			}
			expectError(t, err, []error{bos.ErrUnavailable, rest.ErrOutcomeUnknown})
			if n := len(s.asked()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	})
	for status, sentinel := range map[int]error{
		400: bos.ErrInvalid, 401: bos.ErrUnauthenticated, 403: bos.ErrForbidden, 404: bos.ErrNotFound, 409: bos.ErrConflict, 413: bos.ErrTooLarge, 422: bos.ErrInvalid,
	} {
		t.Run(fmt.Sprintf("SVC-010 status %d", status), func(t *testing.T) {
			each(t, func(t *testing.T, c call) {
				if status == 404 && (c.name == "hsm locks" || c.name == "capmc status") {
					return // it means none to them
				}
				s := serve(reply(status, `{"type":"about:blank","title":"T","status":4,"detail":"what is\nwrong"}`))
				err := c.do(t.Context(), s)
				expectError(t, err, []error{sentinel}, bos.ErrUnavailable, rest.ErrMalformed, rest.ErrOutcomeUnknown)
				e, ok := errors.AsType[*rest.Error](err)
				if !ok || e.Status != status || e.Title != "T" || e.Detail != "what is\nwrong" {
					t.Errorf("error %+v, want the status and the problem", e)
				}
				if n := len(s.asked()); n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
			})
		})
	}
	t.Run("SVC-010 the form of the text", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(reply(500, "{\n  \"detail\":\"x\"\n}\n"))
			_, err := must(pcs.New("http://cray-power-control/", s.config())).Transition(t.Context(), pcs.SoftOff, []bos.ComponentID{node1})
			const want = `Non-2XX response (500) to POST http://cray-power-control/transitions; Internal Server Error { "detail":"x" }`
			if err == nil || err.Error() != want {
				t.Errorf("error\n%v, want\n%s", err, want)
			}
		})
	})
	t.Run("SVC-011 an error that is not JSON", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			err := c.do(t.Context(), serve(reply(502, "<html>\n<h1>Bad Gateway</h1>\n</html>", "Content-Type", "text/html")))
			expectError(t, err, []error{bos.ErrUnavailable}, rest.ErrMalformed)
			if !strings.Contains(err.Error(), "Non-2XX response (502) to "+c.method) || !strings.Contains(err.Error(), "; Bad Gateway <html> <h1>Bad Gateway</h1> </html>") {
				t.Errorf("error %q", err)
			}
		})
	})
	t.Run("a page of a gateway does not say what exists", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			switch c.name {
			case "hsm locks", "pcs read transition", "capmc status", "ims image", "ims tag", "tapms tenant": // callers act on what is not found
				err := c.do(t.Context(), serve(reply(404, "\n<!DOCTYPE html>\n<h1>default backend</h1>", "Content-Type", "text/html")))
				expectError(t, err, []error{bos.ErrUnavailable}, bos.ErrNotFound)
				if !strings.Contains(err.Error(), "leads elsewhere") || !strings.Contains(err.Error(), "Non-2XX response (404) to "+c.method) {
					t.Errorf("error %v", err)
				}
			}
		})
	})
	t.Run("SVC-012 Retry-After", func(t *testing.T) {
		for _, tt := range []struct {
			status int
			header string
			want   []float64
		}{{503, "2", []float64{2}}, {429, "3", []float64{3}}, {413, "1", []float64{1}}, {503, "Sat, 01 Jan 2000 00:00:07 GMT", []float64{7}}, {503, "soon", []float64{0}}, {429, "", nil}, {413, "", nil}} {
			t.Run(fmt.Sprint(tt.status, " ", tt.header), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // begins at midnight of 2000-01-01
					s := serve(reply(tt.status, "", "Retry-After", tt.header), reply(200, "[]"))
					_, err := must(hsm.New("http://cray-smd/hsm/v2", s.config())).Groups(t.Context())
					if got := waits(s.asked()); !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
						t.Errorf("waits %v s, error %v, want %v", got, err, tt.want)
					}
				})
			})
		}
		t.Run("a date of another clock", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(reply(503, "", "Retry-After", "Fri, 31 Dec 1999 22:00:03 GMT", "Date", "Fri, 31 Dec 1999 22:00:00 GMT"), reply(200, "[]"))
				_, err := must(hsm.New("http://cray-smd/hsm/v2", s.config())).Groups(t.Context())
				if got := waits(s.asked()); err != nil || !slices.Equal(got, []float64{3}) {
					t.Errorf("waits %v s, error %v, want 3", got, err)
				}
			})
		})
		t.Run("beyond the budget", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(reply(503, "", "Retry-After", "11"))
				cfg := s.config()
				cfg.RetryBudget = 10 * time.Second
				began := time.Now()
				_, err := must(hsm.New("http://cray-smd/hsm/v2", cfg)).Groups(t.Context())
				expectError(t, err, []error{bos.ErrUnavailable})
				if len(s.asked()) != 1 || time.Since(began) != 0 {
					t.Errorf("%d requests in %v, want one and no wait", len(s.asked()), time.Since(began))
				}
			})
		})
	})
	t.Run("SVC-013 a slow answer is not a late one", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			if c.name == bssCall.name {
				return // reads no body
			}
			body := c.answer + strings.Repeat(" ", 60)
			began := time.Now()
			if err := c.do(t.Context(), serve(late(19*time.Second, trickle(body, time.Second)))); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d < 79*time.Second {
				t.Errorf("it took %v: was the answer read?", d)
			}
		})
	})
	t.Run("SVC-013 an answer that stalls", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			if c.name == bssCall.name {
				return // reads no body
			}
			s := serve(trickle(c.answer, 61*time.Second))
			err := c.do(t.Context(), s)
			expectError(t, err, []error{rest.ErrTimeout, bos.ErrUnavailable})
			if got := errors.Is(err, rest.ErrOutcomeUnknown); got == c.readOnly {
				t.Errorf("outcome unknown: %v, want %v", got, !c.readOnly)
			}
		})
	})
	t.Run("SVC-013 time-outs that nobody has set", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cfg := rest.Config{Transport: serve(silent), Retries: func() int { return 0 }}
			long := cfg
			long.Timeout = func() time.Duration { return 90 * time.Second }
			ids := []bos.ComponentID{node1}
			for name, c := range map[string]struct {
				want time.Duration
				ask  func() error
			}{
				"hsm":   {20 * time.Second, func() error { _, err := must(hsm.New("http://x", cfg)).Nodes(t.Context()); return err }},
				"pcs":   {20 * time.Second, func() error { _, err := must(pcs.New("http://x", cfg)).PowerStatus(t.Context(), ids); return err }},
				"capmc": {time.Minute, func() error { _, err := must(pcs.NewCAPMC("http://x", cfg)).PowerStatus(t.Context(), ids); return err }},
				"capmc, longer": {90 * time.Second, func() error {
					_, err := must(pcs.NewCAPMC("http://x", long)).PowerStatus(t.Context(), ids)
					return err
				}},
				"cfs": {20 * time.Second, func() error { _, err := must(cfs.New("http://x", cfg)).Components(t.Context(), ids); return err }},
				"bss": {20 * time.Second, func() error {
					_, err := must(bss.New("http://x", cfg)).SetBootParameters(t.Context(), ids, bos.BootArtifacts{})
					return err
				}},
				"ims":   {20 * time.Second, func() error { _, err := must(ims.New("http://x", cfg)).Image(t.Context(), "i"); return err }},
				"tapms": {10 * time.Second, func() error { _, err := must(tapms.New("http://x", cfg)).TenantNodes(t.Context(), "blue"); return err }},
				"s3": {time.Minute, func() error {
					_, err := must(s3manifest.New(s3manifest.Config{Endpoint: "http://x", Transport: serve(silent), RetryBudget: -1})).Head(t.Context(), "s3://b/k")
					return err
				}},
			} {
				began := time.Now()
				expectError(t, c.ask(), []error{bos.ErrUnavailable})
				if d := time.Since(began); d != c.want {
					t.Errorf("%s: it took %v, want %v", name, d, c.want)
				}
			}
		})
	})
	t.Run("SVC-014 the time-out follows its option", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(silent)
			limit := 20 * time.Second
			cfg := s.config()
			cfg.Timeout = func() time.Duration { return limit }
			c := must(pcs.New("http://cray-power-control", cfg))
			for _, limit = range []time.Duration{20 * time.Second, 5 * time.Second} {
				began := time.Now()
				_, err := c.Transition(t.Context(), pcs.On, []bos.ComponentID{node1})
				expectError(t, err, []error{rest.ErrTimeout})
				if d := time.Since(began); d != limit {
					t.Errorf("it took %v, want %v", d, limit)
				}
			}
		})
	})
	t.Run("redirects", func(t *testing.T) {
		each(t, func(t *testing.T, c call) {
			for _, status := range []int{301, 302, 303, 307, 308} {
				s := serve(reply(status, "", "Location", "http://elsewhere/there"), good(c))
				err := c.do(t.Context(), s)
				if c.method == http.MethodGet || status >= 307 {
					if err != nil {
						t.Errorf("%d: %v", status, err)
					}
					if a := s.asked(); len(a) != 2 || a[1].method != c.method || a[1].path != "/there" || a[1].body != a[0].body {
						t.Errorf("%d: requests %v, want the same one again", status, a)
					}
					continue
				}
				expectError(t, err, []error{bos.ErrInvalid})
				if n := len(s.asked()); n != 1 {
					t.Errorf("%d: %d requests, want 1: %s must not become a GET", status, n, c.method)
				}
			}
		})
	})
}
