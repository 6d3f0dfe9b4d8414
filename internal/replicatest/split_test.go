package replicatest

import (
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// TestOperatorsApart reboots nodes with the operators divided among processes, as it happens when several start at the
// same time. PCS holds all nodes until the slowest is off, and the process that turns them on has not asked for that:
// it is refused, and must get through soon after, within its first attempt and before the component counts as failed.
func TestOperatorsApart(t *testing.T) {
	s := newSystem(t, 30, 100)
	s.operate("power-on", "power-off-graceful,power-off-forceful", "discovery,session-setup,session-completion,status,configuration")
	images := s.images()
	s.session(0, "boot", bos.OperationBoot, images[0], "")
	s.await("boot", safety)
	before := map[bos.ComponentID]tally{}
	for _, id := range s.ids {
		before[id] = s.tally(id)
	}
	start := time.Now()
	s.session(1, "reboot", bos.OperationReboot, images[1], "")
	s.await("reboot", safety)
	t.Logf("reboot: %s, of which %s for the slowest hardware", time.Since(start).Round(time.Millisecond), s.hardware(start, time.Now()))
	again := 0
	for c, err := range s.api[0].ListComponents(t.Context(), bos.ComponentFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		node, was := s.node(c.ID), before[c.ID]
		if node.Requests["On"] > was.on+1 {
			again++
		}
		if int(node.Boots) != was.boots+1 || node.Requests["Force-Off"] > 0 || c.ComputeStatus() != bos.StatusStable || c.ErrorText() != "" || node.Phase != "up" {
			t.Errorf("%s: %s, error %q; node %s after %d boots and %v", c.ID, c.ComputeStatus(), c.ErrorText(), node.Phase, node.Boots, node.Requests)
		}
	}
	t.Logf("%d nodes were asked again to turn on", again)
}
