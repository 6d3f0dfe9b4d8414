package fleet

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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
