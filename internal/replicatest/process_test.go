package replicatest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bootorch/bosgo/internal/app"
)

// roleVariable tells this test's program to be another one.
const roleVariable = "REPLICATEST_ROLE"

// The programs that this test's program can be, and the line by which each tells that it runs.
const (
	roleAPI      = "bos-api"
	roleOperator = "bos-operator"
)

var readyLine = map[string]string{roleAPI: "listening on ", roleOperator: "operators start"}

// safety bounds every wait for something that takes seconds at most.
const safety = 2 * time.Minute

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// play is the main function of a program. It does not outlive the test.
func play(role string, args []string) int {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := app.SignalContext(context.Background())
	defer stop()
	var err error
	switch role {
	case roleAPI:
		var cfg app.APIConfig
		if cfg, err = app.ParseAPIFlags(args, os.Getenv, os.Stderr); err == nil {
			err = app.RunAPI(ctx, cfg, os.Stderr)
		}
	case roleOperator:
		var cfg app.OperatorConfig
		if cfg, err = app.ParseOperatorFlags(args, os.Getenv, os.Stderr); err == nil {
			err = app.RunOperators(ctx, cfg, os.Stderr)
		}
	default:
		err = app.UsageErrorf("no role %q", role)
	}
	return app.ExitCode(role, err, os.Stderr)
}

// process is a program that can be stopped and started again. It is used by one goroutine.
type process struct {
	t    *testing.T
	role string
	args []string
	env  []string

	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when it has exited; err is set then
	err   error

	mu  sync.Mutex
	log bytes.Buffer // of all its lives
}

// start starts a program and waits until it runs. It ends with the test.
func start(t *testing.T, role string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, role: role, args: args, env: env}
	p.start()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s %s:\n%s", role, strings.Join(args, " "), p.tail(40))
		}
	})
	return p
}

func (p *process) start() {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(self, p.args...)
	p.cmd.Env = append(append(os.Environ(), roleVariable+"="+p.role), p.env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd, ended, ready := p.cmd, make(chan struct{}), make(chan struct{})
	p.ended = ended
	go func() {
		defer close(ended)
		seen := false
		for lines := bufio.NewReader(stderr); ; {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.log.WriteString(line)
			p.mu.Unlock()
			if !seen && strings.Contains(line, readyLine[p.role]) {
				seen = true
				close(ready)
			}
			if err != nil {
				break
			}
		}
		p.err = cmd.Wait()
	}()
	select {
	case <-ready:
	case <-ended:
		p.t.Fatalf("%s does not start: %v\n%s", p.role, p.err, p.tail(20))
	case <-time.After(safety):
		p.t.Fatalf("%s does not get ready\n%s", p.role, p.tail(20))
	}
}

// stop tells the program to stop, and waits until it has: it must end with 0.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(safety):
		p.t.Fatalf("%s does not stop\n%s", p.role, p.tail(20))
	}
	_ = p.stdin.Close()
	if p.err != nil {
		p.t.Errorf("%s ends with %v\n%s", p.role, p.err, p.tail(20))
	}
}

// restart replaces the program, as an upgrade does.
func (p *process) restart() {
	p.t.Helper()
	p.stop()
	p.start()
}

// tail returns the last lines that the program wrote.
func (p *process) tail(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := strings.SplitAfter(p.log.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// freeAddress returns an address that nobody listens on just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// errNotYet makes until try again.
var errNotYet = errors.New("not yet")

// until repeats try, which waits for nothing itself, until it returns nil.
func until(t *testing.T, limit time.Duration, what string, try func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal(fmt.Errorf("%s: %w", what, err))
		}
	}
}
