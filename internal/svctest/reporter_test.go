package svctest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/bos/reporter"
)

// gateway is BOS as a node's reporter sees it.
type gateway struct {
	answer func(n int, bearer string) (*http.Response, error) // n counts from 1

	mu    sync.Mutex
	start time.Time
	at    []time.Duration
	fresh int // tokens asked for that are not to come from a cache
}

// RoundTrip implements http.RoundTripper.
func (g *gateway) RoundTrip(req *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.at = append(g.at, time.Since(g.start))
	n := len(g.at)
	g.mu.Unlock()
	return g.answer(n, strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
}

// run runs a reporter for a time and returns when it sent a report. It must not end by itself.
func (g *gateway) run(t *testing.T, d time.Duration) []time.Duration {
	t.Helper()
	r, err := reporter.New(reporter.Config{
		ID: "x1000c0s0b0n0", API: "https://gw/apis/bos", Transport: g,
		BSSToken: func() (string, error) { return "token", nil },
		Tokens: reporter.TokenFunc(func(_ context.Context, fresh bool) (string, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			if fresh {
				g.fresh++
			}
			if g.fresh > 0 {
				return "new", nil
			}
			return "old", nil
		}),
		Random: func() float64 { return 0.5 }, // no jitter
	})
	if err != nil {
		t.Fatal(err)
	}
	g.start = time.Now()
	ctx, stop := context.WithCancel(t.Context())
	ended := false
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx); ended = true })
	time.Sleep(d)
	synctest.Wait()
	if ended {
		t.Error("the reporter ended by itself")
	}
	stop()
	wg.Wait()
	return g.at
}

var reporterCases = []svcCase{
	{"SVC-108 a token that has expired", func(t *testing.T) {
		g := &gateway{answer: func(_ int, bearer string) (*http.Response, error) {
			if bearer == "new" {
				return answer(http.StatusOK, "{}"), nil
			}
			return answer(http.StatusUnauthorized, `{"detail":"expired"}`), nil
		}}
		if got := g.run(t, time.Minute); len(got) != 2 || g.fresh != 1 {
			t.Errorf("reports at %v with %d new tokens, want two and one", got, g.fresh)
		}
	}},
	{"SVC-108 another node's name", func(t *testing.T) {
		g := &gateway{answer: func(int, string) (*http.Response, error) {
			return answer(http.StatusForbidden, `{"detail":"not yours"}`), nil
		}}
		got := g.run(t, 3*time.Minute)
		if len(got) < 3 {
			t.Fatalf("reports at %v: given up", got)
		}
		for i := range got[1:] {
			if pause := got[i+1] - got[i]; pause < 2*time.Second || i > 0 && pause < got[i]-got[i-1] {
				t.Errorf("reports at %v: want the back-off to apply", got)
			}
		}
	}},
	{"SVC-109 not found, in HTML", func(t *testing.T) {
		g := &gateway{answer: func(n int, _ string) (*http.Response, error) {
			if n == 6 {
				return answer(http.StatusOK, "{}"), nil
			}
			resp := answer(http.StatusNotFound, "<html>not found</html>")
			resp.Header.Set("Content-Type", "text/html")
			return resp, nil
		}}
		if got := g.run(t, time.Hour); len(got) != 6 {
			t.Errorf("%d reports, want it to go on until the sixth is accepted", len(got))
		}
	}},
	{"SVC-110 an outage of five minutes", func(t *testing.T) {
		const outage = 5 * time.Minute
		g := new(gateway)
		g.answer = func(int, string) (*http.Response, error) {
			if time.Since(g.start) < outage {
				return nil, errors.New("connection refused")
			}
			return answer(http.StatusOK, "{}"), nil
		}
		got := g.run(t, time.Hour)
		var pauses []time.Duration
		for i := range got[1:] {
			pauses = append(pauses, got[i+1]-got[i])
		}
		for i, pause := range pauses {
			if want := min(time.Duration(2*(i+1))*time.Second, 30*time.Second); pause != want {
				t.Errorf("pause %d of %s, want %s", i+1, pause, want)
			}
		}
		if late := slices.Max(got) - outage; late < 0 || late > 30*time.Second {
			t.Errorf("accepted %s after the outage, want at most 30 s", late)
		}
	}},
}

func TestREP(t *testing.T) {
	t.Run("REP-042 from power-on to the end of the session", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1, atSpeed(1))
			w.inject("reporter_dead", "") // the real one takes its place
			w.start()
			w.session("s", bos.OperationBoot)
			for w.node(w.ids[0]).Phase != "up" {
				time.Sleep(time.Second)
			}
			api := bosserver.NewHandler(w.api, bosserver.HandlerConfig{})
			r, err := reporter.New(reporter.Config{
				ID: string(w.ids[0]), API: "http://127.0.0.1", BSSToken: func() (string, error) { return w.node(w.ids[0]).Token, nil },
				Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
					rec := httptest.NewRecorder()
					api.ServeHTTP(rec, req)
					return rec.Result(), nil
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.await("s", time.Hour)
			w.wantUp(w.ids...)
			c := w.api.Get(w.ids[0])
			recorded, err := w.api.Store.BootArtifacts().Get(t.Context(), bos.BSSToken(w.node(w.ids[0]).Token))
			if err != nil || !c.ActualArtifacts().Same(recorded) {
				t.Errorf("actual artifacts %+v, recorded %+v, %v", c.ActualArtifacts(), recorded, err)
			}
		})
	})
}
