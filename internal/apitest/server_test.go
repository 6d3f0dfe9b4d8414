package apitest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos/bosclient"
)

// safety bounds every wait for something that happens at once on a machine with nothing else to do.
const safety = 2 * time.Minute

// binaries is where TestMain keeps what is built.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bos-apitest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// bosAPI builds the server as it is shipped, without the race detector: its memory is measured.
var bosAPI = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "bos-api")
	out, err := exec.Command("go", "build", "-o", path, "github.com/bootorch/bosgo/cmd/bos-api").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build bos-api: %w\n%s", err, out)
	}
	return path, nil
})

// server is a running bos-api. It is used by one goroutine.
type server struct {
	t   *testing.T
	URL string
	cmd *exec.Cmd

	mu     sync.Mutex
	stderr bytes.Buffer
	ended  chan struct{} // closed when it has exited
	err    error         // what Wait said, once ended
}

// start runs bos-api on the store until the test ends.
func start(t *testing.T, storeURL string) *server {
	t.Helper()
	path, err := bosAPI()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, cmd: exec.Command(path, "--listen", "127.0.0.1:0"), ended: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), "BOS_STORE="+storeURL, "BOS_LOG_LEVEL=WARNING",
		"BOS_IMS_URL=http://127.0.0.1:1", "BOS_TAPMS_URL=http://127.0.0.1:1") // nobody is there
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		defer close(s.ended)
		for lines := bufio.NewReader(stderr); ; {
			line, err := lines.ReadString('\n')
			if url, ok := strings.CutPrefix(line, "listening on "); ok {
				ready <- strings.TrimSpace(url)
			}
			s.mu.Lock()
			s.stderr.WriteString(line)
			s.mu.Unlock()
			if err != nil {
				break
			}
		}
		s.err = s.cmd.Wait()
	}()
	t.Cleanup(s.kill)
	select {
	case s.URL = <-ready:
	case <-s.ended:
		t.Fatalf("bos-api does not start: %v\n%s", s.err, s.log())
	case <-time.After(safety):
		t.Fatalf("bos-api does not get ready\n%s", s.log())
	}
	return s
}

// log returns what the server has written to stderr.
func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

// addr returns host:port.
func (s *server) addr() string { return strings.TrimPrefix(s.URL, "http://") }

// kill ends the server as a crash would. It may have ended.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// terminate tells the server to stop.
func (s *server) terminate() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
}

// exitCode waits until the server has ended by itself.
func (s *server) exitCode() int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(safety):
		s.t.Fatalf("bos-api does not stop\n%s", s.log())
	}
	if ee, ok := errors.AsType[*exec.ExitError](s.err); ok {
		return ee.ExitCode()
	}
	if s.err != nil {
		s.t.Fatal(s.err)
	}
	return 0
}

// memory returns the largest resident set that the server has had, in MiB; ok is false where the system does not tell.
func (s *server) memory() (mib int, ok bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kib >> 10, err == nil
		}
	}
	return 0, false
}

// client returns a client that tries nothing twice.
func (s *server) client() *bosclient.Client {
	s.t.Helper()
	c, err := bosclient.New(s.URL, bosclient.Config{RetryBudget: -1, MaxInFlight: 256})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// until repeats try, which waits for nothing itself, until it succeeds.
func until(t *testing.T, what string, try func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), safety)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// drain reads and closes a body.
func drain(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, body)
	_ = body.Close()
}
