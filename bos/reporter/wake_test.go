package reporter

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A woken reporter keeps 5 seconds between tries, in a pause between tries as in the long wait.
func TestWakeDistance(t *testing.T) {
	r := newRig(t, cmdline("bos_update_frequency=4h"), nil)
	r.answers(404, 404, 404, 404, 404, 200)
	r.run(t, func(t *testing.T, rep *Reporter) {
		time.Sleep(2500 * time.Millisecond) // tries at 0, 2; the next would be at 6
		rep.Wake()                          // not later for that
		time.Sleep(10 * time.Second)        // 6, 12; it is 12.5, the next would be at 20
		rep.Wake()
		rep.Wake()
		time.Sleep(100 * time.Second) // 17, 27
		rep.Wake()
		time.Sleep(time.Second)
	})
	want := []time.Duration{0, 2, 6, 12, 17, 27, 112}
	for i := range want {
		want[i] *= time.Second
	}
	want[6] += 500 * time.Millisecond
	if got := r.times(); !slices.Equal(got, want) {
		t.Errorf("requests at %v, want %v", got, want)
	}
}

// Once is what wakes a reporter that has nothing planned.
func TestWakeIdle(t *testing.T) {
	r := newRig(t, cmdline("bos_update_frequency=0"), nil)
	token := ""
	r.cfg.BSSToken = func() (string, error) { return token, nil }
	var idle []bool
	r.cfg.Idle = func(b bool) { idle = append(idle, b) }
	r.run(t, func(t *testing.T, rep *Reporter) {
		time.Sleep(time.Hour)
		rep.Wake() // there is still nothing to report
		time.Sleep(time.Hour)
		synctest.Wait()
		token = testBSS
		rep.Wake()
		time.Sleep(time.Hour)
		rep.Wake()
		time.Sleep(time.Hour)
	})
	if got, want := r.times(), []time.Duration{2 * time.Hour, 3 * time.Hour}; !slices.Equal(got, want) {
		t.Errorf("requests at %v, want %v", got, want)
	}
	if len(r.lines("WARN")) != 1 {
		t.Errorf("log %s, want one warning", r.log.String())
	}
	if want := []bool{true, false, true, false, true, false, true, false}; !slices.Equal(idle, want) {
		t.Errorf("idle %v, want %v", idle, want)
	}
}
