package systemtest

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// crash kills a process at its n-th step, counted from 1: before it is carried out, or between that and the answer. A
// step is a request that changes something, at BOS or at a service, of whichever operator.
type crash struct {
	n     int
	after bool

	mu    sync.Mutex
	count int
	step  string // at which it happened, empty = not yet
}

func (c *crash) watcher() watcher {
	return watcher{
		sends: func(_ *process, r *request) bool {
			if !r.changes() {
				return true
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.count++
			if c.count != c.n {
				return true
			}
			c.step = "before " + r.String()
			if c.after {
				c.step = "after " + r.String()
				r.path += crashMark
				return true
			}
			return false
		},
		answered: func(_ *process, r *request, _ int) bool {
			return len(r.path) < len(crashMark) || r.path[len(r.path)-len(crashMark):] != crashMark
		},
	}
}

// crashMark is put on the note of the request whose answer is never seen. It does not travel.
const crashMark = " †"

func (c *crash) happened() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.step
}

// TestCrash kills the operators at every step of a session, once before and once after the step is carried out, starts
// them anew on the same database and machine, and looks at what became of the nodes.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		op     bos.Operation
		booted bool // before the session
		speed  float64
		want   map[string]int // commands that a node must get
		atMost map[string]int // likewise, where a crash may repeat what the node does not mind
		phase  string         // of the node at the end
	}{
		{name: "boot", op: bos.OperationBoot, want: map[string]int{"on": 1}, phase: "up"},
		{name: "boot of slow hardware", op: bos.OperationBoot, speed: 20, want: map[string]int{"on": 1}, phase: "up"},
		{
			name: "reboot", op: bos.OperationReboot, booted: true, want: map[string]int{"gracefulshutdown": 1, "on": 1},
			atMost: map[string]int{"gracefulshutdown": 2}, phase: "up",
		},
		{
			name: "reboot of slow hardware", op: bos.OperationReboot, booted: true, speed: 20, want: map[string]int{"gracefulshutdown": 1, "on": 1},
			atMost: map[string]int{"gracefulshutdown": 2}, phase: "up",
		},
		{
			name: "shutdown", op: bos.OperationShutdown, booted: true, want: map[string]int{"gracefulshutdown": 1},
			atMost: map[string]int{"gracefulshutdown": 2}, phase: "off",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			stride := 1
			if sparse() {
				if tc.speed > 0 {
					t.Skip("takes long")
				}
				stride = 2
			}
			steps := 0
			for n := 1; ; n += stride {
				reached := false
				for _, after := range []bool{false, true} {
					c := &crash{n: n, after: after}
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, worldConfig{nodes: 4, speed: tc.speed, seed: 1})
						before := map[string]int{}
						if tc.booted {
							p := w.start("first", watcher{})
							w.session("booted", bos.OperationBoot, "")
							if err := w.await("booted", time.Hour); err != nil {
								t.Fatal(err)
							}
							p.shutDown()
							before = w.node(w.ids[0]).Commands
						}
						members, bystander := w.ids[:3], w.ids[3]
						idle := w.node(bystander).Commands
						p := w.start("crashing", c.watcher())
						w.session("s", tc.op, fmt.Sprintf("%s,%s,%s", members[0], members[1], members[2]))
						p.livesUntil(func() bool { return w.state("s") == bos.SessionComplete })
						p.reap()
						next := w.start("next", watcher{})
						defer next.reap()
						if err := w.await("s", 3*time.Hour); err != nil {
							t.Errorf("%s: %v", c.happened(), err)
						}
						for _, id := range members {
							comp, node := w.component(id), w.node(id)
							if comp.ComputeStatus() != bos.StatusStable || comp.IsEnabled() || node.Phase != tc.phase {
								t.Errorf("%s: %s", c.happened(), w.describe(id))
							}
							for command, times := range node.Commands {
								got := times - before[command]
								if most := max(tc.want[command], tc.atMost[command]); got < tc.want[command] || got > most {
									t.Errorf("%s: %s got %s %d times, want %d to %d", c.happened(), id, command, got, tc.want[command], most)
								}
							}
						}
						if got := w.node(bystander).Commands; fmt.Sprint(got) != fmt.Sprint(idle) {
							t.Errorf("%s: the bystander got commands: %v, before %v", c.happened(), got, idle)
						}
					})
					reached = reached || c.happened() != ""
					if testing.Verbose() && c.happened() != "" {
						t.Logf("%d: %s", n, c.happened())
					}
				}
				if !reached {
					break
				}
				steps = n
			}
			t.Logf("%d steps", steps)
			if steps < 7 {
				t.Errorf("%d steps: the session did not go its whole way", steps)
			}
		})
	}
}
