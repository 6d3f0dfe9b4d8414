package reporter

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testID  = "x3000c0s19b1n0"
	testBSS = "5b1cdd3c-7a40-4b8f-b8cc-90f2a9b36d54"
	testJWT = "secret-bearer-token"
)

// cmdline returns a kernel command line with the words that every booted node has, and more.
func cmdline(more string) string {
	return "console=ttyS0 xname=" + testID + " nid=1 bss_referral_token=" + testBSS + " " + more
}

// load writes a kernel command line and a configuration to files and reads the settings.
func load(t *testing.T, line, conf string, env map[string]string) (*Settings, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "cmdline"), line+"\n")
	src := Sources{
		Cmdline:   filepath.Join(dir, "cmdline"),
		XnameFile: filepath.Join(dir, "xname"),
		LookupEnv: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
	}
	src.ConfigFile = filepath.Join(dir, "conf")
	write(t, src.ConfigFile, conf)
	return Load(src)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rig is a reporter with a gateway that is a function. It keeps what passes between the two.
type rig struct {
	cfg     Config
	gateway func(n int, req *http.Request) (*http.Response, error) // n counts from 1; nil answers 200

	mu     sync.Mutex
	log    strings.Builder
	start  time.Time
	seen   []seen
	tokens int // fetched
}

// seen is one request that the gateway got.
type seen struct {
	at                        time.Duration // since the reporter started
	method, url, bearer, body string
}

// newRig returns a rig for a node with this kernel command line. Random numbers are 0.5, so jitter is 0.
func newRig(t *testing.T, line string, env map[string]string) *rig {
	t.Helper()
	s, err := load(t, line, "", env)
	if err != nil {
		t.Fatal(err)
	}
	r := new(rig)
	r.cfg = s.Config(slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug})))
	token, err := s.BSSToken()
	r.cfg.BSSToken = func() (string, error) { return token, err } // no files in a bubble
	r.cfg.Tokens = TokenFunc(func(context.Context, bool) (string, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tokens++
		return testJWT, nil
	})
	r.cfg.Transport = r
	r.cfg.Random = func() float64 { return 0.5 }
	r.cfg.Sleep = Sleep
	return r
}

// answers makes the gateway give these statuses one after the other, and the last for ever.
func (r *rig) answers(status ...int) {
	r.gateway = func(n int, _ *http.Request) (*http.Response, error) {
		return problem(status[min(n, len(status))-1]), nil
	}
}

func problem(status int) *http.Response {
	return answer(status, nil, fmt.Sprintf(`{"type":"about:blank","title":"t","status":%d,"detail":"d"}`, status))
}

// Write takes a line of the log.
func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

// RoundTrip is the gateway.
func (r *rig) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.seen = append(r.seen, seen{time.Since(r.start), req.Method, req.URL.String(),
		strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "), string(body)})
	n := len(r.seen)
	r.mu.Unlock()
	if r.gateway == nil {
		return answer(200, nil, "{}"), nil
	}
	return r.gateway(n, req)
}

// run starts the reporter under a fake clock, calls f, and stops it. It checks that it ran until then.
func (r *rig) run(t *testing.T, f func(*testing.T, *Reporter)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rep, err := New(r.cfg)
		if err != nil {
			t.Fatal(err)
		}
		r.start = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		ended := false
		var wg sync.WaitGroup
		wg.Go(func() { rep.Run(ctx); ended = true })
		f(t, rep)
		synctest.Wait()
		if ended {
			t.Error("the reporter ended by itself")
		}
		cancel()
		wg.Wait()
		time.Sleep(time.Minute) // a connection that is being made is given up by its own time-out
	})
}

// runFor is run for a time, and returns when requests came.
func (r *rig) runFor(t *testing.T, d time.Duration) []time.Duration {
	t.Helper()
	r.run(t, func(*testing.T, *Reporter) { time.Sleep(d) })
	return r.times()
}

func (r *rig) times() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var times []time.Duration
	for _, s := range r.seen {
		times = append(times, s.at)
	}
	return times
}

// lines returns the lines of the log that contain all the words.
func (r *rig) lines(words ...string) (found []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
next:
	for line := range strings.Lines(r.log.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// jwt returns a token that looks like a JWT with these claims.
func jwt(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
}
