package reporter

import (
	"log/slog"
	"slices"
	"testing"
	"time"
)

func TestNoise(t *testing.T) {
	hear := func(a Answer, n int, every time.Duration) (loud []int, level slog.Level) {
		var x noise
		now := time.Unix(0, 0)
		for i := range n {
			var l bool
			if l, level = x.hear(a, now); l {
				loud = append(loud, i+1)
			}
			now = now.Add(every)
		}
		return loud, level
	}
	for _, tt := range []struct {
		a     Answer
		loud  []int
		level slog.Level
	}{
		{Answer{Outcome: Busy, Status: 500}, []int{1, 2, 4, 8, 16, 32, 64, 128, 256}, slog.LevelWarn},
		{Answer{Outcome: Conflict, Status: 409}, []int{1, 2, 4, 8, 16, 32, 64, 128, 256}, slog.LevelInfo},
		{Answer{Outcome: NoCredentials}, []int{1, 2, 4, 8, 16, 32, 64, 128, 256}, slog.LevelError},
		{Answer{Outcome: Redirected, Status: 302}, []int{1}, slog.LevelWarn},
		{Answer{Outcome: Untrusted}, []int{1, 121, 241}, slog.LevelError}, // 30 s apart: once an hour
	} {
		if loud, level := hear(tt.a, 300, 30*time.Second); !slices.Equal(loud, tt.loud) || level != tt.level {
			t.Errorf("%v: loud at %v on %v, want %v on %v", tt.a.Outcome, loud, level, tt.loud, tt.level)
		}
	}

	var x noise
	var loud []bool
	for _, status := range []int{500, 500, 500, 502, 500} { // another failure is news
		l, _ := x.hear(Answer{Outcome: Busy, Status: status}, time.Unix(0, 0))
		loud = append(loud, l)
	}
	if want := []bool{true, true, false, true, true}; !slices.Equal(loud, want) {
		t.Errorf("loud = %v, want %v", loud, want)
	}
}
