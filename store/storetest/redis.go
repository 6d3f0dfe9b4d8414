package storetest

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

// RedisServer is a Redis that a test may stop and start again.
type RedisServer struct {
	URL  string // without user and password
	Addr string // host:port

	t    testing.TB
	dir  string
	cfg  RedisConfig
	mu   sync.Mutex
	cmd  *exec.Cmd
	exit chan struct{}
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
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.Addr = l.Addr().String()
		_ = l.Close()
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
	cmd := exec.Command("redis-server", args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ready := make(chan bool, 1)
	exit := make(chan struct{})
	go func() {
		defer close(exit)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "Ready to accept connections") {
				select {
				case ready <- true:
				default:
				}
			}
		}
		_ = cmd.Wait()
		select {
		case ready <- false:
		default:
		}
	}()
	s.mu.Lock()
	s.cmd, s.exit = cmd, exit
	s.mu.Unlock()
	return <-ready
}

// Kill ends the server at once, as a crash would. It may be killed already.
func (s *RedisServer) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exit
	s.cmd = nil
}

// Dir is where the server keeps its files.
func (s *RedisServer) Dir() string { return filepath.Clean(s.dir) }
