package storetest

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// NewRedis starts a Redis inside this process and returns its URL. It ends with the test.
func NewRedis(t testing.TB) string {
	t.Helper()
	return "redis://" + miniredis.RunT(t).Addr()
}

// NewRedisServer starts a real Redis on a free port and returns its URL. It keeps nothing on disk and ends with the
// test. Where redis-server is not installed the test is skipped, or fails if BOS_TEST_REQUIRE contains "redis".
func NewRedisServer(t testing.TB) string {
	t.Helper()
	return StartRedis(t, RedisConfig{}).URL
}

// RedisConfig says how StartRedis runs a server. The zero value keeps nothing on disk.
type RedisConfig struct {
	Durable bool     // keep an append-only file, synced at every write
	Args    []string // further arguments, such as "--requirepass", "secret"
}

// RedisServer is a Redis that a test may stop and start again. It is used by one goroutine.
type RedisServer struct {
	URL  string // without user and password
	Addr string // host:port

	t       testing.TB
	dir     string
	cfg     RedisConfig
	process *process
}

// StartRedis starts a real Redis, see NewRedisServer.
func StartRedis(t testing.TB, cfg RedisConfig) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if strings.Contains(os.Getenv("BOS_TEST_REQUIRE"), "redis") {
			t.Fatal("redis-server is not installed, but BOS_TEST_REQUIRE asks for it")
		}
		t.Skip("redis-server is not installed")
	}
	s := &RedisServer{t: t, dir: t.TempDir(), cfg: cfg}
	t.Cleanup(s.Kill)
	const attempts = 5 // another program may take the port before the server does
	for range attempts {
		s.Addr = freeAddress(t)
		s.URL = "redis://" + s.Addr
		if s.start() {
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

// Restart starts the server again after Kill, on the same port and with what it had kept.
func (s *RedisServer) Restart() {
	s.t.Helper()
	if !s.start() {
		s.t.Fatal("redis-server does not start again")
	}
}

// start runs the server and reports whether it accepts connections.
func (s *RedisServer) start() bool {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	appendOnly := "no"
	if s.cfg.Durable {
		appendOnly = "yes"
	}
	args := append([]string{
		"--bind", host, "--port", port, "--dir", s.dir, "--save", "", "--appendonly", appendOnly, "--appendfsync", "always", "--daemonize", "no",
		"--logfile", "",
	}, s.cfg.Args...)
	s.process = startProcess(s.t, "Ready to accept connections", "redis-server", args...)
	return s.process != nil
}

// freeAddress returns an address that nobody listens on just now.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// process is a program that runs beside the test.
type process struct {
	cmd  *exec.Cmd
	exit chan struct{} // closed once it has ended
}

// startProcess runs a program and waits until it prints a line with the text. It returns nil if it ends before.
func startProcess(t testing.TB, text, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), exit: make(chan struct{})}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		defer close(p.exit)
		seen := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if !seen && strings.Contains(lines.Text(), text) {
				seen = true
				close(ready)
			}
		}
		_ = p.cmd.Wait()
	}()
	select {
	case <-ready:
		return p
	case <-p.exit:
		return nil
	}
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exit
}

// Kill ends the server at once, as a crash would. It may be killed already.
func (s *RedisServer) Kill() {
	if s.process != nil {
		s.process.kill()
		s.process = nil
	}
}

// StartSentinel starts a Sentinel that watches the server under the name, and returns its host:port.
func StartSentinel(t testing.TB, name string, server *RedisServer) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(server.Addr)
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	const attempts = 5
	for range attempts {
		addr := freeAddress(t)
		_, ownPort, _ := net.SplitHostPort(addr)
		conf := strings.Join([]string{
			"bind " + host, "port " + ownPort, "dir " + dir, "logfile \"\"", "daemonize no",
			"sentinel monitor " + name + " " + host + " " + port + " 1",
		}, "\n")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		p := startProcess(t, "+monitor master", "redis-server", file, "--sentinel")
		if p != nil {
			t.Cleanup(p.kill)
			return addr
		}
	}
	t.Fatal("the sentinel does not start")
	return ""
}
