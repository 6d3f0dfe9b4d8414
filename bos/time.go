package bos

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Timestamp is a point in time as records hold it: UTC, whole seconds, no zone ("2026-01-31T10:00:00"). It is kept as
// text, so that what another writer stored survives unchanged. Stamps order nothing: two writes of one second are equal.
// Source: BOS v2 API, generated timestamps.
type Timestamp string

// timestampLayout is how the reference writes a time.
const timestampLayout = "2006-01-02T15:04:05"

// Stamp returns t as records hold it: converted to UTC and cut to whole seconds.
func Stamp(t time.Time) Timestamp { return Timestamp(t.UTC().Format(timestampLayout)) }

// Time parses the stamp leniently: fractions are read, a zone is dropped without conversion as in the reference.
// ok is false for an empty or unreadable stamp.
func (s Timestamp) Time() (t time.Time, ok bool) {
	text := strings.TrimSpace(string(s))
	text = strings.Replace(text, " ", "T", 1)
	if len(text) > len("2006-01-02") {
		day, clock, _ := strings.Cut(text, "T")
		if i := strings.IndexAny(clock, "Zz+-"); i >= 0 {
			clock = clock[:i]
		}
		text = day + "T" + strings.TrimSpace(clock)
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// OlderThan reports whether more than d has passed since the stamp, strictly. An empty or unreadable stamp is older
// than anything.
func (s Timestamp) OlderThan(d time.Duration, now time.Time) bool {
	t, ok := s.Time()
	return !ok || now.UTC().Truncate(time.Second).Sub(t) > d
}

// ParseAge parses an age such as "4h", "7D" or "0": a number and one of m, h, d, w in either case.
// Seconds (s) are accepted where seconds is true, as old databases hold them. The error matches ErrInvalid.
func ParseAge(text string, seconds bool) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	bad := &FieldError{Reason: fmt.Sprintf("'%s' is not an age: write a number and one of m, h, d, w, such as 4h or 7d", text)}
	if len(text) < 2 {
		return 0, bad
	}
	unit, ok := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[text[len(text)-1]|0x20]
	if !ok || (unit == time.Second && !seconds) {
		return 0, bad
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 63)
	if err != nil {
		return 0, bad
	}
	if n > uint64(1<<63-1)/uint64(unit) {
		return 0, &FieldError{Reason: fmt.Sprintf("'%s' is longer than 292 years", text)}
	}
	return time.Duration(n) * unit, nil
}
