package builtin

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/hsm/hsmtest"
	"github.com/bootorch/bosgo/operator"
)

// TestSessionLoops runs the session operators in their loops: each acts on what concerns it, long before a polling
// period is over.
func TestSessionLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.clock = time.Now
		w.options(bos.OptionsPatch{PollingFrequency: new(3600), CleanupCompletedSessionTTL: new("2h")})
		var hsmAway atomic.Bool
		w.hsm.OnCall = func(hsmtest.Call) error {
			on := hsmAway.Load()
			return away(&on)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, op := range []operator.Operator{newSessionSetup(w.deps()), newSessionCompletion(w.deps()), newSessionCleanup(w.deps())} {
			l := &operator.Loop{Operator: op, API: w.service, Holder: "test"}
			wg.Go(func() { _ = l.Run(ctx) }) // returns why ctx ended
		}
		defer wg.Wait()
		defer stop()
		const soon = 100 * time.Millisecond
		time.Sleep(10 * time.Second) // past the passes at the start

		create := func(name string) {
			t.Helper()
			if _, err := w.service.CreateSession(t.Context(), "", bos.SessionCreate{Name: name, Operation: bos.OperationBoot, TemplateName: "t"}); err != nil {
				t.Fatal(err)
			}
		}
		create("s1")
		time.Sleep(soon)
		w.wantRunning("", "s1", "x1")

		// Another session takes the node.
		create("s2")
		time.Sleep(soon)
		w.wantRunning("", "s2", "x1")
		w.wantState("", "s1", bos.SessionComplete)

		// The node is done.
		if _, err := w.service.PatchComponent(t.Context(), "", "x1", bos.ComponentPatch{Enabled: new(false)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(soon)
		w.wantState("", "s2", bos.SessionComplete)

		// A session that meets an outage is set up a little after its end.
		hsmAway.Store(true)
		create("s3")
		time.Sleep(30 * time.Second)
		w.wantState("", "s3", bos.SessionPending)
		hsmAway.Store(false)
		time.Sleep(time.Minute)
		w.wantRunning("", "s3", "x1")

		// What is old is deleted when its time has come.
		time.Sleep(2 * time.Hour)
		if got := w.sessions(); got != "s3" {
			t.Errorf("sessions left: %s; want s3", got)
		}
	})
}
