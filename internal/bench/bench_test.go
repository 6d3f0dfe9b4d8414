package bench

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
)

func TestRun(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	res, err := Run(t.Context(), Config{Nodes: 6, Sizes: []int{1, 4, 9}, Runs: 2, Load: time.Millisecond, Idle: time.Millisecond}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Sessions) != 2 || res.Sessions[0].Runs != 2 || res.Sessions[0].ControlTime.Count != 2 || res.Sessions[1].ControlTime.Count != 4 {
		t.Errorf("sessions = %+v", res.Sessions)
	}
	for _, s := range res.Sessions {
		if s.Failed != 0 {
			t.Errorf("%d of %d nodes not stable", s.Failed, s.Nodes)
		}
	}
	if res.Lost != 0 || res.Sessions[1].Reaction.Count != 4 || len(res.API) == 0 || len(res.Idle) != 1 || len(res.Memory) != 1 {
		t.Errorf("result = %+v", res)
	}
	var table, chart strings.Builder
	if err := res.Print(&table); err != nil {
		t.Error(err)
	}
	if err := res.Chart(&chart); err != nil {
		t.Error(err)
	}
	if !strings.Contains(table.String(), "REBOOT OF") || !strings.HasPrefix(chart.String(), "<svg ") || !strings.Contains(chart.String(), "stable") {
		t.Errorf("table %s\nchart %s", table.String(), chart.String())
	}
}

func TestLatency(t *testing.T) {
	var d []time.Duration
	for i := range 200 {
		d = append(d, time.Duration(200-i)*time.Millisecond)
	}
	want := Latency{Count: 200, P50: 101, P99: 199, Max: 200}
	if diff := cmp.Diff(want, latencyOf(d)); diff != "" {
		t.Error(diff)
	}
	if got := latencyOf(nil); got != (Latency{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestViewCountsStatuses(t *testing.T) {
	v := &view{status: map[string]string{"x1": "waiting", "x2": "waiting"}, counts: map[string]int{"waiting": 2}, stable: map[string]time.Time{}, reported: map[string]time.Time{}}
	start := time.Now()
	change := func(id, writer string, status bos.Status, enabled bool, fields ...string) bos.Change {
		return bos.Change{Kind: bos.ChangeComponent, ID: id, Session: "s", Writer: writer, Status: status, Enabled: enabled, Fields: fields}
	}
	v.note(change("x1", "", "power_on_called", true, "actual_state.boot_artifacts"), "s", start)
	v.note(change("x1", "status", "configuring", true, "status"), "s", start.Add(30*time.Millisecond))
	v.note(change("x1", "status", "stable", false, "status", "enabled"), "s", start.Add(50*time.Millisecond))
	v.note(change("x3", "", "stable", false), "s", start)     // not of the session's nodes
	v.note(change("x2", "", "on_hold", true), "other", start) // of another session
	if diff := cmp.Diff(map[string]int{"stable": 1, "waiting": 1}, v.sample(0).Counts); diff != "" {
		t.Error(diff)
	}
	if len(v.reactions) != 1 || v.reactions[0] != (reaction{"x1", start, start.Add(30 * time.Millisecond)}) || !v.stable["x1"].Equal(start.Add(50*time.Millisecond)) {
		t.Errorf("reactions %v, stable %v", v.reactions, v.stable)
	}
	if !v.note(bos.Change{Kind: bos.ChangeSession, ID: "s", Status: "complete"}, "s", start) {
		t.Error("the end of the session went unnoticed")
	}
}
