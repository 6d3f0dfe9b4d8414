package app

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestExitCode(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		code int
		text string
	}{
		{"done", nil, 0, ""},
		{"help", flag.ErrHelp, 0, ""},
		{"stopped", fmt.Errorf("watch: %w", ErrStopped), 0, ""},
		{"usage", UsageErrorf("--store is missing"), 2, "bos: --store is missing\n"},
		{"wrapped usage", fmt.Errorf("x: %w", UsageErrorf("y")), 2, "bos: x: y\n"},
		{"failure in several lines", errors.New("one\ntwo"), 1, "bos: one two\n"},
		{"kind that says nothing more", fmt.Errorf("open x: stop the other process: %w", bos.ErrUnavailable), 1, "bos: open x: stop the other process\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := ExitCode("bos", row.err, &out); code != row.code || out.String() != row.text {
				t.Errorf("got %d %q, want %d %q", code, out.String(), row.code, row.text)
			}
		})
	}
}

func TestAPIFlags(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		env  map[string]string
		want string // part of the usage error; empty = accepted
	}{
		{"store missing", nil, nil, "--store is missing"},
		{"store from the environment", nil, map[string]string{"BOS_STORE": "memory:"}, ""},
		{"flag before environment", []string{"--store", "bolt:/x"}, map[string]string{"BOS_STORE": "memory:"}, ""},
		{"password in a flag", []string{"--store", "redis://u:secret@h:1"}, nil, "put it in $BOS_STORE"},
		{"password in the environment", nil, map[string]string{"BOS_STORE": "redis://u:secret@h:1"}, ""},
		{"unknown flag", []string{"--bogus"}, nil, "bogus"},
		{"argument", []string{"--store", "memory:", "surplus"}, nil, `unexpected argument "surplus"`},
		{"service that only operators ask", []string{"--store", "memory:", "--hsm-url", "http://h"}, nil, "hsm-url"},
		{"level that is none", []string{"--store", "memory:", "--log-level", "LOUD"}, nil, `"LOUD" is not DEBUG`},
		{"level of the environment that is none", []string{"--store", "memory:"}, map[string]string{"BOS_LOG_LEVEL": "LOUD"}, `"LOUD" is not DEBUG`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := ParseAPIFlags(row.args, environment(row.env), io.Discard)
			checkUsage(t, err, row.want)
		})
	}
}

func TestOperatorFlags(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"all by default", nil, ""},
		{"two", []string{"--run", "power-on, status"}, ""},
		{"unknown operator", []string{"--run", "power-up"}, "power-off-forceful"},
		{"operator twice", []string{"--run", "status,power-on,status"}, "names status twice"},
		{"level that is none", []string{"--log-level", "LOUD"}, `"LOUD" is not DEBUG`},
		{"embedded store", []string{"--store", "bolt:/x"}, "use --api"},
		{"memory store", []string{"--store", "memory:"}, "use --api"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := ParseOperatorFlags(row.args, environment(nil), io.Discard)
			checkUsage(t, err, row.want)
		})
	}
}

func checkUsage(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if _, ok := errors.AsType[*UsageError](err); !ok || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want a usage error with %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestOpenStore(t *testing.T) {
	for _, url := range []string{"", "memory", "memory:x", "bolt:", "mysql://h", "redis"} {
		t.Run("refuse "+url, func(t *testing.T) {
			_, err := OpenStore(t.Context(), url, discard())
			checkUsage(t, err, "is not one of memory:")
		})
	}
	deep := filepath.Join(t.TempDir(), "deep")
	for url, want := range map[string]string{"bolt:" + filepath.Join(deep, "bos.db"): "there is no directory " + deep, "bolt:" + t.TempDir(): "is a directory"} {
		_, err := OpenStore(t.Context(), url, discard())
		checkUsage(t, err, want)
	}
	if _, err := os.Stat(deep); err == nil {
		t.Error("a mistyped directory was made")
	}
	for _, url := range []string{"memory:", "bolt:" + filepath.Join(t.TempDir(), "bos.db")} {
		t.Run("open "+url[:5], func(t *testing.T) {
			st, err := OpenStore(t.Context(), url, discard())
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, row := range []struct {
		name string
		cfg  ListenConfig
		want string
	}{
		{"free port", ListenConfig{Addr: "127.0.0.1:0"}, ""},
		{"no port", ListenConfig{Addr: "127.0.0.1"}, "is not host:port"},
		{"public without protection", ListenConfig{Addr: "0.0.0.0:0"}, "--insecure"},
		{"every address without protection", ListenConfig{Addr: ":0"}, "--insecure"},
		{"public, insecure", ListenConfig{Addr: ":0", Insecure: true}, ""},
		{"certificate without key", ListenConfig{Addr: "127.0.0.1:0", CertFile: "c"}, "go together"},
		{"missing certificate", ListenConfig{Addr: "127.0.0.1:0", CertFile: "nope", KeyFile: "nope"}, "nope"},
		{"taken", ListenConfig{Addr: taken.Addr().String()}, "in use by another program"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ln, err := row.cfg.Listen(t.Context())
			if err == nil {
				defer ln.Close()
				if url := row.cfg.URL(ln); !strings.HasPrefix(url, "http://127.0.0.1:") {
					t.Errorf("URL = %s", url)
				}
			}
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %q", err, row.want)
			}
		})
	}
}

func TestLiveOptionsKeepTheLastGoodOnes(t *testing.T) {
	log, level := NewLog(io.Discard, "INFO")
	live := newLiveOptions(level, log)
	if got := live.Options().PollingFrequency; got != bos.DefaultOptions().PollingFrequency {
		t.Errorf("before the first read: %s", got)
	}
	o := bos.DefaultOptions()
	o.PollingFrequency, o.LoggingLevel = 99e9, "debug"
	live.read(t.Context(), optionsStub{options: o})
	live.read(t.Context(), optionsStub{err: bos.ErrUnavailable})
	if got := live.Options().PollingFrequency; got != 99e9 {
		t.Errorf("after an outage: %s, want 1m39s", got)
	}
	if level.Level().String() != "DEBUG" {
		t.Errorf("level = %s, want DEBUG", level.Level())
	}
}

type optionsStub struct {
	optionsAPI
	options bos.Options
	err     error
}

func (s optionsStub) Options(context.Context) (bos.Options, error) { return s.options, s.err }
func (s optionsStub) Settings(context.Context) (bos.Settings, error) {
	return bos.DefaultSettings(), s.err
}

func TestMetrics(t *testing.T) {
	m := newMetrics()
	m.request("/v2/components/{component_id}", "PATCH", 200, 3e6)
	m.add(&operator.Loop{Operator: idle{}})
	m.pass(operator.PassInfo{Operator: "idle", Start: time.Unix(1000, 0), Duration: 1500 * time.Millisecond, Err: bos.ErrUnavailable})
	srv := httptest.NewServer(m.handler())
	defer srv.Close()
	for _, row := range []struct {
		path string
		code int
		want []string
	}{
		{"/metrics", 200, []string{
			`bos_http_requests_total{code="200",method="PATCH",route="/v2/components/{component_id}"} 1`,
			`bos_operator_passes_total{operator="idle",result="error"} 1`, `bos_operator_active{operator="idle"} 0`,
			`bos_operator_last_pass_timestamp_seconds{operator="idle",result="error"} 1001.5`, `bos_operator_running_seconds{operator="idle"} 0`,
		}},
		{"/livez", 200, []string{"ok"}},
		{"/readyz", 503, []string{"operator idle: not running"}},
	} {
		resp, err := http.Get(srv.URL + row.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		for _, want := range row.want {
			if resp.StatusCode != row.code || !strings.Contains(string(body), want) {
				t.Errorf("%s: %d without %q:\n%s", row.path, resp.StatusCode, want, body)
			}
		}
	}
}

// idle is an operator without work.
type idle struct{}

func (idle) Name() string                             { return "idle" }
func (idle) Run(context.Context, operator.Tick) error { return nil }

func TestUpstreamFiles(t *testing.T) {
	noCert := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(noCert, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ file, want string }{{"/nonexistent", "--upstream-ca-file: open /nonexistent"}, {noCert, "--upstream-ca-file " + noCert + " holds no PEM"}} {
		u := SimulatedUpstreams("http://127.0.0.1:1")
		u.CAFile = row.file
		_, err := u.clients(newLiveOptions(nil, discard()), discard())
		checkUsage(t, err, row.want)
	}
}

func TestDefaultStore(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state") // is made
	for simulated, file := range map[bool]string{false: "bos.db", true: "simulated.db"} {
		url, err := makeDefaultStore(environment(map[string]string{"XDG_STATE_HOME": state}), simulated)
		if want := "bolt:" + filepath.Join(state, "bosgo", file); err != nil || url != want {
			t.Errorf("simulated %v: %s, %v; want %s", simulated, url, err, want)
		}
		st, err := OpenStore(t.Context(), url, discard())
		if err != nil {
			t.Fatal(err)
		}
		st.Close()
	}
}
