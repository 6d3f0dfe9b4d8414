// Package progress shows how a session goes: a bar that moves on a terminal, plain lines elsewhere.
package progress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// Snapshot is a session at one moment.
type Snapshot struct {
	Name      string
	Operation bos.Operation
	State     bos.SessionState
	Total     int
	Done      int // stable, or staged and applied
	Failed    int
	Phases    map[string]int // members that are neither, by phase or status
	Waiting   []string       // ids of those that wait longest, at most maxNamed
	Elapsed   time.Duration
}

// Take counts the components of a session. Components that BOS no longer works on count as done when they are
// stable and as failed otherwise.
func Take(s bos.Session, components []bos.Component, now time.Time) Snapshot {
	snap := Snapshot{Name: s.Name, Operation: s.Operation, State: s.State(), Total: len(components), Phases: map[string]int{}}
	if start, ok := sessionStart(s); ok {
		snap.Elapsed = max(0, now.UTC().Sub(start))
	}
	slices.SortFunc(components, func(a, b bos.Component) int {
		if d := strings.Compare(string(a.ActionTime()), string(b.ActionTime())); d != 0 {
			return d
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	for _, c := range components {
		status := c.ComputeStatus()
		switch {
		case !c.IsEnabled() && status == bos.StatusStable:
			snap.Done++
		case !c.IsEnabled() || status == bos.StatusFailed:
			snap.Failed++
		default:
			snap.Phases[stepOf(&c, status)]++
			if len(snap.Waiting) < maxNamed {
				snap.Waiting = append(snap.Waiting, string(c.ID))
			}
		}
	}
	return snap
}

// stepOf names what a component is at, for people.
func stepOf(c *bos.Component, status bos.Status) string {
	switch phase := c.CurrentPhase(); {
	case status == bos.StatusOnHold || phase == bos.PhaseNone:
		return "starting"
	case status == bos.StatusPowerOnCalled:
		return "booting"
	default:
		return strings.ReplaceAll(string(phase), "_", " ")
	}
}

func sessionStart(s bos.Session) (time.Time, bool) {
	if s.Status == nil {
		return time.Time{}, false
	}
	return s.Status.StartTime.Time()
}

// steps is the order in which phases are shown.
var steps = []string{"starting", "powering off", "powering on", "booting", "configuring"}

// Line returns the snapshot as one line without a bar.
func (s Snapshot) Line() string {
	text := fmt.Sprintf("%s (%s): %d of %d nodes done", s.Name, s.Operation, s.Done, s.Total)
	if s.State == bos.SessionPending {
		return fmt.Sprintf("%s (%s): being set up", s.Name, s.Operation)
	}
	if s.Failed > 0 {
		text += fmt.Sprintf(", %d failed", s.Failed)
	}
	if phases := s.phases(); phases != "" {
		text += "; " + phases
	}
	if names := s.stragglers(); names != "" {
		text += "; waiting for " + names
	}
	return text
}

// maxNamed is how many stragglers are named.
const maxNamed = 3

// stragglers names those that the session still waits for, once they are the last tenth of it or the last three.
func (s Snapshot) stragglers() string {
	n := s.Total - s.Done - s.Failed
	if n == 0 || n > max(maxNamed, s.Total/10) || s.Done+s.Failed == 0 {
		return ""
	}
	text := strings.Join(s.Waiting, ", ")
	if more := n - len(s.Waiting); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (s Snapshot) phases() string {
	var parts []string
	for _, step := range steps {
		if n := s.Phases[step]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, step))
		}
	}
	return strings.Join(parts, ", ")
}

// barWidth is the number of cells of a bar.
const barWidth = 24

// Bar returns the snapshot as one line with a bar, at most width cells wide.
func (s Snapshot) Bar(width int) string {
	filled, bad := 0, 0
	if s.Total > 0 {
		filled, bad = barWidth*s.Done/s.Total, barWidth*s.Failed/s.Total
	}
	if s.Failed > 0 && bad == 0 && filled < barWidth {
		bad = 1
	}
	bar := strings.Repeat("█", filled) + strings.Repeat("▒", bad) + strings.Repeat("░", max(0, barWidth-filled-bad))
	text := fmt.Sprintf("%-13s %-8s %s %*d/%d", shorten(s.Name, 20), s.Operation, bar, len(fmt.Sprint(s.Total)), s.Done, s.Total)
	if s.Failed > 0 {
		text += fmt.Sprintf(" %d failed", s.Failed)
	}
	text += fmt.Sprintf(" %5.1fs", s.Elapsed.Seconds())
	if phases := s.phases(); phases != "" {
		text += "  " + phases
	}
	if names := s.stragglers(); names != "" {
		text += ": " + names
	}
	if r := []rune(text); width > 0 && len(r) >= width {
		text = string(r[:width-1])
	}
	return text
}

// shorten cuts a name that would leave no room for the rest of the line.
func shorten(name string, width int) string {
	r := []rune(name)
	if len(r) <= width {
		return name
	}
	return string(r[:width-1]) + "…"
}

// Printer shows snapshots as they come. It is safe for concurrent use.
type Printer struct {
	out      io.Writer
	terminal bool
	width    int
	mu       sync.Mutex
	open     bool // a bar stands on the current line
	last     string
}

// NewPrinter returns a printer to out: bars if it is a terminal of the given width, else a line per change.
func NewPrinter(out io.Writer, terminal bool, width int) *Printer {
	return &Printer{out: out, terminal: terminal, width: width}
}

// Show prints the snapshot: over the previous one on a terminal, else as a new line unless nothing changed.
func (p *Printer) Show(s Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", s.Bar(p.width))
		p.open = true
		return
	}
	if line := s.Line(); line != p.last {
		fmt.Fprintln(p.out, line)
		p.last = line
	}
}

// Say prints a line of its own; a bar stays where it is, above it.
func (p *Printer) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		fmt.Fprintln(p.out)
		p.open = false
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

// End leaves the bar on the screen and moves to the next line.
func (p *Printer) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		fmt.Fprintln(p.out)
		p.open = false
	}
}
