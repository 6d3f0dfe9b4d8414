package builtin

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/hsm/hsmtest"
)

func TestOPDiscovery(t *testing.T) {
	t.Run("OP-074 nodes missing", func(t *testing.T) {
		w := newWorld(t)
		w.forget("x3", "x2")
		op := newDiscovery(w.deps())
		w.pass(op)
		if got, want := w.api.writes(), []string{"CreateComponents x2,x3"}; !slices.Equal(got, want) {
			t.Errorf("writes %q, want %q", got, want)
		}
		stamp := new(bos.Stamp(w.now))
		want := newlyDiscovered("x2")
		want.ActualState.LastUpdated, want.DesiredState.LastUpdated, want.StagedState.LastUpdated = stamp, stamp, stamp
		want.LastAction.LastUpdated = stamp
		want.EventStats = bos.ZeroEventStats()
		want.Status = &bos.ComponentStatus{Phase: new(bos.PhaseNone), Status: new(bos.StatusStable), StatusOverride: new(bos.Status(""))}
		if diff := gocmp.Diff(want, w.getComponent("x2")); diff != "" {
			t.Errorf("record (-want +got)\n%s", diff)
		}
		w.settled(op)
	})
	t.Run("OP-075 nothing missing", func(t *testing.T) {
		w := newWorld(t)
		w.settled(newDiscovery(w.deps()))
	})
	t.Run("OP-076 hsm answers nonsense", func(t *testing.T) {
		w := newWorld(t)
		w.forget("x1")
		w.hsm.OnCall = func(hsmtest.Call) error { return errAway }
		op := newDiscovery(w.deps())
		if err := w.run(op); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("err = %v, want the outage", err)
		}
		if got := w.api.writes(); len(got) > 0 {
			t.Errorf("wrote %q", got)
		}
	})
}

// TestDiscoveryRemovesNothing loses nodes in HSM.
func TestDiscoveryRemovesNothing(t *testing.T) {
	w := newWorld(t)
	w.hsm.Remove("x1", "x2", "x3", "x4", "x5", "x6")
	w.settled(newDiscovery(w.deps()))
	w.getComponent("x1")
}

// TestDiscoveryKeepsWhatWasWrittenMeanwhile creates a component between reading and writing.
func TestDiscoveryKeepsWhatWasWrittenMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.forget("x1", "x2")
	w.api.before = func(call string) error {
		if isWrite(call) {
			w.component(owner("x1", "s1", true))
		}
		return nil
	}
	w.pass(newDiscovery(w.deps()))
	if c := w.getComponent("x1"); c.SessionName() != "s1" {
		t.Errorf("x1 was overwritten: %+v", c)
	}
	w.getComponent("x2")
}

// TestDiscoveryChunks creates many components in bounded requests; one that fails does not keep the others from being
// created.
func TestDiscoveryChunks(t *testing.T) {
	w := newWorld(t)
	for i := range 25 {
		w.hsm.Set(hsm.Node{ID: bos.ComponentID(fmt.Sprintf("n%02d", i)), Enabled: true})
	}
	w.options(bos.OptionsPatch{MaxComponentBatchSize: new(10)})
	w.api.before = failOn("CreateComponents n10", errAway)
	op := newDiscovery(w.deps())
	if err := w.run(op); !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("err = %v, want the outage", err)
	}
	w.getComponent("n09")
	w.getComponent("n24")
	w.api.before = nil
	w.pass(op)
	w.getComponent("n10")
	w.settled(op)
}

func TestDiscoveryPeriod(t *testing.T) {
	o := bos.DefaultOptions()
	o.DiscoveryFrequency = 77 * time.Second
	if got := (&discovery{}).Period(o); got != 77*time.Second {
		t.Errorf("period %s", got)
	}
}
