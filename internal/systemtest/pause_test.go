package systemtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// pause puts a process to sleep at its n-th request, counted from 1: before it is sent, or when it has been answered.
// What counts is what operators ask and do during the session, reads too: a process that wakes may act on what it read
// long ago. Before a read is the same as after what came before it, and not tried.
type pause struct {
	n     int
	after bool

	mu     sync.Mutex
	counts bool // the session has begun
	count  int
	at     *request // n-th one, nil = not yet
	woke   bool
	sinned []string // what the process sent to services after it woke
}

func (s *pause) watcher() watcher {
	return watcher{
		sends: func(p *process, r *request) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.woke && r.changes() && r.service != "bos" {
				s.sinned = append(s.sinned, r.String())
			}
			if !s.counts || r.operator == "" || strings.HasSuffix(r.path, "/options") || strings.HasSuffix(r.path, "/settings") {
				return true
			}
			if s.count++; s.count != s.n || !s.after && !r.changes() {
				return true
			}
			s.at = r
			if !s.after {
				p.sleep()
			}
			return true
		},
		answered: func(p *process, r *request, status int) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.woke && status/100 == 2 && strings.HasSuffix(r.path, "/componentpatches") { // even what was on its way
				s.sinned = append(s.sinned, r.String()+", which was let in")
			}
			if s.after && s.at == r {
				p.sleep()
			}
			return true
		},
	}
}

// counting begins or ends the counting.
func (s *pause) counting(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts = on
}

// wake ends the sleep of the process.
func (s *pause) wake(p *process) {
	s.mu.Lock()
	s.woke = true
	s.mu.Unlock()
	p.wake()
}

// name tells when the process fell asleep, empty if it did not.
func (s *pause) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.at == nil:
		return ""
	case s.after:
		return "after " + s.at.String()
	}
	return "before " + s.at.String()
}

// skip reports whether the pause is one that nothing can help against: a power request that has left the operator's
// hands before the pause and reaches PCS, which knows no leases, after it.
func (s *pause) skip() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil || s.after {
		return false
	}
	_, _, power := s.at.power()
	return power
}

// TestPause puts the leader to sleep at each of its requests, for longer than its lease, lets another process finish the
// session, and wakes it: it must leave the services alone.
func TestPause(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		op   bos.Operation
		want map[string]int // commands to a node
		most map[string]int // likewise, where the new leader cannot know that it was given
	}{
		{bos.OperationBoot, map[string]int{"on": 1}, nil},
		{bos.OperationReboot, map[string]int{"gracefulshutdown": 1, "on": 1}, map[string]int{"gracefulshutdown": 2}},
	} {
		t.Run(string(tc.op), func(t *testing.T) {
			t.Parallel()
			stride := 1
			if sparse() {
				stride = 4
			}
			n := 1 - stride
			for reached := true; reached; {
				n += stride
				reached = false
				for _, after := range []bool{true, false} {
					s := &pause{n: n, after: after}
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, worldConfig{nodes: 3, seed: 1})
						before := map[string]int{}
						if tc.op == bos.OperationReboot {
							first := w.start("first", watcher{})
							w.session("booted", bos.OperationBoot, "")
							if err := w.await("booted", time.Hour); err != nil {
								t.Fatal(err)
							}
							first.shutDown()
							before = w.node(w.ids[0]).Commands
						}
						leader := w.start("leader", s.watcher())
						defer leader.reap()
						time.Sleep(time.Second)
						other := w.start("other", watcher{})
						defer other.reap()
						s.counting(true)
						w.session("s", tc.op, "")
						if err := w.await("s", 3*time.Hour); err != nil {
							t.Errorf("%s: %v", s.name(), err)
						}
						s.counting(false)
						if s.name() == "" {
							return
						}
						time.Sleep(20 * time.Second)
						s.wake(leader)
						time.Sleep(10 * time.Second)
						if s.skip() {
							return
						}
						for _, id := range w.ids {
							comp, node := w.component(id), w.node(id)
							if comp.ComputeStatus() != bos.StatusStable || node.Phase != "up" {
								t.Errorf("%s: %s", s.name(), w.describe(id))
							}
							for command, times := range node.Commands {
								got := times - before[command]
								if most := max(tc.want[command], tc.most[command]); got < tc.want[command] || got > most {
									t.Errorf("%s: %s got %s %d times, want %d to %d", s.name(), id, command, got, tc.want[command], most)
								}
							}
						}
						for _, text := range s.sinned {
							t.Errorf("asleep %s, it woke and sent %s", s.name(), text)
						}
					})
					reached = reached || s.count >= n
					if testing.Verbose() && s.name() != "" {
						t.Logf("%d: %s", n, s.name())
					}
				}
			}
			t.Logf("%d requests", n-stride)
			if n < 20 {
				t.Errorf("%d requests: the session did not go its whole way", n-stride)
			}
		})
	}
}

// TestTwoLeaders runs both processes awake: each request that changes something comes from the holder of the lease.
func TestTwoLeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, worldConfig{nodes: 8, speed: 20, seed: 2})
		check := watcher{sends: func(p *process, r *request) bool {
			if r.changes() && r.operator != "" && w.leader(r.operator) != p.name {
				t.Errorf("%s sent %s while %q holds the lease", p.name, r, w.leader(r.operator))
			}
			return true
		}}
		for round := range 3 {
			a, b := w.start(fmt.Sprintf("a%d", round), check), w.start(fmt.Sprintf("b%d", round), check)
			name := fmt.Sprintf("s%d", round)
			w.session(name, bos.OperationReboot, "")
			if err := w.await(name, 3*time.Hour); err != nil {
				t.Error(err)
			}
			a.shutDown()
			b.reap()
		}
		for _, id := range w.ids {
			if got := w.node(id).Commands; got["on"] != 3 || got["gracefulshutdown"] != 2 || got["forceoff"] != 0 {
				t.Errorf("three reboots: %s", w.describe(id))
			}
		}
	})
}
