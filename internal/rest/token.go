package rest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// tokenFile reads a bearer token from a file, again whenever the file has changed.
type tokenFile struct {
	path string

	mu      sync.Mutex
	token   string
	size    int64
	changed time.Time
}

func (f *tokenFile) read(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	if f.token != "" && info.Size() == f.size && info.ModTime().Equal(f.changed) {
		return f.token, nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	f.token, f.size, f.changed = strings.TrimSpace(string(text)), info.Size(), info.ModTime()
	return f.token, nil
}
