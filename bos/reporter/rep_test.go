package reporter

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestREP is the list of cases that every reporter must pass, by number. Some numbers need the command itself: they are
// in cmd/bos-reporter.
func TestREP(t *testing.T) {
	s := func(seconds ...float64) (times []time.Duration) {
		for _, x := range seconds {
			times = append(times, time.Duration(x*float64(time.Second)))
		}
		return times
	}
	wantTimes := func(t *testing.T, got, want []time.Duration) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("requests at %v, want %v", got, want)
		}
	}
	const day = 24 * time.Hour

	t.Run("REP-001 one report", func(t *testing.T) {
		r := newRig(t, cmdline("bos_update_frequency=4h"), nil)
		r.runFor(t, time.Hour)
		want := []seen{{0, "PATCH", "https://api-gw-service-nmn.local/apis/bos/v2/components/" + testID, testJWT,
			`{"id":"` + testID + `","actual_state":{"bss_token":"` + testBSS + `"}}`}}
		if !slices.Equal(r.seen, want) {
			t.Errorf("seen %+v, want %+v", r.seen, want)
		}
	})

	t.Run("REP-002 second after half a period, third after a whole one", func(t *testing.T) {
		r := newRig(t, cmdline("bos_update_frequency=4h"), nil)
		wantTimes(t, r.runFor(t, 5*time.Hour), s(0, 5400, 16200))
	})

	t.Run("REP-003 no frequency", func(t *testing.T) {
		r := newRig(t, cmdline(""), nil)
		wantTimes(t, r.runFor(t, 5*time.Hour), s(0, 5400, 16200))
		if l := r.lines("WARN"); l != nil {
			t.Errorf("warnings %q", l)
		}
	})

	t.Run("REP-004 upper case unit", func(t *testing.T) {
		r := newRig(t, cmdline("bos_update_frequency=4H"), nil)
		wantTimes(t, r.runFor(t, 5*time.Hour), s(0, 5400, 16200))
		if l := r.lines("WARN"); l != nil {
			t.Errorf("warnings %q", l)
		}
	})

	for _, ttl := range []string{"0h", "0"} {
		t.Run("REP-005 frequency "+ttl, func(t *testing.T) {
			r := newRig(t, cmdline("bos_update_frequency="+ttl), nil)
			wantTimes(t, r.runFor(t, 30*day), s(0))
		})
	}

	t.Run("REP-006 frequency banana", func(t *testing.T) {
		r := newRig(t, cmdline("bos_update_frequency=banana"), nil)
		wantTimes(t, r.runFor(t, 5*time.Hour), s(0, 5400, 16200))
		if l := r.lines("WARN", "banana"); len(l) != 1 {
			t.Errorf("warnings %q, want one", l)
		}
	})

	t.Run("REP-007 frequency 1s", func(t *testing.T) {
		r := newRig(t, cmdline("bos_update_frequency=1s"), nil)
		wantTimes(t, r.runFor(t, time.Minute), s(0, 15, 45))
		if l := r.lines("WARN", "too short"); len(l) != 1 {
			t.Errorf("warnings %q, want one", l)
		}
	})

	t.Run("REP-008 NODE_IDENTITY wins", func(t *testing.T) {
		r := newRig(t, cmdline(""), map[string]string{"NODE_IDENTITY": "x9c0s0b0n0"})
		r.runFor(t, time.Minute)
		if len(r.seen) != 1 || !strings.HasSuffix(r.seen[0].url, "/v2/components/x9c0s0b0n0") ||
			!strings.Contains(r.seen[0].body, `"id":"x9c0s0b0n0"`) {
			t.Errorf("seen %+v", r.seen)
		}
	})

	t.Run("REP-009 empty NODE_IDENTITY", func(t *testing.T) {
		if r := newRig(t, cmdline(""), map[string]string{"NODE_IDENTITY": ""}); r.cfg.ID != testID {
			t.Errorf("ID = %q, want %q", r.cfg.ID, testID)
		}
	})

	t.Run("REP-010 identity from file", func(t *testing.T) {
		file, line := filepath.Join(t.TempDir(), "xname"), filepath.Join(t.TempDir(), "cmdline")
		write(t, file, "  x5c0s0b0n0\n")
		write(t, line, "xname= bss_referral_token=t\n")
		got, err := Load(Sources{XnameFile: file, Cmdline: line, LookupEnv: noEnv})
		if err != nil || got.ID != "x5c0s0b0n0" || got.IDSource != file {
			t.Errorf("Load() = %+v, %v", got, err)
		}
	})

	t.Run("REP-011 no identity", func(t *testing.T) { // exit code: cmd/bos-reporter
		_, err := load(t, "quiet", "", nil)
		if err == nil || !strings.Contains(err.Error(), "NODE_IDENTITY") || !strings.Contains(err.Error(), "xname=") ||
			!strings.Contains(err.Error(), "/xname") || strings.Contains(err.Error(), "\n") {
			t.Errorf("err = %v, want one line with the three sources", err)
		}
	})

	t.Run("REP-012 two xnames", func(t *testing.T) {
		if r := newRig(t, cmdline("xname=x7c0s0b0n0"), nil); r.cfg.ID != testID {
			t.Errorf("ID = %q, want the first", r.cfg.ID)
		}
	})

	t.Run("REP-013 words with several equal signs", func(t *testing.T) {
		r := newRig(t, "root=craycps-s3:s3://b/k:e:dvs:a=b:xname=x1 nmd_data=url=s3://b/k,etag=abc "+cmdline(""), nil)
		r.runFor(t, time.Minute)
		if len(r.seen) != 1 || !strings.HasSuffix(r.seen[0].url, testID) || !strings.Contains(r.seen[0].body, testBSS) {
			t.Errorf("seen %+v", r.seen)
		}
	})

	t.Run("REP-014 token with an equal sign", func(t *testing.T) {
		r := newRig(t, "xname=x1 bss_referral_token=YWJj=ZA==", nil)
		r.runFor(t, time.Minute)
		if len(r.seen) != 1 || !strings.Contains(r.seen[0].body, `"bss_token":"YWJj=ZA=="`) {
			t.Errorf("seen %+v", r.seen)
		}
	})

	for _, word := range []string{"", "bss_referral_token="} {
		t.Run("REP-015 nothing to report: "+word, func(t *testing.T) {
			r := newRig(t, "xname="+testID+" "+word, nil)
			wantTimes(t, r.runFor(t, 30*day), nil)
			if r.tokens != 0 {
				t.Errorf("%d tokens fetched", r.tokens)
			}
			if l := r.lines("WARN"); len(l) != 1 {
				t.Errorf("warnings %q, want one", l)
			}
		})
	}

	// A token program is a real process: the pauses are counted here, not waited for.
	command := func(t *testing.T, script string, pause func(n int), source TokenCommand) (r *rig, pauses []time.Duration) {
		t.Helper()
		r = newRig(t, cmdline(""), nil)
		ctx, cancel := context.WithCancel(t.Context())
		source.Args = []string{filepath.Join(t.TempDir(), "get-auth-token")}
		if script != "" {
			program(t, source.Args[0], script)
		}
		r.cfg.Tokens = source
		r.cfg.Sleep = func(_ context.Context, d time.Duration) {
			if len(r.times()) > 0 { // reported: the long wait
				cancel()
				return
			}
			pauses = append(pauses, d)
			pause(len(pauses))
		}
		rep, err := New(r.cfg)
		if err != nil {
			t.Fatal(err)
		}
		rep.Run(ctx)
		return r, pauses
	}

	t.Run("REP-016 token program fails three times", func(t *testing.T) {
		count := filepath.Join(t.TempDir(), "count")
		r, pauses := command(t, `echo x >> `+count+`; [ $(wc -l < `+count+`) -gt 3 ] || exit 3; echo `+testJWT, func(int) {}, TokenCommand{})
		wantTimes(t, pauses, s(2, 2, 2))
		if len(r.seen) != 1 || r.seen[0].bearer != testJWT {
			t.Errorf("seen %+v", r.seen)
		}
	})

	t.Run("REP-017 token program hangs", func(t *testing.T) {
		if DefaultCommandTimeout != 30*time.Second {
			t.Errorf("default time-out = %v", DefaultCommandTimeout)
		}
		dir := t.TempDir()
		mark, pid := filepath.Join(dir, "mark"), filepath.Join(dir, "pid")
		r, pauses := command(t, `if [ -e `+mark+` ]; then echo `+testJWT+`; exit; fi
			touch `+mark+`; sleep 3600 & echo $! > `+pid+`; wait`, func(int) {}, TokenCommand{Timeout: 2 * time.Second})
		wantTimes(t, pauses, s(2))
		if len(r.seen) != 1 || len(r.lines("ERROR", "killed after 2s")) != 1 {
			t.Errorf("seen %+v, log %s", r.seen, r.log.String())
		}
		if b, err := os.ReadFile(pid); err != nil || running(strings.TrimSpace(string(b))) {
			t.Errorf("the program's child runs on: %s, %v", b, err)
		}
	})

	t.Run("REP-018 token program appears later", func(t *testing.T) {
		var path string
		r := newRig(t, cmdline(""), nil)
		path = filepath.Join(t.TempDir(), "get-auth-token")
		var pauses []time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		r.cfg.Tokens = TokenCommand{Args: []string{path}}
		r.cfg.Sleep = func(_ context.Context, d time.Duration) {
			if len(r.times()) > 0 {
				cancel()
			} else if pauses = append(pauses, d); len(pauses) == 3 {
				program(t, path, "echo "+testJWT)
			}
		}
		rep, err := New(r.cfg)
		if err != nil {
			t.Fatal(err)
		}
		rep.Run(ctx)
		wantTimes(t, pauses, s(2, 2, 2))
		if len(r.seen) != 1 || r.seen[0].bearer != testJWT {
			t.Errorf("seen %+v", r.seen)
		}
	})

	for _, tt := range []struct{ name, body string }{
		{"REP-019 unknown component", `{"type":"about:blank","title":"t","status":404,"detail":"d"}`},
		{"REP-020 page of the gateway", `<html>not found</html>`},
		{"REP-021 problem without detail", `{"title":"t"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cmdline(""), nil)
			r.gateway = func(n int, _ *http.Request) (*http.Response, error) {
				if n > 18 {
					return answer(200, nil, "{}"), nil
				}
				return answer(404, nil, tt.body), nil
			}
			want := s(0)
			for i := range 18 {
				want = append(want, want[i]+min(30*time.Second, time.Duration(i+1)*2*time.Second))
			}
			wantTimes(t, r.runFor(t, 20*time.Minute), want)
			if l := r.lines("reported after failures", "tries=19"); len(l) != 1 {
				t.Errorf("log %s", r.log.String())
			}
			if l := r.lines("WARN"); len(l) != 5 { // 1st, 2nd, 4th, 8th, 16th
				t.Errorf("warnings %q, want 5", l)
			}
		})
	}

	t.Run("REP-022 conflict", func(t *testing.T) {
		r := newRig(t, cmdline(""), nil)
		r.answers(409, 409, 409, 409, 409, 200)
		wantTimes(t, r.runFor(t, 10*time.Minute), s(0, 2, 6, 12, 20, 30))
		if len(r.lines("INFO", "409")) == 0 || r.lines("WARN") != nil || r.lines("ERROR") != nil {
			t.Errorf("log %s", r.log.String())
		}
	})

	t.Run("REP-023 bad request", func(t *testing.T) {
		r := newRig(t, cmdline(""), nil)
		r.gateway = func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return answer(400, nil, strings.Repeat("y", 5000)), nil
			}
			return answer(200, nil, "{}"), nil
		}
		wantTimes(t, r.runFor(t, time.Minute), s(0, 2))
		l := r.lines("WARN", "400")
		if len(l) != 1 || strings.Count(l[0], "y") > 512+len("try retry_in") || strings.Count(l[0], "y") < 512 {
			t.Errorf("warnings %q", l)
		}
	})

	for _, status := range []int{401, 403} {
		t.Run(fmt.Sprint("REP-024 refused with ", status), func(t *testing.T) {
			r := newRig(t, cmdline(""), nil)
			r.answers(status, 200)
			n := 0
			synctest.Test(t, func(t *testing.T) {
				r.cfg.Tokens = &Cache{Source: TokenFunc(func(context.Context, bool) (string, error) {
					n++
					return jwt(fmt.Sprintf(`{"exp":%d,"n":%d}`, time.Now().Add(time.Hour).Unix(), n)), nil
				})}
				rep, err := New(r.cfg)
				if err != nil {
					t.Fatal(err)
				}
				if err := rep.Once(t.Context()); err != nil {
					t.Error(err)
				}
			})
			if n != 2 || len(r.seen) != 2 || r.seen[0].bearer == r.seen[1].bearer {
				t.Errorf("%d tokens, seen %+v", n, r.seen)
			}
		})
	}

	for _, status := range []int{500, 502, 503, 504} {
		t.Run(fmt.Sprint("REP-025 status ", status), func(t *testing.T) {
			r := newRig(t, cmdline(""), nil)
			r.answers(status, status, 200)
			wantTimes(t, r.runFor(t, time.Minute), s(0, 2, 6))
		})
	}

	t.Run("REP-026 Retry-After", func(t *testing.T) {
		r := newRig(t, cmdline(""), nil)
		r.cfg.Random = func() float64 { return 0 }
		r.gateway = func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return answer(503, http.Header{"Retry-After": {"7"}}, ""), nil
			}
			return answer(200, nil, "{}"), nil
		}
		if got := r.runFor(t, time.Minute); len(got) < 2 || got[1] < 7*time.Second {
			t.Errorf("requests at %v, want the second not before 7 s", got)
		}
	})

	t.Run("REP-027 refused connections for ten minutes", func(t *testing.T) {
		r := newRig(t, cmdline(""), nil)
		r.cfg.Random = func() float64 { return 0.999999 } // the longest pauses
		up := 10 * time.Minute
		r.gateway = func(int, *http.Request) (*http.Response, error) {
			if time.Since(r.start) < up {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
			}
			return answer(200, nil, "{}"), nil
		}
		got := r.runFor(t, 15*time.Minute)
		if last := got[len(got)-1]; last < up || last > up+36*time.Second {
			t.Errorf("recovered at %v", last)
		}
	})

	// The real transport in a bubble: connections are pipes.
	overPipes := func(t *testing.T, dial func(context.Context, string, string) (net.Conn, error)) (*rig, []time.Duration) {
		r := newRig(t, cmdline(""), map[string]string{"API_GATEWAY_HOST": "http://gw.test", "BOS_REPORTER_INSECURE_HTTP": "true"})
		var dials []time.Duration
		r.cfg.Transport = &Transport{dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials = append(dials, time.Since(r.start))
			return dial(ctx, network, addr)
		}}
		r.run(t, func(*testing.T, *Reporter) { time.Sleep(14 * time.Second) })
		return r, dials
	}

	t.Run("REP-028 no answer", func(t *testing.T) {
		var servers []net.Conn
		r, dials := overPipes(t, func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			servers = append(servers, server)
			go io.Copy(io.Discard, server)
			return client, nil
		})
		wantTimes(t, dials, s(0, 12)) // 10 s and the pause of 2 s
		if len(r.lines("WARN", "gateway not reached", "timeout")) == 0 {
			t.Errorf("log %s", r.log.String())
		}
	})

	t.Run("REP-029 no connection", func(t *testing.T) {
		_, dials := overPipes(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		wantTimes(t, dials, s(0, 5, 12)) // 3 s each, and pauses of 2 and 4 s
	})

	// overTLS reports to a real server; before the third try prepare puts things right.
	overTLS := func(t *testing.T, caFile string, srv *httptest.Server, prepare func()) *rig {
		t.Helper()
		r := newRig(t, cmdline(""), map[string]string{"API_GATEWAY_HOST": srv.URL, "BOS_REPORTER_CA_FILE": caFile})
		ctx, cancel := context.WithCancel(t.Context())
		r.cfg.Transport = &Transport{CAFile: caFile}
		pauses := 0
		r.cfg.Sleep = func(context.Context, time.Duration) {
			if pauses++; pauses == 2 {
				prepare()
			}
			if len(r.lines("reported after failures")) > 0 || pauses > 5 {
				cancel()
			}
		}
		rep, err := New(r.cfg)
		if err != nil {
			t.Fatal(err)
		}
		rep.Run(ctx)
		if pauses != 3 {
			t.Errorf("%d pauses, want 2 between tries and the long one; log %s", pauses, r.log.String())
		}
		if l := r.lines("ERROR", "gateway not trusted"); len(l) != 1 {
			t.Errorf("errors %q, want one", l)
		}
		return r
	}

	t.Run("REP-030 unknown CA", func(t *testing.T) {
		srv := tlsServer(t)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		write(t, ca, otherCA(t))
		overTLS(t, ca, srv, func() { write(t, ca, serverCA(srv)) })
	})

	t.Run("REP-031 CA file missing", func(t *testing.T) {
		srv := tlsServer(t)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		r := overTLS(t, ca, srv, func() { write(t, ca, serverCA(srv)) })
		if len(r.lines("no such file", ca)) != 1 {
			t.Errorf("log %s", r.log.String())
		}
	})

	t.Run("REP-032 redirect", func(t *testing.T) {
		var elsewhere, here int
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
		defer other.Close()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if here++; here < 4 {
				http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			}
		}))
		defer srv.Close()
		r := newRig(t, cmdline(""), nil)
		r.cfg.API, r.cfg.Transport = srv.URL, new(Transport)
		r.cfg.Sleep = func(context.Context, time.Duration) {}
		rep, err := New(r.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := rep.deliver(t.Context(), false); err != nil {
			t.Error(err)
		}
		if here != 4 || elsewhere != 0 {
			t.Errorf("%d requests here and %d elsewhere, want 4 and 0", here, elsewhere)
		}
		if l := r.lines("WARN", "redirect"); len(l) != 1 {
			t.Errorf("warnings %q, want one", l)
		}
	})

	t.Run("REP-033 gateway with port", func(t *testing.T) {
		r := newRig(t, cmdline(""), map[string]string{"API_GATEWAY_HOST": "gw.test:8443"})
		r.runFor(t, time.Minute)
		if want := "https://gw.test:8443/apis/bos/v2/components/" + testID; len(r.seen) != 1 || r.seen[0].url != want {
			t.Errorf("seen %+v, want %s", r.seen, want)
		}
	})

	t.Run("REP-036 woken during the long wait", func(t *testing.T) {
		r := newRig(t, cmdline(""), nil)
		r.run(t, func(t *testing.T, rep *Reporter) {
			time.Sleep(5*time.Hour + 1000*time.Second) // reports at 0, 5400, 16200
			rep.Wake()
			time.Sleep(3 * time.Hour) // and 19000, 29800
		})
		wantTimes(t, r.times(), s(0, 5400, 16200, 19000, 29800))
	})

	t.Run("REP-037 cached token", func(t *testing.T) {
		r := newRig(t, cmdline(""), nil)
		synctest.Test(t, func(t *testing.T) {
			fetched := 0
			r.cfg.Tokens = &Cache{Source: TokenFunc(func(context.Context, bool) (string, error) {
				fetched++
				return jwt(fmt.Sprintf(`{"sub":"n","exp":%d}`, time.Now().Add(time.Hour).Unix())), nil
			})}
			rep, err := New(r.cfg)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range []struct {
				wait time.Duration
				want int
			}{{0, 1}, {10 * time.Minute, 1}, {38*time.Minute - time.Second, 1}, {time.Second, 2}} {
				time.Sleep(step.wait)
				if err := rep.Once(t.Context()); err != nil {
					t.Fatal(err)
				}
				if fetched != step.want {
					t.Errorf("%v later: %d tokens, want %d", step.wait, fetched, step.want)
				}
			}
		})
	})

	t.Run("REP-038 secrets", func(t *testing.T) {
		r := newRig(t, cmdline("bos_log_level=debug"), nil)
		token := jwt(`{"sub":"n","exp":99999999999}`)
		r.cfg.Tokens = &Chain{Log: r.cfg.Log, Providers: []Provider{{Name: "p", Source: &Cache{Log: r.cfg.Log,
			Source: TokenFunc(func(context.Context, bool) (string, error) { return token, nil })}}}}
		var status []Status
		r.cfg.Observe = func(s Status) { status = append(status, s) }
		r.gateway = func(n int, req *http.Request) (*http.Response, error) {
			echo := fmt.Sprint(req.Header, " ", r.seen[n-1].body)
			switch n {
			case 1, 2, 3, 4, 5, 6, 7, 8:
				return answer([]int{400, 401, 403, 404, 409, 302, 500, 503}[n-1], nil, echo), nil
			case 9:
				return nil, errors.New("broken")
			}
			return answer(200, nil, echo), nil
		}
		r.runFor(t, 5*time.Hour)
		text := r.log.String() + fmt.Sprint(status)
		for _, secret := range []string{token, strings.Split(token, ".")[1], testBSS} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in the log or the status: %s", secret, text)
			}
		}
		if len(r.lines("[hidden]")) == 0 || len(r.lines("new token", "sub=n")) == 0 {
			t.Errorf("the case tests nothing: %s", text)
		}
	})

	t.Run("REP-041 ten thousand nodes", func(t *testing.T) {
		if testing.Short() {
			t.Skip("10,000 goroutines for 12 simulated hours")
		}
		const nodes, bucket = 10_000, time.Minute
		var mu sync.Mutex
		buckets := make(map[time.Duration]int)
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			gateway := roundTripper(func(req *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				buckets[time.Since(start)/bucket]++
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for i := range nodes {
				rep, err := New(Config{ID: fmt.Sprintf("x%dc0s0b0n0", i), API: "https://gw", Transport: gateway, TTL: "4h",
					BSSToken: func() (string, error) { return testBSS, nil }})
				if err != nil {
					t.Fatal(err)
				}
				wg.Go(func() { rep.Run(ctx) })
			}
			time.Sleep(12 * time.Hour)
			cancel()
			wg.Wait()
		})
		if buckets[0] < nodes {
			t.Errorf("%d first reports in the first minute, want %d", buckets[0], nodes)
		}
		total, most := 0, 0
		for m := time.Duration(60); m < 12*60; m++ {
			total += buckets[m]
			most = max(most, buckets[m])
		}
		mean := float64(total) / (11 * 60)
		t.Logf("after the first hour: %.1f requests a minute, at most %d", mean, most)
		if float64(most) > 3*mean {
			t.Errorf("%d requests in one minute, mean %.1f", most, mean)
		}
	})

	t.Run("REP-043 token that BOS does not know", func(t *testing.T) {
		bos := fakeBOS{known: map[string]string{"other": "kernel"}}
		r := newRig(t, cmdline(""), nil)
		r.gateway = func(n int, _ *http.Request) (*http.Response, error) { return bos.patch(t, r.seen[n-1].body), nil }
		wantTimes(t, r.runFor(t, time.Hour), s(0))
		if bos.token != testBSS || bos.updated != 0 || len(r.lines("INFO", "msg=reported")) != 1 {
			t.Errorf("BOS has %+v, log %s", bos, r.log.String())
		}
	})
}

// program writes a shell script.
func program(t *testing.T, path, script string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// running tells whether a process exists and is not a zombie.
func running(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	state := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[0]
	return state != "Z" && state != "X"
}

func noEnv(string) (string, bool) { return "", false }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func tlsServer(t *testing.T) *httptest.Server {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func serverCA(srv *httptest.Server) string { return pemOf(srv.Certificate().Raw) }

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// otherCA returns a certificate that signed nothing.
func otherCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(der)
}

// quiet takes what an HTTP server says of failed handshakes.
var quiet = log.New(io.Discard, "", 0)

// fakeBOS does with a report what BOS does.
type fakeBOS struct {
	known   map[string]string // token: kernel
	token   string            // of the component
	kernel  string
	updated int // how often last_updated was set
}

func (b *fakeBOS) patch(t *testing.T, body string) *http.Response {
	t.Helper()
	var report struct {
		ID          string
		ActualState struct {
			BSSToken string `json:"bss_token"`
		} `json:"actual_state"`
	}
	if err := json.Unmarshal([]byte(body), &report); err != nil || report.ID != testID {
		t.Errorf("body %s: %v", body, err)
	}
	b.token = report.ActualState.BSSToken
	if kernel, ok := b.known[b.token]; ok {
		b.kernel = kernel
		b.updated++
	}
	return answer(200, nil, `{"id":"`+testID+`"}`)
}
