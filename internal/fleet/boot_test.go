package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos/reporter"
)

// call sends one request to the machine, in process.
func call(t testing.TB, m *Machine, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(method, path, r))
	return w
}

// want sends one request, checks the status and decodes the answer into out.
func want(t testing.TB, m *Machine, method, path, body string, status int, out any) http.Header {
	t.Helper()
	w := call(t, m, method, path, body)
	if w.Code != status {
		t.Fatalf("%s %s = %d, want %d: %s", method, path, w.Code, status, w.Body)
	}
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
	return w.Result().Header
}

// run starts the machine for the length of a test and returns when it has stopped.
func run(t testing.TB, m *Machine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// newMachine makes a machine or ends the test.
func newMachine(t testing.TB, cfg Config) *Machine {
	t.Helper()
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// reports collects what nodes report, and answers with a status.
type reports struct {
	mu     sync.Mutex
	got    []string // "xname token"
	times  []time.Time
	status func(n int) int
}

func (r *reports) send(_ context.Context, xname, token string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, xname+" "+token)
	r.times = append(r.times, time.Now())
	if r.status != nil {
		return r.status(len(r.got)), nil
	}
	return 200, nil
}

func (r *reports) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// putBoot writes boot parameters for a node and returns the token.
func putBoot(t testing.TB, m *Machine, xname, params string) string {
	t.Helper()
	h := want(t, m, "PUT", "/bss/boot/v1/bootparameters",
		`{"hosts":["`+xname+`"],"params":"`+params+`","kernel":"s3://boot-images/06901f40-f2a6-4a64-bc26-772a5cc9d321/kernel","initrd":"s3://boot-images/06901f40-f2a6-4a64-bc26-772a5cc9d321/initrd"}`, 200, nil)
	return h.Get("BSS-Referral-Token")
}

// transit asks PCS for an operation and returns the transition's id.
func transit(t testing.TB, m *Machine, operation string, xnames ...string) string {
	t.Helper()
	type location struct {
		Xname string `json:"xname"`
	}
	body := struct {
		Operation string     `json:"operation"`
		Deadline  int        `json:"taskDeadlineMinutes"`
		Location  []location `json:"location"`
	}{operation, 1, nil}
	for _, x := range xnames {
		body.Location = append(body.Location, location{x})
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ TransitionID string }
	want(t, m, "POST", "/pcs/v1/transitions", string(data), 200, &out)
	return out.TransitionID
}

const x0, x1 = "x1000c0s0b0n0", "x1000c0s0b0n1"

func state(t testing.TB, m *Machine, xname string) NodeState {
	t.Helper()
	s, ok := m.Node(xname)
	if !ok {
		t.Fatalf("no node %s", xname)
	}
	return s
}

func TestBootAndShutdown(t *testing.T) {
	for _, speed := range []float64{0, 1, 60} {
		synctest.Test(t, func(t *testing.T) {
			var r reports
			m := newMachine(t, Config{Nodes: 2, Speed: speed, Report: r.send})
			defer run(t, m)()
			want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","enabled":false,"state":[]},"filters":{"ids":"`+x0+`"}}`, 200, nil)
			token := putBoot(t, m, x0, "quiet bos_update_frequency=4h")
			transit(t, m, "On", x0)
			time.Sleep(25 * time.Minute)
			synctest.Wait()
			s := state(t, m, x0)
			if s.Phase != "up" || !s.Reported || s.Token != token || s.HSMState != "Ready" || s.PCSPower != "on" || s.CFS != "configured" {
				t.Errorf("speed %v: booted node is %+v", speed, s)
			}
			if got := r.list(); !slices.Equal(got, []string{x0 + " " + token}) {
				t.Errorf("speed %v: reports %q", speed, got)
			}
			if other := state(t, m, x1); other.Phase != "off" || other.Boots != 0 {
				t.Errorf("speed %v: other node is %+v", speed, other)
			}
			transit(t, m, "Soft-Off", x0)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if s := state(t, m, x0); s.Phase != "off" || s.PCSPower != "off" || s.HSMState != "Off" || s.Kernel != "" || s.Reported {
				t.Errorf("speed %v: stopped node is %+v", speed, s)
			}
			if speed == 0 {
				if spent, _ := m.Spent(x0, time.Time{}, time.Time{}); spent.Total != 0 {
					t.Errorf("hardware without time spent %+v", spent)
				}
			}
		})
	}
}

// TestTokenInEffect: a node reports the token of the script it fetched, whatever
// is written to BSS later; after a power cycle it is the current one.
func TestTokenInEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reports
		m := newMachine(t, Config{Nodes: 1, Speed: 1, Report: r.send})
		defer run(t, m)()
		first := putBoot(t, m, x0, "quiet")
		transit(t, m, "On", x0)
		for state(t, m, x0).Phase != "kernel" {
			time.Sleep(time.Second)
		}
		second := putBoot(t, m, x0, "quiet")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := r.list(); !slices.Equal(got, []string{x0 + " " + first}) {
			t.Errorf("reports %q, want the token of the script", got)
		}
		transit(t, m, "Init", x0)
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if got := r.list(); !slices.Equal(got, []string{x0 + " " + first, x0 + " " + second}) {
			t.Errorf("reports %q, want the new token after a reboot", got)
		}
		if s := state(t, m, x0); s.Boots != 2 || s.Token != second {
			t.Errorf("%+v", s)
		}
	})
}

// TestPowerCycleMidBoot: a node that loses power in the middle of a boot does not
// finish that boot.
func TestPowerCycleMidBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reports
		m := newMachine(t, Config{Nodes: 1, Speed: 1, Report: r.send})
		defer run(t, m)()
		putBoot(t, m, x0, "first")
		transit(t, m, "On", x0)
		for state(t, m, x0).Phase != "rootfs" {
			time.Sleep(time.Second)
		}
		transit(t, m, "Force-Off", x0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := state(t, m, x0); s.Phase != "off" || s.Cmdline != "" {
			t.Errorf("%+v", s)
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if s, got := state(t, m, x0), r.list(); s.Phase != "off" || len(got) != 0 {
			t.Errorf("phase %s, reports %q after a forced power-off", s.Phase, got)
		}
	})
}

// TestSoftOffBeforeBoot: without an operating system a graceful shutdown is
// accepted, nothing happens, and the task fails at its deadline.
func TestSoftOffBeforeBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Speed: 1})
		defer run(t, m)()
		transit(t, m, "On", x0) // and never a boot script
		time.Sleep(10 * time.Minute)
		if s := state(t, m, x0); s.Phase != "pxe" || s.HSMState != "On" {
			t.Fatalf("%+v", s)
		}
		soft := transit(t, m, "Soft-Off", x0)
		time.Sleep(80 * time.Second)
		if got := transitionOf(t, m, soft).Tasks[0].String(); got != x0+": failed: Failed to achieve transition: Timeout waiting for transition, gracefulshutdown." {
			t.Error(got)
		}
		off := transit(t, m, "Off", x0) // escalates by itself
		time.Sleep(150 * time.Second)
		if got := transitionOf(t, m, off).Tasks[0].String(); got != x0+": succeeded: Transition confirmed, forceoff" {
			t.Error(got)
		}
		if s := state(t, m, x0); s.Phase != "off" || s.Commands["gracefulshutdown"] != 2 || s.Commands["forceoff"] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestScriptRetry: a node without a script, or without BSS, asks every 30 s for
// ever, and boots once there is one.
func TestScriptRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Speed: 1})
		defer run(t, m)()
		transit(t, m, "On", x0)
		time.Sleep(time.Hour)
		if s := state(t, m, x0); s.Phase != "pxe" {
			t.Fatalf("%+v", s)
		}
		id, err := m.Inject(Fault{Kind: "outage", Service: "bss"})
		if err != nil {
			t.Fatal(err)
		}
		m.mu.Lock()
		m.byXname[x0].boot = &bootEntry{kernel: "k", initrd: "i", token: "token"}
		m.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if s := state(t, m, x0); s.Phase != "pxe" || len(s.History) > historyLength || !strings.Contains(s.History[len(s.History)-1].Note, "no answer") {
			t.Fatalf("%+v", s)
		}
		if err := m.Clear(id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31 * time.Second)
		if s := state(t, m, x0); s.Phase != "kernel" && s.Phase != "rootfs" {
			t.Errorf("%+v", s)
		}
	})
}

// TestReportRetries: whatever the answer, a node tries again with the pauses of the
// real reporter, on its own clock, until it is accepted, and then every 3/4 of its
// update frequency. The pauses depend on the seed alone.
func TestReportRetries(t *testing.T) {
	answers := []int{404, 409, 500, 401, 400, 301, 503, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 200}
	reportTimes := func(speed float64, seed uint64) (times []time.Time) {
		synctest.Test(t, func(t *testing.T) {
			r := reports{status: func(n int) int { return answers[min(n, len(answers))-1] }}
			m := newMachine(t, Config{Nodes: 1, Speed: speed, Seed: seed, Report: r.send})
			defer run(t, m)()
			putBoot(t, m, x0, "bos_update_frequency=4h")
			transit(t, m, "On", x0)
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			times = r.times
		})
		return times
	}
	for _, speed := range []float64{1, 10} {
		times := reportTimes(speed, 1)
		for i := range len(answers) - 1 {
			wait := time.Duration(float64(times[i+1].Sub(times[i])) * speed)
			pause := min(30, time.Duration(2*(i+1))) * time.Second
			if wait < pause*4/5 || wait > pause*6/5 {
				t.Errorf("speed %v: pause %v after try %d, want %v give or take a fifth", speed, wait, i+1, pause)
			}
		}
		// The period is BOS's, on the wall clock; the first one is cut by chance.
		steady := times[len(answers)-1:]
		if first := steady[1].Sub(steady[0]); first > 3*time.Hour {
			t.Errorf("first refresh after %v", first)
		}
		for i := 2; i < len(steady); i++ {
			if d := steady[i].Sub(steady[i-1]); d != 3*time.Hour {
				t.Errorf("speed %v: refresh after %v, want 3h", speed, d)
			}
		}
		if len(steady) < 8 {
			t.Errorf("%d reports in a day", len(steady))
		}
		if !slices.Equal(times, reportTimes(speed, 1)) {
			t.Errorf("speed %v: the same seed makes other pauses", speed)
		}
		if slices.Equal(times, reportTimes(speed, 2)) {
			t.Errorf("speed %v: two seeds make the same pauses", speed)
		}
	}
}

// TestRetryAfter: a node waits as long as BOS asks it to, however fast the machine.
func TestRetryAfter(t *testing.T) {
	for _, speed := range []float64{0, 1, 100} {
		synctest.Test(t, func(t *testing.T) {
			var times []time.Time
			m := newMachine(t, Config{Nodes: 1, Speed: speed})
			m.reports.send = func(context.Context, string, reporter.Report) reporter.Answer {
				if times = append(times, time.Now()); len(times) > 1 {
					return reporter.Answer{Outcome: reporter.Accepted, Status: 200}
				}
				return reporter.Answer{Outcome: reporter.Busy, Status: 503, RetryAfter: 10 * time.Second}
			}
			defer run(t, m)()
			putBoot(t, m, x0, "quiet")
			transit(t, m, "On", x0)
			time.Sleep(time.Hour)
			synctest.Wait()
			if wait := times[1].Sub(times[0]); wait < 10*time.Second || wait > 12*time.Second {
				t.Errorf("speed %v: tried again after %v, want 10s", speed, wait)
			}
		})
	}
}

// TestKernelLine: the node's reporter takes everything from the kernel command line.
func TestKernelLine(t *testing.T) {
	const period = 3 * time.Hour
	for _, row := range []struct {
		name, params string
		report       reporter.Report
		ok           bool
		period       time.Duration
	}{
		{"what BSS adds", "quiet", reporter.Report{ID: x0, BSSToken: "tok"}, true, period},
		{"update frequency", "quiet bos_update_frequency=40m", reporter.Report{ID: x0, BSSToken: "tok"}, true, 30 * time.Minute},
		{"update frequency in capitals", "bos_update_frequency=2D x", reporter.Report{ID: x0, BSSToken: "tok"}, true, 36 * time.Hour},
		{"report once", "bos_update_frequency=0h", reporter.Report{ID: x0, BSSToken: "tok"}, true, 0},
		{"update frequency too short", "bos_update_frequency=1s", reporter.Report{ID: x0, BSSToken: "tok"}, true, 30 * time.Second},
		{"update frequency malformed", "bos_update_frequency=4hh", reporter.Report{ID: x0, BSSToken: "tok"}, true, period},
		{"another parameter", "no_bos_update_frequency=1m", reporter.Report{ID: x0, BSSToken: "tok"}, true, period},
		{"another xname", "xname=x9c0s0b0n0", reporter.Report{ID: "x9c0s0b0n0", BSSToken: "tok"}, true, period},
		{"no xname", "xname=../x", reporter.Report{ID: "../x", BSSToken: "tok"}, false, period},
		{"first token", "bss_referral_token=a bss_referral_token=b", reporter.Report{ID: x0, BSSToken: "a"}, true, period},
		{"empty token", "bss_referral_token=", reporter.Report{ID: x0}, false, period},
	} {
		t.Run(row.name, func(t *testing.T) {
			n := &node{xname: x0, loaded: &bootEntry{params: row.params, token: "tok"}}
			if r, period, ok := n.report(); r != row.report || period != row.period || ok != row.ok {
				t.Errorf("%+v every %v, %v; want %+v every %v, %v", r, period, ok, row.report, row.period, row.ok)
			}
		})
	}
}

// TestReportWorkers: reports under way never exceed the bound, and nobody is lost.
func TestReportWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most, seen := 0, 0, map[string]int{}
		m := newMachine(t, Config{Nodes: 100, ReportWorkers: 3, Report: func(_ context.Context, xname, _ string) (int, error) {
			mu.Lock()
			now++
			most = max(most, now)
			seen[xname]++
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return 200, nil
		}})
		defer run(t, m)()
		putBoot(t, m, "Compute", "quiet")
		bootAll(t, m)
		time.Sleep(time.Minute)
		synctest.Wait()
		if most != 3 || len(seen) != 100 {
			t.Errorf("at most %d at once, %d nodes reported; want 3 and 100", most, len(seen))
		}
	})
}

// bootAll powers every node on.
func bootAll(t testing.TB, m *Machine) {
	t.Helper()
	var xnames []string
	for _, n := range m.Nodes() {
		xnames = append(xnames, n.Xname)
	}
	transit(t, m, "On", xnames...)
}

// TestDeterminism: the same seed makes the same history, however the nodes were
// ordered in the request; another seed another one.
func TestDeterminism(t *testing.T) {
	history := func(seed uint64, reverse bool) map[string][]string {
		out := map[string][]string{}
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t, Config{Nodes: 20, Speed: 1, Seed: seed, Report: new(reports).send, Faults: []Fault{
				{Kind: "kernel_panic", Fraction: 0.2}, {Kind: "soft_off_ignored", Fraction: 0.1}, {Kind: "random_power_loss", Value: "10m", Count: 1},
			}})
			defer run(t, m)()
			putBoot(t, m, "Compute", "quiet")
			var xnames []string
			for _, n := range m.Nodes() {
				xnames = append(xnames, n.Xname)
			}
			if reverse {
				slices.Reverse(xnames)
			}
			begin := time.Now()
			transit(t, m, "On", xnames...)
			time.Sleep(20 * time.Minute)
			transit(t, m, "Soft-Off", xnames...)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			for _, x := range xnames {
				for _, h := range state(t, m, x).History {
					out[x] = append(out[x], h.Time.Sub(begin).String()+" "+h.Phase)
				}
			}
		})
		return out
	}
	one := history(7, false)
	if d := cmp.Diff(one, history(7, true)); d != "" {
		t.Error(d)
	}
	if cmp.Equal(one, history(8, false)) {
		t.Error("two seeds make the same history")
	}
}

// TestSpent: hardware time covers what node, PCS and CFS did, once each, and only
// within the window asked for.
func TestSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reports
		m := newMachine(t, Config{Nodes: 1, Speed: 1, Report: r.send})
		defer run(t, m)()
		want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","enabled":false},"filters":{}}`, 200, nil)
		putBoot(t, m, x0, "quiet")
		begin := time.Now()
		transit(t, m, "On", x0)
		time.Sleep(40 * time.Minute)
		synctest.Wait()
		spent, ok := m.Spent(x0, begin, time.Time{})
		booted := r.times[0].Sub(begin)
		if !ok || spent.Node > booted || spent.Node < booted-time.Second {
			t.Errorf("node %v; it took %v to its report", spent.Node, booted)
		}
		if spent.PCS < 15*time.Second || spent.PCS > 2*time.Minute || spent.CFS < 3*time.Minute || spent.CFS > 15*time.Minute {
			t.Errorf("%+v", spent)
		}
		if spent.Total >= spent.Node+spent.PCS+spent.CFS || spent.Total < spent.Node+spent.CFS {
			t.Errorf("%+v counts twice, or too little", spent)
		}
		if before, _ := m.Spent(x0, time.Time{}, begin); before != (Spent{}) {
			t.Errorf("before the boot: %+v", before)
		}
		if part, _ := m.Spent(x0, begin, begin.Add(10*time.Second)); part.Total != 10*time.Second {
			t.Errorf("ten seconds of it: %+v", part)
		}
		if _, ok := m.Spent("x1c0s0b0n0", begin, time.Time{}); ok {
			t.Error("a node that is not there spent time")
		}
	})
}

// TestRestart: the two restarts turn a node off and on.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reports
		m := newMachine(t, Config{Nodes: 1, Speed: 1, Report: r.send})
		defer run(t, m)()
		putBoot(t, m, x0, "quiet")
		transit(t, m, "On", x0)
		time.Sleep(15 * time.Minute)
		for i, op := range []string{"Soft-Restart", "Hard-Restart", "Init"} {
			id := transit(t, m, op, x0)
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			if s, tr := state(t, m, x0), transitionOf(t, m, id); s.Boots != uint32(i+2) || s.Phase != "up" || tr.TaskCounts["succeeded"] != 1 {
				t.Errorf("%s: %+v, %+v", op, s, tr)
			}
		}
		if len(r.list()) != 4 {
			t.Errorf("reports %q", r.list())
		}
		want(t, m, "POST", "/pcs/transitions", `{"operation":"Force-Off","location":[{"xname":"`+x0+`"}]}`, 200, nil)
		time.Sleep(5 * time.Minute)
		id := transit(t, m, "Hard-Restart", x0)
		time.Sleep(time.Minute)
		if tr := transitionOf(t, m, id); tr.TaskCounts["failed"] != 1 {
			t.Errorf("a restart of a node that is off: %+v", tr)
		}
	})
}

// TestRunStops: Run returns the cause and leaves nothing behind, reports under way
// included.
func TestRunStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 5, Report: func(ctx context.Context, _, _ string) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}})
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error)
		go func() { result <- m.Run(ctx) }()
		putBoot(t, m, "Compute", "quiet")
		bootAll(t, m)
		synctest.Wait()
		if _, err := m.Inject(Fault{Kind: "outage", Value: "blackhole"}); err != nil {
			t.Fatal(err)
		}
		hanging := make(chan any)
		go func() {
			defer func() { hanging <- recover() }()
			call(t, m, "GET", "/hsm/v2/State/Components", "")
		}()
		synctest.Wait()
		why := errors.New("enough")
		cancel(why)
		if err := <-result; !errors.Is(err, why) {
			t.Errorf("Run = %v", err)
		}
		if p := <-hanging; p != http.ErrAbortHandler { //nolint:errorlint // what net/http asks for, as it is
			t.Errorf("a request into a black hole ended with %v", p)
		}
		if m.Run(t.Context()) == nil {
			t.Error("a machine runs twice")
		}
	})
}

func TestHTTPReport(t *testing.T) {
	type seen struct{ method, path, auth, kind, body string }
	var got seen
	status := 200
	bos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body)}
		if status == 302 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
	}))
	defer bos.Close()
	file := filepath.Join(t.TempDir(), "token")
	m := newMachine(t, Config{Nodes: 1, BOSURL: bos.URL + "/apis/bos/", TokenFile: file})
	report := reporter.Report{ID: x0, BSSToken: "tok"}
	send := func(ctx context.Context, r reporter.Report) reporter.Answer { return m.reports.send(ctx, x0, r) }
	if a := send(t.Context(), report); a.Outcome != reporter.NoCredentials {
		t.Errorf("without the token file: %+v", a)
	}
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		status  int
		outcome reporter.Outcome
		after   time.Duration
	}{{200, reporter.Accepted, 0}, {409, reporter.Conflict, 0}, {302, reporter.Redirected, 0}, {503, reporter.Busy, 7 * time.Second}} {
		status = row.status
		if a := send(t.Context(), report); a.Outcome != row.outcome || a.Status != row.status || a.RetryAfter != row.after {
			t.Errorf("send = %+v, want %+v", a, row)
		}
	}
	if want := (seen{"PATCH", "/apis/bos/v2/components/" + x0, "Bearer secret", "application/json", `{"id":"` + x0 + `","actual_state":{"bss_token":"tok"}}`}); got != want {
		t.Errorf("request %+v, want %+v", got, want)
	}
	for _, base := range []string{"bos", "ftp://bos", "http://", "http://a b"} {
		if _, err := New(Config{Nodes: 1, BOSURL: base}); err == nil {
			t.Errorf("BOS URL %q is accepted", base)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	inv, err := Generate(1)
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"no nodes": {}, "both": {Nodes: 1, Inventory: inv}, "negative": {Nodes: -1}, "speed": {Nodes: 1, Speed: -1}, "NaN": {Nodes: 1, Speed: math.NaN()},
		"group": {Nodes: 1, Groups: map[string][]string{"a": {"x1c0s0b0n0"}}}, "tenant": {Nodes: 1, Tenants: map[string][]string{"a": {"x1c0s0b0n0"}}},
		"fault": {Nodes: 1, Faults: []Fault{{Kind: "gremlins"}}}, "inventory": {Inventory: &Inventory{}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestImageContention: the first node to load takes its time and a fourth of it more, the
// fourth twice its time, the eighth three times.
func TestImageContention(t *testing.T) {
	m := newMachine(t, Config{Nodes: 8, Speed: 1, Manual: true, Faults: []Fault{{Kind: "image_contention", Value: "4"}}})
	putBoot(t, m, "Compute", "quiet")
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.nodes {
		n := &m.nodes[i]
		m.fetchScript(n)
		alone := m.draw(n, "kernel", kernelTime)
		want := m.now() + alone + alone*time.Duration(i+1)/4
		if !slices.ContainsFunc(m.agenda.events, func(e event) bool { return e.n == n && e.at == want }) {
			t.Errorf("%s, number %d, does not have its kernel at %v", n.xname, i+1, want)
		}
	}
}

// TestRestartIsCutShort: a node that is told to restart and loses its power meanwhile,
// by force or by accident, stays off.
func TestRestartIsCutShort(t *testing.T) {
	for name, cut := range map[string]func(m *Machine, n *node){
		"force-off":  func(m *Machine, n *node) { m.mu.Lock(); defer m.mu.Unlock(); m.command(n, opForceOff) },
		"power loss": func(m *Machine, _ *node) { _, _ = m.Inject(Fault{Kind: "random_power_loss", Value: "1s", Count: 1}) },
	} {
		m := newMachine(t, Config{Nodes: 1, Speed: 1, Manual: true, Faults: []Fault{{Kind: "soft_off_slow", Value: "1h"}}})
		stop := run(t, m)
		putBoot(t, m, x0, "quiet")
		transit(t, m, "On", x0)
		advance(t, m, time.Hour)
		transit(t, m, "Soft-Restart", x0)
		advance(t, m, time.Minute)
		if s := state(t, m, x0); s.Phase != "soft_off" {
			t.Fatalf("%s: %s", name, s.Phase)
		}
		cut(m, m.byXname[x0])
		advance(t, m, time.Hour)
		if s := state(t, m, x0); s.Phase != "off" || s.Boots != 1 {
			t.Errorf("%s: %s after %d boots", name, s.Phase, s.Boots)
		}
		stop()
	}
}
