package bosserver

import (
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
)

func TestPercentage(t *testing.T) {
	for _, tt := range []struct {
		n, total int
		want     float64
	}{
		{0, 0, 0}, {0, 5, 0}, {1, 6, 16.67}, {1, 3, 33.33}, {2, 3, 66.67}, {1, 8, 12.5}, {5, 5, 100}, {1, 800, 0.12}, {3, 800, 0.38}, {1, 1024, 0.1},
	} {
		if got := percentage(tt.n, tt.total); got != tt.want {
			t.Errorf("percentage(%d, %d) = %v, want %v", tt.n, tt.total, got, tt.want)
		}
	}
}

func TestFormatSpan(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0:00:00"},
		{1580470 * time.Microsecond, "0:00:01.580470"},
		{time.Hour + 2*time.Minute + 3*time.Second, "1:02:03"},
		{day + time.Hour + 2*time.Minute + 3*time.Second, "1 day, 1:02:03"},
		{1135*day + 22*time.Hour + 7*time.Minute + time.Second, "1135 days, 22:07:01"},
		{-2 * time.Second, "-1 day, 23:59:58"},
		{-day, "-1 day, 0:00:00"},
		{-day - time.Second, "-2 days, 23:59:59"},
		{999 * time.Nanosecond, "0:00:00"},
	} {
		if got := formatSpan(tt.d); got != tt.want {
			t.Errorf("formatSpan(%v) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestExtendedStatus(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 12, 580470000, time.UTC)
	session := bos.Session{Name: "s", Status: &bos.SessionStatus{StartTime: "2026-01-01T00:00:00", Status: bos.SessionRunning}}
	e := &extended{}
	for _, text := range []string{
		`{"id":"b","enabled":false,"error":"E1","status":{"status_override":"failed"}}`,
		`{"id":"a","enabled":true,"error":"E1","status":{"status_override":"on_hold","phase":"powering_off"}}`,
		`{"id":"c","enabled":false}`,
		`{"id":"d","enabled":true,"status":{"phase":"powering_on"}}`,
		`{"id":"f"}`,
	} {
		c := fromJSON[bos.Component](t, text)
		e.addOwned(&c)
	}
	e.addStaged()
	sameJSON(t, e.of(&session, now), `{"status":"running","managed_components_count":6,"percent_successful":33.33,"percent_failed":16.67,"percent_staged":16.67,
		"phases":{"percent_complete":50,"percent_powering_on":16.67,"percent_powering_off":0,"percent_configuring":0},
		"error_summary":{"E1":{"count":2,"list":"a,b"}},"timing":{"start_time":"2026-01-01T00:00:00","end_time":null,"duration":"0:00:12.580470"}}`)
}

func TestExtendedStatusNeverFailsOverTimes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		status   *bos.SessionStatus
		duration string
	}{
		{"no status", nil, ""},
		{"no start", &bos.SessionStatus{}, ""},
		{"garbage start", &bos.SessionStatus{StartTime: "yesterday"}, ""},
		{"garbage end", &bos.SessionStatus{StartTime: "2026-01-01T00:00:00", EndTime: "tomorrow"}, ""},
		{"a zone is dropped", &bos.SessionStatus{StartTime: "2026-01-01T00:00:00Z", EndTime: "2026-01-01T01:00:00+02:00"}, "1:00:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := timing(&bos.Session{Status: tt.status}, time.Now()).Duration; got != tt.duration {
				t.Errorf("duration = %q, want %q", got, tt.duration)
			}
		})
	}
}

func TestFirstIDs(t *testing.T) {
	ids := []bos.ComponentID{"k", "j", "i", "h", "g", "f", "e", "d", "c", "b", "a"}
	if got := firstIDs(ids, 10); got != "a,b,c,d,e,f,g,h,i,j..." {
		t.Errorf("eleven: %q", got)
	}
	if got := firstIDs(ids[1:], 10); got != "a,b,c,d,e,f,g,h,i,j" {
		t.Errorf("ten: %q", got)
	}
}
