package replicatest

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
)

var (
	nodes = flag.Int("nodes", 200, "nodes of the machine in the rolling restart")
	speed = flag.Float64("speed", 300, "how much faster its hardware is than a real one; 0 = it takes no time")
)

// TestRollingRestart replaces both API servers and both processes of operators, one after the other, while all nodes
// reboot into another image. Nothing may be lost, and no node may notice.
//
// A process that is told to stop ends its pass where it is. What PCS has accepted by then is recorded unless the API
// server has just been stopped as well, and a successor repeats what is not recorded: so a node may be asked for the
// same thing once more per restart. Asking is all: a node that is on, or is shutting down, ignores it.
func TestRollingRestart(t *testing.T) {
	s := newSystem(t, *nodes, *speed)
	s.operate(allOperators, allOperators)
	images := s.images()
	limit := 5*time.Minute + time.Duration(*nodes)*100*time.Millisecond

	start := time.Now()
	s.session(0, "boot", bos.OperationBoot, images[0], configuration)
	s.await("boot", limit)
	booted := time.Now()
	t.Logf("boot without restarts: %s, of which %s for the slowest hardware", booted.Sub(start).Round(time.Millisecond), s.hardware(start, booted))
	before := map[bos.ComponentID]tally{}
	for _, id := range s.ids {
		before[id] = s.tally(id)
	}

	// One node's report waits until all have been restarted, so that the session cannot be over before.
	last := string(s.ids[len(s.ids)-1])
	s.hold.Store(&last)
	start = time.Now()
	s.session(1, "reboot", bos.OperationReboot, images[1], configuration)
	restarts := 0
	for _, step := range []struct {
		process *process
		when    string
		reached func(now, before tally) bool // by a quarter of the nodes; nil = at once
	}{
		{s.operators[0], "at once", nil},
		{s.servers[0], "asked to shut down", func(now, before tally) bool { return now.soft > before.soft }},
		{s.operators[1], "off", func(now, before tally) bool { return now.phase == "off" || now.on > before.on }},
		{s.servers[1], "on again", func(now, before tally) bool { return now.boots > before.boots }},
		{s.operators[0], "up", func(now, before tally) bool { return now.boots > before.boots && now.phase == "up" }},
		{s.servers[0], "up, and its operators were restarted", func(now, before tally) bool { return now.boots > before.boots && now.phase == "up" }},
	} {
		until(t, limit, step.when, func(context.Context) error {
			n := 0
			for _, id := range s.ids {
				if step.reached == nil || step.reached(s.tally(id), before[id]) {
					n++
				}
			}
			if n < len(s.ids)/4 {
				return errNotYet
			}
			return nil
		})
		t.Logf("%s: restart %s (a quarter of the nodes: %s)", time.Since(start).Round(time.Millisecond), step.process.role, step.when)
		step.process.restart()
		if step.process.role == roleOperator {
			restarts++
		}
	}
	s.hold.Store(nil)
	restarted := time.Now()
	s.await("reboot", limit)
	end := time.Now()
	t.Logf("reboot with restarts: %s, of which %s for the slowest hardware; all were restarted after %s, complete %s later",
		end.Sub(start).Round(time.Millisecond), s.hardware(start, end), restarted.Sub(start).Round(time.Millisecond), end.Sub(restarted).Round(time.Millisecond))

	shown, repeated := 0, 0
	records := map[bos.ComponentID]bos.Component{}
	for c, err := range s.api[0].ListComponents(t.Context(), bos.ComponentFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		records[c.ID] = c
	}
	for _, id := range s.ids {
		c, node := records[id], s.node(id)
		now := s.tally(id)
		boots, on, soft, force := now.boots-before[id].boots, now.on-before[id].on, now.soft-before[id].soft, now.force-before[id].force
		ok := c.ComputeStatus() == bos.StatusStable && !c.IsEnabled() && c.ErrorText() == "" && c.SessionName() == "reboot" &&
			c.ActualArtifacts().Same(c.DesiredArtifacts()) && c.ActualArtifacts().Kernel == node.Kernel &&
			string(bos.Value(c.ActualState.BSSToken)) == node.Token && node.Phase == "up" &&
			boots == 1 && on >= 1 && on <= 1+restarts && soft >= 1 && soft <= 1+restarts && force == 0
		if on > 1 || soft > 1 {
			repeated++
		}
		if !ok && shown < 10 {
			shown++
			t.Errorf("%s: %s, enabled %t, session %q, error %q, booted %+v of %+v; node %s with %s, %d boots, asked %d times to turn on, %d to shut down, %d to cut",
				id, c.ComputeStatus(), c.IsEnabled(), c.SessionName(), c.ErrorText(), c.ActualArtifacts(), c.DesiredArtifacts(), node.Phase, node.Kernel, boots, on, soft, force)
		}
	}
	t.Logf("%d nodes were asked for the same thing more than once", repeated)
}
