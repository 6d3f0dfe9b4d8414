package systemtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// cancel cancels the session s when the n-th request of the operators has been answered, counted from 1, and keeps what
// they command afterwards.
type cancel struct {
	n int

	mu     sync.Mutex
	counts bool
	count  int
	at     string          // the request, empty = not yet
	looked map[string]bool // operators that have looked at components since
	sinned []string        // power requests of operators that could have known
	late   []string        // those of operators that could not
}

func (c *cancel) watcher() watcher {
	return watcher{
		sends: func(_ *process, r *request) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.at == "" {
				return true
			}
			if r.service == "bos" && strings.HasSuffix(r.path, "/components") {
				c.looked[r.operator] = true
			}
			if _, _, power := r.power(); power && c.looked[r.operator] {
				c.sinned = append(c.sinned, r.String())
			} else if power {
				c.late = append(c.late, r.String())
			}
			return true
		},
		answered: func(p *process, r *request, _ int) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			if !c.counts || r.operator == "" || strings.HasSuffix(r.path, "/options") || strings.HasSuffix(r.path, "/settings") {
				return true
			}
			if c.count++; c.count != c.n {
				return true
			}
			_, err := p.world.api.CancelSession(context.Background(), bos.TenantKey{Name: "s"}, "enough")
			c.at = "after " + r.String()
			if err != nil && !errors.Is(err, bos.ErrConflict) { // it may be complete already
				c.sinned = append(c.sinned, "not canceled: "+err.Error())
			}
			return true
		},
	}
}

// counting begins or ends the counting.
func (c *cancel) counting(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = on
}

// TestCancel cancels a reboot after each request of the operators. Nobody who has looked since commands a node, and the
// nodes stay where they are for good.
func TestCancel(t *testing.T) {
	t.Parallel()
	stride := 1
	if sparse() {
		stride = 5
	}
	late, n := 0, 1
	for reached := true; reached; n += stride {
		c := &cancel{n: n, looked: map[string]bool{}}
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, worldConfig{nodes: 3, seed: 1})
			p := w.start("operators", c.watcher())
			defer p.reap()
			w.session("booted", bos.OperationBoot, "")
			if err := w.await("booted", time.Hour); err != nil {
				t.Fatal(err)
			}
			c.counting(true)
			w.session("s", bos.OperationReboot, "")
			if err := w.await("s", time.Hour); err != nil {
				t.Errorf("%s: %v", c.at, err)
			}
			c.counting(false)
			time.Sleep(6 * time.Minute) // the wait for a graceful power-off is over
			s, err := w.truth.Sessions().Get(t.Context(), bos.TenantKey{Name: "s"})
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range w.ids {
				if comp := w.component(id); comp.IsEnabled() || s.Canceled() && comp.ComputeStatus() != bos.StatusStable && !strings.HasPrefix(comp.ErrorText(), "canceled: enough") {
					t.Errorf("%s: %s", c.at, w.describe(id))
				}
			}
			for _, text := range c.sinned {
				t.Errorf("%s: %s", c.at, text)
			}
			slices.Sort(c.late)
			if len(slices.Compact(c.late)) > 2 { // on their way when it was canceled, one per operator
				t.Errorf("%s: %q", c.at, c.late)
			}
			late += len(c.late)
		})
		reached = c.at != ""
		if testing.Verbose() && c.at != "" {
			t.Logf("%d: canceled %s, %q were on their way", n, c.at, c.late)
		}
	}
	t.Logf("%d requests, %d commands were on their way", n-stride, late)
	if n < 40 {
		t.Errorf("%d requests: the session did not go its whole way", n-stride)
	}
}
