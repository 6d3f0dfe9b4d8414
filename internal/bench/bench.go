// Package bench measures a whole system on a simulated machine: how long BOS itself takes to reboot one node and
// thousands, what it costs while nothing happens, and how fast its API answers. It is what bos bench runs.
package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/fleet"
)

// Config says what to measure.
type Config struct {
	Nodes    int           // size of the machine
	Sizes    []int         // sizes of the sessions; those above Nodes are left out
	Runs     int           // how often a one-node session is repeated
	Speed    float64       // of the simulated machine; 0 = hardware that takes no time
	Idle     time.Duration // how long to watch the idle system; 0 = not at all
	Load     time.Duration // how long each API measurement runs; 0 = not at all
	Separate bool          // separate processes on a real Redis instead of one process
	Progress io.Writer     // a line for each step; nil = none
}

// Result is what was measured.
type Result struct {
	Machine  string          `json:"machine"`
	Setup    string          `json:"setup"`
	Nodes    int             `json:"nodes"`
	Speed    float64         `json:"speed"`
	Sessions []SessionResult `json:"sessions"`
	Lost     int             `json:"reports_lost"` // nodes whose report did not arrive in their record
	Idle     []Usage         `json:"idle,omitempty"`
	API      []APIResult     `json:"api,omitempty"`
	Memory   []Usage         `json:"memory"`
}

// SessionResult is one size of session.
type SessionResult struct {
	Nodes       int      `json:"nodes"`
	Runs        int      `json:"runs"`
	WallSeconds float64  `json:"wall_seconds"` // of the last run, POST to complete
	ControlTime Latency  `json:"control_time"` // per node, POST to stable, less the hardware's time
	Reaction    Latency  `json:"reaction"`     // per node, from its report to what BOS does about it, likewise
	Failed      int      `json:"failed"`       // nodes that did not become stable
	CPU         []Usage  `json:"cpu"`          // what each process used in the last run
	Series      []Sample `json:"series,omitempty"`
}

// Sample is how many nodes were at each step at a moment.
type Sample struct {
	Seconds float64        `json:"seconds"`
	Counts  map[string]int `json:"counts"`
}

// Latency is a distribution, in milliseconds.
type Latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func latencyOf(d []time.Duration) Latency {
	if len(d) == 0 {
		return Latency{}
	}
	slices.Sort(d)
	at := func(q float64) float64 { return milliseconds(d[min(len(d)-1, int(q*float64(len(d))))]) }
	return Latency{Count: len(d), P50: at(0.50), P99: at(0.99), Max: milliseconds(d[len(d)-1])}
}

func milliseconds(d time.Duration) float64 { return float64(d.Round(10*time.Microsecond)) / 1e6 }

// APIResult is one kind of request.
type APIResult struct {
	Name      string  `json:"name"`
	Latency   Latency `json:"latency"`
	PerSecond float64 `json:"per_second"`
	Clients   int     `json:"clients"`
}

// Usage is what a process used.
type Usage struct {
	Process     string  `json:"process"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	Seconds     float64 `json:"over_seconds"`
	ResidentMiB float64 `json:"resident_mib"`
}

// system is what is measured.
type system struct {
	api     bos.API
	url     string // of the API over HTTP
	machine *fleet.Machine
	pids    map[string]int
	setup   string
	client  *http.Client
	stop    func() error
}

// Run measures. It leaves nothing behind.
func Run(ctx context.Context, cfg Config, log *slog.Logger) (*Result, error) {
	say := func(format string, args ...any) {
		if cfg.Progress != nil {
			fmt.Fprintf(cfg.Progress, format+"\n", args...)
		}
	}
	dir, err := os.MkdirTemp("", "bos-bench-")
	if err != nil {
		return nil, fmt.Errorf("temporary directory: %w", err)
	}
	defer os.RemoveAll(dir)
	start := startTogether
	if cfg.Separate {
		start = startSeparate
	}
	say("starting %d simulated nodes", cfg.Nodes)
	sys, err := start(ctx, cfg, dir, log)
	if err != nil {
		return nil, err
	}
	res, err := measure(ctx, cfg, sys, say)
	if stopErr := sys.stop(); err == nil {
		err = stopErr
	}
	return res, err
}

func measure(ctx context.Context, cfg Config, sys *system, say func(string, ...any)) (*Result, error) {
	res := &Result{Machine: describeMachine(), Setup: sys.setup, Nodes: cfg.Nodes, Speed: cfg.Speed}
	ids, err := prepare(ctx, cfg, sys)
	if err != nil {
		return nil, err
	}
	w := &watcher{sys: sys}
	say("booting all %d nodes", len(ids))
	boot, err := w.session(ctx, "bench-boot", bos.OperationBoot, ids)
	if err != nil {
		return nil, err
	}
	say("  %.1f s, control time p50 %.0f ms, p99 %.0f ms", boot.WallSeconds, boot.ControlTime.P50, boot.ControlTime.P99)
	if cfg.Idle > 0 {
		say("watching the idle system for %s", cfg.Idle)
		if res.Idle, err = sys.idle(ctx, cfg.Idle); err != nil {
			return nil, err
		}
	}
	for _, size := range cfg.Sizes {
		if size > len(ids) {
			continue
		}
		runs := 1
		if size == 1 {
			runs = max(1, cfg.Runs)
		}
		var times, reactions []time.Duration
		var r SessionResult
		for i := range runs {
			say("rebooting %d nodes (run %d of %d)", size, i+1, runs)
			before, start := sys.usage(), time.Now()
			r, err = w.session(ctx, fmt.Sprintf("bench-%d-%d", size, i), bos.OperationReboot, ids[i%(len(ids)-size+1):][:size])
			if err != nil {
				return nil, err
			}
			r.CPU = sys.usageSince(before, start)
			times, reactions = append(times, w.times...), append(reactions, w.reactions...)
		}
		r.Runs, r.ControlTime, r.Reaction = runs, latencyOf(times), latencyOf(reactions)
		say("  %.2f s, control time p50 %.0f ms, p99 %.0f ms", r.WallSeconds, r.ControlTime.P50, r.ControlTime.P99)
		res.Sessions = append(res.Sessions, r)
	}
	if res.Lost, err = sys.lostReports(ctx, ids); err != nil {
		return nil, err
	}
	if cfg.Load > 0 {
		say("measuring the API")
		if res.API, err = sys.load(ctx, cfg.Load, ids); err != nil {
			return nil, err
		}
	}
	res.Memory = sys.usage()
	return res, nil
}

// describeMachine says what the figures were measured on.
func describeMachine() string {
	name := runtime.GOARCH
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				name = strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d CPUs, %s, %s", name, runtime.NumCPU(), runtime.GOOS, runtime.Version())
}

// prepare waits for discovery, writes the template and returns the nodes in order.
func prepare(ctx context.Context, cfg Config, sys *system) ([]string, error) {
	var ids []string
	for deadline := time.Now().Add(2 * time.Minute); len(ids) < cfg.Nodes; {
		ids = ids[:0]
		for c, err := range sys.api.ListComponents(ctx, bos.ComponentFilter{}) {
			if err != nil {
				return nil, fmt.Errorf("list components: %w", err)
			}
			ids = append(ids, string(c.ID))
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("discovery found only %d of %d nodes within two minutes", len(ids), cfg.Nodes)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	var image string
	for _, img := range sys.machine.Images() {
		if img.Arch == "x86_64" && img.Link != nil {
			image = img.Link.Path
			break
		}
	}
	t := bos.SessionTemplate{
		CFS: &bos.CFSParameters{Configuration: new("compute-24.7.0")},
		BootSets: map[string]bos.BootSet{"compute": {
			Type: "s3", Path: image, KernelParameters: new("quiet"), RootfsProvider: new("sbps"), Arch: new(bos.ArchX86), NodeRolesGroups: []string{"Compute"},
		}},
	}
	if _, err := sys.api.PutTemplate(ctx, bos.TenantKey{Name: template}, t); err != nil {
		return nil, fmt.Errorf("put session template: %w", err)
	}
	return ids, nil
}

const template = "bench"

// lostReports counts the nodes that BOS accepted a report of and whose record does not show it.
func (s *system) lostReports(ctx context.Context, ids []string) (int, error) {
	tokens := map[string]bool{}
	for c, err := range s.api.ListComponents(ctx, bos.ComponentFilter{}) {
		if err != nil {
			return 0, fmt.Errorf("list components: %w", err)
		}
		tokens[string(c.ID)] = c.ActualState != nil && bos.Value(c.ActualState.BSSToken) != "" && c.ActualArtifacts().Same(c.DesiredArtifacts())
	}
	lost := 0
	for _, id := range ids {
		if !tokens[id] {
			lost++
		}
	}
	return lost, nil
}

// redisServer starts a Redis of its own in dir and returns its URL.
func redisServer(ctx context.Context, dir string, port int) (*exec.Cmd, string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, "", fmt.Errorf("separate processes share a Redis, and redis-server is not installed: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start redis-server: %w", err)
	}
	return cmd, fmt.Sprintf("redis://127.0.0.1:%d", port), nil
}

func storeIn(dir string) string { return "bolt:" + filepath.Join(dir, "bos.db") }
