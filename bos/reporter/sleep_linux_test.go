package reporter

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// CLOCK_BOOTTIME runs on while the machine is suspended and is not touched by setting the clock.
func TestBootTimerClock(t *testing.T) {
	f, err := bootTimer(time.Hour)
	if err != nil {
		t.Skipf("no timerfd here: %v", err)
	}
	defer f.Close()
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	if err != nil {
		t.Skip(err)
	}
	if !strings.Contains(string(info), "clockid: 7\n") || !strings.Contains(string(info), "it_value: (3599, ") {
		t.Errorf("timer is not one hour of CLOCK_BOOTTIME: %s", info)
	}
}

func TestBootSleep(t *testing.T) {
	began := time.Now()
	BootSleep(t.Context(), 20*time.Millisecond)
	if d := time.Since(began); d < 20*time.Millisecond {
		t.Errorf("slept %v, want 20ms or more", d)
	}
	BootSleep(t.Context(), 0)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	BootSleep(ctx, time.Hour) // the test's own time-out would tell
	BootSleep(ctx, time.Hour)
}
