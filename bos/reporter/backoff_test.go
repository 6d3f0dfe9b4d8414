package reporter

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	var b Backoff
	for i, want := range []int{2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 30, 30} {
		if got := b.Next(Answer{Outcome: Unknown, Status: 404}, 0.5); got != time.Duration(want)*time.Second {
			t.Errorf("pause %d = %v, want %ds", i+1, got, want)
		}
	}
	if got := b.Next(Answer{Outcome: NoCredentials}, 0.9); got != 2*time.Second {
		t.Errorf("pause without credentials = %v, want 2s", got)
	}
	for _, tt := range []struct {
		random float64
		want   time.Duration
	}{{0, 24 * time.Second}, {1, 36 * time.Second}} {
		if got := b.Next(Answer{Outcome: Unreachable}, tt.random); got.Round(time.Millisecond) != tt.want {
			t.Errorf("pause with random %v = %v, want %v", tt.random, got, tt.want)
		}
	}
}

func TestBackoffRejected(t *testing.T) {
	var b Backoff
	bad := Answer{Outcome: Rejected, Status: 400}
	for range 15 {
		b.Next(bad, 0.5)
	}
	if got := b.Next(bad, 0.5); got != 32*time.Second {
		t.Errorf("pause after the 16th = %v, want 32s", got)
	}
	for range 200 {
		b.Next(bad, 1)
	}
	if got := b.Next(bad, 1); got != 5*time.Minute {
		t.Errorf("longest pause = %v, want 5m", got)
	}
	if got := b.Next(Answer{Outcome: Conflict, Status: 409}, 0.5); got != 30*time.Second {
		t.Errorf("pause after another answer = %v, want 30s", got)
	}
}

func TestBackoffRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		asked       time.Duration
		random      float64
		least, most time.Duration
	}{
		{7 * time.Second, 0, 7 * time.Second, 7 * time.Second},
		{7 * time.Second, 1, 7 * time.Second, 8400 * time.Millisecond},
		{time.Second, 0.5, 2 * time.Second, 2 * time.Second},
		{time.Hour, 0, 5 * time.Minute, 5 * time.Minute},
		{time.Hour, 1, 5 * time.Minute, 5 * time.Minute},
	} {
		got := new(Backoff).Next(Answer{Outcome: Busy, Status: 503, RetryAfter: tt.asked}, tt.random)
		if got < tt.least || got > tt.most {
			t.Errorf("Retry-After %v: pause %v, want %v to %v", tt.asked, got, tt.least, tt.most)
		}
	}
}
