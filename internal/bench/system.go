package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/internal/app"
	"github.com/bootorch/bosgo/internal/fleet"
)

// startTogether runs everything in this process on an embedded store, as bos serve does.
func startTogether(ctx context.Context, cfg Config, dir string, log *slog.Logger) (*system, error) {
	inv, err := fleet.Generate(cfg.Nodes)
	if err != nil {
		return nil, app.UsageErrorf("--nodes: %v", err)
	}
	sim, err := app.StartSimulated(ctx, app.SimulatedConfig{Store: storeIn(dir), Inventory: inv, Speed: cfg.Speed, Seed: 1, Log: log})
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, sim.Stop())
	}
	serving, stopServing := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error { return app.ServeHTTP(serving, ln, sim.Handler(), log) })
	return &system{
		api: sim.API, url: "http://" + ln.Addr().String(), machine: sim.Machine, setup: "one process, embedded store",
		pids:   map[string]int{"all in one, simulator included": os.Getpid()},
		client: newHTTPClient(),
		stop: func() error {
			stopServing()
			return errors.Join(g.Wait(), sim.Stop())
		},
	}, nil
}

func newHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}
}

// startSeparate runs the API and the operators as processes of their own on a Redis of their own; the simulated machine
// stays in this process.
func startSeparate(ctx context.Context, cfg Config, dir string, log *slog.Logger) (_ *system, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	inv, err := fleet.Generate(cfg.Nodes)
	if err != nil {
		return nil, app.UsageErrorf("--nodes: %v", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	var processes []*exec.Cmd
	stop := func() error {
		for _, p := range processes[min(1, len(processes)):] {
			_ = p.Process.Signal(syscall.SIGTERM)
			_ = p.Wait()
		}
		cancel()
		for _, p := range processes[:min(1, len(processes))] {
			_ = p.Wait() // Redis, last
		}
		if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stop())
		}
	}()

	redisPort, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	redis, url, err := redisServer(ctx, dir, redisPort)
	if err != nil {
		return nil, err
	}
	processes = append(processes, redis)

	apiPort, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	apiURL := fmt.Sprintf("http://127.0.0.1:%d", apiPort)
	machine, err := fleet.New(fleet.Config{Inventory: inv, Speed: cfg.Speed, Seed: 1, BOSURL: apiURL, Log: log})
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g.Go(func() error { return machine.Run(ctx) })
	g.Go(func() error { return app.ServeHTTP(ctx, ln, machine.Handler(), log) })

	upstreams := app.SimulatedUpstreams("http://" + ln.Addr().String())
	env := append(os.Environ(), upstreams.Environ()...)
	api, err := startProcess(ctx, env, "listening on", self, "bos-api", "--store", url, "--listen", fmt.Sprintf("127.0.0.1:%d", apiPort), "--log-level", "WARN")
	if err != nil {
		return nil, err
	}
	processes = append(processes, api)
	operators, err := startProcess(ctx, env, "", self, "bos-operator", "--api", apiURL, "--log-level", "WARN")
	if err != nil {
		return nil, err
	}
	processes = append(processes, operators)
	client, err := bosclient.New(apiURL, bosclient.Config{Log: log})
	if err != nil {
		return nil, err
	}
	return &system{
		api: client, url: apiURL, machine: machine, setup: "separate processes on Redis", client: newHTTPClient(), stop: stop,
		pids: map[string]int{"API": api.Process.Pid, "operators": operators.Process.Pid, "Redis": redis.Process.Pid, "simulator and benchmark": os.Getpid()},
	}, nil
}

func freePort(ctx context.Context) (int, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// startProcess starts this program as another one, see Roles, and waits until it has printed a line that begins with
// ready on standard error; an empty one does not wait.
func startProcess(ctx context.Context, env []string, ready, path, role string, args ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, path, append([]string{"role", role}, args...)...)
	cmd.Env = env
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	seen := make(chan string, 1)
	go func() {
		defer close(seen)
		first := true
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if first && strings.HasPrefix(lines.Text(), ready) {
				seen <- lines.Text()
				first = false
			}
		}
	}()
	if ready == "" {
		return cmd, nil
	}
	select {
	case line, ok := <-seen:
		if !ok || line == "" {
			return nil, fmt.Errorf("%s ended before it was ready: %w", role, cmd.Wait())
		}
		return cmd, nil
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("%s was not ready within 20 s", role)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
