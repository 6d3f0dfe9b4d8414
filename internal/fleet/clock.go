package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Errors of a manual clock.
var (
	ErrNotManual = errors.New("the clock of the machine runs by itself")
	ErrNotIdle   = errors.New("the machine is not idle yet")
)

// now is the time since the machine was made: on the clock on the wall, or on one
// that only Advance moves.
func (m *Machine) now() time.Duration {
	if m.manual {
		return time.Duration(m.elapsed.Load())
	}
	return time.Since(m.epoch)
}

// time is the moment that the machine writes into its records.
func (m *Machine) time() time.Time { return m.epoch.Add(m.now()).UTC() }

// Advance lets d pass on a manual clock. Everything that falls due meanwhile happens
// at its time and in its order, and time stands still while nodes wait for an answer
// from BOS: how long Advance takes changes nothing. Calls wait for one another, and
// for [Machine.Run] to begin.
//
// It returns the cause when ctx or Run ends before, or [ErrNotManual].
func (m *Machine) Advance(ctx context.Context, d time.Duration) error {
	_, err := m.advance(ctx, d, false)
	return err
}

// AdvanceUntilIdle lets time pass on a manual clock until nothing is under way any
// more, no command, boot, configuration session or report, but for most at the
// longest. It returns how much time passed, and [ErrNotIdle] when that was not
// enough: a node without a boot script, for instance, asks for one for ever. What
// repeats itself by design is not waited for: refreshed reports, random failures and
// the beginning and end of faults. Other errors are those of Advance.
func (m *Machine) AdvanceUntilIdle(ctx context.Context, most time.Duration) (time.Duration, error) {
	return m.advance(ctx, most, true)
}

func (m *Machine) advance(ctx context.Context, d time.Duration, untilIdle bool) (passed time.Duration, err error) {
	if !m.manual {
		return 0, ErrNotManual
	}
	if d < 0 {
		return 0, fmt.Errorf("advance by %v: time does not run backwards", d)
	}
	m.advancing.Lock()
	defer m.advancing.Unlock()
	select {
	case <-m.started:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	begin := m.now()
	defer func() { passed = m.now() - begin }()
	for n := 1; ; n++ {
		if n%500 == 0 { // let requests in
			m.mu.Unlock()
			m.mu.Lock()
		}
		due := len(m.agenda.events) > 0 && m.agenda.events[0].at <= m.now()
		switch {
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case m.ctx.Err() != nil:
			return 0, context.Cause(m.ctx)
		case !due && m.reports.running > 0: // time would move under a report
			m.reports.idle.Wait()
			continue
		case untilIdle && m.agenda.busy == 0:
			return 0, nil
		case len(m.agenda.events) == 0 || m.agenda.events[0].at > begin+d:
			m.elapsed.Store(int64(begin + d))
			if untilIdle {
				return 0, ErrNotIdle
			}
			return 0, nil
		}
		next := m.agenda.pop()
		m.elapsed.Store(int64(max(m.now(), next.at)))
		m.happen(next)
	}
}

// ClockState is what the clock of a machine shows.
type ClockState struct {
	Clock   string    `json:"clock"` // real, scaled or manual
	Speed   float64   `json:"speed"` // divides every duration of the machine
	Time    time.Time `json:"time"`
	Elapsed string    `json:"elapsed"` // since the machine was made
	Idle    bool      `json:"idle"`    // nothing is under way, see [Machine.AdvanceUntilIdle]
}

// Clock returns what the clock shows.
func (m *Machine) Clock() ClockState {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := ClockState{Clock: "scaled", Speed: m.speed, Time: m.time(), Elapsed: m.now().String(), Idle: m.agenda.busy == 0 && m.reports.running == 0}
	switch {
	case m.manual:
		s.Clock = "manual"
	case m.speed == 1:
		s.Clock = "real"
	}
	return s
}

// controlAdvance is POST /_sim/clock with {"advance":"30s"}, or with
// {"advance":"2h","until_idle":true}. The answer comes when the time has passed.
func (m *Machine) controlAdvance(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Advance   string `json:"advance"`
		UntilIdle bool   `json:"until_idle"`
	}
	if err := decodeControl(r, &body); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	d, err := time.ParseDuration(body.Advance)
	if err != nil || d < 0 {
		problemf(w, http.StatusBadRequest, "advance: want a duration such as 30s, not %q", body.Advance)
		return
	}
	if _, err = m.advance(r.Context(), d, body.UntilIdle); err != nil && !errors.Is(err, ErrNotIdle) {
		problem(w, http.StatusConflict, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, m.Clock())
}
