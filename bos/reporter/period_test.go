package reporter

import (
	"testing"
	"time"
)

func TestParseTTL(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"4h", 4 * time.Hour, true},
		{"4H", 4 * time.Hour, true},
		{"30m", 30 * time.Minute, true},
		{"90s", 90 * time.Second, true},
		{"10d", 10 * day, true},
		{"2W", 14 * day, true},
		{"04h", 4 * time.Hour, true},
		{"0", 0, true},
		{"000", 0, true},
		{"0h", 0, true},
		{"9999w", MaxTTL, true},
		{"99999999999999999999999h", MaxTTL, true},
		{"9223372036854775807w", MaxTTL, true},
		{"", 0, false},
		{"4", 0, false},
		{"h", 0, false},
		{"4hh", 0, false},
		{"0hh", 0, false},
		{"4.5h", 0, false},
		{"-4h", 0, false},
		{"+4h", 0, false},
		{" 4h", 0, false},
		{"4h\n", 0, false},
		{"4y", 0, false},
		{"٤h", 0, false},
		{"banana", 0, false},
	} {
		got, err := ParseTTL(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParseTTL(%q) = %v, %v; want %v, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func TestPeriod(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"4h", 3 * time.Hour, true},
		{"0", 0, true},
		{"40s", 30 * time.Second, true},
		{"39s", 30 * time.Second, false},
		{"1s", 30 * time.Second, false},
		{"banana", 3 * time.Hour, false},
		{"", 3 * time.Hour, false},
	} {
		got, err := Period(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("Period(%q) = %v, %v; want %v, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func FuzzPeriod(f *testing.F) {
	for _, s := range []string{"4h", "0", "", "banana", "99999999999999999999w", "1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, _ := Period(s); p != 0 && (p < MinPeriod || p > MaxTTL) {
			t.Errorf("Period(%q) = %v", s, p)
		}
	})
}
