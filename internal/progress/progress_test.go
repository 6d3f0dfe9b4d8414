package progress

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
)

func component(id string, enabled bool, phase bos.Phase, override bos.Status, action bos.Action) bos.Component {
	return bos.Component{
		ID: bos.ComponentID(id), Enabled: &enabled,
		Status:     &bos.ComponentStatus{Phase: &phase, StatusOverride: &override},
		LastAction: &bos.LastAction{Action: &action, Failed: new(false), LastUpdated: new(bos.Timestamp("2026-03-01T12:00:00"))},
	}
}

func TestTake(t *testing.T) {
	s := bos.Session{Name: "s1", Operation: bos.OperationBoot, Status: &bos.SessionStatus{StartTime: "2026-03-01T12:00:00", Status: bos.SessionRunning}}
	got := Take(s, []bos.Component{
		component("x1", false, "", "", ""),
		component("x2", false, "configuring", "failed", ""),
		component("x3", false, "", "on_hold", ""), // given up: PCS or CFS does not know it
		component("x4", true, "powering_on", "", "powering_on"),
		component("x5", true, "powering_on", "", "session_setup"),
		component("x6", true, "", "on_hold", "session_setup"),
		component("x7", true, "powering_off", "", ""),
		component("x8", true, "configuring", "", ""),
		component("x9", true, "powering_off", "failed", ""), // not yet disabled
	}, time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC))
	want := Snapshot{
		Name: "s1", Operation: bos.OperationBoot, State: bos.SessionRunning, Total: 9, Done: 1, Failed: 3,
		Phases:  map[string]int{"booting": 1, "powering on": 1, "starting": 1, "powering off": 1, "configuring": 1},
		Waiting: []string{"x4", "x5", "x6"}, Elapsed: 30 * time.Second,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestLine(t *testing.T) {
	snap := Snapshot{Name: "s1", Operation: bos.OperationBoot, State: bos.SessionRunning, Total: 9, Done: 6, Failed: 1,
		Phases: map[string]int{"booting": 1, "configuring": 1}, Waiting: []string{"x4", "x8"}}
	want := "s1 (boot): 6 of 9 nodes done, 1 failed; 1 booting, 1 configuring; waiting for x4, x8"
	if got := snap.Line(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	snap.State = bos.SessionPending
	if got, want := snap.Line(), "s1 (boot): being set up"; got != want {
		t.Errorf("pending: got %s, want %s", got, want)
	}
}

func TestStragglersAreNamed(t *testing.T) {
	for _, tc := range []struct {
		name                string
		total, done, failed int
		want                string
	}{
		{"many left", 100, 80, 0, ""},
		{"a tenth left", 100, 88, 2, "x1, x2, x3 and 7 more"},
		{"three left", 9, 5, 1, "x1, x2, x3"},
		{"a small session has just begun", 3, 0, 0, ""},
		{"all others failed", 4, 0, 1, "x1, x2, x3"},
		{"none left", 3, 3, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := Snapshot{Name: "s1", Total: tc.total, Done: tc.done, Failed: tc.failed, Waiting: []string{"x1", "x2", "x3"}}
			if got := s.stragglers(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBarFitsTheTerminal(t *testing.T) {
	snap := Snapshot{Name: "a-rather-long-name", Operation: bos.OperationShutdown, Total: 5000, Done: 2500, Failed: 1, Phases: map[string]int{"powering off": 2499}}
	for _, width := range []int{20, 60, 200} {
		if n := len([]rune(snap.Bar(width))); n >= width {
			t.Errorf("bar of %d cells on a terminal of %d", n, width)
		}
	}
	if bar := snap.Bar(200); !strings.Contains(bar, "████████████▒░") || !strings.Contains(bar, "2500/5000 1 failed") {
		t.Errorf("bar = %q", bar)
	}
}

func TestPrinterPlainLines(t *testing.T) {
	var out strings.Builder
	p := NewPrinter(&out, false, 0)
	snap := Snapshot{Name: "s1", Operation: bos.OperationBoot, State: bos.SessionRunning, Total: 2}
	p.Show(snap)
	snap.Elapsed = time.Second // no news
	p.Show(snap)
	snap.Done = 2
	p.Show(snap)
	p.End()
	want := "s1 (boot): 0 of 2 nodes done\ns1 (boot): 2 of 2 nodes done\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
