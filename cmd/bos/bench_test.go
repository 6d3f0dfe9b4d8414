package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	fresh, old := filepath.Join(dir, "fresh"), filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fresh, old} {
		if err := writable(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a file was left behind")
	}
	if data, err := os.ReadFile(old); err != nil || string(data) != "before" {
		t.Errorf("the file holds %q, %v", data, err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "missing", "file")} {
		if writable(path) == nil {
			t.Errorf("%s can be written", path)
		}
	}
}
