package bosserver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// extended gathers what the extended status of a session says about its components.
type extended struct {
	owned, staged       int
	successful, failed  int
	on, off, configured int // by phase
	errors              map[string][]bos.ComponentID
}

// addOwned counts a component whose session it is.
func (e *extended) addOwned(c *bos.Component) {
	e.owned++
	switch c.ComputeStatus() {
	case bos.StatusStable:
		e.successful++
	case bos.StatusFailed:
		e.failed++
	}
	if c.IsEnabled() && c.Override() != bos.StatusOnHold {
		switch c.CurrentPhase() {
		case bos.PhasePoweringOn:
			e.on++
		case bos.PhasePoweringOff:
			e.off++
		case bos.PhaseConfiguring:
			e.configured++
		}
	}
	if text := c.ErrorText(); text != "" {
		if e.errors == nil {
			e.errors = map[string][]bos.ComponentID{}
		}
		e.errors[text] = append(e.errors[text], c.ID)
	}
}

// addStaged counts a component that carries the session's stage. One that is owned as well counts twice.
func (e *extended) addStaged() { e.staged++ }

// of returns the extended status of the session. Source: BOS v2 API, V2SessionExtendedStatus.
func (e *extended) of(s *bos.Session, now time.Time) bos.ExtendedStatus {
	total := e.owned + e.staged
	percent := func(n int) float64 { return percentage(n, total) }
	status := bos.ExtendedStatus{
		Status:                 s.State(),
		ManagedComponentsCount: total,
		Phases: bos.PhasePercentages{
			Complete:    percent(e.successful + e.failed),
			PoweringOn:  percent(e.on),
			PoweringOff: percent(e.off),
			Configuring: percent(e.configured),
		},
		PercentSuccessful: percent(e.successful),
		PercentFailed:     percent(e.failed),
		PercentStaged:     percent(e.staged),
		ErrorSummary:      make(map[string]bos.ErrorSummary, len(e.errors)),
		Timing:            timing(s, now),
	}
	for text, ids := range e.errors {
		status.ErrorSummary[text] = bos.ErrorSummary{Count: len(ids), List: firstIDs(ids, 10)}
	}
	return status
}

// percentage returns 100·n/total rounded to two decimals the way the reference does: to the nearest decimal of the
// exact binary value, halves to even.
func percentage(n, total int) float64 {
	if total == 0 {
		return 0
	}
	v, err := strconv.ParseFloat(strconv.FormatFloat(100*float64(n)/float64(total), 'f', 2, 64), 64)
	if err != nil {
		return 0
	}
	return v
}

// firstIDs joins the n smallest ids by commas; "..." says that there are more.
func firstIDs(ids []bos.ComponentID, n int) string {
	ids = slices.Sorted(slices.Values(ids))
	more := ""
	if len(ids) > n {
		ids, more = ids[:n], "..."
	}
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = string(id)
	}
	return strings.Join(texts, ",") + more
}

// timing tells when the session ran. Times that nobody can read leave the duration empty.
func timing(s *bos.Session, now time.Time) bos.SessionTiming {
	if s.Status == nil {
		return bos.SessionTiming{}
	}
	t := bos.SessionTiming{StartTime: s.Status.StartTime, EndTime: s.Status.EndTime}
	start, ok := t.StartTime.Time()
	if !ok {
		return t
	}
	end := now.UTC()
	if t.EndTime != "" {
		if end, ok = bos.Timestamp(t.EndTime).Time(); !ok {
			return t
		}
	}
	t.Duration = formatSpan(end.Sub(start))
	return t
}

// formatSpan writes a span as "[D day[s], ]H:MM:SS[.ffffff]". Only the days are negative: -2 s is "-1 day, 23:59:58".
func formatSpan(d time.Duration) string {
	const day = 24 * time.Hour
	d = d.Truncate(time.Microsecond)
	days := d / day
	if d%day < 0 {
		days--
	}
	rest := d - days*day
	text := fmt.Sprintf("%d:%02d:%02d", rest/time.Hour, rest/time.Minute%60, rest/time.Second%60)
	if micros := rest % time.Second / time.Microsecond; micros != 0 {
		text += fmt.Sprintf(".%06d", micros)
	}
	switch days {
	case 0:
		return text
	case 1, -1:
		return fmt.Sprintf("%d day, %s", days, text)
	}
	return fmt.Sprintf("%d days, %s", days, text)
}
