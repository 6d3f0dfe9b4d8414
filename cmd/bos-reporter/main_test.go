package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos/reporter"
)

const testID = "x3000c0s19b1n0"

// TestMain is the command itself where a test started this program as such.
func TestMain(m *testing.M) {
	if os.Getenv("BOS_REPORTER_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// node is a directory with what a node has.
type node struct {
	dir string
	env map[string]string
}

func newNode(t *testing.T, cmdline string) node {
	t.Helper()
	n := node{t.TempDir(), map[string]string{"PATH": os.Getenv("PATH")}}
	// In this process the command shall leave the runtime as it is.
	n.env["GOMAXPROCS"], n.env["GOMEMLIMIT"] = "2", "off"
	n.write(t, "cmdline", cmdline+"\n")
	n.write(t, "conf", "")
	return n
}

func (n node) path(name string) string { return filepath.Join(n.dir, name) }

func (n node) write(t *testing.T, name, content string) string {
	t.Helper()
	mode := os.FileMode(0o600)
	if strings.HasPrefix(content, "#!") {
		mode = 0o700
	}
	if err := os.WriteFile(n.path(name), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return n.path(name)
}

// run runs the command in this process.
func (n node) run(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	args = append(args, "--cmdline", n.path("cmdline"), "--config", n.path("conf"))
	lookup := func(k string) (string, bool) { v, ok := n.env[k]; return v, ok }
	code = run(args, lookup, &out, &err)
	return code, out.String(), err.String()
}

// gateway is an HTTPS server that answers as told.
func gateway(t *testing.T, n node, status ...int) *httptest.Server {
	t.Helper()
	var mu sync.Mutex
	count := 0
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.WriteHeader(status[min(count, len(status)-1)])
		count++
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	n.write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	n.env["BOS_REPORTER_CA_FILE"] = n.path("ca.pem")
	n.env["BOS_REPORTER_AUTH"] = "none"
	return srv
}

const booted = "xname=" + testID + " bss_referral_token=secret-bss-token"

// TestREP has the numbered cases that need the command; the others are in bos/reporter.
func TestREP(t *testing.T) {
	t.Run("REP-011 no identity", func(t *testing.T) {
		if _, err := os.Stat(reporter.XnameFile); err == nil {
			t.Skip(reporter.XnameFile + " exists here")
		}
		code, _, stderr := newNode(t, "quiet").run("--once")
		if code != exitConfig || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "NODE_IDENTITY") ||
			!strings.Contains(stderr, "xname=") || !strings.Contains(stderr, reporter.XnameFile) {
			t.Errorf("exit %d, %q; want 78 and one line with the three sources", code, stderr)
		}
	})

	for level, want := range map[string]struct{ debug, warnings int }{"debug": {1, 0}, "nonsense": {0, 1}} {
		t.Run("REP-034 log level "+level, func(t *testing.T) {
			n := newNode(t, booted+" bos_log_level="+level)
			srv := gateway(t, n, 500, 200)
			code, _, stderr := n.run("--once", "--api", srv.URL)
			if code != exitOK {
				t.Fatalf("exit %d, %s", code, stderr)
			}
			if d, w := strings.Count(stderr, "level=debug"), strings.Count(stderr, "level=warning"); d != want.debug || w != want.warnings {
				t.Errorf("%d debug lines and %d warnings, want %d and %d: %s", d, w, want.debug, want.warnings, stderr)
			}
		})
	}

	t.Run("REP-039 once", func(t *testing.T) {
		type row struct {
			name   string
			status []int
			change func(node)
			code   int
			text   string
		}
		for _, tt := range []row{
			{"success", []int{200}, nil, exitOK, "level=info msg=reported"},
			{"success after a failure", []int{500, 200}, nil, exitOK, "tries=2"},
			{"token from a file", []int{200}, func(n node) {
				n.env["BOS_REPORTER_AUTH"] = "auto"
				n.env["BOS_REPORTER_TOKEN_FILE"] = n.write(t, "token", "secret-bss-token")
			}, exitOK, "level=info msg=reported"},
			{"one refusal", []int{401, 200}, nil, exitOK, "tries=2"},
			{"refused", []int{403}, nil, exitRefused, "credentials refused"},
			{"unknown component", []int{404}, nil, exitUnavailable, "404 Not Found"},
			{"unreachable", nil, func(n node) { n.env["BOS_REPORTER_BASE_PATH"] = "" }, exitUnavailable, "connection refused"},
			{"wrong CA", []int{200}, func(n node) { delete(n.env, "BOS_REPORTER_CA_FILE") }, exitUnavailable, "gateway not trusted"},
			{"helper hangs", []int{200}, func(n node) {
				n.env["BOS_REPORTER_AUTH"] = "command"
				n.env["BOS_REPORTER_TOKEN_COMMAND"] = n.write(t, "helper", "#!/bin/sh\nsleep 3600\n")
			}, exitUnavailable, "was still running"},
			{"nothing to report", []int{200}, func(n node) { n.write(t, "cmdline", "xname=x1") }, exitConfig, "no bss_referral_token"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				n := newNode(t, booted)
				srv := gateway(t, n, append(tt.status, 200)[:max(1, len(tt.status))]...)
				if tt.status == nil {
					srv.Close()
				}
				if tt.change != nil {
					tt.change(n)
				}
				timeout := "60s"
				if tt.code == exitUnavailable {
					timeout = "2s"
				}
				code, _, stderr := n.run("--once", "--timeout", timeout, "--api", srv.URL)
				if code != tt.code || !strings.Contains(stderr, tt.text) || strings.Count(stderr, "\n") != 1 {
					t.Errorf("exit %d, %q; want %d and one line with %q", code, stderr, tt.code, tt.text)
				}
				if strings.Contains(stderr, "secret-bss-token") {
					t.Errorf("the token is in the log: %s", stderr)
				}
			})
		}
	})

	for _, tt := range []struct {
		name          string
		hangs, helper bool
	}{
		{name: "during sleep"},
		{name: "during request", hangs: true},
		{name: "during token helper", helper: true},
	} {
		t.Run("REP-035 SIGTERM "+tt.name, func(t *testing.T) {
			n := newNode(t, booted)
			asked, release := make(chan struct{}, 1), make(chan struct{})
			srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				asked <- struct{}{}
				if tt.hangs {
					<-release
				}
			}))
			defer srv.Close()
			defer close(release)
			if tt.helper {
				n.env["BOS_REPORTER_TOKEN_COMMAND"] = n.write(t, "helper", "#!/bin/sh\necho $$ > pid.new\nmv pid.new pid\nsleep 3600\n")
			}
			p := n.start(t, "--api", srv.URL)
			switch {
			case tt.hangs:
				<-asked
			case tt.helper:
				for !exists(n.path("pid")) {
					runtime.Gosched()
				}
			default:
				p.waitFor(t, "msg=reported")
			}
			began := time.Now()
			if code := p.stop(t); code != exitOK {
				t.Errorf("exit %d, want 0; %s", code, p.text())
			}
			t.Logf("ended after %v", time.Since(began).Round(time.Millisecond))
			if b, err := os.ReadFile(n.path("pid")); tt.helper && (err != nil || running(strings.TrimSpace(string(b)))) {
				t.Errorf("the helper runs on: %q, %v", b, err)
			}
		})
	}

	t.Run("REP-040 size and memory", func(t *testing.T) {
		if testing.Short() {
			t.Skip("links the command")
		}
		bin := filepath.Join(t.TempDir(), "bos-reporter")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		info, err := os.Stat(bin)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("binary %.1f MiB", float64(info.Size())/(1<<20))
		if info.Size() >= 10<<20 {
			t.Errorf("binary has %d bytes, want less than 10 MiB", info.Size())
		}

		n := newNode(t, booted)
		delete(n.env, "GOMAXPROCS")
		delete(n.env, "GOMEMLIMIT")
		srv := gateway(t, n, 200)
		p := n.startProgram(t, bin, "--api", srv.URL)
		fds := 0
		for i := 1; i <= 100; i++ {
			p.waitCount(t, "msg=reported", i)
			if i == 10 {
				fds = p.count(t, "fd")
			}
			if i < 100 {
				p.Process.Signal(syscall.SIGHUP) // reads its configuration again and reports at once
			}
		}
		peak := p.statusKiB(t, "VmHWM")
		t.Logf("peak %.1f MiB resident, %.1f MiB now, %d file descriptors, after 100 reports over TLS",
			float64(peak)/1024, float64(p.statusKiB(t, "VmRSS"))/1024, p.count(t, "fd"))
		if peak >= 20<<10 {
			t.Errorf("peak %d KiB resident, want less than 20 MiB", peak)
		}
		if got := p.count(t, "fd"); got > fds+2 { // one may be the last connection, one the timer
			t.Errorf("%d file descriptors after 100 reports, %d after 10", got, fds)
		}
		p.stop(t)
		cpu := p.ProcessState.UserTime() + p.ProcessState.SystemTime()
		t.Logf("CPU %v a report, settings read each time", (cpu / 100).Round(10*time.Microsecond))
	})
}

// process is the command as a process of its own.
type process struct {
	*exec.Cmd
	mu     sync.Mutex
	out    bytes.Buffer
	change chan struct{} // signalled at each line
	ended  chan struct{}
}

func (n node) start(t *testing.T, args ...string) *process {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return n.startProgram(t, exe, args...)
}

func (n node) startProgram(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{change: make(chan struct{}, 1), ended: make(chan struct{})}
	p.Cmd = exec.Command(program, append(args, "--cmdline", n.path("cmdline"), "--config", n.path("conf"))...)
	p.Stderr = p
	p.Dir = n.dir
	p.Env = []string{"BOS_REPORTER_TEST_MAIN=1"}
	for k, v := range n.env {
		p.Env = append(p.Env, k+"="+v)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill(); <-p.ended })
	go func() { p.Wait(); close(p.ended) }()
	return p
}

// Write takes what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	select {
	case p.change <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) waitFor(t *testing.T, text string) { t.Helper(); p.waitCount(t, text, 1) }

// waitCount waits until the process has said text so often.
func (p *process) waitCount(t *testing.T, text string, count int) {
	t.Helper()
	for strings.Count(p.text(), text) < count {
		select {
		case <-p.change:
		case <-p.ended:
			t.Fatalf("ended: %s", p.text())
		case <-t.Context().Done():
			t.Fatal("no " + text)
		}
	}
}

// stop sends SIGTERM and returns the exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	p.waitFor(t, "msg=start") // from there on signals are handled
	p.Process.Signal(syscall.SIGTERM)
	<-p.ended
	return p.ProcessState.ExitCode()
}

func (p *process) count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", p.Process.Pid, dir))
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

func (p *process) statusKiB(t *testing.T, key string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[0] == key+":" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	t.Skip("no " + key)
	return 0
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// running tells whether a process exists and is not a zombie.
func running(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestUsage(t *testing.T) {
	n := newNode(t, booted)
	for _, args := range [][]string{
		{"--frobnicate"},
		{"--once", "--timeout", "soon"},
		{"--once", "--timeout", "0s"},
		{"run", "and", "more"},
		{"--once", "--api", "http://10.0.0.1:1"},
		{"--once", "--auth", "magic"},
		{"--once", "--insecure-http=perhaps"},
	} {
		code, stdout, stderr := n.run(args...)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d, %q, %q; want 2 and one line", args, code, stdout, stderr)
		}
	}
	if code, stdout, stderr := n.run("-h"); code != exitOK || stderr != "" || !strings.Contains(stdout, "-token-command") {
		t.Errorf("-h: exit %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, _ := n.run("version"); code != exitOK || !strings.HasPrefix(stdout, "bos-reporter ") {
		t.Errorf("version: exit %d, %q", code, stdout)
	}
	n.write(t, "conf", "log_format = xml\n")
	if code, _, stderr := n.run("--once"); code != exitConfig || strings.Count(stderr, "\n") != 1 {
		t.Errorf("bad configuration: exit %d, %q; want 78 and one line", code, stderr)
	}
}

func TestStatus(t *testing.T) {
	n := newNode(t, booted)
	n.env["BOS_REPORTER_STATUS_FILE"] = n.path("status.json")
	if code, _, stderr := n.run("status"); code != exitFailed || !strings.Contains(stderr, "status.json") {
		t.Errorf("no file: exit %d, %q", code, stderr)
	}
	srv := gateway(t, n, 200)
	if code, _, stderr := n.run("--once", "--api", srv.URL); code != exitOK {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	code, stdout, _ := n.run("status")
	if code != exitOK || !strings.Contains(stdout, "xname         "+testID) || !strings.Contains(stdout, " ago)") {
		t.Errorf("exit %d, %q", code, stdout)
	}
	code, stdout, _ = n.run("status", "--json")
	var s reporter.Status
	if err := json.Unmarshal([]byte(stdout), &s); code != exitOK || err != nil || s.Xname != testID || s.LastSuccess == nil {
		t.Errorf("exit %d, %q, %v", code, stdout, err)
	}
}

// SIGHUP reads the configuration again and reports at once. One that cannot be used changes nothing.
func TestReload(t *testing.T) {
	n := newNode(t, booted)
	srv := gateway(t, n, 200)
	p := n.start(t, "--api", srv.URL)
	p.waitFor(t, "msg=reported")
	n.write(t, "conf", "identity = x9\nlog_format = json\n")
	p.Process.Signal(syscall.SIGHUP)
	p.waitFor(t, `"msg":"start"`)
	p.waitFor(t, `"msg":"reported","xname":"x9"`)
	n.write(t, "conf", "log_format = xml\n")
	p.Process.Signal(syscall.SIGHUP)
	p.waitFor(t, "the old one is kept")
	if code := p.stop(t); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

func TestHandler(t *testing.T) {
	for _, tt := range []struct {
		name          string
		json, journal bool
		want          string
	}{
		{"text", false, false, "level=debug msg=d a=1\nlevel=info msg=i a=1\nlevel=warning msg=w a=1 err=\"x; y\"\nlevel=error msg=e a=1\n"},
		{"journal", false, true, "<7>level=debug msg=d a=1\n<6>level=info msg=i a=1\n<4>level=warning msg=w a=1 err=\"x; y\"\n<3>level=error msg=e a=1\n"},
		{"json", true, true, `<7>{"level":"debug","msg":"d","a":1}` + "\n" + `<6>{"level":"info","msg":"i","a":1}` + "\n" +
			`<4>{"level":"warning","msg":"w","a":1,"err":"x; y"}` + "\n" + `<3>{"level":"error","msg":"e","a":1}` + "\n"},
	} {
		var out bytes.Buffer
		l := slog.New(newHandler(&out, slog.LevelDebug, tt.json, tt.journal)).With("a", 1)
		l.Debug("d")
		l.Info("i")
		l.Warn("w", "err", fmt.Errorf("x\ny"))
		l.Error("e")
		if out.String() != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, out.String(), tt.want)
		}
	}
	var out bytes.Buffer
	if l := slog.New(newHandler(&out, slog.LevelWarn, false, false)); l.Enabled(context.Background(), slog.LevelInfo) {
		t.Error("info is not below warning")
	}
}

// The command links the standard library and this module's reporter, nothing else.
func TestDependencies(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
		cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOARCH="+arch)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		const module = "github.com/bootorch/bosgo/"
		for _, dep := range strings.Fields(string(out)) {
			if dep != module+"cmd/bos-reporter" && dep != module+"bos/reporter" {
				t.Errorf("%s: %s is linked", arch, dep)
			}
		}
	}
}
