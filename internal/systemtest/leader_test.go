package systemtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/app"
)

// roleVariable makes this test binary a program of ours.
const roleVariable = "SYSTEMTEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "bos-operator" {
		cfg, err := app.ParseOperatorFlags(os.Args[1:], os.Getenv, os.Stderr)
		if err == nil {
			ctx, cancel := app.SignalContext(context.Background())
			err = app.RunOperators(ctx, cfg, os.Stderr)
			cancel()
		}
		os.Exit(app.ExitCode("bos-operator", err, os.Stderr))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800) // much is allocated, little of it lives
	}
	os.Exit(m.Run())
}

// startOperators starts a bos-operator as a process of its own, which ends with the test.
func startOperators(t *testing.T, api, machine string) *exec.Cmd {
	t.Helper()
	u := app.SimulatedUpstreams(machine)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "--api", api)
	cmd.Env = append(os.Environ(), append(u.Environ(), roleVariable+"=bos-operator")...)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	return cmd
}

// TestStoppedLeader stops the process that leads in the middle of a boot with SIGSTOP, lets another one finish it, and
// wakes it: every node is powered on once. Then the other one ends, and the one that slept leads again.
func TestStoppedLeader(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a real lease to run out")
	}
	for _, tc := range []struct {
		name, method, path string // of the request at which the leader is stopped
	}{
		{"before the command", http.MethodPatch, "/cfs/v3/components"},
		{"after the command", http.MethodPost, "/pcs/v1/transitions"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{nodes: 16, seed: 3})
			if _, err := w.api.UpdateOptions(t.Context(), bos.OptionsPatch{PollingFrequency: new(2), MaxPowerOnWaitTime: new(2)}); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			asked := map[string]int{} // requests for leases by process
			api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/v2/leases/") {
					data, err := readRequest(r)
					if err == nil {
						mu.Lock()
						asked[pidOf(string(data.body))]++
						mu.Unlock()
					}
				}
				w.net.hosts[bosHost].ServeHTTP(rw, r)
			}))
			t.Cleanup(api.Close) // after the processes have ended
			leases := func(p *exec.Cmd) int {
				mu.Lock()
				defer mu.Unlock()
				return asked[strconv.Itoa(p.Process.Pid)]
			}
			stop := make(chan struct{})
			var once sync.Once
			machine := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == tc.method && r.URL.Path == tc.path {
					once.Do(func() {
						rec, err := w.leases("power-on")
						pid, _ := strconv.Atoi(pidOf(rec.Holder))
						if err != nil || pid == 0 || syscall.Kill(pid, syscall.SIGSTOP) != nil {
							t.Errorf("stop the leader %q: %v", rec.Holder, err)
						}
						close(stop)
					})
				}
				w.machine.Handler().ServeHTTP(rw, r)
			}))
			t.Cleanup(machine.Close)

			first := startOperators(t, api.URL, machine.URL)
			eventually(t, "the first process leads", func() bool { return w.leads(first, "power-on") && w.leads(first, "session-setup") })
			second := startOperators(t, api.URL, machine.URL)
			eventually(t, "the second process stands by", func() bool { return leases(second) > 0 })

			w.session("boot", bos.OperationBoot, "")
			<-stop
			eventually(t, "the session is complete", func() bool { return w.state("boot") == bos.SessionComplete })
			before := leases(first)
			if err := first.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			// Ten operators ask again when they have noticed.
			eventually(t, "the first process stands by", func() bool { return leases(first) >= before+20 })
			for _, id := range w.ids {
				n, c := w.node(id), w.component(id)
				if n.Boots != 1 || n.Commands["on"] != 1 || n.Commands["forceoff"]+n.Commands["gracefulshutdown"] != 0 || c.ComputeStatus() != bos.StatusStable {
					t.Errorf("after the boot: %s", w.describe(id))
				}
				if tc.method == http.MethodPatch && n.Requests["On"] != 1 {
					t.Errorf("%s: %d requests to turn it on, want one", id, n.Requests["On"])
				}
			}

			if err := second.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the first process leads again", func() bool { return w.leads(first, "power-off-graceful") })
			w.session("shutdown", bos.OperationShutdown, "")
			eventually(t, "the second session is complete", func() bool { return w.state("shutdown") == bos.SessionComplete })
			for _, id := range w.ids {
				if n := w.node(id); n.Phase != "off" || n.Commands["gracefulshutdown"] != 1 || n.Commands["on"] != 1 {
					t.Errorf("after the shutdown: %s", w.describe(id))
				}
			}
		})
	}
}

// leads reports whether a process holds the lease of an operator.
func (w *world) leads(p *exec.Cmd, operator string) bool {
	return pidOf(w.leader(operator)) == strconv.Itoa(p.Process.Pid)
}

// pidOf finds the process id in the name of a holder, host-pid-chance, wherever that stands in the text.
func pidOf(text string) string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(text, host+"-")
	pid, _, _ := strings.Cut(rest, "-")
	return pid
}

// eventually waits for what happens outside of this process.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("it does not happen that %s", what)
		}
	}
}
