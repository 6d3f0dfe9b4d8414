package reporter

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.json")
	if _, err := ReadStatus(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("err = %v, want that it does not exist", err)
	}
	for _, s := range []Status{
		{Xname: "x1", LastAttempt: new(time.Unix(5, 0).UTC()), LastError: "e", Attempts: 3, PeriodSeconds: 10800},
		{Xname: "x2", NextReport: new(time.Unix(6, 0).UTC())},
	} {
		if err := s.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		got, err := ReadStatus(path)
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(s)
		if err != nil || string(a) != string(b) {
			t.Errorf("read %s, %v; want %s", a, err, b)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v, %v; want 0644", info.Mode(), err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("files left behind: %v", files)
	}
	if err := (Status{}).WriteFile(filepath.Join(t.TempDir(), "no", "dir")); err == nil {
		t.Error("no error without a directory")
	}
	write(t, path, "nonsense")
	if _, err := ReadStatus(path); err == nil {
		t.Error("no error for a file that is none")
	}
}

func TestStatusKeys(t *testing.T) {
	b, _ := json.Marshal(Status{Xname: "x1", PeriodSeconds: 10800})
	const want = `{"xname":"x1","last_attempt":null,"last_success":null,"last_error":"","attempts_since_success":0,"period_seconds":10800,"next_report":null}`
	if string(b) != want {
		t.Errorf("status = %s, want %s", b, want)
	}
}

// The status follows the work: failures, success, and the plan for the next report.
func TestStatusOfReporter(t *testing.T) {
	r := newRig(t, cmdline("bos_update_frequency=4h"), nil)
	r.answers(404, 500, 200)
	var got []Status
	r.cfg.Observe = func(s Status) { got = append(got, s) }
	r.cfg.Last = Status{Xname: testID, LastSuccess: new(time.Unix(0, 0)), Attempts: 7}
	r.runFor(t, time.Minute)
	if len(got) != 3 {
		t.Fatalf("%d statuses, want 3", len(got))
	}
	start := r.start
	for i, want := range []struct {
		attempts   int
		last, next time.Duration
		failed     bool
	}{
		{8, 0, 2 * time.Second, true},
		{9, 2 * time.Second, 6 * time.Second, true},
		{0, 6 * time.Second, 5406 * time.Second, false},
	} {
		s := got[i]
		if s.Attempts != want.attempts || s.LastAttempt.Sub(start) != want.last || s.NextReport.Sub(start) != want.next ||
			(s.LastError != "") != want.failed || s.PeriodSeconds != 10800 || s.Xname != testID {
			t.Errorf("status %d = %+v, want %+v", i, s, want)
		}
	}
	if got[1].LastSuccess.Unix() != 0 || got[2].LastSuccess.Sub(start) != 6*time.Second {
		t.Errorf("last success %v, then %v", got[1].LastSuccess, got[2].LastSuccess)
	}
}

// A reporter that BOS never answers writes its status after each try and nothing else.
func TestOnceStatus(t *testing.T) {
	r := newRig(t, cmdline(""), nil)
	r.answers(403)
	var got []Status
	r.cfg.Observe = func(s Status) { got = append(got, s) }
	synctest.Test(t, func(t *testing.T) {
		rep, err := New(r.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := errors.AsType[*Undelivered](rep.Once(t.Context())); !ok {
			t.Error("no error after two refusals")
		}
	})
	if n := len(got); n != 2 || got[1].NextReport != nil || got[1].LastError == "" {
		t.Errorf("statuses %+v", got)
	}
}
