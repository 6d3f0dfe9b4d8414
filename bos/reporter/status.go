package reporter

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Status is what a reporter knows about its own work. It holds no secrets.
type Status struct {
	Xname         string     `json:"xname"`
	LastAttempt   *time.Time `json:"last_attempt"`           // nil: none yet
	LastSuccess   *time.Time `json:"last_success"`           // nil: none yet
	LastError     string     `json:"last_error"`             // "" after a success
	Attempts      int        `json:"attempts_since_success"` // that failed
	PeriodSeconds float64    `json:"period_seconds"`         // 0: report once
	NextReport    *time.Time `json:"next_report"`            // of the wall clock; nil: none planned
}

// ReadStatus reads a status file.
func ReadStatus(path string) (Status, error) {
	var s Status
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%s is not a status file: %w", path, err)
	}
	return s, nil
}

// WriteFile writes the status to a file that everybody may read. A reader sees the old or the new content, never a part.
func (s Status) WriteFile(path string) (err error) {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".status-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Chmod(0o644) // whatever the umask
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
