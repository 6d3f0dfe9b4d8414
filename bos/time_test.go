package bos

import (
	"errors"
	"testing"
	"time"
)

func TestTimestampTime(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for text, want := range map[Timestamp]time.Time{
		"2026-01-31T10:00:00":        at("2026-01-31T10:00:00Z"),
		" 2026-01-31 10:00:00 ":      at("2026-01-31T10:00:00Z"), //nolint:gocritic // the spaces are the case
		"2026-01-31T10:00:00.25":     at("2026-01-31T10:00:00.25Z"),
		"2026-01-31T10:00:00Z":       at("2026-01-31T10:00:00Z"),
		"2026-01-31T10:00:00+05:00":  at("2026-01-31T10:00:00Z"), // the zone is dropped, as in the reference
		"2026-01-31T10:00:00-05:00":  at("2026-01-31T10:00:00Z"),
		"2026-01-31T10:00":           at("2026-01-31T10:00:00Z"),
		"2026-01-31":                 at("2026-01-31T00:00:00Z"),
		"2026-01-31T10:00:00.5+0100": at("2026-01-31T10:00:00.5Z"),
	} {
		if got, ok := text.Time(); !ok || !got.Equal(want) {
			t.Errorf("%q is %v, %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []Timestamp{"", " ", "T", "now", "2026-13-01", "2026-01-31T25:00:00", "2026-01-31T10", "1769853600", "31.01.2026"} {
		if got, ok := text.Time(); ok {
			t.Errorf("%q is %v, want unreadable", text, got)
		}
		if !text.OlderThan(100*365*24*time.Hour, time.Now()) {
			t.Errorf("%q is unreadable and yet not older than anything", text)
		}
	}
}

// FuzzTimestamp reads any text. What is read can be written, and reads as the same second.
func FuzzTimestamp(f *testing.F) {
	for _, seed := range []string{"2026-01-31T10:00:00", "2026-01-31 10:00:00.123456Z", "2026-01-31T10:00-07:00", "2026-01-31", "T", "-", "9999-12-31T23:59:59.999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := Timestamp(text).Time()
		if !ok {
			return
		}
		if again, ok := Stamp(at).Time(); !ok || !again.Equal(at.Truncate(time.Second)) {
			t.Errorf("%q is %v, its stamp %q is %v, %v", text, at, Stamp(at), again, ok)
		}
		if Timestamp(text).OlderThan(0, at) {
			t.Errorf("%q is older than itself", text)
		}
	})
}

func TestParseAge(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0m": 0, "4h": 4 * time.Hour, "7D": 7 * 24 * time.Hour, "90M": 90 * time.Minute, "2w": 14 * 24 * time.Hour, "15250w": 15250 * 7 * 24 * time.Hour,
	} {
		if got, err := ParseAge(text, false); err != nil || got != want {
			t.Errorf("ParseAge(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	if got, err := ParseAge("30s", true); err != nil || got != 30*time.Second {
		t.Errorf("30s = %v, %v", got, err)
	}
	for _, text := range []string{"", "5", "h", "-1h", "+1h", "1.5h", "1 h", "5y", "30s", "0x1h", "1_0h", "15251w", "99999999999999999999d", "4hh", "４h"} {
		if got, err := ParseAge(text, false); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseAge(%q) = %v, %v, want ErrInvalid", text, got, err)
		}
	}
}

// FuzzParseAge reads any text: an age is never negative, and seconds only add to what is accepted.
func FuzzParseAge(f *testing.F) {
	for _, seed := range []string{"0", "4h", "7D", "30s", "15251w", "-1h", "9223372036854775807m", "\xffd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		strict, err := ParseAge(text, false)
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseAge(%q): %v does not match ErrInvalid", text, err)
		}
		loose, looseErr := ParseAge(text, true)
		if strict < 0 || loose < 0 {
			t.Errorf("ParseAge(%q) = %v, %v", text, strict, loose)
		}
		if err == nil && (looseErr != nil || strict != loose) {
			t.Errorf("ParseAge(%q) = %v, with seconds %v, %v", text, strict, loose, looseErr)
		}
	})
}
